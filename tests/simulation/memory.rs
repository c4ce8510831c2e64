//! The host's own store in memory, shared with the judge, who looks into its committed base. Gone with its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use wasmill::store::{Checkpoint, MemoryStore, Store, StoreError, Visit};

/// The newest store that was opened for a task.
pub type SharedMemory = Arc<Mutex<MemoryStore>>;

/// Hands everything on.
pub struct Shared {
    store: SharedMemory,
    answer: Vec<u8>,
}

impl Shared {
    pub fn new(store: SharedMemory) -> Self {
        Self { store, answer: Vec::new() }
    }

    fn store(&self) -> MutexGuard<'_, MemoryStore> {
        self.store.lock().expect("one thread runs a simulation")
    }
}

/// What is committed of these keys.
pub fn committed(
    store: &SharedMemory,
    keys: impl Iterator<Item = Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut store = store.lock().expect("one thread runs a simulation");
    let mut found = BTreeMap::new();
    for key in keys {
        if let Some(value) = store.committed(&key).map_err(|error| error.to_string())? {
            found.insert(key, value);
        }
    }
    Ok(found)
}

impl Store for Shared {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        let Some(value) = self.store().get(key)?.map(<[u8]>::to_vec) else { return Ok(None) };
        self.answer = value;
        Ok(Some(&self.answer))
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.store().put(key, value)
    }

    fn get_many(&mut self, keys: &[u8], values: &mut Vec<u8>) -> Result<(), StoreError> {
        self.store().get_many(keys, values)
    }

    fn apply(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        self.store().apply(changes)
    }

    fn get_slots(&mut self, keys: &[u8], answer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.store().get_slots(keys, answer)
    }

    fn put_slots(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        self.store().put_slots(changes)
    }

    fn scan(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.store().scan(from, to, visit)
    }

    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().committed(key)
    }

    fn end_call(&mut self, keep: bool) {
        self.store().end_call(keep);
    }

    fn filling_bytes(&self) -> usize {
        self.store().filling_bytes()
    }

    fn filling_keys(&self) -> usize {
        self.store().filling_keys()
    }

    fn seal(&mut self, visit: Visit<'_>) -> Result<(), StoreError> {
        self.store().seal(visit)
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.store().commit(checkpoint)
    }

    fn roll_back(&mut self) {
        self.store().roll_back();
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.store().restore(key, value)
    }

    fn restored(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.store().restored(checkpoint)
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.store().checkpoint()
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.store().wipe()
    }

    fn keys_estimate(&self) -> u64 {
        self.store().keys_estimate()
    }
}
