//! Whether this machine and its hosts agree what time it is. Hosts stamp their reports with their own clocks.

use super::finding::Finding;
use super::reports::Report;

const ABOUT: &str = "clock";

/// Clocks that are kept by NTP differ by milliseconds.
const AHEAD_MS_MAX: i64 = 1_000;

/// A report from the future was stamped by a clock that is ahead of ours. One that is behind looks like a host that is
/// silent: `members` finds those that still have a place in a group.
pub(super) fn judge(reports: &[Report]) -> Vec<Finding> {
    let ahead = |report: &&Report| report.age_ms < -AHEAD_MS_MAX;
    let told = |report: &Report| {
        let text = format!(
            "the newest report of host {} lies {} in the future of this machine",
            report.host,
            seconds(-report.age_ms)
        );
        let advice = "synchronise the clocks of both machines (NTP): by them hosts tell who lives, and ticks and merged \
                      inputs follow them";
        Finding::warning(ABOUT, text, advice)
    };
    let mut findings: Vec<Finding> = reports.iter().filter(ahead).map(told).collect();
    let alive = reports.iter().filter(|report| report.is_alive() && !ahead(report));
    let ages: Vec<String> = alive.map(|report| format!("{} {}", report.host, seconds(report.age_ms.max(0)))).collect();
    if !ages.is_empty() {
        findings.push(Finding::ok(ABOUT, format!("age of the newest reports, one every 5 s: {}", ages.join(", "))));
    }
    findings
}

pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_report_from_the_future_is_a_warning() {
        let report = |host: &str, age_ms| Report { host: host.into(), age_ms, topology: "t".into() };
        type Case<'a> = (&'a [Report], &'a [(Level, &'a str)]);
        let cases: [Case<'_>; 5] = [
            (&[], &[]),
            (&[report("a", 2_340)], &[(Level::Ok, "a 2.3 s")]),
            (&[report("a", -1_000)], &[(Level::Ok, "a 0.0 s")]),
            (&[report("a", -1_001)], &[(Level::Warning, "host a lies 1.0 s in the future")]),
            (&[report("a", 15_000)], &[]),
        ];
        for (reports, expected) in cases {
            let found = judge(reports);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, (level, says)) in found.iter().zip(expected) {
                assert!(found.level == *level && found.text.contains(says), "{found:?}");
            }
        }
    }
}
