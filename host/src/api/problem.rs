//! Errors as problem details (RFC 9457): a kind, a title, what was wrong and what to do.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::order::Refused;

/// The content type of an error.
const KIND: &str = "application/problem+json";

/// Seconds after which an answer of 503 may be asked for again.
const RETRY_AFTER: &str = "1";

/// The body of every answer from 400 on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Kind of problem, for programs: a relative reference.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What was wrong, and what to do about it.
    pub detail: String,
    /// For conflicts: the revision that a new try must be based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem").to_owned();
        Self { kind: kind.to_owned(), title, status: status.as_u16(), detail: detail.into(), current_revision: None }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", detail)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(detail) => Self::bad_request(detail),
            Refused::Unknown(detail) => Self::unknown(detail),
            Refused::Conflict { current, why } => {
                Self { current_revision: Some(current), ..Self::new(StatusCode::CONFLICT, "conflict", why) }
            }
            Refused::Unfit(detail) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit", detail),
            Refused::Unavailable(detail) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

/// The longest text of a library that becomes a detail.
const DETAIL_BYTES_MAX: usize = 4096;

/// Whatever a library answers by itself (no such method, a query that does not parse, out of time) becomes problem details.
pub(super) async fn always(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == KIND);
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = text_of(body).await;
    let detail = if text.is_empty() { said_of(status).to_owned() } else { text };
    let mut problem = Problem::new(status, "http", detail).into_response();
    if let Some(methods) = parts.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, methods.clone());
    }
    problem
}

async fn text_of(body: Body) -> String {
    let bytes = axum::body::to_bytes(body, DETAIL_BYTES_MAX).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn said_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            "this route does not take that method: GET /v1/openapi.json lists what it takes"
        }
        StatusCode::GATEWAY_TIMEOUT => "it was not decided in time: look at the deployment for what came of it",
        _ => "the request is not as it should be",
    }
}
