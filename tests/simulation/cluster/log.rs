//! One partition of a topic: entries in the order of their offsets, transaction markers among them.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Entry {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<u8>,
    pub timestamp_ms: i64,
    /// Who wrote it; 0 outside transactions.
    producer: u64,
    pub fate: Fate,
    /// Of a removal: when the cleaner first passed it.
    cleaned: Option<Duration>,
}

/// What readers may see of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Plain,
    Open,
    Committed,
    Aborted,
    Marker,
}

/// An entry to append.
#[derive(Clone, Debug, Default)]
pub struct NewEntry {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<u8>,
    pub timestamp_ms: i64,
}

#[derive(Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
    first: i64,
    end: i64,
    /// Producers with an open transaction here, and its first offset.
    open: BTreeMap<u64, i64>,
}

impl Log {
    /// Appends records of a producer (0: none); gives the offset after them.
    pub fn append(&mut self, records: &[NewEntry], producer: u64) -> i64 {
        let fate = if producer == 0 { Fate::Plain } else { Fate::Open };
        if producer != 0 && !records.is_empty() {
            self.open.entry(producer).or_insert(self.end);
        }
        for record in records {
            self.push(record.clone(), producer, fate);
        }
        self.end
    }

    /// Writes a transaction's marker.
    pub fn mark(&mut self, producer: u64, is_commit: bool) {
        if let Some(from) = self.open.remove(&producer) {
            let fate = if is_commit { Fate::Committed } else { Fate::Aborted };
            let at = self.index_of(from);
            let of_producer = |e: &&mut Entry| e.producer == producer && e.fate == Fate::Open;
            self.entries[at..].iter_mut().filter(of_producer).for_each(|e| e.fate = fate);
        }
        self.push(NewEntry::default(), producer, Fate::Marker);
    }

    fn push(&mut self, new: NewEntry, producer: u64, fate: Fate) {
        let NewEntry { key, value, headers, timestamp_ms } = new;
        self.entries.push(Entry { offset: self.end, key, value, headers, timestamp_ms, producer, fate, cleaned: None });
        self.end += 1;
    }

    /// Retention: everything before `first` is gone.
    pub fn remove_before(&mut self, first: i64) {
        self.entries.retain(|e| e.offset >= first);
        self.first = first;
    }

    /// The log has lost everything from `end` on.
    pub fn truncate(&mut self, end: i64) {
        self.entries.retain(|e| e.offset < end);
        self.open.retain(|_, from| *from < end);
        self.end = end;
    }

    pub fn first(&self) -> i64 {
        self.first
    }

    /// The high watermark.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The last stable offset: up to here every transaction is decided.
    pub fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// All entries in `from..to`, markers and aborted ones included.
    pub fn range(&self, from: i64, to: i64) -> impl Iterator<Item = &Entry> {
        self.entries[self.index_of(from)..].iter().take_while(move |e| e.offset < to)
    }

    /// What a read_committed reader sees in `from..to`, which must be stable.
    pub fn committed(&self, from: i64, to: i64) -> impl Iterator<Item = &Entry> {
        self.range(from, to).filter(|e| matches!(e.fate, Fate::Plain | Fate::Committed))
    }

    pub fn entry(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(self.index_of(offset)).filter(|e| e.offset == offset)
    }

    fn index_of(&self, offset: i64) -> usize {
        self.entries.partition_point(|e| e.offset < offset)
    }

    /// Keeps the newest value of each key, as a broker's cleaner does: markers and aborted records go, removals go
    /// that it passed `removals_kept` ago for the first time, so that whoever has read what they remove may still find
    /// them; the newest entries and everything undecided stay.
    pub fn compact(&mut self, now: Duration, removals_kept: Duration) {
        let clean_to = self.stable_end().min(self.end - ACTIVE_ENTRIES);
        let mut newest: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for entry in self.committed(0, clean_to) {
            if let Some(key) = &entry.key {
                newest.insert(key.clone(), entry.offset);
            }
        }
        self.entries.retain_mut(|e| {
            let is_newest = e.key.as_ref().is_some_and(|k| newest.get(k) == Some(&e.offset));
            if e.offset >= clean_to {
                return true;
            }
            let passed = *e.cleaned.get_or_insert(now);
            is_newest && (e.value.is_some() || now.saturating_sub(passed) < removals_kept)
        });
    }
}

/// The cleaner leaves the active segment alone.
const ACTIVE_ENTRIES: i64 = 3;
