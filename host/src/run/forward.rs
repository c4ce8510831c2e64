//! Asks another host for what this one does not have. Once: the request says that it was forwarded, and is then answered
//! there or nowhere.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::drain::DRAIN_MAX;
use crate::api::{FORWARDED, HostView, Refused, StoredView};
use crate::remote::escaped;

/// The other host's worker answers within 5 s; whoever asked waits for both.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// The other host waits for its own workers to leave, and then answers.
const DRAIN_ANSWER_MAX: Duration = DRAIN_MAX.saturating_add(Duration::from_secs(10));

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
        self.answer(address, self.marked(self.agent.get(url)).call())
    }

    /// Has another host drain or serve.
    ///
    /// # Errors
    /// What that host says, or that it does not answer.
    pub fn drain(&self, address: &str, host: &str, is_drained: bool) -> Result<HostView, Refused> {
        let word = if is_drained { "drain" } else { "serve" };
        let url = format!("http://{address}/v1/hosts/{}/{word}", escaped(host));
        let request = self.agent.put(url).config().timeout_global(Some(DRAIN_ANSWER_MAX)).build();
        let request = self.marked(request);
        self.answer(address, request.send_empty())
    }

    fn marked<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let request = request.header(FORWARDED, "1");
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn answer<T: serde::de::DeserializeOwned>(
        &self,
        address: &str,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, Refused> {
        let unreachable =
            |e: ureq::Error| Refused::Unavailable(format!("the host at {address} is the one to ask, but: {e}"));
        let mut response = answered.map_err(unreachable)?;
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
