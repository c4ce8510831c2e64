//! The answer of `get-slots` and the changes made over it. The host has removed duplicates, so that each distinct key has
//! one slot; this is a small map from slots to newest values, in one arena.

use crate::packed::{ABSENT, u32_at};

/// Newest values of the keys that were looked up.
pub(crate) struct Slots {
    /// The host's answer, then values set since.
    arena: Vec<u8>,
    values: Vec<Value>,
}

#[derive(Clone, Copy)]
struct Value {
    at: u32,
    /// [`ABSENT`] for no value.
    len: u32,
    changed: bool,
}

/// One key's entry while it is being updated.
pub struct Entry<'s> {
    arena: &'s mut Vec<u8>,
    value: &'s mut Value,
}

impl Slots {
    /// `answer` is as the host wrote it, for `keys` keys.
    #[inline]
    pub(crate) fn new(answer: Vec<u8>, keys: usize) -> Self {
        let distinct = u32_at(&answer, 0) as usize;
        let mut values = Vec::with_capacity(distinct);
        let mut at = 4 + 4 * keys;
        for _ in 0..distinct {
            let len = u32_at(&answer, at);
            at += 4;
            values.push(Value { at: at as u32, len, changed: false });
            at += if len == ABSENT { 0 } else { len as usize };
        }
        Self { arena: answer, values }
    }

    #[inline]
    pub(crate) fn entry(&mut self, position: usize) -> Entry<'_> {
        let slot = u32_at(&self.arena, 4 + 4 * position) as usize;
        Entry { arena: &mut self.arena, value: &mut self.values[slot] }
    }

    /// What changed, as packed slot changes.
    #[inline]
    pub(crate) fn into_changes(self) -> Vec<u8> {
        let mut changes = Vec::with_capacity(self.values.len() * 24);
        for (slot, value) in self.values.iter().enumerate().filter(|(_, value)| value.changed) {
            changes.extend_from_slice(&(slot as u32).to_le_bytes());
            changes.extend_from_slice(&value.len.to_le_bytes());
            if value.len != ABSENT {
                changes.extend_from_slice(&self.arena[value.at as usize..][..value.len as usize]);
            }
        }
        changes
    }
}

impl Entry<'_> {
    /// The newest value.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        (self.value.len != ABSENT).then(|| &self.arena[self.value.at as usize..][..self.value.len as usize])
    }

    #[inline]
    pub fn set(&mut self, value: &[u8]) {
        if value.len() as u32 <= self.value.len && self.value.len != ABSENT {
            self.arena[self.value.at as usize..][..value.len()].copy_from_slice(value);
        } else {
            self.value.at = self.arena.len() as u32;
            self.arena.extend_from_slice(value);
        }
        self.value.len = value.len() as u32;
        self.value.changed = true;
    }

    pub fn remove(&mut self) {
        self.value.len = ABSENT;
        self.value.changed = true;
    }
}
