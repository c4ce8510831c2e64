//! The seam between a worker and its broker: whole commits go in, batches and outcomes come out.
//! Nothing of an implementation shows through it, so that a simulation can stand in for a cluster.

mod metadata;
mod verdict;
mod wear;

pub use metadata::{ChangelogMark, METADATA_BYTES_MAX, Metadata, MetadataError};
pub use verdict::verdict;
pub use wear::Wear;

use std::time::Duration;

use crate::record::{Batch, Headers, Input, Offset, Outputs, Partition, Position};

/// A group member that reads inputs, and a transactional producer behind it. Owned by one worker thread. No call blocks
/// longer than the time-out it is given; calls without one do not wait for the broker.
pub trait Client {
    /// Serves the broker for at most `wait` and gives the next event. Batches start at the position asked for by `fetch`
    /// and follow each other without a gap within a partition (a jump over markers and compacted offsets is no gap).
    fn poll(&mut self, wait: Duration) -> Event;

    /// Snapshots the group membership for a commit, once no rebalance event is pending.
    ///
    /// # Errors
    /// A pending event, which the caller must handle first.
    fn seal(&mut self) -> Result<Snapshot, Event>;

    /// Hands over a set to commit; its outcome comes as [`Event::Committed`]. At most one is out at a time.
    fn start_commit(&mut self, commit: Commit);

    /// Reads what is known of a task: committed positions with metadata (waiting for undecided transactions) and, read
    /// after those, the ends of its inputs and changelogs. The answer comes as [`Event::Located`].
    fn locate(&mut self, partition: Partition);

    /// Reads a changelog partition from `from` up to `to`, read_committed: [`Event::Changelog`] any number of times, then
    /// [`Event::Restored`] once the read position, markers included, has reached `to`.
    fn restore(&mut self, store: u16, partition: Partition, from: Offset, to: Offset);

    /// Starts, or moves, the reading of inputs of assigned partitions. Batches of earlier positions no longer come.
    fn fetch(&mut self, positions: &[Position]);

    /// Leaves the batches of an input partition unread, or reads them again; the membership is kept alive.
    fn hold(&mut self, input: Input, partition: Partition, is_held: bool);

    /// Answers [`Event::Revoked`] and [`Event::Lost`]: reading and restoring of these partitions has ended.
    fn release(&mut self, partitions: &[Partition]);

    /// The offset after the last record known in a partition; `None` until the broker told.
    fn end_of(&self, input: Input, partition: Partition) -> Option<Offset>;

    /// Gives the buffers of a batch back for reuse.
    fn recycle(&mut self, batch: Batch);

    /// Leaves the group for good, so that others take over at once. A plain drop keeps the place for a restart.
    fn leave(&mut self);
}

/// What a poll found.
#[derive(Debug)]
pub enum Event {
    Idle,
    Records(Batch),
    Committed(Outcome),
    /// The group gave these tasks to this member. Every input of a partition is here, or the client reports a fault.
    /// Whenever the member id changes, however silently, everything owned first comes as `Lost` and what stays with this
    /// member then comes as `Assigned` under the new id.
    Assigned {
        partitions: Vec<Partition>,
        member: Member,
    },
    /// The group asks for these back: commit what is done, then `release`.
    Revoked {
        partitions: Vec<Partition>,
        member: Member,
    },
    /// These are gone already: drop everything, then `release`.
    Lost {
        partitions: Vec<Partition>,
    },
    Located {
        partition: Partition,
        found: Box<Result<Located, Fault>>,
    },
    /// Records of a changelog; `input()` of the batch is the store's number.
    Changelog(Batch),
    Restored {
        store: u16,
        partition: Partition,
        to: Offset,
    },
    /// The position asked for does not exist: `first..end` is what the broker still has.
    OutOfRange {
        position: Position,
        first: Offset,
        end: Offset,
    },
    /// Trouble that the client goes on trying to overcome by itself.
    Degraded(Fault),
    /// The client cannot go on; the worker closes its tasks and ends.
    Fatal(Fatal),
}

/// Who we are in the group. An empty id is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub generation: i32,
}

/// The membership at one moment, as the broker will check it.
#[derive(Debug)]
pub struct Snapshot {
    pub member: Member,
    /// What the implementation needs beside it.
    pub handle: Box<dyn std::any::Any + Send>,
}

/// One transaction: effects of tasks that belong together.
#[derive(Debug)]
pub struct Commit {
    pub snapshot: Snapshot,
    pub tasks: Vec<TaskCommit>,
}

/// The part of one task in a commit.
#[derive(Debug)]
pub struct TaskCommit {
    pub partition: Partition,
    pub outputs: Outputs,
    /// One per store, in the order of the manifest.
    pub changes: Vec<StoreChanges>,
    pub dead_letters: Vec<DeadLetter>,
    /// The first commit of a revision names where it takes over, one line per input.
    pub cutovers: Vec<Cutover>,
    /// The next position of every input, moved or not.
    pub positions: Vec<Position>,
    /// Goes with every position. The client fills in the nonce and the changelogs' ends, known only after the flush.
    pub metadata: Metadata,
}

