//! Keyed state of a task. A store holds three layers of uncommitted changes over its committed base: those of the call
//! now running, those of the set being filled, and those of the set being committed. Reads see all of them.
//! Knows nothing of who writes, of Kafka or of transactions.

pub mod changelog;
mod disk;
mod memory;
mod packed;

pub use disk::{DiskOptions, DiskStore, DiskStores};
pub use memory::MemoryStore;

use crate::record::Offset;

/// Takes a changed key and its newest value, `None` for a removal.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>);

/// Keyed bytes of one task. Used by one thread at a time. Keys are 1 to [`KEY_BYTES_MAX`] bytes.
///
/// Packed forms (little endian), so that a component crosses its border once per batch:
/// * keys: `u32 key-len, key`, repeated;
/// * values: `u32 value-len or 0xffff_ffff for absent, value`, repeated;
/// * changes: `u32 key-len, u32 value-len or 0xffff_ffff to remove, key, value`, repeated;
/// * slot changes: `u32 slot, u32 value-len or 0xffff_ffff to remove, value`, repeated.
pub trait Store: Send {
    /// The newest value, uncommitted changes included.
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError>;

    /// Sets or, with `None`, removes a value.
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Looks up packed keys and appends packed values, one for each key in order.
    fn get_many(&mut self, keys: &[u8], values: &mut Vec<u8>) -> Result<(), StoreError>;

    /// Applies packed changes in order.
    fn apply(&mut self, changes: &[u8]) -> Result<(), StoreError>;

    /// Looks up packed keys, removing duplicates, and appends `u32 distinct`, one `u32 slot` per key, then one packed
    /// value per distinct key. Slots hold until the next `get_slots` or the end of the call.
    fn get_slots(&mut self, keys: &[u8], answer: &mut Vec<u8>) -> Result<(), StoreError>;

    /// Applies packed slot changes; slots are those of the last `get_slots`.
    fn put_slots(&mut self, changes: &[u8]) -> Result<(), StoreError>;

    /// Visits keys in `from..to` (to: exclusive, `None` is the end) in ascending order of bytes until `visit` says false.
    ///
    /// # Errors
    /// [`StoreError::NotOrdered`] where the store was not declared with scans.
    fn scan(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;

    /// The committed value: what queries from outside may see.
    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Ends a call: its changes join the filling set, or vanish as if they had never been made.
    fn end_call(&mut self, keep: bool);

    /// Bytes of keys and values in the filling set, a bound on its changelog records.
    fn filling_bytes(&self) -> usize;

    /// Number of keys changed by the filling set.
    fn filling_keys(&self) -> usize;

    /// Turns the filling set into the sealed set and visits each changed key once, with its newest value.
    /// There must be no sealed set.
    fn seal(&mut self, visit: Visit<'_>) -> Result<(), StoreError>;

    /// The sealed set is committed: it joins the base, atomically with `checkpoint`. The filling set stays.
    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// Drops the sealed and the filling set, newest first.
    fn roll_back(&mut self);

    /// Adds changelog records to the base, `None` for removals. Only while restoring, with no changes open.
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Ends a run of `restore` calls: the base now equals the changelog up to the checkpoint.
    fn restored(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// Where the changelog is to be read on from; `None` for a store that is empty or in memory only.
    fn checkpoint(&self) -> Option<Checkpoint>;

    /// Empties the store, its checkpoint included.
    fn wipe(&mut self) -> Result<(), StoreError>;

    /// Number of keys in the base and all layers, as far as it is cheap to know.
    fn keys_estimate(&self) -> u64;

    /// Whether local storage failed: the store is to be wiped and restored. What is in memory only does not fail.
    fn is_damaged(&self) -> bool {
        false
    }
}

/// The longest key: what fits the two bytes of a length that engines on disk keep.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// The longest value: well below Kafka's default message size, with room for the changelog's prefix.
pub const VALUE_BYTES_MAX: usize = 900 * 1024;

/// The key of the record that names a changelog. Keys that begin with it are the host's: no component may write them.
pub const IDENTITY_KEY: &[u8] = b"\0wasmill.identity";

/// How far a store's base follows its changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The identity carried by the changelog's first record.
    pub identity: u64,
    /// The changelog offset to read on from.
    pub next: Offset,
    /// The commit sequence of the task whose changes are in the base.
    pub sequence: u64,
    /// Wall time at which the base was known to be at the changelog's end.
    pub at_end_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller's fault: a component handed over something that is not a key, a value or a packed list.
    #[error("{0}")]
    BadRequest(String),
    #[error("store is not ordered: declare `scans = true` for it in the manifest")]
    NotOrdered,
    /// The host's fault: disk, damage.
    #[error("state on disk: {0}")]
    Disk(String),
}

impl StoreError {
    /// Whether a component, not the host, is to blame.
    pub fn is_callers(&self) -> bool {
        !matches!(self, Self::Disk(_))
    }
}
