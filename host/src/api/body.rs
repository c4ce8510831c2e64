//! Takes the body of an upload: bounded in size and time, and read to its end even when it is refused, so that a client
//! that is still sending gets to read why.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;

use super::problem::Problem;

/// The largest component.
pub(super) const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// The whole body of an upload.
///
/// # Errors
/// It is too large, or ended before its end.
pub(super) async fn component(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let is_told_too_large = length.is_some_and(|length| length > COMPONENT_BYTES_MAX);
    if is_told_too_large && headers.contains_key(header::EXPECT) {
        // It has sent nothing yet, and will not.
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(length.unwrap_or_default().min(COMPONENT_BYTES_MAX));
    let mut is_too_large = is_told_too_large;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "cut-off",
                format!("the upload was cut off, nothing changed: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        is_too_large |= bytes.len() + data.len() > COMPONENT_BYTES_MAX;
        if !is_too_large {
            bytes.extend_from_slice(&data);
        }
    }
    if is_too_large { Err(too_large()) } else { Ok(bytes) }
}

fn too_large() -> Problem {
    let detail = "the component is larger than this host takes (64 MiB): strip its debug information";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}