/// Changelog records of one store, packed: keys and prefixed values in one arena.
#[derive(Debug, Default, Clone)]
pub struct StoreChanges {
    pub bytes: Vec<u8>,
    pub entries: Vec<ChangeEntry>,
}

/// One changelog record: spans in [`StoreChanges::bytes`]; a removal has no value.
#[derive(Clone, Copy, Debug)]
pub struct ChangeEntry {
    pub key_at: u32,
    pub key_len: u32,
    pub value_at: u32,
    pub value_len: Option<u32>,
}

/// An input record that could not be processed, as it came, with headers that say why.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp_ms: i64,
    /// Frame layout, see `wit/FRAMES.md`.
    pub headers: Vec<u8>,
}

impl DeadLetter {
    /// Leaves the value out if the letter is larger than `bytes_max` on the wire; headers say so, and where the record is.
    pub fn fit(&mut self, bytes_max: usize) {
        let value = self.value.as_ref().map_or(0, Vec::len);
        if self.key.as_ref().map_or(0, Vec::len) + value + self.headers.len() + RECORD_OVERHEAD_BYTES <= bytes_max {
            return;
        }
        self.leave_value_out();
    }

    /// Drops the value; a header tells its size.
    pub fn leave_value_out(&mut self) {
        let bytes = self.value.take().map_or(0, |value| value.len()).to_string();
        Headers::push(&mut self.headers, VALUE_LEFT_OUT_HEADER, Some(bytes.as_bytes()));
    }
}

/// In a dead letter: its value did not fit and had this many bytes. `__wasmill.errors.position` names the original.
pub const VALUE_LEFT_OUT_HEADER: &[u8] = b"__wasmill.errors.value-left-out";

/// What a batch of one record adds to key, value and headers: 61 bytes of batch, seven numbers of up to ten bytes.
const RECORD_OVERHEAD_BYTES: usize = 256;

/// From `position` on, records belong to `revision`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cutover {
    pub position: Position,
    pub revision: u64,
    pub version: u64,
    pub digest: String,
}

/// What became of a commit.
#[derive(Debug)]
pub struct Outcome {
    pub tasks: Vec<TaskOutcome>,
    /// Why it did not simply succeed.
    pub cause: Option<CommitFault>,
}

#[derive(Debug)]
pub struct TaskOutcome {
    pub partition: Partition,
    pub verdict: Verdict,
    /// The metadata as committed, nonce and changelog ends filled in. Meaningful for `Committed`.
    pub metadata: Metadata,
    /// The buffers, for reuse.
    pub spent: TaskCommit,
}

/// Decided by sequence and nonce in the committed metadata, never by offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    NotCommitted,
    /// Somebody else has committed here since: the task is no longer ours.
    Foreign,
    /// Some inputs carry this commit and others the one before: the transaction was torn.
    Torn,
}

/// Why a commit did not simply succeed, named by what follows from it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommitFault {
    /// Only the generation changed: by itself no fence.
    #[error("the group's generation changed")]
    IllegalGeneration,
    /// The group does not know this member any more: its tasks are lost.
    #[error("fenced by the group: {0}")]
    FencedByGroup(String),
    /// Another producer with our id.
    #[error("fenced by another producer: {0}")]
    FencedByProducer(String),
    #[error("a record is too large for its topic: {0}")]
    TooLarge(String),
    #[error("not committed in time: {0}")]
    Timeout(String),
    #[error("{0}")]
    Other(String),
}

/// What is known of a task at the moment of its assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    pub inputs: Vec<LocatedInput>,
    pub changelogs: Vec<LocatedChangelog>,
    /// Whether the cutovers topic knows this task.
    pub has_cutover: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LocatedInput {
    pub input: Input,
    pub committed: Option<Committed>,
    /// First offset that the broker still has.
    pub first: Offset,
    /// The high watermark.
    pub end: Offset,
}

/// A committed offset and the text beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    pub next: Offset,
    pub metadata: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LocatedChangelog {
    pub first: Offset,
    pub end: Offset,
    /// Key and value of the first record, where there is one.
    pub first_record: Option<(Vec<u8>, Vec<u8>)>,
}

/// Something failed that may work later.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// What ends a worker.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fatal {
    /// Somebody else uses our identity.
    #[error("another host runs as {0}: give each host its own data folder or `[host] id`")]
    Identity(String),
    #[error("{0}")]
    Unusable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_does_not_fit_goes_without_its_value() {
        let letter =
            DeadLetter { key: Some(vec![1; 10]), value: Some(vec![2; 1000]), timestamp_ms: 1, headers: vec![] };
        for (bytes_max, is_whole) in [(2000, true), (1266, true), (1265, false), (0, false)] {
            let mut fitted = letter.clone();
            fitted.fit(bytes_max);
            let left_out = Headers(&fitted.headers).iter().next().and_then(|h| h.value);
            assert_eq!((fitted.value.is_some(), left_out.is_none()), (is_whole, is_whole), "{bytes_max}");
            assert!(is_whole || left_out == Some(b"1000"));
            assert_eq!(fitted.key, letter.key);
        }
    }
}
