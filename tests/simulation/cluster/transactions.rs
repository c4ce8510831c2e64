//! The transaction coordinator, as protocol v1 has it: no epoch per transaction, so that a late request of one
//! transaction passes for one of the next by the same handle. Markers are written partition by partition, later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Cluster, NewEntry, OffsetText, OffsetsError, Place, Sender};

/// A producer as a client knows it: who it is, and which life of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub transactional_id: String,
    pub id: u64,
    pub epoch: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxError {
    /// Another life of this transactional id has begun, or the coordinator ended this one.
    Fenced,
    /// The request does not fit the transaction's state.
    InvalidState,
    /// The transaction before is still being marked: ask again.
    Concurrent,
}

#[derive(Debug, Default)]
pub struct Transactions {
    by_id: BTreeMap<String, Coordinated>,
    next_serial: u64,
    decided: Vec<Decided>,
}

/// A committed transaction: what it wrote and which offsets went with it.
#[derive(Clone, Debug)]
pub struct Decided {
    pub serial: u64,
    pub transactional_id: String,
    pub written: Vec<(Place, i64)>,
    pub offsets: BTreeMap<Place, OffsetText>,
}

#[derive(Debug)]
struct Coordinated {
    id: u64,
    epoch: i32,
    state: State,
    serial: u64,
    started: Duration,
    partitions: BTreeSet<Place>,
    has_offsets: bool,
    written: Vec<(Place, i64)>,
}

#[derive(Debug, PartialEq)]
enum State {
    Empty,
    Ongoing,
    /// Decided; these still lack their marker, from that moment on. `None` is the offsets' partition.
    Preparing {
        is_commit: bool,
        marks: Vec<(Duration, Option<Place>)>,
    },
    Complete {
        is_commit: bool,
    },
}

impl Cluster {
    /// InitProducerId: ends what an earlier life left open, then begins the next life.
    pub fn init_producer(&mut self, transactional_id: &str) -> Result<Producer, TxError> {
        let next_id = 1 + self.transactions.by_id.len() as u64;
        let new = || Coordinated {
            id: next_id,
            epoch: -1,
            state: State::Empty,
            serial: 0,
            started: Duration::ZERO,
            partitions: BTreeSet::new(),
            has_offsets: false,
            written: Vec::new(),
        };
        let tx = self.transactions.by_id.entry(transactional_id.to_owned()).or_insert_with(new);
        match tx.state {
            State::Preparing { .. } => return Err(TxError::Concurrent),
            State::Ongoing => {
                tx.epoch += 1;
                self.decide(transactional_id, false);
                return Err(TxError::Concurrent);
            }
            State::Empty | State::Complete { .. } => {}
        }
        tx.epoch += 1;
        tx.state = State::Empty;
        let producer = Producer { transactional_id: transactional_id.to_owned(), id: tx.id, epoch: tx.epoch };
        self.note(|| format!("broker: {transactional_id} begins epoch {}", producer.epoch));
        Ok(producer)
    }

    pub fn add_partition(&mut self, producer: &Producer, place: Place) -> Result<(), TxError> {
        self.extend_transaction(producer, |tx| {
            tx.partitions.insert(place);
        })
    }

    pub fn add_offsets(&mut self, producer: &Producer) -> Result<(), TxError> {
        self.extend_transaction(producer, |tx| tx.has_offsets = true)
    }

    fn extend_transaction(
        &mut self,
        producer: &Producer,
        extend: impl FnOnce(&mut Coordinated),
    ) -> Result<(), TxError> {
        let (now, next_serial) = (self.now, self.transactions.next_serial + 1);
        let tx = self.transactions.of(producer)?;
        match tx.state {
            State::Preparing { .. } => return Err(TxError::Concurrent),
            State::Ongoing => {}
            State::Empty | State::Complete { .. } => {
                tx.state = State::Ongoing;
                tx.started = now;
                tx.serial = next_serial;
                tx.partitions.clear();
                tx.has_offsets = false;
                tx.written.clear();
                self.transactions.next_serial = next_serial;
            }
        }
        extend(self.transactions.of(producer)?);
        Ok(())
    }

    /// Produce; gives the offset after the records. The broker checks that the partition is part of the transaction.
    pub fn produce(&mut self, producer: &Producer, place: Place, records: &[NewEntry]) -> Result<i64, TxError> {
        let tx = self.transactions.of(producer)?;
        if tx.state != State::Ongoing || !tx.partitions.contains(&place) {
            return Err(TxError::InvalidState);
        }
        let end = self.log_mut(place).append(records, producer.id);
        let tx = self.transactions.of(producer)?;
        tx.written.extend((end - records.len() as i64..end).map(|offset| (place, offset)));
        Ok(end)
    }

