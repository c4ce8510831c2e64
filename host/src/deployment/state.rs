//! The deployment of one processor: the mutable pointer to its active version, and what accepted changes do to it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::change::{Change, Version, VersionSpec};

/// Older versions that are kept beside the active one.
const VERSIONS_KEPT: usize = 20;

/// Events kept for people to read.
const EVENTS_KEPT: usize = 200;

/// What is wanted of a processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Deployment {
    /// Grows by one with every accepted change, a rollback included.
    pub revision: u64,
    pub versions: BTreeMap<u64, Version>,
    pub active: Option<Active>,
    pub candidate: Option<Candidate>,
    pub running: Running,
    /// Versions that were active, the present one last, each once.
    pub trail: Vec<u64>,
    /// Accepted changes, oldest first.
    pub events: Vec<Event>,
    /// Numbers given so far.
    numbers: u64,
    /// By version: the latest revision that made it active.
    activations: BTreeMap<u64, u64>,
}

/// The version at work, and the revision that made it so: the one that commits carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Active {
    pub number: u64,
    pub revision: u64,
    /// Whether it came as a new version, and so is on probation first. A return to an older one is not.
    pub has_probation: bool,
    /// Whether the version before reads the same state.
    pub may_return: bool,
}

/// A version that hosts are preparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub number: u64,
    pub revision: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Running {
    #[default]
    Running,
    Paused,
    Halted {
        why: String,
    },
}

/// An accepted change, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    pub revision: u64,
    pub at_ms: i64,
    pub host: String,
    pub text: String,
}

impl Deployment {
    /// Applies a change that was made under the current revision.
    ///
    /// # Errors
    /// Why it does not fit the present state.
    pub(super) fn apply(&mut self, change: &Change, host: &str, at_ms: i64) -> Result<(), String> {
        let revision = self.revision + 1;
        let text = match change {
            Change::Candidate { spec } => self.propose(spec, revision, host, at_ms)?,
            Change::Promote => self.promote(revision)?,
            Change::Withdraw { why } => self.withdraw(why)?,
            Change::Rollback { to, why, is_automatic } => self.roll_back(*to, why, *is_automatic, revision)?,
            Change::Pause => self.run_as(Running::Paused, "paused".into())?,
            Change::Halt { why } => self.run_as(Running::Halted { why: why.clone() }, format!("halted: {why}"))?,
            Change::Resume => self.run_as(Running::Running, "resumed".into())?,
        };
        self.revision = revision;
        self.events.push(Event { revision, at_ms, host: host.to_owned(), text });
        if self.events.len() > EVENTS_KEPT {
            self.events.remove(0);
        }
        Ok(())
    }

    fn propose(&mut self, spec: &VersionSpec, revision: u64, host: &str, at_ms: i64) -> Result<String, String> {
        if let Some(candidate) = self.candidate {
            return Err(format!("version {} is being prepared: wait for it, or withdraw it", candidate.number));
        }
        self.numbers += 1;
        let number = self.numbers;
        let version = Version { number, spec: spec.clone(), at_ms, host: host.to_owned() };
        self.versions.insert(number, version);
        self.candidate = Some(Candidate { number, revision });
        self.forget_old_versions();
        Ok(format!("version {number} ({}) is being prepared", short(&spec.digest)))
    }

    fn promote(&mut self, revision: u64) -> Result<String, String> {
        let candidate = self.candidate.take().ok_or("no version is being prepared")?;
        self.activate(candidate.number, revision, true);
        Ok(format!("version {} became active", candidate.number))
    }

    fn withdraw(&mut self, why: &str) -> Result<String, String> {
        let candidate = self.candidate.take().ok_or("no version is being prepared")?;
        self.versions.remove(&candidate.number);
        Ok(format!("version {} was withdrawn: {why}", candidate.number))
    }

    fn roll_back(&mut self, to: Option<u64>, why: &str, is_automatic: bool, revision: u64) -> Result<String, String> {
        let active = self.active.ok_or("nothing is deployed yet")?;
        let number = match to {
            Some(number) => number,
            None => self.before_active().ok_or("there is no version before the active one")?,
        };
        if !self.versions.contains_key(&number) || self.candidate.is_some_and(|c| c.number == number) {
            return Err(format!("version {number} is not kept: see `wasmill versions`"));
        }
        if number == active.number {
            return Err(format!("version {number} is active already"));
        }
        if is_automatic {
            // Nobody who asks for the version before means one that was found to be at fault.
            self.trail.retain(|n| *n != active.number);
        }
        self.activate(number, revision, false);
        let by = if is_automatic { "by itself" } else { "as asked" };
        Ok(format!("rolled back from version {} to {number}, {by}: {why}", active.number))
    }

    fn run_as(&mut self, running: Running, text: String) -> Result<String, String> {
        if self.running == running {
            return Err(format!("it is {text} already"));
        }
        self.running = running;
        Ok(text)
    }

    fn activate(&mut self, number: u64, revision: u64, has_probation: bool) {
        let format = |n: u64| self.versions.get(&n).map(|v| v.spec.state_format.clone());
        let may_return = self.active.is_none_or(|before| format(before.number) == format(number));
        let has_probation = has_probation && self.active.is_some();
        self.active = Some(Active { number, revision, has_probation, may_return });
        if matches!(self.running, Running::Halted { .. }) {
            self.running = Running::Running;
        }
        self.trail.retain(|n| *n != number);
        self.trail.push(number);
        self.activations.insert(number, revision);
    }

    /// The version that a rollback without a number returns to.
    pub fn before_active(&self) -> Option<u64> {
        let active = self.active?.number;
        self.trail.iter().rev().copied().find(|n| *n != active && self.versions.contains_key(n))
    }

    /// The number given last.
    pub fn newest_number(&self) -> u64 {
        self.numbers
    }

    /// The latest revision that made a version active.
    pub fn activation_of(&self, number: u64) -> Option<u64> {
        self.activations.get(&number).copied()
    }

    pub fn active_version(&self) -> Option<&Version> {
        self.versions.get(&self.active?.number)
    }

    fn forget_old_versions(&mut self) {
        let is_needed =
            |n: u64| self.active.is_some_and(|a| a.number == n) || self.candidate.is_some_and(|c| c.number == n);
        let old: Vec<u64> = self.versions.keys().copied().filter(|n| !is_needed(*n)).collect();
        for number in old.iter().take(old.len().saturating_sub(VERSIONS_KEPT)) {
            self.versions.remove(number);
            self.trail.retain(|n| n != number);
            self.activations.remove(number);
        }
    }
}

/// The beginning of a digest, as people write it.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
