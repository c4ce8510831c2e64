//! What a worker is given at its start: settings, with their defaults and reasons, and the version to run.

use std::sync::Arc;
use std::time::Duration;

use super::Adoption;
use crate::processor::{SharedTable, Version};
use crate::record::Partition;
use crate::store::{Store, StoreError};
use crate::task::{TaskSetup, VersionName};

/// Opens store number `usize` of a partition.
pub type OpenStore = Box<dyn FnMut(Partition, usize) -> Result<Box<dyn Store>, StoreError> + Send>;

pub struct Setup {
    pub task: Arc<TaskSetup>,
    pub bounds: Bounds,
    pub on_error: OnError,
    pub open_store: OpenStore,
    /// In the order of the manifest.
    pub tables: Vec<SharedTable>,
    /// Random numbers: identities of changelogs, seeds of components.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

/// When a set is committed, and how long things may take.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// A set is committed at the latest this long after the one before it.
    pub commit_interval: Duration,
    /// When input runs dry a set is committed this long after the one before: low latency at low load without one
    /// transaction per record.
    pub commit_min_interval: Duration,
    /// Input records of one set.
    pub commit_records_max: usize,
    /// Records that one set writes: outputs, changelogs, dead letters.
    pub commit_writes_max: usize,
    /// Bytes that one set writes. Bounds memory and the time of a commit.
    pub commit_bytes_max: usize,
    /// Whether calls go on while a set is being committed. Off only where the order of calls and commits has to be known.
    pub overlap: bool,
    /// A revoke waits this long for commits: a small part of `max.poll.interval.ms`.
    pub revoke_budget: Duration,
    /// A stop waits this long for commits.
    pub stop_budget: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_millis(50),
            commit_min_interval: Duration::from_millis(5),
            commit_records_max: 5_000,
            commit_writes_max: 100_000,
            commit_bytes_max: 16 << 20,
            overlap: true,
            revoke_budget: Duration::from_secs(10),
            stop_budget: Duration::from_secs(10),
        }
    }
}

/// What is done about a record that cannot be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnError {
    DeadLetter,
    /// Tried again after `backoff`, doubled each time; after `times`, a dead letter.
    Retry {
        times: u32,
        backoff: Duration,
    },
    /// The processor stops and keeps everything.
    Halt,
}

/// The version that a worker runs.
pub struct ActiveVersion {
    pub name: VersionName,
    pub version: Box<dyn Version>,
}

/// Orders from the control side.
pub enum Command {
    /// Commit what is filled, then end.
    Stop,
    /// Keep the place in the group, call nothing.
    Pause,
    /// Go on after a pause or a halt.
    Resume,
    /// Take over another version as soon as nothing of the present one is left unsealed.
    Adopt(Box<Adoption>),
}
