//! How revisions come to hosts: to each in its own time, so that different ones run beside each other; all at once, with
//! new processes; and back, as a higher revision, when a worker has condemned one. The log of deployments in one place.

use std::time::Duration;

use wasmill::worker::WorkerStatus;

use super::World;
use super::host::Host;
use crate::mutants::Mutant;
use crate::oracle::Violation;
use crate::random::Random;
use crate::versions::{Deployed, refuses_to_open};

/// What is deployed, and how it came to that.
pub struct Rollout {
    pub active: Deployed,
    /// Versions in the order in which they became active for the last time.
    trail: Vec<u64>,
    /// A revision that cannot go on, and when that is known to whoever rolls back.
    in_trouble: Option<(u64, Duration)>,
}

impl Rollout {
    pub fn new() -> Self {
        Self { active: Deployed::FIRST, trail: vec![Deployed::FIRST.version], in_trouble: None }
    }

    /// Mostly a new version, sometimes one that was there before.
    fn deploy(&mut self, random: &mut Random) -> Deployed {
        let newest = self.trail.iter().max().copied().unwrap_or_default();
        let version = if random.chance(200) { *random.pick(&self.trail) } else { newest + random.within(1, 3) };
        let may_return = !random.chance(200);
        let revision = self.active.revision + 1;
        self.activate(Deployed { revision, version, has_probation: true, may_return })
    }

    /// To the version that was active before; an operator sees to it that it opens.
    fn roll_back(&mut self, mutant: Option<Mutant>) -> Deployed {
        let Deployed { revision, version, .. } = self.active;
        let before = self.trail.iter().rev().copied().find(|v| *v != version).filter(|v| !refuses_to_open(*v));
        let version = before.unwrap_or(Deployed::FIRST.version);
        let revision = if mutant == Some(Mutant::ReturnBelow) { revision - 1 } else { revision + 1 };
        self.activate(Deployed { revision, version, has_probation: false, may_return: true })
    }

    fn activate(&mut self, deployed: Deployed) -> Deployed {
        self.trail.retain(|v| *v != deployed.version);
        self.trail.push(deployed.version);
        self.active = deployed;
        deployed
    }
}

impl World {
    /// All processes end and others begin, which run another revision.
    pub(super) fn deploy_anew(&mut self) {
        let deployed = self.rollout.deploy(&mut self.random);
        self.note(|| format!("world: new processes of {deployed:?}"));
        self.stats.deployments += 1;
        for host in &mut self.hosts {
            host.crash(&mut self.random);
            host.ghosts.clear();
            host.prepared = deployed;
            host.preparing.clear();
        }
    }

    /// Another revision is for all hosts to adopt as soon as each has prepared it.
    pub(super) fn roll_out(&mut self) {
        let deployed = self.rollout.deploy(&mut self.random);
        self.stats.deployments += 1;
        self.announce(deployed);
    }

    fn announce(&mut self, deployed: Deployed) {
        self.note(|| format!("world: {deployed:?} is deployed"));
        let now = self.time.now();
        for host in &mut self.hosts {
            let most_ms = host.prepares_within_ms;
            host.preparing.push((now + Duration::from_millis(self.random.below(most_ms)), deployed));
        }
    }

    /// Hands what is prepared to the workers of a host, to each at a moment of its own.
    pub(super) fn hand_out(&mut self, host: usize) {
        let now = self.time.now();
        self.roll_back_if_due(now);
        let host = &mut self.hosts[host];
        let (ready, preparing) = host.preparing.iter().partition(|(at, _)| *at <= now);
        host.preparing = preparing;
        let ready: Vec<(Duration, Deployed)> = ready;
        for (_, deployed) in ready {
            if deployed.revision > host.prepared.revision {
                host.prepared = deployed;
            }
        }
        let prepared = host.prepared;
        for seat in 0..host.seats.len() {
            if host.is_behind(seat, prepared) && self.random.chance(400) {
                host.order(seat, prepared, self.scenario.mutant);
                self.stats.orders += 1;
            }
        }
    }

    fn roll_back_if_due(&mut self, now: Duration) {
        let Some((revision, at)) = self.rollout.in_trouble else { return };
        if now < at {
            return;
        }
        self.rollout.in_trouble = None;
        // Whoever was first wins: what is found out about an older revision changes nothing.
        if revision == self.rollout.active.revision {
            let deployed = self.rollout.roll_back(self.scenario.mutant);
            self.stats.returns += 1;
            self.announce(deployed);
        }
    }

    /// Follows a worker's exchange, and has its revision taken back if it cannot go on. A halt is as good as a condemned
    /// version where the version gives reason for it.
    pub(super) fn follow(&mut self, host: usize, seat: usize, before: &WorkerStatus) -> Result<(), Violation> {
        let now = self.time.now();
        let Some(at_work) = &mut self.hosts[host].seats[seat] else { return Ok(()) };
        let status = at_work.worker.status();
        if status.revision != before.revision {
            at_work.exchanged(before, status.revision, now)?;
            self.note(|| format!("world: worker {seat} of host {host} runs {} now", status.revision));
        }
        self.stats.waits += u64::from(before.waits_for.is_none() && status.waits_for.is_some());
        let is_same = status.revision == before.revision;
        if is_same && before.condemned.is_some() && status.counters.calls != before.counters.calls {
            return Err(format!("worker {seat} of host {host} calls what it has condemned: {status:?}"));
        }
        let Some(at_work) = &self.hosts[host].seats[seat] else { return Ok(()) };
        let running = at_work.running;
        let trouble = match (&status.condemned, &status.halted) {
            (Some(why), _) => why.clone(),
            (None, Some(why)) if may_halt(running, why) => why.clone(),
            (None, Some(why)) => return Err(format!("worker {seat} of host {host} halted: {why}")),
            (None, None) => return Ok(()),
        };
        if before.condemned.is_none() && status.condemned.is_some() {
            self.note(|| format!("world: worker {seat} of host {host} condemns {running:?}: {trouble}"));
            self.stats.condemned += 1;
        }
        if self.rollout.in_trouble.is_none() && running.revision == self.rollout.active.revision {
            let most_ms = *self.random.pick(&[1, 20, 300, 3000]);
            self.rollout.in_trouble = Some((running.revision, now + Duration::from_millis(self.random.below(most_ms))));
        }
        Ok(())
    }

    /// Whether every worker has come to the last revision, and nobody is about to change it.
    pub(super) fn is_rolled_out(&self) -> bool {
        let active = self.rollout.active;
        let is_there = |host: &Host| {
            let mut seats = host.seats.iter().flatten();
            host.preparing.is_empty() && seats.all(|s| s.worker.status().revision == active.revision)
        };
        self.rollout.in_trouble.is_none() && self.hosts.iter().all(is_there)
    }
}

fn may_halt(running: Deployed, why: &str) -> bool {
    let is_closed = refuses_to_open(running.version) && why.contains("does not open");
    is_closed || !running.may_return && why.contains("another state format")
}
