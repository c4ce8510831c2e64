//! Records, batches and what a call wants to write: plain data in the byte layout of `wit/FRAMES.md`.
//! Owns the layout, so that a batch crosses into a component with one copy. Knows nothing of Kafka, WebAssembly or
//! formats of values.

mod batch;
mod frame;
mod outputs;
mod partitioner;

pub use batch::{BATCH_RECORDS_MAX, Batch, BatchBuilder, BatchRef};
pub use frame::{FrameError, Header, Headers, INPUT_HEADER_LEN, OUTPUT_HEADER_LEN, OutputFlags, Record};
pub use outputs::{Mark, NewOutput, Output, Outputs, PROPAGATED_HEADERS};
pub use partitioner::{murmur2, partition_of};

use std::fmt;

/// The header that names the one processor, as `<application>.<processor>`, that a record is meant for: a dead letter
/// sent again. All others pass it without effect.
pub const ADDRESSEE_HEADER: &[u8] = b"__wasmill.replay.for";

/// A partition's number within its topic, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub i32);

/// A record's place in its partition, counted from 0. As a position it names the *next* record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub i64);

/// An input of a processor, by its place in the manifest's `inputs`, counted from 0.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Input(pub u16);

/// Where a reader stands in one partition of one input: `next` is the first offset not yet processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub input: Input,
    pub partition: Partition,
    pub next: Offset,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
