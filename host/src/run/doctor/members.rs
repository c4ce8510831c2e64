//! Who is in a processor's group: hosts of the application, places of hosts that are gone, or somebody else, who takes
//! partitions that no host processes then.

use std::collections::{BTreeMap, BTreeSet};

use super::clocks::seconds;
use super::finding::Finding;
use super::reports::Report;
use crate::kafka::GroupMember;

const ABOUT: &str = "groups";

/// Judges the members of one group; `client_id` is that of our hosts.
pub(super) fn judge(group: &str, client_id: &str, members: &[GroupMember], reports: &[Report]) -> Finding {
    let (ours, foreign): (Vec<_>, Vec<_>) = members.iter().partition(|m| m.client_id == client_id);
    if !foreign.is_empty() {
        return of_others(group, &foreign);
    }
    let hosts: BTreeSet<&str> = ours.iter().filter_map(|member| host_of(&member.id)).collect();
    let is_alive = |host: &str| reports.iter().any(|report| report.host == host && report.is_alive());
    let silent: Vec<&str> = hosts.iter().copied().filter(|host| !is_alive(host)).collect();
    if !silent.is_empty() {
        return of_silent_hosts(group, &silent, reports);
    }
    let text = match ours.len() {
        0 => format!("{group} has no members"),
        1 => format!("{group} has 1 member, of {}", named(&hosts)),
        count => format!("{group} has {count} members, of {}", named(&hosts)),
    };
    Finding::ok(ABOUT, text)
}

fn named(hosts: &BTreeSet<&str>) -> String {
    let hosts: Vec<&str> = hosts.iter().copied().collect();
    format!("host {}", hosts.join(", "))
}

/// A static member's id begins with its name, here `host.worker`; ids of hosts hold no dots.
fn host_of(member: &str) -> Option<&str> {
    member.split_once('.').map(|(host, _)| host)
}

fn of_others(group: &str, members: &[&GroupMember]) -> Finding {
    let told = |member: &&GroupMember| {
        let mut partitions: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, numbers) in &member.assigned {
            partitions.entry(topic).or_default().extend(numbers);
        }
        let has: Vec<String> = partitions.iter().map(|(topic, numbers)| format!("{topic} {}", list(numbers))).collect();
        let has = if has.is_empty() { "no partition yet".to_owned() } else { has.join(", ") };
        format!("client `{}` at {} has {has}", member.client_id, member.address.trim_start_matches('/'))
    };
    let told: Vec<String> = members.iter().map(told).collect();
    let text = format!("group {group} has members that are no hosts of wasmill:\n{}", told.join("\n"));
    let advice = "stop them, or give them a group of their own: what they are given, no host processes";
    Finding::problem(ABOUT, text, advice)
}

fn list(numbers: &[i32]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn of_silent_hosts(group: &str, hosts: &[&str], reports: &[Report]) -> Finding {
    let told = |host: &&str| match reports.iter().find(|report| report.host == **host) {
        Some(report) => format!("{host}, whose newest report is {} old", seconds(report.age_ms)),
        None => format!("{host}, which has stopped"),
    };
    let told: Vec<String> = hosts.iter().map(told).collect();
    let text = format!("group {group} keeps places of hosts that do not report: {}", told.join("; "));
    let advice = "a host that has stopped loses its place after its session time-out, 10 s by default: look again then. If it \
                  runs, its clock, or this machine's, is wrong, or it hangs: see its log";
    Finding::warning(ABOUT, text, advice)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn others_and_places_that_are_kept_are_found() {
        let member = |client_id: &str, id: &str, assigned: &[(&str, &[i32])]| GroupMember {
            id: id.into(),
            client_id: client_id.into(),
            address: "/127.0.0.1".into(),
            assigned: assigned.iter().map(|(topic, numbers)| ((*topic).to_owned(), numbers.to_vec())).collect(),
        };
        let report = |host: &str, age_ms| Report { host: host.into(), age_ms, topology: "t".into() };
        let ours = || member("wasmill", "a.0-19b-1", &[("in", &[0, 1])]);
        let cases = [
            (vec![], vec![], Level::Ok, "g has no members"),
            (vec![ours()], vec![report("a", 100)], Level::Ok, "1 member, of host a"),
            (vec![ours()], vec![report("a", 20_500)], Level::Warning, "a, whose newest report is 20.5 s old"),
            (vec![ours()], vec![report("b", 0)], Level::Warning, "a, which has stopped"),
            (
                vec![ours(), member("rdkafka", "rdkafka-1", &[("in", &[3, 2])])],
                vec![report("a", 0)],
                Level::Problem,
                "client `rdkafka` at 127.0.0.1 has in 2,3",
            ),
            (vec![member("x", "x-1", &[])], vec![], Level::Problem, "no partition yet"),
        ];
        for (members, reports, level, says) in cases {
            let found = judge("g", "wasmill", &members, &reports);
            assert!(found.level == level && found.text.contains(says), "{found:?} is not {says}");
        }
    }
}
