//! One request after the other to a host, with its token; answers are JSON, or what the host says against it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Address, RemoteError};

/// A roll-out that is waited for takes 75 s at most.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(100);

/// A version as it is handed in. What is left out stays as it is.
pub(super) struct Upload<'a> {
    /// The component; empty if it stays.
    pub bytes: &'a [u8],
    pub note: &'a str,
    /// JSON.
    pub settings: Option<String>,
    /// JSON.
    pub limits: Option<String>,
    pub on_error: Option<&'a str>,
    pub retry_times: Option<u64>,
    pub retry_backoff_ms: Option<u64>,
    pub state_format: Option<&'a str>,
    /// The revision that it is based on.
    pub base: Option<u64>,
}

impl Upload<'_> {
    fn query(&self) -> String {
        let Self { note, settings, limits, on_error, retry_times, retry_backoff_ms, state_format, .. } = self;
        let texts = [
            ("settings", settings.as_deref()),
            ("limits", limits.as_deref()),
            ("on_error", *on_error),
            ("state_format", *state_format),
        ];
        let texts = texts.into_iter().filter_map(|(name, text)| Some(format!("&{name}={}", escaped(text?))));
        let numbers = [("retry_times", retry_times), ("retry_backoff_ms", retry_backoff_ms)];
        let numbers = numbers.into_iter().filter_map(|(name, number)| Some(format!("&{name}={}", (*number)?)));
        format!("wait=true&note={}", escaped(note)) + &texts.chain(numbers).collect::<String>()
    }
}

pub(super) struct Remote {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Remote {
    pub fn new(address: &Address) -> Self {
        Self::patient(address, ANSWER_MAX)
    }

    pub fn patient(address: &Address, patience: Duration) -> Self {
        // A proxy of the environment would neither find this machine's hosts, nor be trusted with their token.
        let proxy = if is_local(&address.url) { None } else { ureq::Proxy::try_from_env() };
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(patience));
        let agent = config.proxy(proxy).build().into();
        Self { base: address.url.clone(), token: address.token.clone(), agent }
    }

    /// Uploads a version, and waits until all hosts have it.
    pub fn upload(&self, processor: &str, upload: &Upload<'_>) -> Result<Value, RemoteError> {
        let url = format!("{}/v1/processors/{}/versions?{}", self.base, escaped(processor), upload.query());
        let request = self.agent.post(&url).header("content-type", "application/wasm");
        self.answer(self.with_headers(request, upload.base).send(upload.bytes))
    }

    pub fn get(&self, path: &str) -> Result<Value, RemoteError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.call())
    }

    pub fn post(&self, path: &str, body: &str, base: Option<u64>) -> Result<Value, RemoteError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.answer(self.with_headers(request, base).send(body))
    }

    pub fn put(&self, path: &str) -> Result<Value, RemoteError> {
        let request = self.agent.put(format!("{}{path}", self.base));
        self.answer(self.with_headers(request, None).send_empty())
    }

    pub fn put_json(&self, path: &str, body: &Value) -> Result<Value, RemoteError> {
        let request = self.agent.put(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.answer(self.with_headers(request, None).send(body.to_string()))
    }

    fn with_headers(
        &self,
        mut request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        base: Option<u64>,
    ) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match base {
            Some(base) => request.header("if-match", format!("\"{base}\"")),
            None => request,
        }
    }

    fn answer(&self, answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, RemoteError> {
        let unreachable =
            |error: ureq::Error| RemoteError::Unreachable { address: self.base.clone(), why: error.to_string() };
        let mut response = answered.map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        if status == ureq::http::StatusCode::UNAUTHORIZED {
            let text = "the host asks for a token: set WASMILL_TOKEN to the one it was started with";
            return Err(RemoteError::Refused(text.to_owned()));
        }
        let detail = value["detail"].as_str().map_or_else(|| format!("{status}"), str::to_owned);
        Err(RemoteError::Refused(detail))
    }
}

/// Whether a host is on this machine.
fn is_local(url: &str) -> bool {
    let uri = url.parse::<ureq::http::Uri>().ok();
    let host = uri.as_ref().and_then(ureq::http::Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A part of a path or a query, with everything escaped that is not plain.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A component's file.
pub(super) fn read(path: &PathBuf) -> Result<Vec<u8>, RemoteError> {
    std::fs::read(path).map_err(|error| RemoteError::Wrong(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_told_from_others() {
        for url in ["http://127.0.0.1:8090", "http://localhost:1", "http://[::1]:8090", "http://127.0.0.2"] {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://10.0.0.5:8090", "https://hosts.example", "http://127.0.0.1.example", "no address"] {
            assert!(!is_local(url), "{url}");
        }
    }
}
