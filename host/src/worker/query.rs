//! Questions from outside about committed state: what a store held after the last commit, and which commit that was.
//! Never what is being filled or is in commit.

use super::Worker;
use crate::client::Client;
use crate::record::{Offset, Partition};
use crate::task::State;

/// What a key had after a task's last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// `None` if the store does not have the key.
    pub value: Option<Vec<u8>>,
    pub partition: Partition,
    /// Per input: the first offset that is not in the state.
    pub next: Vec<Offset>,
    /// Of that commit, counted per task.
    pub sequence: u64,
}

/// Why a worker does not answer, named by what the asker can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("partition {partition} is not served here: ask another host, or again once the group has settled")]
    NotHere { partition: Partition },
    #[error("the state of partition {partition} is being restored: ask again in a moment")]
    Moving { partition: Partition },
    #[error("partition {partition} is halted and serves no state: {why}")]
    Halted { partition: Partition, why: String },
    #[error("the worker of partition {partition} is busy with other work: ask again in a moment")]
    Busy { partition: Partition },
    #[error("{0}; the state is restored from its changelog, ask again later")]
    Storage(String),
}

impl<C: Client> Worker<C> {
    /// The committed value of a key in store number `store`.
    ///
    /// # Errors
    /// This worker does not have the partition, or not in a state that can be shown.
    pub fn query(&mut self, partition: Partition, store: usize, key: &[u8]) -> Result<StoredValue, NoAnswer> {
        let task = self.tasks.get_mut(&partition).ok_or(NoAnswer::NotHere { partition })?;
        match task.state() {
            State::Running | State::Suspended { .. } => {}
            State::Created | State::Genesis | State::Restoring { .. } => return Err(NoAnswer::Moving { partition }),
            State::Halted { why } => return Err(NoAnswer::Halted { partition, why: why.clone() }),
        }
        let (next, sequence) = (task.committed().next.clone(), task.committed().metadata.sequence);
        match task.query(store, key) {
            Ok(value) => Ok(StoredValue { value, partition, next, sequence }),
            Err(error) => {
                let why = format!("partition {partition}: {error}");
                self.host_fault(why.clone());
                Err(NoAnswer::Storage(why))
            }
        }
    }
}
