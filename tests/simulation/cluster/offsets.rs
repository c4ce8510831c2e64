//! Committed offsets with their texts, and those of transactions that are not decided yet.

use std::collections::BTreeMap;

use super::{Cluster, GroupError, Place, TxError};

/// An offset to commit and the text beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetText {
    pub next: i64,
    pub metadata: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub next: i64,
    pub metadata: String,
    /// Which write it was: the later *written* one wins, not the later decided one.
    write: u64,
}

/// The member that a commit claims to come from.
#[derive(Clone, Debug)]
pub struct Sender {
    pub member: String,
    pub generation: i32,
    /// `None` for a client that never joined and has no static id: brokers let it commit.
    pub instance: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetsError {
    Group(GroupError),
    Transaction(TxError),
}

#[derive(Debug, Default)]
pub struct Offsets {
    committed: BTreeMap<Place, CommittedOffset>,
    pending: BTreeMap<u64, BTreeMap<Place, CommittedOffset>>,
    writes: u64,
}

impl Offsets {
    pub(super) fn add_pending(&mut self, producer: u64, offsets: &BTreeMap<Place, OffsetText>) {
        self.writes += 1;
        let write = self.writes;
        let pending = self.pending.entry(producer).or_default();
        for (place, OffsetText { next, metadata }) in offsets {
            pending.insert(*place, CommittedOffset { next: *next, metadata: metadata.clone(), write });
        }
    }

    pub(super) fn pending_of(&self, producer: u64) -> BTreeMap<Place, OffsetText> {
        let text = |o: &CommittedOffset| OffsetText { next: o.next, metadata: o.metadata.clone() };
        self.pending.get(&producer).into_iter().flatten().map(|(place, o)| (*place, text(o))).collect()
    }

    pub(super) fn decide(&mut self, producer: u64, is_commit: bool) {
        for (place, offset) in self.pending.remove(&producer).unwrap_or_default() {
            if is_commit && self.committed.get(&place).is_none_or(|c| c.write < offset.write) {
                self.committed.insert(place, offset);
            }
        }
    }
}

impl Cluster {
    /// OffsetFetch without require-stable: answers at once, stale, without a sign.
    pub fn committed_offset(&self, place: Place) -> Option<&CommittedOffset> {
        self.offsets.committed.get(&place)
    }

    /// Somebody sets or removes a committed offset from outside.
    pub fn set_offset(&mut self, place: Place, offset: Option<OffsetText>) {
        self.offsets.writes += 1;
        let write = self.offsets.writes;
        match offset {
            Some(OffsetText { next, metadata }) => {
                self.offsets.committed.insert(place, CommittedOffset { next, metadata, write });
            }
            None => {
                self.offsets.committed.remove(&place);
            }
        }
    }

    /// Whether a transaction holds an undecided offset of this partition; a require-stable fetch waits for it.
    pub fn has_pending_offset(&self, place: Place) -> bool {
        self.offsets.pending.values().any(|p| p.contains_key(&place))
    }
}
