//! What a partition knows of its producers: epochs, recent sequences, open and aborted transactions.
//! Rules: Apache Kafka's `ProducerStateManager` and `ProducerAppendInfo`.
//! Does not know the transaction coordinator; it is told which producers may write transactional batches.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::batch::BatchHeader;
use crate::wire::ErrorCode;

/// Batches remembered per producer, so that a repeated one is answered with its first offset. Clients have at most
/// five requests in flight.
const RECENT_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recent {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Producer {
    epoch: i16,
    recent: VecDeque<Recent>,
    last_seen_ms: i64,
    /// First offset of the transaction now open in this partition.
    open_from: Option<i64>,
    /// Epoch under which the coordinator has added this partition to a running transaction.
    #[serde(skip)]
    added_epoch: Option<i16>,
}

/// A transaction that was aborted: readers drop the producer's records from `first` up to its marker at `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    pub producer_id: i64,
    pub first: i64,
    pub last: i64,
}

/// What to do with a batch that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is here already, at this offset.
    Duplicate(i64),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
    /// (first offset, producer) of every open transaction.
    open: BTreeSet<(i64, i64)>,
    /// In order of `last`.
    aborted: Vec<Aborted>,
}

impl Producers {
    /// Judges a batch of a client by epoch, sequence and transaction.
    pub fn judge(&self, batch: &BatchHeader) -> Result<Verdict, ErrorCode> {
        let known = self.by_id.get(&batch.producer_id);
        if let Some(known) = known {
            if batch.producer_epoch < known.epoch {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            if batch.producer_epoch == known.epoch
                && let Some(offset) = known.find(batch)
            {
                return Ok(Verdict::Duplicate(offset));
            }
        }
        if batch.is_transactional() && known.and_then(|known| known.added_epoch) != Some(batch.producer_epoch) {
            return Err(ErrorCode::InvalidTxnState);
        }
        // A producer that was never seen, or was forgotten, may start anywhere: its records may be past retention.
        match known {
            Some(known) if !known.continues_with(batch) => Err(ErrorCode::OutOfOrderSequence),
            _ => Ok(Verdict::Append),
        }
    }

    /// Takes note of a batch of a client now in the log at `batch.base_offset`.
    pub fn appended(&mut self, batch: &BatchHeader) {
        if !batch.has_producer() {
            return;
        }
        let producer = self.by_id.entry(batch.producer_id).or_default();
        if batch.producer_epoch != producer.epoch {
            producer.recent.clear();
            producer.epoch = batch.producer_epoch;
        }
        producer.last_seen_ms = producer.last_seen_ms.max(batch.max_timestamp_ms);
        if producer.recent.len() == RECENT_MAX {
            producer.recent.pop_front();
        }
        producer.recent.push_back(Recent {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        if batch.is_transactional() && producer.open_from.is_none() {
            producer.open_from = Some(batch.base_offset);
            self.open.insert((batch.base_offset, batch.producer_id));
        }
    }

    /// Takes note of a marker now in the log. A marker of a higher epoch fences all lower ones.
    pub fn ended(&mut self, marker: &BatchHeader, commit: bool) {
        let producer = self.by_id.entry(marker.producer_id).or_default();
        producer.added_epoch = None;
        producer.last_seen_ms = producer.last_seen_ms.max(marker.max_timestamp_ms);
        if marker.producer_epoch > producer.epoch {
            producer.epoch = marker.producer_epoch;
            producer.recent.clear();
        }
        if let Some(first) = producer.open_from.take() {
            self.open.remove(&(first, marker.producer_id));
            if !commit {
                self.aborted.push(Aborted { producer_id: marker.producer_id, first, last: marker.base_offset });
            }
        }
    }

    /// The coordinator has added this partition to the producer's transaction.
    pub fn added(&mut self, producer_id: i64, epoch: i16) {
        let producer = self.by_id.entry(producer_id).or_insert_with(|| Producer { epoch, ..Producer::default() });
        producer.added_epoch = Some(epoch);
    }

    /// First offset that is not decided yet, if any transaction is open.
    pub fn first_unstable(&self) -> Option<i64> {
        self.open.first().map(|(first, _)| *first)
    }

    /// Transactions open in the log, as (producer, epoch).
    pub fn open_transactions(&self) -> Vec<(i64, i16)> {
        self.open.iter().filter_map(|(_, id)| Some((*id, self.by_id.get(id)?.epoch))).collect()
    }

    /// The aborted transactions a reader of `[from, to)` must know, in order of their end.
    pub fn aborted_within(&self, from: i64, to: i64) -> Vec<Aborted> {
        let start = self.aborted.partition_point(|aborted| aborted.last < from);
        self.aborted[start..].iter().filter(|aborted| aborted.first < to).copied().collect()
    }

    /// Forgets aborted transactions that ended below `offset`: none of their records is left.
    pub fn forget_aborted_below(&mut self, offset: i64) {
        let end = self.aborted.partition_point(|aborted| aborted.last < offset);
        self.aborted.drain(..end);
    }

    /// Forgets producers silent since `before_ms` that have nothing open.
    pub fn forget_silent(&mut self, before_ms: i64) {
        self.by_id.retain(|_, producer| {
            producer.open_from.is_some() || producer.added_epoch.is_some() || producer.last_seen_ms >= before_ms
        });
    }

    /// Base offsets of the last batch of every producer: without them a scan would not know where sequences stand.
    pub fn last_batches(&self) -> HashSet<i64> {
        self.by_id.values().filter_map(|producer| Some(producer.recent.back()?.base_offset)).collect()
    }

    pub fn aborted(&self) -> &[Aborted] {
        &self.aborted
    }
}

impl Producer {
    fn find(&self, batch: &BatchHeader) -> Option<i64> {
        let same = |r: &&Recent| r.first_sequence == batch.base_sequence && r.last_sequence == batch.last_sequence();
        self.recent.iter().find(same).map(|recent| recent.base_offset)
    }

    fn continues_with(&self, batch: &BatchHeader) -> bool {
        if batch.producer_epoch != self.epoch {
            return batch.base_sequence == 0;
        }
        match self.recent.back() {
            Some(last) => batch.base_sequence == last.last_sequence.wrapping_add(1) & i32::MAX,
            None => batch.base_sequence == 0,
        }
    }
}
