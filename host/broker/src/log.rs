//! One partition's log: segments of record batches as producers sent them, with what reading and fencing needs.
//! Owns files below the partition's folder: segments, their indexes, the checkpoint.
//! Does not know connections, groups or the transaction coordinator.

pub mod batch;
pub mod checkpoint;
pub mod codec;
pub mod compaction;
pub mod filter;
pub mod partition;
pub mod producers;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod retention;
pub mod rewrite;
pub mod segment;
pub mod times;
pub mod waiters;

pub use partition::PartitionLog;

#[cfg(test)]
mod tests;
