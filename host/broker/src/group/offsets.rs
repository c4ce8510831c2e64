//! Committed offsets of a group, and those a transaction has not decided yet.
//! Rules: Apache Kafka's `ClassicGroup.validateOffsetCommit` and `OffsetMetadataManager`.
//! Does not know how a transaction ends, only that it did.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::state::{Group, State};
use crate::journal::{Committed, Outcome};
use crate::wire::ErrorCode;

/// Who a commit says it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub member_id: &'a str,
    pub instance: Option<&'a str>,
    pub generation: i32,
    pub is_transactional: bool,
}

#[derive(Debug, Default)]
pub struct Offsets {
    committed: BTreeMap<String, BTreeMap<i32, Committed>>,
    /// By producer, in the order sent.
    pending: HashMap<i64, Vec<Committed>>,
}

impl Offsets {
    pub fn restored(committed: BTreeMap<String, BTreeMap<i32, Committed>>) -> Self {
        Self { committed, pending: HashMap::new() }
    }

    pub fn commit(&mut self, offsets: Vec<Committed>) {
        for committed in offsets {
            self.committed.entry(committed.topic.clone()).or_default().insert(committed.partition, committed);
        }
    }

    pub fn add_pending(&mut self, producer_id: i64, offsets: Vec<Committed>) {
        self.pending.entry(producer_id).or_default().extend(offsets);
    }

    pub fn end_pending(&mut self, producer_id: i64, outcome: Outcome) {
        let offsets = self.pending.remove(&producer_id).unwrap_or_default();
        if outcome == Outcome::Commit {
            self.commit(offsets);
        }
    }

    pub fn is_pending(&self, topic: &str, partition: i32) -> bool {
        self.pending.values().flatten().any(|offset| offset.topic == topic && offset.partition == partition)
    }

    pub fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(topic)?.get(&partition)
    }

    /// All partitions with a committed or pending offset.
    pub fn partitions(&self) -> BTreeMap<String, Vec<i32>> {
        let committed = self.committed.values().flat_map(BTreeMap::values);
        let mut all: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for offset in committed.chain(self.pending.values().flatten()) {
            let partitions = all.entry(offset.topic.clone()).or_default();
            if !partitions.contains(&offset.partition) {
                partitions.push(offset.partition);
            }
        }
        all
    }

    pub fn forget_topic(&mut self, topic: &str) {
        self.committed.remove(topic);
        for offsets in self.pending.values_mut() {
            offsets.retain(|offset| offset.topic != topic);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }
}

impl Group {
    /// Whether a commit may be taken; a taken one from a member keeps its session alive.
    pub fn check_commit(&mut self, claim: Claim<'_>, now: Instant) -> Result<(), ErrorCode> {
        if claim.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let names_member = claim.generation >= 0 || !claim.member_id.is_empty() || claim.instance.is_some();
        if names_member {
            self.check_member(claim.member_id, claim.instance)?;
            if claim.generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !claim.is_transactional && self.state != State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !claim.is_transactional && self.state == State::Completing {
            return Err(ErrorCode::RebalanceInProgress);
        }
        if !claim.is_transactional
            && let Some(member) = self.member_mut(claim.member_id)
        {
            member.touch(now);
        }
        Ok(())
    }
}
