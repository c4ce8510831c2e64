//! Ticks: the passing of time as a pseudo-record between batches. Its effects and the next due time commit together, so
//! a tick happens once; one without effects may come again.

use std::time::Duration;

use super::{Called, State, Task, VersionName, dead_letter};
use crate::processor::{FaultKind, GuestFault, ProcessError, Processor};
use crate::record::{Batch, BatchBuilder, Headers, Input, Offset, Record};
use crate::task::isolation::FAILURES_TO_CONVICT;
use crate::task::{Step, Verdict};

/// When the next tick is due, by the wall clock. Anchored to multiples of the interval since 1970, so that restarts and
/// moves between hosts do not shift it.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// 0: no ticks.
    interval_ms: i64,
    next_ms: i64,
    /// What it goes back to when effects are dropped.
    committed_ms: i64,
    /// Failures of the present tick in a row.
    failures: Vec<FaultKind>,
}

impl Ticks {
    pub fn new(interval: Option<Duration>) -> Self {
        Self { interval_ms: interval.map_or(0, |i| i.as_millis() as i64), ..Self::default() }
    }

    /// Goes on from what was committed; a task that never ticked begins with the next multiple.
    pub fn resume(&mut self, committed_ms: i64, now_ms: i64) {
        self.failures.clear();
        self.next_ms = match (self.interval_ms, committed_ms) {
            (interval, 0) if interval > 0 => after(now_ms, interval),
            (_, committed) => committed,
        };
        self.committed_ms = self.next_ms;
    }

    /// Another version takes over. What is due next stays due, or a tick of the set now in commit would come again; a
    /// version without ticks keeps it for the one after it, so that time never goes back.
    pub fn change(&mut self, interval: Option<Duration>, now_ms: i64) {
        self.interval_ms = interval.map_or(0, |i| i.as_millis() as i64);
        if self.next_ms == 0 {
            self.resume(0, now_ms);
        }
    }

    /// Effects up to this due time are committed.
    pub fn committed(&mut self, next_ms: i64) {
        // A set of a version without ticks may still be in commit when one with ticks takes over.
        if self.interval_ms > 0 && next_ms == 0 {
            return;
        }
        self.committed_ms = next_ms;
    }

    pub fn roll_back(&mut self) {
        self.next_ms = self.committed_ms;
        self.failures.clear();
    }

    pub fn next_ms(&self) -> i64 {
        self.next_ms
    }

    pub fn is_due(&self, now_ms: i64) -> bool {
        self.interval_ms > 0 && now_ms >= self.next_ms
    }

    /// How many more were due since the one that is next.
    fn missed(&self, now_ms: i64) -> i64 {
        (now_ms - self.next_ms) / self.interval_ms
    }

    pub fn forget_failures(&mut self) {
        self.failures.clear();
    }

    fn advance(&mut self, missed: i64) {
        self.next_ms = after(self.next_ms + missed * self.interval_ms, self.interval_ms);
        self.failures.clear();
    }
}

/// The first multiple of the interval after a moment.
fn after(ms: i64, interval_ms: i64) -> i64 {
    ms - ms.rem_euclid(interval_ms) + interval_ms
}

impl Task {
    /// Whether a tick could be made now. Never within a run of records that is being taken apart.
    pub fn is_tick_due(&self, now_ms: i64) -> bool {
        self.state == State::Running && self.isolation.is_empty() && self.ticks.is_due(now_ms)
    }

    pub fn has_ticked_last(&self) -> bool {
        self.has_ticked_last
    }

    /// Makes one tick, which stands for all that were missed.
    pub fn tick(&mut self, processor: &mut dyn Processor, now_ms: i64, seed: u64) -> Called {
        self.has_ticked_last = true;
        let missed = self.ticks.missed(now_ms);
        let batch = self.pseudo_batch();
        self.prepare_scope(now_ms, seed ^ self.ticks.next_ms() as u64);
        let (mark, keys) = (self.scope.outputs.mark(), self.changed_keys());
        let ticked = processor.tick(batch.whole(), missed as u64, &mut self.scope);
        let is_kept = ticked.is_ok();
        if !is_kept {
            self.scope.outputs.cut_back(mark);
        }
        self.scope.stores.iter_mut().for_each(|s| s.end_call(is_kept));
        match ticked {
            Ok(()) => {
                self.ticks.advance(missed);
                self.must_commit |= self.scope.outputs.mark() != mark || self.changed_keys() != keys;
                Called::Kept { records: 0, spent: None }
            }
            Err(ProcessError::Guest(fault)) => Called::Failed { step: self.tick_failed(fault) },
            Err(ProcessError::Host(why)) => Called::HostFault(why),
        }
    }

