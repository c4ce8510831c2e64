//! How many of the latest records failed: half of them is no bad record but a bad version, or bad data.

use std::collections::VecDeque;
use std::time::Duration;

/// The latest records that count.
const RECORDS: u64 = 1_000;

/// Records older than this do not count.
const WINDOW: Duration = Duration::from_secs(60);

/// Fewer records prove nothing.
const RECORDS_LEAST: u64 = 50;

/// Outcomes of the latest records, in the groups in which they came.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    groups: VecDeque<Group>,
    records: u64,
    failures: u64,
}

#[derive(Debug)]
struct Group {
    at: Duration,
    records: u64,
    failures: u64,
}

impl Breaker {
    /// Records were processed.
    pub fn passed(&mut self, records: u64, now: Duration) {
        self.add(Group { at: now, records, failures: 0 });
    }

    /// A record could not be processed. Whether that is too many by now.
    pub fn failed(&mut self, now: Duration) -> bool {
        self.add(Group { at: now, records: 1, failures: 1 });
        self.records >= RECORDS_LEAST && self.failures * 2 >= self.records
    }

    /// Failures and records that count now.
    pub fn counts(&self) -> (u64, u64) {
        (self.failures, self.records)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, group: Group) {
        let now = group.at;
        self.records += group.records;
        self.failures += group.failures;
        self.groups.push_back(group);
        while let Some(oldest) = self.groups.front() {
            let is_beyond = self.records - oldest.records >= RECORDS;
            if !is_beyond && now.saturating_sub(oldest.at) <= WINDOW {
                break;
            }
            self.records -= oldest.records;
            self.failures -= oldest.failures;
            self.groups.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn half_of_at_least_fifty_trips() {
        let mut breaker = Breaker::default();
        assert!((0..49).all(|_| !breaker.failed(at(0))), "fewer than fifty prove nothing");
        assert!(breaker.failed(at(0)));
        let mut mixed = Breaker::default();
        mixed.passed(51, at(0));
        assert!((0..50).all(|_| !mixed.failed(at(0))), "less than half");
        assert!(mixed.failed(at(0)));
    }

    #[test]
    fn what_is_old_or_far_back_does_not_count() {
        let mut breaker = Breaker::default();
        (0..49).for_each(|_| assert!(!breaker.failed(at(0))));
        assert!(!breaker.failed(at(61)), "a minute ago");
        let mut far = Breaker::default();
        (0..49).for_each(|_| assert!(!far.failed(at(0))));
        far.passed(1_000, at(1));
        far.passed(60, at(1));
        assert!(!far.failed(at(2)));
        assert_eq!(far.counts(), (1, 1_061));
    }
}
