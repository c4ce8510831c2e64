//! The fold of all journal entries: what is true now.
//! Owns the meaning of each entry; start and rewrite both use it, so that they cannot differ.
//! Does not know files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::entry::{Committed, Entry, Membership, Outcome};
use crate::topic::settings::Overrides;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub cluster_id: String,
    pub next_topic_id: u64,
    pub next_producer_id: i64,
    pub topics: BTreeMap<String, TopicImage>,
    pub groups: BTreeMap<String, GroupImage>,
    pub transactions: BTreeMap<String, TransactionImage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicImage {
    pub id: u64,
    pub partitions: i32,
    pub overrides: Overrides,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupImage {
    pub offsets: BTreeMap<String, BTreeMap<i32, Committed>>,
    pub membership: Option<Membership>,
}

/// Where a transactional id stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Never had a transaction under this producer epoch.
    #[default]
    Empty,
    Ongoing,
    Prepared(Outcome),
    Complete(Outcome),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TransactionImage {
    pub producer_id: i64,
    pub epoch: i16,
    /// Producer id and epoch before the last bump: a repeated bump is recognised by them.
    pub last: Option<(i64, i16)>,
    pub timeout_ms: i32,
    pub stage: Stage,
    pub started_ms: i64,
    pub partitions: BTreeSet<(String, i32)>,
    pub offsets: BTreeMap<String, Vec<Committed>>,
}

impl GroupImage {
    pub fn commit(&mut self, offsets: Vec<Committed>) {
        for committed in offsets {
            self.offsets.entry(committed.topic.clone()).or_default().insert(committed.partition, committed);
        }
    }
}

impl Image {
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Image(image) => *self = *image,
            Entry::Cluster { id } => self.cluster_id = id,
            Entry::Topic { name, id, partitions, overrides } => {
                self.next_topic_id = self.next_topic_id.max(id + 1);
                self.topics.insert(name, TopicImage { id, partitions, overrides });
            }
            Entry::TopicDeleted { name } => self.drop_topic(&name),
            Entry::Offsets { group, offsets } => self.groups.entry(group).or_default().commit(offsets),
            Entry::Group { group, membership } => {
                self.groups.entry(group).or_default().membership = Some(membership);
            }
            Entry::GroupDeleted { group } => drop(self.groups.remove(&group)),
            Entry::ProducerIds { next } => self.next_producer_id = self.next_producer_id.max(next),
            entry => self.apply_to_transaction(entry),
        }
    }

    fn apply_to_transaction(&mut self, entry: Entry) {
        match entry {
            Entry::Producer { id, producer_id, epoch, last, timeout_ms } => {
                let transaction = TransactionImage { producer_id, epoch, last, timeout_ms, ..Default::default() };
                self.transactions.insert(id, transaction);
            }
            Entry::Partitions { id, partitions, now_ms } => {
                self.ongoing(id, now_ms).partitions.extend(partitions);
            }
            Entry::TransactionGroup { id, group, now_ms } => {
                self.ongoing(id, now_ms).offsets.entry(group).or_default();
            }
            Entry::TransactionOffsets { id, group, offsets } => {
                let transaction = self.transactions.entry(id).or_default();
                transaction.offsets.entry(group).or_default().extend(offsets);
            }
            Entry::Prepared { id, outcome, epoch } => {
                let transaction = self.transactions.entry(id).or_default();
                transaction.stage = Stage::Prepared(outcome);
                transaction.epoch = epoch;
            }
            Entry::Done { id } => self.finish(&id),
            _ => unreachable!("the caller handles all other entries"),
        }
    }

    fn ongoing(&mut self, id: String, now_ms: i64) -> &mut TransactionImage {
        let transaction = self.transactions.entry(id).or_default();
        if transaction.stage != Stage::Ongoing {
            transaction.stage = Stage::Ongoing;
            transaction.started_ms = now_ms;
        }
        transaction
    }

    fn finish(&mut self, id: &str) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Stage::Prepared(outcome) = transaction.stage else { return };
        transaction.stage = Stage::Complete(outcome);
        transaction.partitions.clear();
        let offsets = std::mem::take(&mut transaction.offsets);
        if outcome == Outcome::Commit {
            for (group, offsets) in offsets {
                self.groups.entry(group).or_default().commit(offsets);
            }
        }
    }

    fn drop_topic(&mut self, name: &str) {
        self.topics.remove(name);
        for group in self.groups.values_mut() {
            group.offsets.remove(name);
        }
        for transaction in self.transactions.values_mut() {
            transaction.partitions.retain(|(topic, _)| topic != name);
            for offsets in transaction.offsets.values_mut() {
                offsets.retain(|committed| committed.topic != name);
            }
        }
    }
}
