//! A worker takes over another version: right after a seal, so that every set holds effects of one version only. The
//! version before stays at hand while the new one is on probation, and says whose fault a failing record is.
//!
//! ```text
//! Adopt ─► waiting for the filling set to be sealed ─► exchanged ─► probation ─► settled
//!                                                                      │
//!                                                                      └─► condemned: no call until the next Adopt
//! ```

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::{ActiveVersion, Flight, OnError, Worker};
use crate::client::Client;
use crate::processor::{FaultKind, ProcessError, Processor};
use crate::record::Partition;
use crate::task::{Task, TaskSetup, Verdict};

/// Records of a new version after which it is no longer on probation.
const PROBATION_RECORDS: u64 = 1_000;

/// Time after which it is no longer on probation, once something of it is committed.
const PROBATION: Duration = Duration::from_secs(60);

/// How long the version before is kept to judge a sudden rise of failures.
const PREVIOUS_KEPT: Duration = Duration::from_secs(600);

/// A version that is ready to work: everything slow was done on another thread.
pub struct Adoption {
    pub active: ActiveVersion,
    /// Opened, and warmed with an empty batch.
    pub instance: Box<dyn Processor>,
    pub on_error: OnError,
    /// How often its component is told that time passes.
    pub tick_interval: Option<Duration>,
    /// Whether the version before may be returned to although sets of this one are committed: both read the same state.
    pub may_return: bool,
    /// Whether it is on probation at all; a return to an older version is not.
    pub has_probation: bool,
    /// Takes what this adoption replaces.
    pub retire: Retire,
}

/// The version before the one at work.
pub(super) struct Previous {
    active: ActiveVersion,
    adopted: Duration,
    /// Input records of the new version that are committed.
    committed: u64,
    /// A set with effects of the new version is committed: its state is there, even if no record is.
    has_committed: bool,
    may_return: bool,
    is_on_probation: bool,
}

/// How long the last exchange kept the worker from its next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    pub wall: Duration,
    /// CPU time of the worker's thread.
    pub cpu: Duration,
}

/// What the worker remembers between an exchange and the call after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchanging {
    wall: Duration,
    cpu: Duration,
}

/// Something large that should not be dropped by the thread of a worker.
pub type Retired = Box<dyn Any + Send>;

/// Drops things elsewhere: an instance may take a millisecond to go.
pub type Retire = Box<dyn FnMut(Retired) + Send>;

impl<C: Client> Worker<C> {
    /// Takes an order to adopt; a newer one replaces one that still waits.
    pub(super) fn order_adoption(&mut self, adoption: Box<Adoption>) {
        let newest = self.adopting.as_ref().map_or(self.version.name.revision, |a| a.active.name.revision);
        if adoption.active.name.revision <= newest {
            return self.retire(adoption);
        }
        if let Some(older) = self.adopting.replace(adoption) {
            self.retire(older);
        }
    }

    /// Whether another version is ordered and no effect of the present one is left unsealed.
    pub(super) fn may_adopt(&self) -> bool {
        self.adopting.is_some() && !self.tasks.values().any(Task::has_effects)
    }

    /// Exchanges versions once that may be.
    pub(super) fn adopt_if_ready(&mut self) {
        if !self.may_adopt() {
            return;
        }
        let Some(adoption) = self.adopting.take() else { return };
        let exchanging = Exchanging { wall: self.clock.monotonic(), cpu: self.clock.thread_cpu() };
        let adopted = exchanging.wall;
        let Adoption { active, instance, on_error, tick_interval, may_return, has_probation, retire } = *adoption;
        self.retire = Some(retire);
        let old = std::mem::replace(&mut self.version, active);
        if let Some(instance) = self.instance.replace(instance) {
            self.retire(Box::new(instance));
        }
        self.keep_judge(old, has_probation, |active| {
            let (committed, has_committed) = (0, false);
            Previous { active, adopted, committed, has_committed, may_return, is_on_probation: true }
        });
        self.setup.on_error = on_error;
        self.set_ticks(tick_interval);
        self.tasks.values_mut().for_each(Task::forget_suspicions);
        self.breaker.clear();
        self.condemned = None;
        self.halted = None;
        self.exchanging = Some(exchanging);
        self.counters.adoptions += 1;
    }

    /// Keeps the latest version that has proved itself as the judge of the new one. One that is still on probation, or was
    /// condemned, proves nothing by failing; a return to an older version is not judged at all, or two would call each
    /// other back in turn.
    fn keep_judge(&mut self, old: ActiveVersion, has_probation: bool, judge: impl FnOnce(ActiveVersion) -> Previous) {
        let before = self.previous.take();
        let (kept, retired) = match before {
            _ if !has_probation => (None, vec![Some(old), before.map(|p| p.active)]),
            Some(before) if before.is_on_probation || self.condemned.is_some() => {
                (Some(before.active), vec![Some(old)])
            }
            before => (Some(old), vec![before.map(|p| p.active)]),
        };
        retired.into_iter().flatten().for_each(|version| self.retire(Box::new(version)));
        self.previous = kept.map(judge);
    }

