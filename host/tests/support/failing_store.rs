//! A store in memory whose reads fail on demand, as those of a disk do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use wasmill::store::{Checkpoint, MemoryStore, Store, StoreError, Visit};

/// What a test turns and reads while a worker has the store.
#[derive(Clone, Default)]
pub struct Handle {
    pub fails: Arc<AtomicBool>,
    pub wiped: Arc<AtomicU32>,
}

pub struct FailingStore {
    handle: Handle,
    inner: MemoryStore,
    is_damaged: bool,
}

impl FailingStore {
    pub fn new(handle: Handle) -> Self {
        Self { handle, inner: MemoryStore::new(false), is_damaged: false }
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.is_damaged |= self.handle.fails.load(Ordering::SeqCst);
        if self.is_damaged { Err(StoreError::Disk("a block is damaged".to_owned())) } else { Ok(()) }
    }
}

impl Store for FailingStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        self.check()?;
        self.inner.get(key)
    }
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.inner.put(key, value)
    }
    fn get_many(&mut self, keys: &[u8], values: &mut Vec<u8>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.get_many(keys, values)
    }
    fn apply(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        self.inner.apply(changes)
    }
    fn get_slots(&mut self, keys: &[u8], answer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.get_slots(keys, answer)
    }
    fn put_slots(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        self.inner.put_slots(changes)
    }
    fn scan(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.inner.scan(from, to, visit)
    }
    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        self.inner.committed(key)
    }
    fn end_call(&mut self, keep: bool) {
        self.inner.end_call(keep);
    }
    fn filling_bytes(&self) -> usize {
        self.inner.filling_bytes()
    }
    fn filling_keys(&self) -> usize {
        self.inner.filling_keys()
    }
    fn seal(&mut self, visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.seal(visit)
    }
    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.inner.commit(checkpoint)
    }
    fn roll_back(&mut self) {
        self.inner.roll_back();
    }
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.inner.restore(key, value)
    }
    fn restored(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.inner.restored(checkpoint)
    }
    fn checkpoint(&self) -> Option<Checkpoint> {
        self.inner.checkpoint()
    }
    fn wipe(&mut self) -> Result<(), StoreError> {
        self.handle.wiped.fetch_add(1, Ordering::SeqCst);
        self.is_damaged = false;
        self.inner.wipe()
    }
    fn keys_estimate(&self) -> u64 {
        self.inner.keys_estimate()
    }
    fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}
