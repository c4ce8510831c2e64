//! Routes that show processors, tasks and stores, and that pause and resume.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::order::{Answer, FORWARDED, Order};
use super::problem::Problem;
use super::versions::base_of;
use super::view::{ApplicationView, ProcessorView, StoredView, TaskView};

/// The revision that a change led to.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    pub revision: u64,
    /// The version that it is about.
    pub version: Option<u64>,
    /// Whether that version is active now; else hosts are preparing it.
    pub is_active: bool,
}

/// Everything at once.
#[utoipa::path(get, path = "/v1", responses((status = 200, body = ApplicationView)))]
pub(super) async fn application(State(api): State<Api>) -> Json<ApplicationView> {
    Json((api.view)())
}

/// All processors.
#[utoipa::path(get, path = "/v1/processors", responses((status = 200, body = Vec<ProcessorView>)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<ProcessorView>> {
    Json((api.view)().processors)
}

/// One processor.
#[utoipa::path(get, path = "/v1/processors/{processor}",
    responses((status = 200, body = ProcessorView), (status = 404, body = Problem)))]
pub(super) async fn one(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ProcessorView>, Problem> {
    processor(&api, &name).map(Json)
}

/// Tasks of this host.
#[utoipa::path(get, path = "/v1/processors/{processor}/tasks",
    responses((status = 200, body = Vec<TaskView>), (status = 404, body = Problem)))]
pub(super) async fn tasks(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Vec<TaskView>>, Problem> {
    let workers = processor(&api, &name)?.workers;
    Ok(Json(workers.into_iter().flat_map(|w| w.tasks).collect()))
}

/// Stops calling the processor, on all hosts.
#[utoipa::path(put, path = "/v1/processors/{processor}/pause",
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn pause(
    State(api): State<Api>,
    Path(processor): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Changed>, Problem> {
    let base = base_of(&headers)?;
    changed(carry_out(&api, Order::Pause { processor, base }).await?)
}

/// Goes on after a pause or a halt, on all hosts.
#[utoipa::path(put, path = "/v1/processors/{processor}/resume",
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn resume(
    State(api): State<Api>,
    Path(processor): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Changed>, Problem> {
    let base = base_of(&headers)?;
    changed(carry_out(&api, Order::Resume { processor, base }).await?)
}

/// The committed value of a key, from whichever host has its partition. Keys are text; others, and those that begin with
/// `base64:`, are asked for as `base64:…`.
#[utoipa::path(get, path = "/v1/processors/{processor}/stores/{store}/{key}",
    params(("processor" = String, Path), ("store" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = StoredView), (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn stored(
    State(api): State<Api>,
    Path((processor, store, key)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Json<StoredView>, Problem> {
    let key = key_of(&key)?;
    let is_forwarded = headers.contains_key(FORWARDED);
    match carry_out(&api, Order::Stored { processor, store, key, is_forwarded }).await? {
        Answer::Stored(view) => Ok(Json(view)),
        other => Err(unexpected(&other)),
    }
}

/// Bytes of a key as it is asked for.
fn key_of(text: &str) -> Result<Vec<u8>, Problem> {
    let Some(encoded) = text.strip_prefix("base64:") else { return Ok(text.as_bytes().to_vec()) };
    let decoded = STANDARD.decode(encoded).or_else(|_| URL_SAFE.decode(encoded));
    decoded.map_err(|error| Problem::bad_request(format!("what follows `base64:` is not base64: {error}")))
}

pub(super) fn processor(api: &Api, name: &str) -> Result<ProcessorView, Problem> {
    let view = (api.view)();
    let names: Vec<&str> = view.processors.iter().map(|p| p.name.as_str()).collect();
    let unknown = || Problem::unknown(format!("no processor is called `{name}`; there are {}", names.join(", ")));
    let found = view.processors.iter().find(|p| p.name == name).cloned();
    found.ok_or_else(unknown)
}

/// Carries out an order where blocking is allowed.
pub(super) async fn carry_out(api: &Api, order: Order) -> Result<Answer, Problem> {
    let act = api.order.clone();
    let done = tokio::task::spawn_blocking(move || act(order)).await;
    let failed = |error: tokio::task::JoinError| {
        tracing::error!(%error, "an order failed");
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "bug", "a bug of wasmill: see the log of the host")
    };
    done.map_err(failed)?.map_err(Problem::from)
}

pub(super) fn changed(answer: Answer) -> Result<Json<Changed>, Problem> {
    match answer {
        Answer::Changed { revision, version, is_active } => Ok(Json(Changed { revision, version, is_active })),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn unexpected(answer: &Answer) -> Problem {
    tracing::error!(?answer, "an order was answered with something else");
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "bug", "a bug of wasmill: see the log of the host")
}
