//! What a worker tells of itself: copied out between turns, never shared while in use.

use crate::client::Client;
use crate::record::{Offset, Partition};

use super::Worker;

/// Sums since the worker began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub records: u64,
    pub outputs: u64,
    pub dead_letters: u64,
    pub calls: u64,
    pub instances: u64,
    pub commits: u64,
    pub commits_failed: u64,
    pub guest_faults: u64,
    pub host_faults: u64,
    /// The latest trouble, in words.
    pub last_fault: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    pub partition: Partition,
    pub state: crate::task::State,
    /// Per input: the first offset that is not committed.
    pub committed: Vec<Offset>,
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    pub revision: u64,
    pub tasks: Vec<TaskStatus>,
    pub halted: Option<String>,
    pub counters: Counters,
}

impl WorkerStatus {
    /// Of a worker that has told nothing yet.
    pub fn new(revision: u64) -> Self {
        Self { revision, tasks: Vec::new(), halted: None, counters: Counters::default() }
    }
}

impl Counters {
    /// Something stopped until an operator acts.
    pub(super) fn note_halt(&mut self, text: String) {
        tracing::error!(fault = %text, "halted");
        self.last_fault = Some(text);
    }

    pub(super) fn note_fault(&mut self, text: String) {
        tracing::warn!(fault = %text, "trouble");
        self.last_fault = Some(text);
    }
}

impl<C: Client> Worker<C> {
    pub fn status(&self) -> WorkerStatus {
        let task = |t: &crate::task::Task| TaskStatus {
            partition: t.partition(),
            state: t.state().clone(),
            committed: t.committed().next.clone(),
            sequence: t.committed().metadata.sequence,
        };
        WorkerStatus {
            revision: self.version.name.revision,
            tasks: self.tasks.values().map(task).collect(),
            halted: self.halted.clone(),
            counters: self.counters.clone(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
