//! Who may talk to the interface: no web page of another origin, no name that a browser was tricked into resolving to this
//! machine, and, where a token is set, nobody without it.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// What is let through.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Asked for as `Authorization: Bearer …` where it is set.
    pub token: Option<String>,
}

pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.refusal(request.headers(), request.uri().path()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

impl Guard {
    fn refusal(&self, headers: &HeaderMap, path: &str) -> Option<Problem> {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        let forbidden = |detail: String| Some(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        if self.token.is_none() && !is_this_machine(host) {
            return forbidden(format!("asked for as `{host}`: use 127.0.0.1 or localhost, or set a token"));
        }
        if let Some(origin) = text(header::ORIGIN)
            && origin.split_once("://").map(|(_, rest)| rest) != Some(host)
        {
            return forbidden(format!("pages of {origin} may not use this interface"));
        }
        let is_open = path.starts_with("/health/");
        let token = self.token.as_ref().filter(|_| !is_open)?;
        let given = text(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
        let detail = "a token is needed: Authorization: Bearer …";
        (!is_equal(given.as_bytes(), token.as_bytes()))
            .then(|| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }
}

fn is_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(
        host,
        |(name, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
        },
    );
    ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

/// Takes the same time wherever the first difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_pages_and_names_are_refused_and_tokens_asked_for() {
        /// Host, origin, the token that is set, what the request brings, status.
        type Case = (&'static str, Option<&'static str>, Option<&'static str>, Option<&'static str>, u16);
        let cases: [Case; 9] = [
            ("127.0.0.1:8090", None, None, None, 200),
            ("localhost", None, None, None, 200),
            ("[::1]:8090", Some("http://[::1]:8090"), None, None, 200),
            ("evil.example", None, None, None, 403),
            ("127.0.0.1.evil.example:80", None, None, None, 403),
            ("127.0.0.1:8090", Some("http://evil.example"), None, None, 403),
            ("mill.example", None, Some("secret"), None, 401),
            ("mill.example", None, Some("secret"), Some("Bearer wrong!"), 401),
            ("mill.example", None, Some("secret"), Some("Bearer secret"), 200),
        ];
        for (host, origin, token, authorization, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            origin.map(|o| headers.insert(header::ORIGIN, o.parse().expect("a header")));
            authorization.map(|a| headers.insert(header::AUTHORIZATION, a.parse().expect("a header")));
            let guard = Guard { token: token.map(str::to_owned) };
            let status = guard.refusal(&headers, "/v1").map_or(200, |p| p.status);
            assert_eq!(status, expected, "{host} {origin:?} {authorization:?}");
        }
    }
}
