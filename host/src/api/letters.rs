//! Routes of dead letters: shown page by page, and sent to their processor again.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::order::{Answer, Order};
use super::problem::Problem;
use super::processors::{carry_out, unexpected};
use super::versions::json;
use super::view::BytesView;

/// Letters of a page if nothing else is asked for, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// A page of dead letters, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DeadLettersView {
    pub processor: String,
    /// Of all pages.
    pub total: u64,
    /// Where there are older ones: what to ask for as `before`.
    pub older: Option<String>,
    pub dead_letters: Vec<DeadLetterView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DeadLetterView {
    /// `PARTITION/OFFSET` in the topic of dead letters.
    pub place: String,
    pub partition: i32,
    pub offset: i64,
    /// Of the record.
    pub timestamp_ms: i64,
    pub kind: String,
    pub message: Option<String>,
    /// Where the record was read: `TOPIC/PARTITION@OFFSET`.
    pub position: String,
    /// The one that could not process it.
    pub version: Option<String>,
    pub attempts: Option<String>,
    /// Whether it was sent again before.
    pub sent_again: bool,
    #[serde(flatten)]
    pub whole: Option<WholeView>,
}

/// The record itself, where letters are asked for whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct WholeView {
    pub key: Option<BytesView>,
    pub value: Option<BytesView>,
    pub headers: Vec<HeaderView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct HeaderView {
    pub name: String,
    pub value: Option<BytesView>,
}

/// What a replay did, by place of the dead letters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ReplayView {
    pub processor: String,
    pub sent: Vec<String>,
    pub passed_over: Vec<PassedView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct PassedView {
    pub dead_letter: String,
    pub why: String,
}

/// Which letters to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LettersWanted {
    /// All if none is named.
    pub places: Vec<String>,
    /// Only those older than what an answer gave as `older`.
    pub before: Option<String>,
    pub limit: usize,
    /// With key, value and headers.
    pub is_whole: bool,
}

/// Which letters to send again.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Replay {
    /// `PARTITION`, `PARTITION/OFFSET` or `PARTITION/FIRST-LAST`.
    places: Vec<String>,
    /// All, instead of places.
    all: bool,
    /// Also those that were sent again before.
    again: bool,
    /// Also where consumer groups outside of this application read the same topic: they get the records a second time.
    shared: bool,
}

/// Dead letters of a processor, by the time of their records, newest last: those of a page are the newest.
#[utoipa::path(get, path = "/v1/processors/{processor}/dead-letters",
    params(("processor" = String, Path),
        ("place" = Option<Vec<String>>, Query,
            description = "`PARTITION`, `PARTITION/OFFSET` or `PARTITION/FIRST-LAST`; repeated, or with commas"),
        ("before" = Option<String>, Query, description = "the page before one that gave this as `older`"),
        ("limit" = Option<usize>, Query, description = "letters of a page: 100 if left out, 1000 at most"),
        ("whole" = Option<bool>, Query, description = "with key, value and headers; a page then ends at 4 MiB")),
    responses((status = 200, body = DeadLettersView), (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn list(
    State(api): State<Api>,
    Path(processor): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<DeadLettersView>, Problem> {
    let wanted = wanted(pairs)?;
    match carry_out(&api, Order::DeadLetters { processor, wanted }).await? {
        Answer::DeadLetters(view) => Ok(Json(view)),
        other => Err(unexpected(&other)),
    }
}

/// Sends dead letters to their inputs again, addressed to this processor, in one transaction: others pass them.
#[utoipa::path(post, path = "/v1/processors/{processor}/dead-letters/replay", request_body = Replay,
    responses((status = 200, body = ReplayView), (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn replay(
    State(api): State<Api>,
    Path(processor): Path<String>,
    body: Bytes,
) -> Result<Json<ReplayView>, Problem> {
    let Replay { places, all, again, shared } = json(&body)?;
    if places.is_empty() != all {
        let text = r#"say which: either `{"places": ["0/17-20"]}` or `{"all": true}`"#;
        return Err(Problem::bad_request(text));
    }
    match carry_out(&api, Order::Replay { processor, places, again, shared }).await? {
        Answer::Replayed(view) => Ok(Json(view)),
        other => Err(unexpected(&other)),
    }
}

/// By hand: a struct of serde's takes no name twice.
fn wanted(pairs: Vec<(String, String)>) -> Result<LettersWanted, Problem> {
    let mut wanted = LettersWanted { places: Vec::new(), before: None, limit: LIMIT, is_whole: false };
    for (name, value) in pairs {
        let odd = |what: String| Problem::bad_request(format!("`{name}` is {what}, not `{value}`"));
        match name.as_str() {
            "place" => wanted.places.extend(value.split(',').map(str::to_owned)),
            "before" => wanted.before = Some(value),
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
                wanted.limit = limit.ok_or_else(|| odd(format!("a number from 1 to {LIMIT_MAX}")))?;
            }
            "whole" => wanted.is_whole = value.parse().map_err(|_| odd("`true` or `false`".to_owned()))?,
            other => {
                let text = format!("there is no `{other}`; there are place, before, limit, whole");
                return Err(Problem::bad_request(text));
            }
        }
    }
    Ok(wanted)
}
