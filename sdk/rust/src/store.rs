//! Keyed state of the task that the current call works for.

use crate::packed::{ABSENT, u32_at};
use crate::slots::{Entry, Slots};
use crate::{Keys, Values, host};

/// A store of the manifest. Reads see all earlier writes. A key or value beyond the limits (keys 1 to 65,535 bytes,
/// values 921,600) ends the call as a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    index: u32,
}

/// Changes to make together.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
}

/// The entries of a range in ascending order of keys, fetched in pieces as they are needed.
#[derive(Debug)]
pub struct Entries {
    source: Source,
    end: Option<Vec<u8>>,
    /// Where the next piece starts; `None` when there is none.
    next: Option<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Store(u32),
    Table(u32),
}

/// Entries per piece of a scan.
const PIECE: u32 = 512;

impl Store {
    pub(crate) fn new(index: u32) -> Self {
        Self { index }
    }

    #[doc(hidden)]
    pub fn at(index: u32) -> Self {
        Self { index }
    }

    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        host::state_get(self.index, key)
    }

    pub fn put(&self, key: &[u8], value: &[u8]) {
        host::state_put(self.index, key, value);
    }

    pub fn remove(&self, key: &[u8]) {
        host::state_remove(self.index, key);
    }

    /// Looks up many keys in one crossing of the border: several times cheaper than one by one.
    pub fn get_many(&self, keys: &Keys) -> Values {
        Values::new(host::state_get_many(self.index, keys.bytes()))
    }

    /// Makes many changes in one crossing of the border, in order.
    pub fn apply(&self, changes: &Changes) {
        if !changes.bytes.is_empty() {
            host::state_apply(self.index, &changes.bytes);
        }
    }

    /// Reads and writes many keys in two crossings of the border, the cheapest way there is. Calls `update` once per
    /// key in order, with its place and its entry; a key that comes twice sees what was set the first time.
    ///
    /// # Errors
    /// The first error of `update`; nothing is written then.
    #[inline]
    pub fn update_many<E>(
        &self,
        keys: &Keys,
        mut update: impl FnMut(usize, &mut Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut slots = Slots::new(host::state_get_slots(self.index, keys.bytes()), keys.len());
        for position in 0..keys.len() {
            update(position, &mut slots.entry(position))?;
        }
        let changes = slots.into_changes();
        if !changes.is_empty() {
            host::state_put_slots(self.index, &changes);
        }
        Ok(())
    }

    /// The entries with `start <= key` and, if given, `key < end`. The store must be declared with `scans = true`.
    /// Entries written while the scan runs may or may not be seen.
    pub fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Entries {
        Entries::new(Source::Store(self.index), start, end)
    }
}

impl Changes {
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(key, value.len() as u32, value);
    }

    pub fn remove(&mut self, key: &[u8]) {
        self.push(key, ABSENT, &[]);
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(&mut self, key: &[u8], value_len: u32, value: &[u8]) {
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }
}

impl Entries {
    pub(crate) fn new(source: Source, start: &[u8], end: Option<&[u8]>) -> Self {
        Self { source, end: end.map(<[u8]>::to_vec), next: Some(start.to_vec()), piece: Vec::new(), at: 0 }
    }

    fn fetch(&mut self) {
        let Some(start) = self.next.take() else { return };
        let end = self.end.as_deref();
        self.piece = match self.source {
            Source::Store(index) => host::state_scan(index, &start, end, PIECE),
            Source::Table(index) => host::table_scan(index, &start, end, PIECE),
        };
        self.at = 0;
    }
}

impl Iterator for Entries {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.piece.len() {
            self.fetch();
        }
        if self.at >= self.piece.len() {
            return None;
        }
        let (key_len, value_len) = (u32_at(&self.piece, self.at) as usize, u32_at(&self.piece, self.at + 4) as usize);
        let key = self.piece[self.at + 8..][..key_len].to_vec();
        let value = self.piece[self.at + 8 + key_len..][..value_len].to_vec();
        self.at += 8 + key_len + value_len;
        if self.at >= self.piece.len() {
            self.next = Some([&key[..], &[0]].concat());
        }
        Some((key, value))
    }
}
