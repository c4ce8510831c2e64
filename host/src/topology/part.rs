//! Parts of a processor's table on their own, for what is changed while it runs: the same keys, ranges and messages as in
//! a manifest, written as JSON.

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::manifest::{read_limits, read_policy};
use super::section::{Report, Section};
use super::{ErrorPolicy, LimitSettings};

/// Limits with some of them changed, such as `{"memory-mib": 128}`.
///
/// # Errors
/// Every key that is unknown or has no fitting value.
pub fn limits(changes: &Map<String, Value>, base: &LimitSettings) -> Result<LimitSettings, String> {
    read("limits", changes, |section| read_limits(section, base))
}

/// An error policy, such as `{"on-error": "retry", "retry-times": 3}`; what is left out is as in a manifest.
///
/// # Errors
/// Every key that is unknown or has no fitting value.
pub fn error_policy(keys: &Map<String, Value>) -> Result<ErrorPolicy, String> {
    read("", keys, |section| {
        let policy = read_policy(&section);
        section.finish();
        policy
    })
}

fn read<T>(path: &str, keys: &Map<String, Value>, read: impl FnOnce(Section<'_, '_>) -> T) -> Result<T, String> {
    // Scalars and quoted keys of JSON are those of TOML.
    let line = |(key, value): (&String, &Value)| format!("{} = {value}\n", Value::from(key.as_str()));
    let source: String = keys.iter().map(line).collect();
    let report = Report { source: &source, problems: Default::default() };
    let (document, errors) = DeTable::parse_recoverable(&source);
    errors.iter().for_each(|error| report.add(0, error.message().to_owned()));
    let found = read(Section::new(&report, path.to_owned(), 0, document.get_ref()));
    let problems: Vec<String> = report.problems.into_inner().into_iter().map(|p| p.text).collect();
    if problems.is_empty() { Ok(found) } else { Err(problems.join("; ")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn some_limits_change_and_the_others_stay() {
        let base = LimitSettings { call_ms: 7, ..LimitSettings::default() };
        let changed = limits(&map(json!({"memory-mib": 128, "timed": false})), &base);
        assert_eq!(changed, Ok(LimitSettings { memory_mib: 128, is_timed: false, ..base.clone() }));
        let cases = [
            (json!({"memory_mib": 1}), "unknown key `limits.memory_mib`; did you mean `memory-mib`?"),
            (json!({"call-ms": 0}), "`limits.call-ms` must be a whole number from 1 to 30000"),
            (json!({"call-ms": "fast"}), "`limits.call-ms` must be a whole number from 1 to 30000"),
            (json!({"timed": 1}), "`limits.timed` must be true or false"),
        ];
        for (changes, why) in cases {
            assert_eq!(limits(&map(changes.clone()), &base), Err(why.to_owned()), "{changes}");
        }
        for odd in [json!({"call-ms": null}), json!({"call-ms": {"a": 1}}), json!({"\"\\\n": 1})] {
            assert!(limits(&map(odd.clone()), &base).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_policy_is_read_as_in_a_manifest() {
        let retry = ErrorPolicy::Retry { times: 3, backoff: Duration::from_millis(100) };
        assert_eq!(error_policy(&map(json!({"on-error": "retry", "retry-times": 3}))), Ok(retry));
        assert_eq!(error_policy(&map(json!({"on-error": "halt"}))), Ok(ErrorPolicy::Halt));
        let why = "`on-error` must be \"dead-letter\", \"retry\" or \"halt\"";
        assert_eq!(error_policy(&map(json!({"on-error": "ignore"}))), Err(why.to_owned()));
    }
}
