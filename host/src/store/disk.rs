//! Stores on disk: one database per processor on a host, one keyspace per task and store, behind fjall, whose only door
//! this is. Uncommitted changes are layers in memory; a commit writes its set and the checkpoint in one atomic batch.
//! After a crash of the process the base is that of the last commit; after a power cut that of some earlier one.

mod chain;
mod folder;
mod layer;
mod lease;
mod merge;
mod row;
mod shared;

use std::ops::Bound;
use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode, Slice};
use hashbrown::HashMap;

use super::{Checkpoint, IDENTITY_KEY, Store, StoreError, Visit, packed};
use chain::Chain;
use layer::Layer;
use lease::Lease;
pub use shared::{DiskOptions, DiskStores};
use shared::{Place, Shared};

/// Restored rows that are written together: large enough that the engine's work per batch does not count.
const RESTORE_BATCH: usize = 4096;

/// Keys that begin with [`IDENTITY_KEY`] are ours; the first key after them.
const AFTER_RESERVED: &[u8] = b"\0wasmill.identitz";

/// Keyed state of one task, on disk.
pub struct DiskStore {
    shared: Arc<Shared>,
    name: String,
    lease: Lease,
    place: Place,
    has_scans: bool,
    call: Layer,
    filling: Layer,
    sealed: Layer,
    filling_bytes: usize,
    slots: Vec<Slice>,
    /// Lent out by `get`.
    answer: Option<Slice>,
    /// Rows on their way to disk: gathered while restoring.
    rows: Vec<(Slice, Option<Slice>)>,
    chain: Chain,
    checkpoint: Option<Checkpoint>,
    is_damaged: bool,
}

impl DiskStore {
    fn new(shared: Arc<Shared>, name: String, lease: Lease, place: Place, has_scans: bool) -> Self {
        let mut store = Self {
            shared,
            name,
            lease,
            place,
            has_scans,
            call: Layer::new(has_scans),
            filling: Layer::new(has_scans),
            sealed: Layer::new(has_scans),
            filling_bytes: 0,
            slots: Vec::new(),
            answer: None,
            rows: Vec::new(),
            chain: Chain::new(),
            checkpoint: None,
            is_damaged: false,
        };
        store.recover();
        store
    }

    /// Reads where the base stands. A base that is not whole has no checkpoint, and so is emptied before it is used.
    fn recover(&mut self) {
        let found = row::read_checkpoint(&self.place.keyspace).and_then(|found| match found {
            Some((checkpoint, first, last)) => {
                Ok(Chain::read(&self.place.keyspace, first, last)?.map(|chain| (checkpoint, chain)))
            }
            None => Ok(None),
        });
        match found {
            Ok(Some((checkpoint, chain))) => (self.checkpoint, self.chain) = (Some(checkpoint), chain),
            Ok(None) if self.place.keyspace.first_key_value().is_none() => {}
            Ok(None) => {
                let store = &self.name;
                tracing::warn!(store, "state on disk is not whole: it is restored from the changelog");
            }
            Err(error) => {
                let (store, error) = (&self.name, error.to_string());
                tracing::warn!(store, error, "state on disk cannot be read: it is restored from the changelog");
            }
        }
    }

    /// The newest value of a key.
    #[inline]
    fn newest(&mut self, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        let layers = [&self.call, &self.filling, &self.sealed];
        let changed = layers.into_iter().find_map(|layer| layer.get(key)).cloned();
        changed.map_or_else(|| self.base(key), Ok)
    }

    fn base(&mut self, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        if packed::checked_key(key).is_err() {
            return Ok(None);
        }
        let found = self.place.keyspace.get(key);
        found.map_err(|error| self.damaged(&error))
    }

    fn set(&mut self, key: Slice, value: Option<&[u8]>) {
        self.call.set(key, value.map(Slice::from));
    }

    /// What the engine cannot read or write is not to be trusted any more.
    fn damaged(&mut self, error: &fjall::Error) -> StoreError {
        self.is_damaged = true;
        StoreError::Disk(format!("store `{}`: {error}", self.name))
    }

