//! Routes by which a changed manifest is compared with what runs, and by which its missing topics are made.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::order::{Answer, Order};
use super::problem::Problem;
use super::processors::{carry_out, unexpected};
use super::versions::json;
use super::view::{PlanView, TopicView};

/// A manifest as it would be applied.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The text of `wasmill.toml`.
    manifest: String,
    /// By processor: SHA-256, in hexadecimal, of the component that the manifest names. Components of processors that are
    /// left out are taken as unchanged.
    #[serde(default)]
    components: BTreeMap<String, String>,
}

/// How a topic is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTopic {
    partitions: i32,
    #[serde(default = "one")]
    replication: i32,
    /// Kafka topic settings.
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

fn one() -> i32 {
    1
}

/// What applying a manifest would change. Nothing is changed.
#[utoipa::path(post, path = "/v1/plan", request_body = Wanted,
    responses((status = 200, body = PlanView), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn plan(State(api): State<Api>, body: Bytes) -> Result<Json<PlanView>, Problem> {
    let Wanted { manifest, components } = json(&body)?;
    match carry_out(&api, Order::Plan { manifest, components }).await? {
        Answer::Plan(plan) => Ok(Json(plan)),
        other => Err(unexpected(&other)),
    }
}

/// Makes a topic, if it is not there: 201 when it was made. One that is there with other partitions is refused.
#[utoipa::path(put, path = "/v1/topics/{topic}", params(("topic" = String, Path)), request_body = NewTopic,
    responses((status = 200, body = TopicView), (status = 201, body = TopicView), (status = 400, body = Problem),
              (status = 422, body = Problem)))]
pub(super) async fn ensure_topic(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let NewTopic { partitions, replication, settings } = json(&body)?;
    let topic = TopicView { name, partitions, replication, settings };
    match carry_out(&api, Order::EnsureTopic(topic.clone())).await? {
        Answer::Ensured { is_made } => {
            let status = if is_made { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, Json(topic)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}
