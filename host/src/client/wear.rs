//! Whether a transactional producer may begin again. A request of a past transaction that is still on its way passes for
//! one of the next, as long as both have the same producer epoch; only a new handle gets a new epoch. Pure.

use std::time::Duration;

/// A commit slower than this may have been sent twice, and its first copy may still be on its way.
const COMMIT_SLOW: Duration = Duration::from_secs(1);

/// Brokers forget a transactional id after seven days of rest; half a day is far enough from that.
const IDLE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// What a producer has been through when it is asked to begin again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    /// Sockets of the handle that were closed from the begin of its last transaction to the final return, that of an
    /// abort included.
    pub sockets_closed: u64,
    /// From that begin to the final return.
    pub took: Duration,
    /// Since the final return.
    pub rested: Duration,
    /// The broker answered INVALID_TXN_STATE or INVALID_PRODUCER_ID_MAPPING; or a record was too large, after which the
    /// same handle's next transaction fails with skipped sequence numbers.
    pub is_suspect: bool,
}

impl Wear {
    /// Whether a new handle has to take over before the next begin.
    pub fn must_recycle(&self) -> bool {
        self.sockets_closed > 0 || self.took > COMMIT_SLOW || self.rested > IDLE_MAX || self.is_suspect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_that_late_requests_may_follow_is_replaced() {
        let fresh = Wear { took: Duration::from_millis(3), ..Wear::default() };
        let cases = [
            ("fresh", fresh, false),
            ("a socket was closed", Wear { sockets_closed: 1, ..fresh }, true),
            ("just fast enough", Wear { took: COMMIT_SLOW, ..fresh }, false),
            ("slow", Wear { took: COMMIT_SLOW + Duration::from_millis(1), ..fresh }, true),
            ("rested", Wear { rested: IDLE_MAX + Duration::from_secs(1), ..fresh }, true),
            ("suspect", Wear { is_suspect: true, ..fresh }, true),
        ];
        for (what, wear, expected) in cases {
            assert_eq!(wear.must_recycle(), expected, "{what}");
        }
    }
}