    /// Writes the gathered rows, and the checkpoint if there is one, in one batch.
    fn write(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), StoreError> {
        let written = {
            let _held = self.lease.hold()?;
            let keyspace = &self.place.keyspace;
            let batch = OwnedWriteBatch::with_capacity(self.place.database.clone(), self.rows.len() + 2);
            let mut batch = batch.durability(Some(PersistMode::Buffer));
            for (key, value) in self.rows.drain(..) {
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
            self.chain.extend(keyspace, &mut batch);
            if let Some(checkpoint) = checkpoint {
                batch.insert(keyspace, IDENTITY_KEY, row::checkpoint(checkpoint, self.chain.span()));
            }
            batch.commit()
        };
        written.map_err(|error| self.damaged(&error))?;
        self.chain.written(&self.place.keyspace);
        self.checkpoint = checkpoint.copied().or(self.checkpoint);
        Ok(())
    }

    fn drop_changes(&mut self) {
        [&mut self.call, &mut self.filling, &mut self.sealed].into_iter().for_each(Layer::clear);
        self.filling_bytes = 0;
        self.rows.clear();
        self.slots.clear();
        self.answer = None;
    }
}

impl Store for DiskStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        self.answer = self.newest(key)?;
        Ok(self.answer.as_deref())
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let (key, value) = (packed::checked_key(key)?, packed::checked_value(value)?);
        self.set(key.into(), value);
        Ok(())
    }

    fn get_many(&mut self, keys: &[u8], values: &mut Vec<u8>) -> Result<(), StoreError> {
        for key in packed::keys(keys) {
            packed::push_value(values, self.newest(key?)?.as_deref());
        }
        Ok(())
    }

    fn apply(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        for change in packed::changes(changes) {
            let (key, value) = change?;
            self.set(key.into(), value);
        }
        Ok(())
    }

    fn get_slots(&mut self, keys: &[u8], answer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.slots.clear();
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        let at = answer.len();
        answer.extend_from_slice(&[0; 4]);
        for key in packed::keys(keys) {
            let key = key?;
            let slot = *known.entry(key).or_insert_with(|| {
                self.slots.push(key.into());
                self.slots.len() as u32 - 1
            });
            answer.extend_from_slice(&slot.to_le_bytes());
        }
        answer[at..at + 4].copy_from_slice(&(self.slots.len() as u32).to_le_bytes());
        for slot in 0..self.slots.len() {
            let key = self.slots[slot].clone();
            packed::push_value(answer, self.newest(&key)?.as_deref());
        }
        Ok(())
    }

    fn put_slots(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        for change in packed::slot_changes(changes) {
            let (slot, value) = change?;
            let key = packed::handed_out(&self.slots, slot)?.clone();
            self.set(key, value);
        }
        Ok(())
    }

    fn scan(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if !self.has_scans {
            return Err(StoreError::NotOrdered);
        }
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let rows = rows_of(&self.place.keyspace, from, to);
        let mut failed = None;
        let base = rows.map(|row| {
            row.map_err(|error| {
                let text = error.to_string();
                failed = Some(error);
                StoreError::Disk(text)
            })
        });
        let merged = merge::merge([&self.call, &self.filling, &self.sealed], base, from, to, visit);
        match failed {
            Some(error) => Err(self.damaged(&error)),
            None => merged,
        }
    }

    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.base(key)?.map(|value| value.to_vec()))
    }

    fn end_call(&mut self, keep: bool) {
        self.slots.clear();
        self.answer = None;
        if !keep {
            return self.call.clear();
        }
        let size = |value: &Option<Slice>| value.as_ref().map_or(0, |v| v.len());
        for (key, value) in self.call.drain() {
            let (key_len, now) = (key.len(), size(&value));
            match self.filling.set(key, value) {
                Some(before) => self.filling_bytes = self.filling_bytes + now - size(&before),
                None => self.filling_bytes += key_len + now,
            }
        }
    }

    fn filling_bytes(&self) -> usize {
        self.filling_bytes
    }

    fn filling_keys(&self) -> usize {
        self.filling.len()
    }

    fn seal(&mut self, visit: Visit<'_>) -> Result<(), StoreError> {
        assert!(self.sealed.is_empty(), "one sealed set at a time");
        self.filling.iter().for_each(|(key, value)| visit(key, value.as_deref()));
        std::mem::swap(&mut self.filling, &mut self.sealed);
        self.filling_bytes = 0;
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.rows.extend(self.sealed.drain());
        self.write(Some(checkpoint))
    }

    fn roll_back(&mut self) {
        self.sealed.clear();
        self.filling.clear();
        self.filling_bytes = 0;
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        if packed::checked_key(key).is_err() {
            return Err(StoreError::Disk("the changelog holds a key that no component can have written".to_owned()));
        }
        self.rows.push((key.into(), value.map(Slice::from)));
        if self.rows.len() >= RESTORE_BATCH { self.write(None) } else { Ok(()) }
    }

    fn restored(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.write(Some(checkpoint))
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.drop_changes();
        {
            let _held = self.lease.hold()?;
            self.place = self.shared.emptied(&self.name)?;
        }
        self.chain = Chain::new();
        self.checkpoint = None;
        self.is_damaged = false;
        Ok(())
    }

    fn keys_estimate(&self) -> u64 {
        let own = self.chain.len() + 1;
        self.place.keyspace.approximate_len().saturating_sub(own) as u64
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}

/// Rows of the base in `from..to`, without our own.
fn rows_of(
    keyspace: &Keyspace,
    from: &[u8],
    to: Option<&[u8]>,
) -> impl Iterator<Item = Result<(Slice, Slice), fjall::Error>> {
    let before_end = to.map_or(IDENTITY_KEY, |to| to.min(IDENTITY_KEY));
    let after_start = from.max(AFTER_RESERVED);
    let part = |from: &[u8], to: Option<&[u8]>| {
        let is_empty = to.is_some_and(|to| to <= from);
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        (!is_empty).then(|| keyspace.range::<&[u8], _>((Bound::Included(from), end))).into_iter().flatten()
    };
    part(from, Some(before_end)).chain(part(after_start, to)).map(|guard| guard.into_inner())
}