    /// The first call after an exchange is about to be made, or none is due.
    pub(super) fn note_exchange(&mut self) {
        let Some(began) = self.exchanging.take() else { return };
        self.counters.last_exchange = Exchange {
            wall: self.clock.monotonic().saturating_sub(began.wall),
            cpu: self.clock.thread_cpu().saturating_sub(began.cpu),
        };
    }

    /// A set was committed, perhaps one of the present version.
    pub(super) fn note_committed(&mut self, flight: &Flight) {
        if let Some(previous) = self.previous.as_mut().filter(|_| flight.revision == self.version.name.revision) {
            previous.committed += flight.records;
            previous.has_committed |= flight.has_effects;
        }
    }

    /// Lets go of the version before when it can no longer be asked for anything.
    pub(super) fn settle(&mut self, now: Duration) {
        let Some(previous) = &mut self.previous else { return };
        let age = now.saturating_sub(previous.adopted);
        let has_served = previous.committed >= PROBATION_RECORDS || previous.committed > 0 && age >= PROBATION;
        previous.is_on_probation &= !has_served;
        if !previous.is_on_probation
            && age >= PREVIOUS_KEPT
            && let Some(previous) = self.previous.take()
        {
            self.retire(Box::new(previous.active));
        }
    }

    /// The version whose judgement made the present one condemned.
    pub(super) fn returns_to(&self) -> Option<u64> {
        self.condemned.as_ref()?;
        self.previous.as_ref().map(|p| p.active.name.number)
    }

    pub(super) fn is_on_probation(&self) -> bool {
        self.previous.as_ref().is_some_and(|p| p.is_on_probation)
    }

    /// Whether the version before passes what the present one failed on: the record at the front of the task, or its tick.
    /// Then the present version is at fault. Whatever the try does is dropped, and so is its fresh instance.
    ///
    /// # Errors
    /// The host failed, which says nothing about either version.
    pub(super) fn passes_before(
        &mut self,
        partition: Partition,
        verdict: &Verdict,
        is_tick: bool,
    ) -> Result<bool, String> {
        // What has killed the host is not tried once more only to learn whose fault it is; and a call does not show whether
        // its effects are too large for a topic.
        if matches!(verdict.fault.kind, FaultKind::HostCrash | FaultKind::TooLarge) {
            return Ok(false);
        }
        let (now_ms, Some(previous)) = (self.clock.wall_ms(), &mut self.previous) else { return Ok(false) };
        let Some(task) = self.tasks.get_mut(&partition) else { return Ok(false) };
        let tried = previous.active.version.instance().and_then(|mut old| match is_tick {
            true => task.attempt_tick(old.as_mut(), now_ms),
            false => task.attempt(old.as_mut(), now_ms),
        });
        match tried {
            Ok(()) => Ok(true),
            Err(ProcessError::Guest(_)) => Ok(false),
            Err(ProcessError::Host(why)) => Err(why),
        }
    }

    /// The version at work is at fault: nothing is called until another is adopted. What it filled before stays.
    pub(super) fn condemn(&mut self, partition: Partition, verdict: &Verdict) {
        let why = format!("partition {partition}: {} (the version before passes this record)", verdict.fault);
        self.condemn_because(why);
    }

    /// The same when there is no record to name.
    pub(super) fn condemn_because(&mut self, why: String) {
        self.counters.note_fault(why.clone());
        let may_return = self.previous.as_ref().is_some_and(|p| p.may_return);
        if !may_return && self.has_left_state() {
            return self.halt(format!(
                "{why}; the version before reads another state format, so nothing rolls back by itself: repair, or roll back \
                 and accept the state as it is"
            ));
        }
        self.condemned = Some(why);
        if !may_return {
            // What it filled before is state in its own format: the version before must never find it.
            self.drop_filling();
        }
    }

    /// Whether state of the present version is committed, or may be at any moment.
    fn has_left_state(&self) -> bool {
        let revision = self.version.name.revision;
        let is_of_ours = |t: &Task| {
            let metadata = &t.committed().metadata;
            metadata.revision == revision && metadata.sequence > 0
        };
        self.previous.as_ref().is_some_and(|p| p.has_committed)
            || self.flight.as_ref().is_some_and(|f| f.revision == revision && f.has_effects)
            || self.tasks.values().any(is_of_ours)
    }

    /// Whether a component that does not open is the new version's fault.
    pub(super) fn refuses_to_open(&mut self, fault: &ProcessError) -> bool {
        let is_new = self.is_on_probation();
        if is_new {
            self.condemn_because(format!("the component does not open: {fault}"));
        }
        is_new
    }

    fn set_ticks(&mut self, interval: Option<Duration>) {
        if self.setup.task.tick_interval == interval {
            return;
        }
        self.setup.task = Arc::new(TaskSetup { tick_interval: interval, ..(*self.setup.task).clone() });
        let now_ms = self.clock.wall_ms();
        self.tasks.values_mut().for_each(|t| t.set_ticks(interval, now_ms));
    }

    fn retire(&mut self, what: Retired) {
        match &mut self.retire {
            Some(retire) => retire(what),
            None => drop(what),
        }
    }
}
