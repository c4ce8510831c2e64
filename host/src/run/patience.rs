//! How long workers may keep partitions that they cannot serve: tasks that were last committed under a revision which this
//! host cannot run wait for it, and after a while others get them.

use std::collections::BTreeMap;
use std::time::Duration;

/// Longer than a roll-out takes (60 s is its own limit), so that nobody leaves because of one that goes well.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Since when each worker waits.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: BTreeMap<(String, u16), Duration>,
}

impl Patience {
    /// Whether a worker has waited too long, and should leave its group. Says so once per wait.
    pub fn is_over(&mut self, processor: &str, worker: u16, is_waiting: bool, now: Duration) -> bool {
        let key = (processor.to_owned(), worker);
        if !is_waiting {
            self.since.remove(&key);
            return false;
        }
        let since = *self.since.entry(key.clone()).or_insert(now);
        let is_over = now.saturating_sub(since) >= WAIT_MAX;
        if is_over {
            self.since.remove(&key);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_wait_counts_and_ends_once() {
        let mut patience = Patience::default();
        let cases = [
            (0, true, false),
            (59, true, false),
            (59, false, false),
            (60, true, false),
            (119, true, false),
            (120, true, true),
            (121, true, false),
            (181, true, true),
        ];
        for (second, is_waiting, expected) in cases {
            let is_over = patience.is_over("p", 0, is_waiting, Duration::from_secs(second));
            assert_eq!(is_over, expected, "second {second}");
            assert!(!patience.is_over("p", 1, false, Duration::from_secs(second)), "others are not meant");
        }
    }
}
