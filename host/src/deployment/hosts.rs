//! The hosts of an application, as they tell of themselves: who is alive, and what each has prepared.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A host that told nothing for this long is not waited for: three of its reports.
pub const ALIVE: Duration = Duration::from_secs(15);

/// What a host tells of itself, again and again, on the hosts topic. No value: it stopped as it should.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    pub format: u32,
    /// Of this life of the host.
    pub nonce: u64,
    /// Version of wasmill.
    pub wasmill: String,
    /// Where its HTTP interface listens, if it has one.
    #[serde(default)]
    pub address: Option<String>,
    /// Of its manifest: hosts of one application run the same topology.
    pub topology: String,
    pub at_ms: i64,
    /// By processor.
    pub prepared: BTreeMap<String, Preparation>,
    /// By processor: the partitions that it has, so that others can send questions about them here.
    #[serde(default)]
    pub tasks: BTreeMap<String, Vec<i32>>,
    /// It has given its partitions to others, or is about to, and takes none until it is asked to serve.
    #[serde(default)]
    pub is_drained: bool,
}

/// How far a host is with a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// The candidate's.
    pub revision: u64,
    /// Why it cannot run here; nothing if it is ready.
    pub refusal: Option<String>,
}

/// Everybody's latest reports.
#[derive(Debug, Default)]
pub struct Hosts {
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    record: HostRecord,
    /// When we last heard of it, by our own clock.
    at: Duration,
}

impl Hosts {
    /// Takes a report. `age` is how old it was when it was read: reports from before our start may be of the dead.
    pub fn take(&mut self, host: &str, record: Option<HostRecord>, now: Duration, age: Duration) {
        match record {
            Some(record) if age < ALIVE => {
                self.seen.insert(host.to_owned(), Seen { record, at: now.saturating_sub(age) });
            }
            _ => {
                self.seen.remove(host);
            }
        }
    }

    /// Hosts that are alive, with their latest reports, by name.
    pub fn alive(&self, now: Duration) -> impl Iterator<Item = (&str, &HostRecord)> {
        let is_alive = move |seen: &Seen| now.saturating_sub(seen.at) < ALIVE;
        self.seen.iter().filter(move |(_, s)| is_alive(s)).map(|(name, s)| (name.as_str(), &s.record))
    }

    /// Lets go of those that told nothing for long.
    pub fn forget_dead(&mut self, now: Duration) {
        self.seen.retain(|_, s| now.saturating_sub(s.at) < ALIVE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn record(prepared: &[(&str, u64, Option<&str>)]) -> HostRecord {
        let one = |(processor, revision, refusal): &(&str, u64, Option<&str>)| {
            ((*processor).to_owned(), Preparation { revision: *revision, refusal: refusal.map(str::to_owned) })
        };
        HostRecord {
            format: 1,
            nonce: 1,
            wasmill: "0".into(),
            address: None,
            topology: "t".into(),
            at_ms: 0,
            prepared: prepared.iter().map(one).collect(),
            tasks: BTreeMap::new(),
            is_drained: false,
        }
    }

    #[test]
    fn a_host_is_alive_while_it_tells_of_itself() {
        let mut hosts = Hosts::default();
        let at = Duration::from_secs;
        hosts.take("a", Some(record(&[])), at(100), at(0));
        hosts.take("b", Some(record(&[])), at(100), at(10));
        hosts.take("long-dead", Some(record(&[])), at(100), at(3600));
        let names = |hosts: &Hosts, now| hosts.alive(now).map(|(n, _)| n.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&hosts, at(101)), ["a", "b"]);
        assert_eq!(names(&hosts, at(106)), ["a"]);
        hosts.take("a", None, at(107), at(0));
        assert_eq!(names(&hosts, at(107)), [""; 0]);
    }
}
