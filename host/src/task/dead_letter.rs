//! The dead letter of a record: the record as it came, with headers that say what happened to it.
//! Header names of the first family are those of Kafka Streams (KIP-1034), so that existing tools read them.

use super::{Verdict, VersionName};
use crate::client::DeadLetter;
use crate::record::{ADDRESSEE_HEADER, Header, Headers, Partition, Record};

/// Longest backtrace kept in a header.
const BACKTRACE_BYTES_MAX: usize = 4096;

pub(super) fn dead_letter(
    record: &Record<'_>,
    topic: &str,
    partition: Partition,
    processor: &str,
    version: &VersionName,
    verdict: &Verdict,
) -> DeadLetter {
    let mut headers = without_address(record.headers);
    let mut add = |name: &str, value: &str| Headers::push(&mut headers, name.as_bytes(), Some(value.as_bytes()));
    let fault = &verdict.fault;
    let (kind, partition, offset) = (fault.kind.to_string(), partition.to_string(), record.offset.to_string());
    let backtrace = cut(fault.backtrace.as_deref().unwrap_or_default());
    add("__streams.errors.exception", &kind);
    add("__streams.errors.message", &fault.message);
    add("__streams.errors.stacktrace", backtrace);
    add("__streams.errors.topic", topic);
    add("__streams.errors.partition", &partition);
    add("__streams.errors.offset", &offset);
    add("__wasmill.errors.processor", processor);
    add("__wasmill.errors.revision", &version.revision.to_string());
    add("__wasmill.errors.version", &version.number.to_string());
    add("__wasmill.errors.digest", &version.digest);
    add("__wasmill.errors.kind", &kind);
    add("__wasmill.errors.message", &fault.message);
    add("__wasmill.errors.backtrace", backtrace);
    add("__wasmill.errors.attempts", &verdict.attempts.to_string());
    add("__wasmill.errors.position", &format!("{topic}/{partition}@{offset}"));
    DeadLetter {
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        timestamp_ms: record.timestamp_ms,
        headers,
    }
}

/// Whoever reads dead letters must not pass one that was sent again.
fn without_address(headers: Headers<'_>) -> Vec<u8> {
    let mut kept = Vec::with_capacity(headers.0.len());
    for Header { name, value } in headers.iter().filter(|h| h.name != ADDRESSEE_HEADER) {
        Headers::push(&mut kept, name, value);
    }
    kept
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(BACKTRACE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::{FaultKind, GuestFault};

    #[test]
    fn both_header_families_follow_the_record_s_own_headers() {
        let mut own = Vec::new();
        Headers::push(&mut own, ADDRESSEE_HEADER, Some(b"app.p"));
        Headers::push(&mut own, b"mine", None);
        let record = Record { offset: 42, timestamp_ms: 7, key: None, value: Some(b"v"), headers: Headers(&own) };
        let fault = GuestFault {
            kind: FaultKind::Failure("malformed".into()),
            index: Some(0),
            message: "no amount".into(),
            backtrace: Some("ä".repeat(4000)),
        };
        let version = VersionName { revision: 3, number: 2, digest: "abc".into() };
        let verdict = Verdict { fault, attempts: 2 };
        let letter = dead_letter(&record, "t", Partition(1), "app.p", &version, &verdict);
        let value = |name: &str| {
            let found = Headers(&letter.headers).iter().find(|h| h.name == name.as_bytes());
            found.and_then(|h| h.value).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
        };
        assert_eq!((letter.key, letter.value, letter.timestamp_ms), (None, Some(b"v".to_vec()), 7));
        assert_eq!(Headers(&letter.headers).iter().next().map(|h| h.name), Some(&b"mine"[..]));
        assert_eq!(value("__streams.errors.exception"), "failure:malformed");
        assert_eq!(value("__wasmill.errors.position"), "t/1@42");
        assert_eq!(value("__wasmill.errors.attempts"), "2");
        assert_eq!(value("__wasmill.errors.backtrace").len(), BACKTRACE_BYTES_MAX);
    }
}