    /// Lets another version try the tick that was found to be at fault. Whatever it does is dropped.
    ///
    /// # Errors
    /// It fails as well.
    pub fn attempt_tick(&mut self, processor: &mut dyn Processor, now_ms: i64) -> Result<(), ProcessError> {
        let missed = self.ticks.missed(now_ms);
        let batch = self.pseudo_batch();
        let mark = self.scope.outputs.mark();
        let tried = processor.tick(batch.whole(), missed as u64, &mut self.scope);
        self.scope.outputs.cut_back(mark);
        self.scope.stores.iter_mut().for_each(|s| s.end_call(false));
        tried
    }

    /// Another version wants ticks at another interval, or none.
    pub fn set_ticks(&mut self, interval: Option<Duration>, now_ms: i64) {
        self.ticks.change(interval, now_ms);
    }

    fn tick_failed(&mut self, fault: GuestFault) -> Step {
        self.ticks.failures.push(fault.kind.clone());
        let attempts = self.ticks.failures.len() as u32;
        if attempts < FAILURES_TO_CONVICT {
            return Step::Again;
        }
        self.ticks.failures.clear();
        Step::Convicted(Verdict { fault, attempts })
    }

    /// Passes the tick that was found to be at fault, leaving a dead letter without key and value.
    pub fn bury_tick(&mut self, verdict: &Verdict, version: &VersionName, now_ms: i64) {
        let mut headers = Vec::new();
        let scheduled = self.ticks.next_ms().to_string();
        Headers::push(&mut headers, b"__wasmill.tick", Some(scheduled.as_bytes()));
        let batch = self.pseudo_batch();
        let record = Record { headers: Headers(&headers), value: None, ..batch.record(0) };
        let letter = dead_letter::dead_letter(
            &record,
            &self.setup.inputs[0],
            self.partition,
            &self.setup.group,
            version,
            verdict,
        );
        self.dead_letters.push(letter);
        self.ticks.advance(self.ticks.missed(now_ms));
        self.must_commit = true;
    }

    fn pseudo_batch(&self) -> Batch {
        let mut builder = BatchBuilder::new(Input(0), self.partition, None);
        let Offset(offset) = self.next[0];
        let timestamp_ms = self.ticks.next_ms();
        builder.push(&Record { offset, timestamp_ms, key: None, value: None, headers: Headers::default() });
        builder.build()
    }

    fn changed_keys(&self) -> usize {
        self.scope.stores.iter().map(|s| s.filling_keys()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_anchored_and_coalesce() {
        let mut ticks = Ticks::new(Some(Duration::from_millis(100)));
        ticks.resume(0, 1234);
        assert_eq!((ticks.next_ms(), ticks.is_due(1299), ticks.is_due(1300)), (1300, false, true));
        assert_eq!(ticks.missed(1300), 0);
        assert_eq!(ticks.missed(1650), 3);
        ticks.advance(3);
        assert_eq!(ticks.next_ms(), 1700);
        ticks.resume(1500, 9999);
        assert_eq!(ticks.next_ms(), 1500, "what was committed decides, not the restart");
    }

    #[test]
    fn another_interval_never_goes_back_and_is_anchored_again_after_its_first_tick() {
        let mut ticks = Ticks::new(Some(Duration::from_millis(100)));
        ticks.resume(1100, 1350);
        ticks.advance(2);
        ticks.change(Some(Duration::from_millis(250)), 1350);
        assert_eq!(ticks.next_ms(), 1400, "what was ticked may still be in commit");
        ticks.advance(0);
        assert_eq!(ticks.next_ms(), 1500);
        ticks.change(None, 1600);
        assert_eq!((ticks.next_ms(), ticks.is_due(9999)), (1500, false));
        ticks.change(Some(Duration::from_millis(100)), 400);
        assert_eq!(ticks.next_ms(), 1500, "a clock that is behind moves nothing back");
        ticks.roll_back();
        assert_eq!(ticks.next_ms(), 1100, "dropped ticks come again");
    }

    #[test]
    fn without_an_interval_nothing_is_ever_due() {
        let mut ticks = Ticks::new(None);
        ticks.resume(0, 5);
        assert!(!ticks.is_due(i64::MAX));
    }
}
