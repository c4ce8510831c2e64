//! Routes of versions and deployments. Changes may name the revision they are based on (`If-Match: "7"`); without it they
//! are based on the current one.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::order::{Answer, Order};
use super::problem::Problem;
use super::processors::{Changed, carry_out, changed, processor, unexpected};
use super::view::{CutoverView, DeploymentView, VersionView};
use super::{Api, body};

/// What goes with an upload.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadOptions {
    /// What the author says of this version.
    #[serde(default)]
    note: String,
    /// How it lays out its state: across different ones nothing rolls back by itself.
    state_format: Option<String>,
    /// Settings for the component, as JSON; those of the active version if left out.
    settings: Option<String>,
    /// Limits that change, as JSON with the keys of the manifest, such as `{"memory-mib": 128}`.
    limits: Option<String>,
    /// What becomes of a record that fails: `dead-letter`, `retry` or `halt`; as in the active version if left out.
    on_error: Option<String>,
    /// With `on_error=retry`: how often.
    retry_times: Option<u32>,
    /// With `on_error=retry`: after how long at first.
    retry_backoff_ms: Option<u64>,
    /// Whether to wait until every host has the version ready.
    #[serde(default)]
    wait: bool,
}

impl UploadOptions {
    /// The error policy, with the keys of the manifest.
    fn policy(&self) -> Result<Option<Map<String, Value>>, Problem> {
        let Some(on_error) = &self.on_error else {
            if self.retry_times.is_some() || self.retry_backoff_ms.is_some() {
                return Err(Problem::bad_request("`retry_times` and `retry_backoff_ms` go with `on_error=retry`"));
            }
            return Ok(None);
        };
        let numbers = [("retry-times", self.retry_times.map(u64::from)), ("retry-backoff-ms", self.retry_backoff_ms)];
        let numbers = numbers.into_iter().filter_map(|(key, n)| Some((key.to_owned(), n?.into())));
        Ok(Some(numbers.chain([("on-error".to_owned(), on_error.as_str().into())]).collect()))
    }
}

fn part<T: serde::de::DeserializeOwned>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    let parsed = text.map(serde_json::from_str).transpose();
    parsed.map_err(|error| Problem::bad_request(format!("`{name}` is not JSON as it should be: {error}")))
}

/// What to make active.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Activation {
    /// A kept version.
    version: u64,
    #[serde(default)]
    why: String,
}

/// What a rollback may say.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollBack {
    /// A kept version; the one before the active one if left out.
    version: Option<u64>,
    #[serde(default)]
    why: String,
}

/// Versions that are kept, oldest first.
#[utoipa::path(get, path = "/v1/processors/{processor}/versions",
    responses((status = 200, body = Vec<VersionView>), (status = 404, body = Problem)))]
pub(super) async fn list(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Vec<VersionView>>, Problem> {
    Ok(Json(processor(&api, &name)?.versions))
}

/// Uploads a component as a new version, which all hosts prepare and then adopt. Without a body, the active component
/// gets new settings, limits or another error policy.
#[utoipa::path(post, path = "/v1/processors/{processor}/versions", params(UploadOptions),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, body = Changed), (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 408, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn upload(
    State(api): State<Api>,
    Path(processor): Path<String>,
    Query(options): Query<UploadOptions>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::component(&headers, body).await?;
    let base = base_of(&headers)?;
    let settings: Option<Value> = part("settings", options.settings.as_deref())?;
    let limits: Option<Map<String, Value>> = part("limits", options.limits.as_deref())?;
    let on_error = options.policy()?;
    let has_state_format = options.state_format.is_some();
    if body.is_empty() && settings.is_none() && limits.is_none() && on_error.is_none() && !has_state_format {
        let text = "neither a component in the body nor `settings`, `limits`, `on_error` or `state_format`: there is nothing \
                    new to deploy";
        return Err(Problem::bad_request(text));
    }
    let order = Order::Deploy {
        processor,
        component: (!body.is_empty()).then_some(body),
        settings,
        limits,
        on_error,
        note: options.note,
        state_format: options.state_format,
        base,
        is_awaited: options.wait,
    };
    let changed = changed(carry_out(&api, order).await?)?;
    let tag = tag_of(changed.revision);
    Ok((StatusCode::CREATED, [(header::ETAG, tag)], changed).into_response())
}

/// Which version is active, and what is under way.
#[utoipa::path(get, path = "/v1/processors/{processor}/deployment",
    responses((status = 200, body = DeploymentView), (status = 404, body = Problem)))]
pub(super) async fn deployment(State(api): State<Api>, Path(name): Path<String>) -> Result<Response, Problem> {
    let deployment = processor(&api, &name)?.deployment;
    let tag = tag_of(deployment.revision);
    Ok(([(header::ETAG, tag)], Json(deployment)).into_response())
}

/// Makes a kept version active.
#[utoipa::path(put, path = "/v1/processors/{processor}/deployment", request_body = Activation,
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn activate(
    State(api): State<Api>,
    Path(processor): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let base = base_of(&headers)?;
    let Activation { version, why } = json(&body)?;
    go_to(&api, processor, Some(version), why, base).await
}

/// Returns to an older version.
#[utoipa::path(post, path = "/v1/processors/{processor}/rollback", request_body = RollBack,
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn roll_back(
    State(api): State<Api>,
    Path(processor): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let base = base_of(&headers)?;
    let RollBack { version, why } = if body.is_empty() { RollBack::default() } else { json(&body)? };
    go_to(&api, processor, version, why, base).await
}

async fn go_to(
    api: &Api,
    processor: String,
    to: Option<u64>,
    why: String,
    base: Option<u64>,
) -> Result<Json<Changed>, Problem> {
    let why = if why.is_empty() { "as asked".to_owned() } else { why };
    changed(carry_out(api, Order::RollBack { processor, to, why, base }).await?)
}

/// From which offsets on each version made the records.
#[utoipa::path(get, path = "/v1/processors/{processor}/cutovers",
    responses((status = 200, body = Vec<CutoverView>), (status = 404, body = Problem)))]
pub(super) async fn cutovers(
    State(api): State<Api>,
    Path(processor): Path<String>,
) -> Result<Json<Vec<CutoverView>>, Problem> {
    match carry_out(&api, Order::Cutovers { processor }).await? {
        Answer::Cutovers(cutovers) => Ok(Json(cutovers)),
        other => Err(unexpected(&other)),
    }
}

/// The revision that a change is based on, from `If-Match`.
pub(super) fn base_of(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.trim_matches('"').parse();
    number
        .map(Some)
        .map_err(|_| Problem::bad_request(format!("If-Match must be a revision such as \"7\", not `{text}`")))
}

fn tag_of(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits and quotes")
}

pub(super) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not as it should be: {error}")))
}
