//! The journal: topics, committed offsets, groups, producer ids and transactions, written before they are answered.
//! Owns the file `journal` and the image, which is the fold of all entries and what the file is rewritten from.
//! Does not know who writes what, or the logs of partitions.

pub mod entry;
pub mod file;
pub mod image;

pub use entry::{Committed, Entry, MemberImage, Membership, Outcome};
pub use file::Journal;
pub use image::{GroupImage, Stage, TransactionImage};

#[cfg(test)]
mod tests;
