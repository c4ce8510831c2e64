//! Several hosts over one log, without any network: whatever order their reports and intents come in, they agree.

use super::super::change::{FORMAT, Intent, VersionSpec};
use super::super::hosts::HostRecord;
use super::*;
use crate::topology::{ErrorPolicy, LimitSettings};

struct World {
    log: Vec<Vec<u8>>,
    hosts: Vec<One>,
    ids: u64,
    now: Duration,
}

struct One {
    name: &'static str,
    catalog: Catalog,
    hosts: Hosts,
    rollout: Rollout,
    /// Versions that this host refuses.
    refused: Vec<u64>,
    /// Versions that it never gets ready with.
    stuck: Vec<u64>,
    adopted: Vec<(u64, u64)>,
    is_alive: bool,
}

fn candidate() -> Change {
    let spec = VersionSpec {
        digest: "d".into(),
        bytes: 1,
        upload: "u".into(),
        offset: 0,
        settings: serde_json::Value::Null,
        limits: LimitSettings::default(),
        on_error: ErrorPolicy::DeadLetter,
        note: String::new(),
        state_format: None,
    };
    Change::Candidate { spec }
}

impl World {
    fn new(names: &[&'static str]) -> Self {
        let one = |name: &&'static str| One {
            name,
            catalog: Catalog::default(),
            hosts: Hosts::default(),
            rollout: Rollout::new(name, ["p".to_owned()].into_iter()),
            refused: Vec::new(),
            stuck: Vec::new(),
            adopted: Vec::new(),
            is_alive: true,
        };
        Self { log: Vec::new(), hosts: names.iter().map(one).collect(), ids: 0, now: Duration::from_secs(100) }
    }

    fn append(&mut self, host: &str, base: u64, change: Change) {
        self.ids += 1;
        let (id, processor, host) = (self.ids.to_string(), "p".to_owned(), host.to_owned());
        self.log.push(Intent { format: FORMAT, id, processor, base, change, host, at_ms: 0 }.encode());
    }

    /// Every living host reads everything and acts, until nobody has anything left to do.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.report();
            // All act on the same log: what they append is read in the next round.
            let appended: Vec<_> = (0..self.hosts.len()).flat_map(|index| self.act(index)).collect();
            for (host, base, change) in appended {
                self.append(host, base, change);
            }
        }
    }

    fn report(&mut self) {
        let alive = self.hosts.iter().filter(|h| h.is_alive);
        let told: Vec<(&str, HostRecord)> = alive
            .map(|h| {
                let prepared = h.rollout.preparations(&h.catalog);
                let (wasmill, topology) = ("0".into(), "t".into());
                (
                    h.name,
                    HostRecord {
                        format: 1,
                        nonce: 1,
                        wasmill,
                        address: None,
                        topology,
                        at_ms: 0,
                        prepared,
                        tasks: BTreeMap::new(),
                        is_drained: false,
                    },
                )
            })
            .collect();
        for host in &mut self.hosts {
            for (name, record) in &told {
                host.hosts.take(name, Some(record.clone()), self.now, Duration::ZERO);
            }
        }
    }

    fn act(&mut self, index: usize) -> Vec<(&'static str, u64, Change)> {
        let now = self.now;
        let host = &mut self.hosts[index];
        if !host.is_alive {
            return Vec::new();
        }
        for record in self.log.iter().skip(host.catalog.folded() as usize) {
            host.catalog.fold(record).expect("of our format");
        }
        let (name, mut appends) = (host.name, Vec::new());
        for action in host.rollout.next(&host.catalog, &host.hosts, now) {
            match action {
                Action::Prepare { version, .. } if host.stuck.contains(&version.number) => {}
                Action::Prepare { version, .. } => {
                    let refuses = host.refused.contains(&version.number);
                    let result = if refuses { Err("does not compile".to_owned()) } else { Ok(()) };
                    host.rollout.prepared("p", version.number, result);
                }
                Action::Append { base, change, .. } => appends.push((name, base, change)),
                Action::Adopt { active, .. } => host.adopted.push((active.number, active.revision)),
                Action::Run { .. } => {}
            }
        }
        appends
    }

    fn deploy(&mut self) {
        let base = self.hosts[0].catalog.revision("p");
        self.append("a", base, candidate());
        self.settle();
    }

    fn adopted(&self) -> Vec<Vec<(u64, u64)>> {
        self.hosts.iter().map(|h| h.adopted.clone()).collect()
    }

    fn last_event(&self) -> String {
        let deployment = self.hosts[0].catalog.deployment("p").expect("deployed");
        deployment.events.last().map(|e| e.text.clone()).unwrap_or_default()
    }
}

#[test]
fn all_hosts_adopt_what_all_have_prepared() {
    let mut world = World::new(&["a", "b", "c"]);
    world.deploy();
    assert_eq!(world.adopted(), vec![vec![(1, 2)]; 3]);
    world.deploy();
    assert_eq!(world.adopted(), vec![vec![(1, 2), (2, 4)]; 3]);
    assert_eq!(world.log.len(), 8, "three hosts append `promote` each; one counts");
}

#[test]
fn one_refusal_ends_a_candidate_with_nothing_changed() {
    let mut world = World::new(&["a", "b"]);
    world.deploy();
    world.hosts[1].refused.push(2);
    world.deploy();
    assert_eq!(world.adopted(), vec![vec![(1, 2)]; 2]);
    assert_eq!(world.last_event(), "version 2 was withdrawn: host b: does not compile");
}

#[test]
fn a_host_that_is_not_ready_in_time_ends_it_and_a_dead_one_does_not() {
    let mut world = World::new(&["a", "b"]);
    world.deploy();
    world.hosts[1].stuck.extend([2, 3]);
    world.deploy();
    assert_eq!(world.adopted(), vec![vec![(1, 2)]; 2], "it waits");
    world.now += Duration::from_secs(61);
    world.settle();
    assert_eq!(world.last_event(), "version 2 was withdrawn: not ready within 60 s on b");
    world.hosts[1].is_alive = false;
    world.deploy();
    assert_eq!(world.hosts[0].adopted.last(), Some(&(1, 2)), "it may only be slow");
    world.now += Duration::from_secs(16);
    world.settle();
    assert_eq!(world.hosts[0].adopted.last(), Some(&(3, 6)), "nobody waits for the dead");
    world.hosts[1].is_alive = true;
    world.hosts[1].stuck.clear();
    world.settle();
    world.hosts[1].rollout.prepared("p", 3, Ok(()));
    world.settle();
    assert_eq!(world.hosts[1].adopted.last(), Some(&(3, 6)), "who comes back catches up");
}

#[test]
fn a_rollback_is_followed_by_all_and_asked_for_once() {
    let mut world = World::new(&["a", "b"]);
    world.deploy();
    world.deploy();
    let back = Change::Rollback { to: None, why: "fails".into(), is_automatic: true };
    for index in [0, 1, 0] {
        let now = world.now;
        let host = &mut world.hosts[index];
        let asked = host.rollout.ask(&host.catalog, "p", back.clone(), now);
        if let Some(Action::Append { base, change, .. }) = asked {
            world.append("x", base, change);
        }
    }
    world.settle();
    assert_eq!(world.adopted(), vec![vec![(1, 2), (2, 4), (1, 5)]; 2]);
    assert_eq!(world.last_event(), "rolled back from version 2 to 1, by itself: fails");
}
