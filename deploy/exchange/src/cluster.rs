//! The seam between the demonstration and a running application: records in, committed records out.

use std::time::Duration;

use crate::record::{Message, Record};

/// A broker with the exchange running on it.
pub trait Cluster {
    /// Hands records over, in order; the partition of a record is that of its key, as Java's clients compute it. May
    /// return before the broker has them.
    ///
    /// # Errors
    /// The broker does not take them.
    fn send(&mut self, messages: &[Message]) -> anyhow::Result<()>;

    /// Committed records of all topics of [`crate::topics::all`] that came since the last call, in the order of each
    /// partition; waits at most `wait` for the first. None came: an empty list.
    ///
    /// # Errors
    /// The application or the broker is gone.
    fn tail(&mut self, wait: Duration) -> anyhow::Result<Vec<Record>>;

    /// All committed records of these topics, from their beginning to their end at the time of the call.
    ///
    /// # Errors
    /// The broker does not give them.
    fn read_all(&mut self, topics: &[String]) -> anyhow::Result<Vec<Record>>;
}