    /// TxnOffsetCommit: checked against the group and against the transaction; pending until the decision.
    pub fn commit_offsets(
        &mut self,
        producer: &Producer,
        sender: &Sender,
        offsets: &BTreeMap<Place, OffsetText>,
    ) -> Result<(), OffsetsError> {
        self.group.check_sender(sender).map_err(OffsetsError::Group)?;
        let tx = self.transactions.of(producer).map_err(OffsetsError::Transaction)?;
        if tx.state != State::Ongoing || !tx.has_offsets {
            return Err(OffsetsError::Transaction(TxError::InvalidState));
        }
        self.offsets.add_pending(producer.id, offsets);
        Ok(())
    }

    /// EndTxn. Repeating what is already complete succeeds, which is what makes late copies dangerous.
    pub fn end_transaction(&mut self, producer: &Producer, is_commit: bool) -> Result<(), TxError> {
        let tx = self.transactions.of(producer)?;
        match &tx.state {
            State::Ongoing => {
                self.decide(&producer.transactional_id, is_commit);
                Ok(())
            }
            State::Preparing { is_commit: decided, .. } | State::Complete { is_commit: decided } => {
                if *decided != is_commit {
                    return Err(TxError::InvalidState);
                }
                if matches!(tx.state, State::Preparing { .. }) { Err(TxError::Concurrent) } else { Ok(()) }
            }
            State::Empty => Err(TxError::InvalidState),
        }
    }

    fn decide(&mut self, transactional_id: &str, is_commit: bool) {
        let Some(tx) = self.transactions.by_id.get_mut(transactional_id) else { return };
        let mut targets: Vec<Option<Place>> = tx.partitions.iter().copied().map(Some).collect();
        if tx.has_offsets {
            targets.push(None);
        }
        let mut marks = Vec::with_capacity(targets.len());
        for target in targets {
            let slow = if self.random.chance(self.pace.marker_slow_permille) { 100 } else { 1 };
            let delay = self.random.below(1 + self.pace.marker_delay_ms_max * slow * 1000);
            marks.push((self.now + Duration::from_micros(delay), target));
        }
        let offsets = self.offsets.pending_of(tx.id);
        let (serial, written) = (tx.serial, std::mem::take(&mut tx.written));
        tx.state = State::Preparing { is_commit, marks };
        let outcome = if is_commit { "committed" } else { "aborted" };
        let count = written.len();
        self.note(|| format!("broker: {transactional_id} #{serial} {outcome}: {count} records, offsets {offsets:?}"));
        if is_commit {
            let transactional_id = transactional_id.to_owned();
            self.transactions.decided.push(Decided { serial, transactional_id, written, offsets });
        }
    }

    pub(super) fn write_markers(&mut self) {
        let now = self.now;
        let mut due: Vec<(u64, Option<Place>, bool)> = Vec::new();
        for tx in self.transactions.by_id.values_mut() {
            let State::Preparing { is_commit, marks } = &mut tx.state else { continue };
            let is_commit = *is_commit;
            due.extend(marks.iter().filter(|(at, _)| *at <= now).map(|(_, target)| (tx.id, *target, is_commit)));
            marks.retain(|(at, _)| *at > now);
            if marks.is_empty() {
                tx.state = State::Complete { is_commit };
            }
        }
        for (producer, target, is_commit) in due {
            match target {
                Some(place) => self.log_mut(place).mark(producer, is_commit),
                None => self.offsets.decide(producer, is_commit),
            }
        }
    }

    pub(super) fn expire_transactions(&mut self) {
        let (now, timeout) = (self.now, self.pace.transaction_timeout);
        let expired = |tx: &Coordinated| tx.state == State::Ongoing && now.saturating_sub(tx.started) > timeout;
        let ids: Vec<String> =
            self.transactions.by_id.iter().filter(|(_, tx)| expired(tx)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Some(tx) = self.transactions.by_id.get_mut(&id) {
                tx.epoch += 1;
            }
            self.note(|| format!("broker: the transaction of {id} took too long"));
            self.decide(&id, false);
        }
    }

    /// Committed transactions since the last time, in the order of their decisions.
    pub fn take_decided(&mut self) -> Vec<Decided> {
        std::mem::take(&mut self.transactions.decided)
    }

    /// Whether no transaction is open or lacks markers.
    pub fn is_settled(&self) -> bool {
        self.transactions.by_id.values().all(|tx| matches!(tx.state, State::Empty | State::Complete { .. }))
    }
}

impl Transactions {
    fn of(&mut self, producer: &Producer) -> Result<&mut Coordinated, TxError> {
        let tx = self.by_id.get_mut(&producer.transactional_id).ok_or(TxError::Fenced)?;
        if (tx.id, tx.epoch) == (producer.id, producer.epoch) { Ok(tx) } else { Err(TxError::Fenced) }
    }
}
