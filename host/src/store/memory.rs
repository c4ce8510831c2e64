//! The store in memory: one hash table that holds the newest value of each key, and a list of undo entries per layer
//! (running call, filling set, sealed set). A read is one probe whatever is open; a commit copies nothing.

mod value;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Checkpoint, Store, StoreError, Visit, packed};
use value::Value;

/// Fewer absent entries than this are not worth a rebuild.
const GARBAGE_LEAST: usize = 1024;

/// A key with its newest value.
struct Entry {
    hash: u64,
    key_at: u32,
    key_len: u32,
    value: Value,
    /// Equal to the store's number when the layer has this key already.
    call: u32,
    filling: u32,
    lookup: u32,
    slot: u32,
}

/// What a key was before a layer changed it.
struct Undo {
    entry: u32,
    value: Value,
}

/// Keyed state of one task, in memory only: after a restart it is restored from its changelog.
pub struct MemoryStore {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    entries: Vec<Entry>,
    keys: Vec<u8>,
    /// Keys in order, for stores with scans.
    order: Option<BTreeMap<Box<[u8]>, u32>>,
    /// Entries without a value: removed, or only asked for.
    absent: usize,
    call: Vec<Undo>,
    filling: Vec<Undo>,
    sealed: Vec<Undo>,
    /// Numbers of the present call, filling set and slot lookup.
    call_number: u32,
    filling_number: u32,
    lookup_number: u32,
    filling_bytes: usize,
    slots: Vec<u32>,
    checkpoint: Option<Checkpoint>,
}

impl MemoryStore {
    /// An empty store; `scans` keeps keys in order as well, at the price of a tree beside the table.
    pub fn new(scans: bool) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            entries: Vec::new(),
            keys: Vec::new(),
            order: scans.then(BTreeMap::new),
            absent: 0,
            call: Vec::new(),
            filling: Vec::new(),
            sealed: Vec::new(),
            call_number: 1,
            filling_number: 1,
            lookup_number: 0,
            filling_bytes: 0,
            slots: Vec::new(),
            checkpoint: None,
        }
    }

    #[inline]
    fn key(&self, entry: u32) -> &[u8] {
        key_of(&self.keys, &self.entries[entry as usize])
    }

    #[inline]
    fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |e| key_of(&self.keys, &self.entries[*e as usize]) == key).copied()
    }

    #[inline]
    fn find_or_insert(&mut self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |e| key_of(&self.keys, &self.entries[*e as usize]) == key);
        match found {
            Some(entry) => *entry,
            None => self.insert(key, hash),
        }
    }

    fn insert(&mut self, key: &[u8], hash: u64) -> u32 {
        let entry = self.entries.len() as u32;
        // Going on with less room than keys would mix them up.
        let key_at = u32::try_from(self.keys.len())
            .expect("a task's store in memory holds up to 4 GiB of keys: use a disk store");
        self.keys.extend_from_slice(key);
        let key_len = key.len() as u32;
        self.entries.push(Entry {
            hash,
            key_at,
            key_len,
            value: Value::ABSENT,
            call: 0,
            filling: 0,
            lookup: 0,
            slot: 0,
        });
        self.absent += 1;
        self.table.insert_unique(hash, entry, |e| self.entries[*e as usize].hash);
        if let Some(order) = &mut self.order {
            order.insert(key.into(), entry);
        }
        entry
    }

    #[inline]
    fn set(&mut self, entry: u32, value: Option<&[u8]>) {
        let found = &mut self.entries[entry as usize];
        self.absent += usize::from(value.is_none() && !found.value.is_absent());
        self.absent -= usize::from(value.is_some() && found.value.is_absent());
        if found.call == self.call_number {
            found.value.replace(value);
        } else {
            found.call = self.call_number;
            let before = std::mem::replace(&mut found.value, Value::new(value));
            self.call.push(Undo { entry, value: before });
        }
    }

    fn put_back(&mut self, undo: Undo) {
        let found = &mut self.entries[undo.entry as usize];
        self.absent += usize::from(undo.value.is_absent() && !found.value.is_absent());
        self.absent -= usize::from(!undo.value.is_absent() && found.value.is_absent());
        found.value = undo.value;
    }

    fn keep_call(&mut self) {
        let mut call = std::mem::take(&mut self.call);
        for undo in call.drain(..) {
            let entry = &mut self.entries[undo.entry as usize];
            let now = entry.value.bytes().map_or(0, <[u8]>::len);
            if entry.filling == self.filling_number {
                let before = undo.value.bytes().map_or(0, <[u8]>::len);
                self.filling_bytes = self.filling_bytes + now - before;
            } else {
                entry.filling = self.filling_number;
                self.filling_bytes += entry.key_len as usize + now;
                self.filling.push(undo);
            }
        }
        self.call = call;
    }

    /// Rebuilds without the entries that have no value and that no open layer needs.
    fn reclaim(&mut self) {
        if self.absent < GARBAGE_LEAST || self.absent * 2 < self.entries.len() {
            return;
        }
        let mut is_needed = vec![false; self.entries.len()];
        for undo in self.filling.iter().chain(&self.sealed) {
            is_needed[undo.entry as usize] = true;
        }
        let entries = std::mem::take(&mut self.entries);
        let keys = std::mem::take(&mut self.keys);
        self.table.clear();
        self.absent = 0;
        let mut moved = vec![u32::MAX; entries.len()];
        for (old, mut entry) in entries.into_iter().enumerate() {
            if entry.value.is_absent() && !is_needed[old] {
                if let Some(order) = &mut self.order {
                    order.remove(key_of(&keys, &entry));
                }
                continue;
            }
            let new = self.entries.len() as u32;
            moved[old] = new;
            let key_at = self.keys.len() as u32;
            self.keys.extend_from_slice(key_of(&keys, &entry));
            entry.key_at = key_at;
            self.absent += usize::from(entry.value.is_absent());
            self.entries.push(entry);
        }
        for (new, entry) in self.entries.iter().enumerate() {
            self.table.insert_unique(entry.hash, new as u32, |e| self.entries[*e as usize].hash);
        }
        self.filling.iter_mut().chain(&mut self.sealed).for_each(|u| u.entry = moved[u.entry as usize]);
        if let Some(order) = &mut self.order {
            order.values_mut().for_each(|e| *e = moved[*e as usize]);
        }
    }
}

