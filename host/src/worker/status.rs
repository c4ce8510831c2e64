//! What a worker tells of itself: copied out between turns, never shared while in use.

use crate::client::Client;
use crate::record::{Offset, Partition};

use super::{Exchange, Worker};

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
    /// Times that nothing was called any more before an operator would look.
    pub halts: u64,
    pub adoptions: u64,
    /// What the latest adoption cost.
    pub last_exchange: Exchange,
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

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerStatus {
    pub revision: u64,
    pub tasks: Vec<TaskStatus>,
    pub halted: Option<String>,
    /// Why the present version was found to be at fault. The worker waits for another.
    pub condemned: Option<String>,
    /// The version to return to then: the latest that has proved itself.
    pub returns_to: Option<u64>,
    /// Whether failures of the present version are still tried under the one before.
    pub is_on_probation: bool,
    /// A task was last committed under this newer revision, and waits until it is adopted here.
    pub waits_for: Option<u64>,
    pub counters: Counters,
}

impl WorkerStatus {
    /// Of a worker that has told nothing yet.
    pub fn new(revision: u64) -> Self {
        Self { revision, tasks: Vec::new(), ..Self::default() }
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
            condemned: self.condemned.clone(),
            returns_to: self.returns_to(),
            is_on_probation: self.is_on_probation(),
            waits_for: self.waits_for(),
            counters: self.counters.clone(),
        }
    }

    /// The newest revision under which a task of ours was committed, where that is not adopted here yet.
    fn waits_for(&self) -> Option<u64> {
        let newest = self.tasks.values().map(|t| t.committed().metadata.revision).max()?;
        (newest > self.version.name.revision).then_some(newest)
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
