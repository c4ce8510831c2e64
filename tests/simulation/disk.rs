//! A store whose committed content outlives a crash, apart from a tail that had not reached the disk, and which can be
//! damaged, lost or set back. Knows nothing of brokers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use wasmill::clock::Clock;
use wasmill::store::{Checkpoint, IDENTITY_KEY, KEY_BYTES_MAX, Store, StoreError, Visit};

use crate::clock::HostClock;
use crate::mutants::Mutant;
use crate::processors::called_last;
use crate::random::Random;

/// What is on the disk. Shared by the store and the world that crashes it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub base: BTreeMap<Vec<u8>, Vec<u8>>,
    pub checkpoint: Option<Checkpoint>,
    /// How to take back the commits that may not have reached the disk, oldest first.
    unsynced: Vec<Undo>,
}

#[derive(Clone, Debug)]
struct Undo {
    values: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    checkpoint: Option<Checkpoint>,
}

/// Commits that may be lost together.
const UNSYNCED_MAX: usize = 6;

pub type SharedDisk = Arc<Mutex<Disk>>;

type Layer = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Disk {
    /// Power is cut: some of the newest commits are gone, whole ones.
    pub fn crash(&mut self, random: &mut Random) {
        let lost = random.below(self.unsynced.len() as u64 + 1);
        for _ in 0..lost {
            let Some(undo) = self.unsynced.pop() else { break };
            for (key, value) in undo.values {
                set(&mut self.base, key, value);
            }
            self.checkpoint = undo.checkpoint;
        }
        self.unsynced.clear();
    }

    fn write(&mut self, layer: Layer, checkpoint: Option<Checkpoint>) {
        let mut undo = Undo { values: Vec::new(), checkpoint: self.checkpoint };
        for (key, value) in layer {
            undo.values.push((key.clone(), self.base.get(&key).cloned()));
            set(&mut self.base, key, value);
        }
        self.checkpoint = checkpoint;
        self.unsynced.push(undo);
        if self.unsynced.len() > UNSYNCED_MAX {
            self.unsynced.remove(0);
        }
    }
}

fn set(base: &mut BTreeMap<Vec<u8>, Vec<u8>>, key: Vec<u8>, value: Option<Vec<u8>>) {
    match value {
        Some(value) => base.insert(key, value),
        None => base.remove(&key),
    };
}

/// The three layers of uncommitted changes over a [`Disk`].
pub struct DiskStore {
    disk: SharedDisk,
    call: Layer,
    filling: Layer,
    sealed: Option<Layer>,
    answer: Vec<u8>,
    /// Writes fail now and then, if the world says so.
    fails: Fails,
    clock: HostClock,
    /// The newest revision that has written here.
    newest: u64,
    mutant: Option<Mutant>,
}

/// Whether this access fails.
pub type Fails = Box<dyn FnMut() -> bool + Send>;

impl DiskStore {
    pub fn new(disk: SharedDisk, fails: Fails, clock: HostClock, mutant: Option<Mutant>) -> Self {
        let (call, filling, sealed, answer) = (Layer::new(), Layer::new(), None, Vec::new());
        Self { disk, call, filling, sealed, answer, fails, clock, newest: 0, mutant }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("one thread runs a simulation")
    }

    fn newest(&self, key: &[u8]) -> Option<Vec<u8>> {
        let layers = [Some(&self.call), Some(&self.filling), self.sealed.as_ref()];
        match layers.into_iter().flatten().find_map(|layer| layer.get(key)) {
            Some(value) => value.clone(),
            None => self.disk().base.get(key).cloned(),
        }
    }

    fn check_disk(&mut self) -> Result<(), StoreError> {
        if (self.fails)() { Err(StoreError::Disk("injected".into())) } else { Ok(()) }
    }
}