#[inline]
fn key_of<'a>(keys: &'a [u8], entry: &Entry) -> &'a [u8] {
    &keys[entry.key_at as usize..][..entry.key_len as usize]
}

impl Store for MemoryStore {
    #[inline]
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        Ok(self.find(key).and_then(|e| self.entries[e as usize].value.bytes()))
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let (key, value) = (packed::checked_key(key)?, packed::checked_value(value)?);
        let entry = self.find_or_insert(key);
        self.set(entry, value);
        Ok(())
    }

    fn get_many(&mut self, keys: &[u8], values: &mut Vec<u8>) -> Result<(), StoreError> {
        for key in packed::keys(keys) {
            packed::push_value(values, self.find(key?).and_then(|e| self.entries[e as usize].value.bytes()));
        }
        Ok(())
    }

    fn apply(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        for change in packed::changes(changes) {
            let (key, value) = change?;
            let entry = self.find_or_insert(key);
            self.set(entry, value);
        }
        Ok(())
    }

    fn get_slots(&mut self, keys: &[u8], answer: &mut Vec<u8>) -> Result<(), StoreError> {
        self.lookup_number += 1;
        self.slots.clear();
        // Keys and values of like length: an answer that grows by doubling is copied several times.
        answer.reserve(keys.len());
        let at = answer.len();
        answer.extend_from_slice(&[0; 4]);
        for key in packed::keys(keys) {
            let index = self.find_or_insert(key?);
            let entry = &mut self.entries[index as usize];
            if entry.lookup != self.lookup_number {
                entry.lookup = self.lookup_number;
                entry.slot = self.slots.len() as u32;
                self.slots.push(index);
            }
            answer.extend_from_slice(&entry.slot.to_le_bytes());
        }
        answer[at..at + 4].copy_from_slice(&(self.slots.len() as u32).to_le_bytes());
        for entry in &self.slots {
            packed::push_value(answer, self.entries[*entry as usize].value.bytes());
        }
        Ok(())
    }

    fn put_slots(&mut self, changes: &[u8]) -> Result<(), StoreError> {
        for change in packed::slot_changes(changes) {
            let (slot, value) = change?;
            let entry = *packed::handed_out(&self.slots, slot)?;
            self.set(entry, value);
        }
        Ok(())
    }

    fn scan(
        &mut self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let order = self.order.as_ref().ok_or(StoreError::NotOrdered)?;
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, entry) in order.range::<[u8], _>((Bound::Included(from), end)) {
            if let Some(value) = self.entries[*entry as usize].value.bytes()
                && !visit(key, value)
            {
                break;
            }
        }
        Ok(())
    }

    fn committed(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.find(key) else { return Ok(None) };
        let layers = self.sealed.iter().chain(&self.filling).chain(&self.call);
        let oldest = layers.filter(|u| u.entry == entry).map(|u| &u.value).next();
        let value = oldest.unwrap_or(&self.entries[entry as usize].value);
        Ok(value.bytes().map(<[u8]>::to_vec))
    }

    fn end_call(&mut self, keep: bool) {
        if keep {
            self.keep_call();
        } else {
            while let Some(undo) = self.call.pop() {
                self.put_back(undo);
            }
        }
        self.call_number += 1;
        self.slots.clear();
        self.reclaim();
    }

    fn filling_bytes(&self) -> usize {
        self.filling_bytes
    }

    fn filling_keys(&self) -> usize {
        self.filling.len()
    }

    fn seal(&mut self, visit: Visit<'_>) -> Result<(), StoreError> {
        assert!(self.sealed.is_empty(), "one sealed set at a time");
        for undo in &self.filling {
            visit(self.key(undo.entry), self.entries[undo.entry as usize].value.bytes());
        }
        std::mem::swap(&mut self.filling, &mut self.sealed);
        self.filling_number += 1;
        self.filling_bytes = 0;
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.sealed.clear();
        self.checkpoint = Some(*checkpoint);
        Ok(())
    }

    fn roll_back(&mut self) {
        while let Some(undo) = self.filling.pop().or_else(|| self.sealed.pop()) {
            self.put_back(undo);
        }
        self.filling_number += 1;
        self.filling_bytes = 0;
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let entry = self.find_or_insert(key);
        let found = &mut self.entries[entry as usize];
        let was_absent = found.value.is_absent();
        found.value = Value::new(value);
        self.absent = self.absent + usize::from(value.is_none()) - usize::from(was_absent);
        Ok(())
    }

    fn restored(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.reclaim();
        self.checkpoint = Some(*checkpoint);
        Ok(())
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        *self = Self::new(self.order.is_some());
        Ok(())
    }

    fn keys_estimate(&self) -> u64 {
        (self.entries.len() - self.absent) as u64
    }
}
