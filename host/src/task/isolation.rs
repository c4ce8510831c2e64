//! Finding the record at fault: a failed run of records is cut smaller until one record, alone and on a fresh instance,
//! has failed twice in the same way. Order never changes. Knows no records, only their places in the first batch.

use std::collections::VecDeque;

use super::Suspicion;
use crate::processor::{FaultKind, GuestFault};
use crate::record::Input;

/// Failures in a row that convict one record: one may be bad luck.
pub(super) const FAILURES_TO_CONVICT: u32 = 2;

/// The segments of the present run, in order. Empty while there is none.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    input: Input,
    segments: VecDeque<(usize, usize)>,
    suspicion: Option<Suspicion>,
    /// Upper bound of a call after a failure: 1, doubled by each clean call. Bounds the work repeated for a second
    /// poison record in the same batch.
    records_max: Option<usize>,
}

/// Records `from..to` of the first batch of `input`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub input: Input,
    pub from: usize,
    pub to: usize,
}

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Call again, on a fresh instance; the next segment is smaller, or the same record alone.
    Again,
    /// One record is at fault.
    Convicted(Verdict),
}

/// A record found to be at fault, with its last failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub fault: GuestFault,
    /// Calls of this record alone that failed.
    pub attempts: u32,
}

impl Isolation {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub fn clear(&mut self) {
        self.segments.clear();
        self.suspicion = None;
    }

    /// Failures so far count no longer; the cuts stay.
    pub fn forget_suspicion(&mut self) {
        self.suspicion = None;
    }

    /// Starts a run.
    pub fn begin(&mut self, input: Input, from: usize, to: usize) {
        self.input = input;
        self.segments.push_back((from, to));
    }

    /// Input and place of the first record of the run.
    pub fn first(&self) -> Option<(Input, usize)> {
        self.segments.front().map(|(from, _)| (self.input, *from))
    }

    /// The records to call with next. There must be a run.
    pub fn front(&mut self) -> Segment {
        let (from, to) = self.segments[0];
        let at_most = self.records_max.unwrap_or(usize::MAX);
        if to - from > at_most {
            self.segments[0] = (from + at_most, to);
            self.segments.push_front((from, from + at_most));
        }
        let (from, to) = self.segments[0];
        Segment { input: self.input, from, to }
    }

    /// The front segment was processed or, alone, given up. At the end of the run: the place after it.
    pub fn passed(&mut self, records: usize) -> Option<usize> {
        let (from, to) = self.segments.pop_front()?;
        debug_assert_eq!(to - from, records, "a call passes its whole segment");
        self.suspicion = None;
        self.records_max = self.records_max.map(|n| n * 2).filter(|n| *n < RECORDS_MAX_FORGOTTEN);
        self.segments.is_empty().then_some(to)
    }

    /// The front segment failed.
    pub fn failed(&mut self, fault: GuestFault) -> Step {
        let (from, to) = self.segments[0];
        self.records_max = Some(self.records_max.unwrap_or(RECORDS_MAX_FORGOTTEN));
        if to - from > 1 {
            self.split(from, to, fault.index);
            return Step::Again;
        }
        self.records_max = Some(1);
        let times = match &self.suspicion {
            Some(s) if is_alike(&s.fault.kind, &fault.kind) => s.times + 1,
            _ => 1,
        };
        if times >= FAILURES_TO_CONVICT {
            self.suspicion = None;
            return Step::Convicted(Verdict { fault, attempts: times });
        }
        self.suspicion = Some(Suspicion { fault, times });
        Step::Again
    }

    /// At the record that the component named, where it named one of these; else in the middle.
    fn split(&mut self, from: usize, to: usize, index: Option<u32>) {
        self.segments.pop_front();
        let parts = match index.map(|i| from + i as usize) {
            Some(at) if at < to => vec![(from, at), (at, at + 1), (at + 1, to)],
            _ => vec![(from, from + (to - from) / 2), (from + (to - from) / 2, to)],
        };
        for part in parts.into_iter().rev().filter(|(from, to)| from < to) {
            self.segments.push_front(part);
        }
    }
}

/// From here on calls are no longer cut: larger than any batch.
const RECORDS_MAX_FORGOTTEN: usize = 4096;

fn is_alike(a: &FaultKind, b: &FaultKind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(index: Option<u32>) -> GuestFault {
        GuestFault { kind: FaultKind::Trap, index, message: String::new(), backtrace: None }
    }

    /// Runs `count` records of which `bad` always fail; gives the order of passes and the number of calls.
    fn run(count: usize, bad: &[usize], names_index: bool) -> (Vec<(usize, bool)>, usize) {
        let mut isolation = Isolation::default();
        isolation.begin(Input(0), 0, count);
        let (mut passed, mut calls) = (Vec::new(), 0);
        while !isolation.is_empty() {
            let segment = isolation.front();
            calls += 1;
            match bad.iter().find(|b| (segment.from..segment.to).contains(b)) {
                None => {
                    passed.extend((segment.from..segment.to).map(|i| (i, true)));
                    isolation.passed(segment.to - segment.from);
                }
                Some(b) => {
                    let index = names_index.then_some((b - segment.from) as u32);
                    if let Step::Convicted(_) = isolation.failed(fault(index)) {
                        passed.push((segment.from, false));
                        isolation.passed(1);
                    }
                }
            }
        }
        (passed, calls)
    }

    #[test]
    fn exactly_the_bad_records_are_convicted_in_order_and_in_few_calls() {
        let cases: [(usize, &[usize], bool, usize); 6] = [
            (1, &[0], true, 2),
            (512, &[], true, 1),
            (512, &[0], true, 20),
            (512, &[300], true, 20),
            (512, &[511], false, 40),
            (512, &[3, 4, 400], false, 70),
        ];
        for (count, bad, names_index, calls_max) in cases {
            let (passed, calls) = run(count, bad, names_index);
            let expected: Vec<_> = (0..count).map(|i| (i, !bad.contains(&i))).collect();
            assert_eq!(passed, expected, "{bad:?}");
            assert!(calls <= calls_max, "{bad:?} took {calls} calls");
        }
    }

    #[test]
    fn a_lying_index_is_ignored() {
        let mut isolation = Isolation::default();
        isolation.begin(Input(0), 0, 4);
        assert_eq!(isolation.failed(fault(Some(9))), Step::Again);
        assert_eq!(isolation.front(), Segment { input: Input(0), from: 0, to: 2 });
    }
}
