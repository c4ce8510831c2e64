//! What hosts of the application last told of themselves.

use std::collections::BTreeMap;

use super::finding::Finding;
use crate::deployment::{ALIVE, HostRecord};
use crate::kafka::TopicRecord;
use crate::topology::Topology;

const ABOUT: &str = "hosts";

/// The newest report of a host that did not say that it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub host: String,
    /// By this machine's clock: negative if it lies in its future.
    pub age_ms: i64,
    /// Of its manifest.
    pub topology: String,
}

impl Report {
    pub fn is_alive(&self) -> bool {
        self.age_ms < ALIVE.as_millis() as i64
    }
}

/// The newest of each host.
pub(super) fn newest(records: &[TopicRecord], now_ms: i64) -> Vec<Report> {
    let mut found: BTreeMap<String, Option<HostRecord>> = BTreeMap::new();
    for record in records {
        let host = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        found.insert(host, record.value.as_deref().and_then(|value| serde_json::from_slice(value).ok()));
    }
    let report = |(host, record): (String, Option<HostRecord>)| {
        let record = record?;
        Some(Report { host, age_ms: now_ms - record.at_ms, topology: record.topology })
    };
    found.into_iter().filter_map(report).collect()
}

/// Who lives, and whether they run this manifest.
pub(super) fn judge(topology: &Topology, reports: &[Report]) -> Vec<Finding> {
    let alive: Vec<&Report> = reports.iter().filter(|report| report.is_alive()).collect();
    let names: Vec<&str> = alive.iter().map(|report| report.host.as_str()).collect();
    let mut findings = vec![Finding::ok(
        ABOUT,
        match names.len() {
            0 => "none of this application runs".to_owned(),
            _ => format!("running: {}", names.join(", ")),
        },
    )];
    let ours = topology.fingerprint();
    for report in alive.iter().filter(|report| report.topology != ours) {
        let text = format!("host {} runs another manifest of application `{}`", report.host, topology.application);
        findings.push(if report.host == topology.host.id {
            let advice = "this one counts when it is started again; where there are several hosts, stop all first";
            Finding::warning(ABOUT, text, advice)
        } else {
            Finding::problem(
                ABOUT,
                text,
                "stop it, or start it with this manifest too: this host refuses to start beside it",
            )
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::topology;

    #[test]
    fn the_newest_report_of_each_host_counts() {
        let record = |host: &str, value: Option<&str>| TopicRecord {
            key: Some(host.into()),
            value: value.map(Into::into),
            ..TopicRecord::default()
        };
        let at = |at_ms: i64| {
            format!(
                "{{\"format\":1,\"nonce\":1,\"wasmill\":\"0\",\"topology\":\"t\",\"at_ms\":{at_ms},\"prepared\":{{}}}}"
            )
        };
        let records = [
            record("a", Some(&at(1_000))),
            record("b", Some(&at(1_000))),
            record("a", Some(&at(5_000))),
            record("b", None),
            record("c", Some("garbage")),
        ];
        let expected = Report { host: "a".into(), age_ms: 1_500, topology: "t".into() };
        assert_eq!(newest(&records, 6_500), [expected]);
    }

    #[test]
    fn another_manifest_is_told() {
        let source = "application = \"a\"\n[topics.t]\n[processors.p]\ncomponent = \"c\"\ninputs = [\"t\"]\n";
        let topology = topology::parse("w", source).expect("a manifest");
        let report =
            |host: &str, age_ms, topology: &str| Report { host: host.into(), age_ms, topology: topology.into() };
        let ours = topology.fingerprint();
        let cases = [
            (vec![report("host", 1, &ours), report("b", 1, &ours)], vec![Level::Ok]),
            (vec![report("host", 1, "other")], vec![Level::Ok, Level::Warning]),
            (vec![report("b", 1, "other")], vec![Level::Ok, Level::Problem]),
            (vec![report("b", 60_000, "other")], vec![Level::Ok]),
        ];
        for (reports, expected) in cases {
            let found = judge(&topology, &reports);
            assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), expected, "{found:?}");
        }
    }
}
