//! Asks another host for what this one does not have. Once: the request says that it was forwarded, and is then answered
//! there or nowhere.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::api::{FORWARDED, Refused, StoredView};
use crate::remote::escaped;

/// The other host's worker answers within 5 s; whoever asked waits for both.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Cheap to clone; used from any thread that may block.
#[derive(Clone, Debug)]
pub(super) struct Forwarder {
    agent: ureq::Agent,
    /// All hosts of an application ask for the same one.
    token: Option<String>,
}

impl Forwarder {
    pub fn new(token: Option<String>) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_MAX));
        Self { agent: config.proxy(None).build().into(), token }
    }

    /// The committed value of a key, from the host whose interface listens at `address`.
    ///
    /// # Errors
    /// What that host says, or that it does not answer.
    pub fn stored(&self, address: &str, processor: &str, store: &str, key: &[u8]) -> Result<StoredView, Refused> {
        let (processor, store, key) = (escaped(processor), escaped(store), escaped(&as_text(key)));
        let url = format!("http://{address}/v1/processors/{processor}/stores/{store}/{key}");
        let mut request = self.agent.get(url).header(FORWARDED, "1");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let unreachable = |e: ureq::Error| Refused::Unavailable(format!("the host at {address} has it, but: {e}"));
        let mut response = request.call().map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return response.body_mut().read_json().map_err(unreachable);
        }
        let problem: serde_json::Value = response.body_mut().read_json().unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(status.as_str());
        Err(Refused::Unavailable(format!("the host at {address} was asked: {detail}")))
    }
}

/// A key as the interface takes it.
fn as_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.starts_with("base64:") => text.to_owned(),
        _ => format!("base64:{}", URL_SAFE.encode(key)),
    }
}
