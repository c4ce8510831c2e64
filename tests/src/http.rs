//! The operator's interface as its callers see it: whole answers, and raw bytes for those who misbehave.
//! Knows nothing of what the routes mean.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes: a roll-out has 60 s.
const PATIENCE: Duration = Duration::from_secs(110);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    /// As one text, names in lower case, a line each.
    pub headers: String,
    pub body: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The detail of an error, which must be problem details and name its own status.
    pub fn detail(&self) -> String {
        let problem = self.json();
        assert!(self.headers.contains("content-type: application/problem+json\n"), "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{self:?}");
        problem["detail"].as_str().filter(|text| !text.is_empty()).expect("what to do about it").to_owned()
    }
}

/// Asks one host.
#[derive(Clone, Debug)]
pub struct Interface {
    /// `address:port`.
    pub address: String,
    agent: ureq::Agent,
}

impl Interface {
    pub fn new(address: String) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        // A connection of its own for each request: hosts come and go.
        Self { address, agent: config.proxy(None).max_idle_connections(0).build().into() }
    }

    pub fn get(&self, path: &str) -> Answered {
        self.send("GET", path, &[], b"")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Self::send`], where the host may be gone.
    ///
    /// # Errors
    /// It does not answer.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answered, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match method {
            "GET" => self.agent.run(request.body(())?)?,
            _ => self.agent.run(request.body(body)?)?,
        };
        let line = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap_or_default())
        };
        let headers = response.headers().iter().map(line).collect();
        let body = response.body_mut().read_to_string()?;
        Ok(Answered { status: response.status().as_u16(), headers, body })
    }
}

/// A connection for bytes that no client library would send.
pub struct Raw(TcpStream);

impl Raw {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the interface takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self(stream)
    }

    /// Gives up where the other side has closed.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.0.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("{error}"),
            _ => {}
        }
    }

    /// Everything that comes until the other side closes.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("the connection stays open: {error}"),
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