impl Drop for DiskStore {
    /// Nothing uncommitted is kept, unless a fault was planted here.
    fn drop(&mut self) {
        if self.mutant == Some(Mutant::KeepOverlay) {
            let layers = [self.sealed.take().unwrap_or_default(), std::mem::take(&mut self.filling)];
            let mut disk = self.disk();
            let checkpoint = disk.checkpoint;
            layers.into_iter().for_each(|layer| disk.write(layer, checkpoint));
        }
    }
}

impl Store for DiskStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        let Some(value) = self.newest(key) else { return Ok(None) };
        self.answer = value;
        Ok(Some(&self.answer))
    }

    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key == IDENTITY_KEY {
            return Err(StoreError::BadRequest("not a key".into()));
        }
        self.call.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        Ok(())
    }

    fn get_many(&mut self, _keys: &[u8], _values: &mut Vec<u8>) -> Result<(), StoreError> {
        Err(StoreError::BadRequest("native processors use single keys".into()))
    }

    fn apply(&mut self, _changes: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::BadRequest("native processors use single keys".into()))
    }

    fn get_slots(&mut self, _keys: &[u8], _answer: &mut Vec<u8>) -> Result<(), StoreError> {
        Err(StoreError::BadRequest("native processors use single keys".into()))
    }

    fn put_slots(&mut self, _changes: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::BadRequest("native processors use single keys".into()))
    }

    fn scan(
        &mut self,
        _from: &[u8],
        _to: Option<&[u8]>,
        _visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        Err(StoreError::NotOrdered)
    }

    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.disk().base.get(key).cloned())
    }

    fn end_call(&mut self, keep: bool) {
        let call = std::mem::take(&mut self.call);
        let is_judged = called_last() < self.newest;
        if keep {
            self.newest = called_last();
        }
        let is_kept = match self.mutant {
            Some(Mutant::KeepFailedCall) => true,
            Some(Mutant::KeepJudgedCall) => keep || is_judged,
            _ => keep,
        };
        if is_kept {
            self.filling.extend(call);
        }
    }

    fn filling_bytes(&self) -> usize {
        self.filling.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum()
    }

    fn filling_keys(&self) -> usize {
        self.filling.len()
    }

    fn seal(&mut self, visit: Visit<'_>) -> Result<(), StoreError> {
        assert!(self.sealed.is_none(), "one sealed set at a time");
        self.check_disk()?;
        let sealed = std::mem::take(&mut self.filling);
        sealed.iter().for_each(|(key, value)| visit(key, value.as_deref()));
        if self.mutant == Some(Mutant::ApplyBeforeCommit) {
            let checkpoint = self.disk().checkpoint;
            self.disk().write(sealed.clone(), checkpoint);
        }
        self.sealed = Some(sealed);
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let checked = self.check_disk();
        if self.mutant == Some(Mutant::ForgetApply) && checked.is_err() {
            self.sealed = None;
            self.disk().checkpoint = Some(*checkpoint);
            return Ok(());
        }
        checked?;
        let sealed = self.sealed.take().expect("a commit follows a seal");
        self.disk().write(sealed, Some(*checkpoint));
        Ok(())
    }

    fn roll_back(&mut self) {
        self.filling.clear();
        self.sealed = None;
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let mut disk = self.disk();
        disk.unsynced.clear();
        set(&mut disk.base, key.to_vec(), value.map(<[u8]>::to_vec));
        Ok(())
    }

    fn restored(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let mut disk = self.disk();
        disk.unsynced.clear();
        disk.checkpoint = Some(*checkpoint);
        Ok(())
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let checkpoint = self.disk().checkpoint?;
        if self.mutant == Some(Mutant::TrustCheckpoint) {
            return Some(Checkpoint { at_end_ms: self.clock.wall_ms(), sequence: 0, ..checkpoint });
        }
        Some(checkpoint)
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        *self.disk() = Disk::default();
        Ok(())
    }

    fn keys_estimate(&self) -> u64 {
        self.disk().base.len() as u64
    }
}
