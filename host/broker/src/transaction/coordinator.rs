//! The transaction coordinator, after Apache Kafka's `TransactionCoordinator`.
//! Owns one lock per transactional id; every change is in the journal before it acts.
//! Does not know the wire.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::group::{Claim, Groups};
use crate::journal::{Committed, Entry, Journal, Stage};
use crate::sync::lock;
use crate::topic::Catalog;
use crate::wire::ErrorCode;

/// Producer ids are taken from the journal in blocks of this many; a restart skips the rest of its block.
const PRODUCER_ID_BLOCK: i64 = 1_000;

/// What a producer shows with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub producer_id: i64,
    pub epoch: i16,
}

#[derive(Debug)]
pub struct Transaction {
    pub id: String,
    pub identity: Identity,
    /// Before the last bump.
    pub last: Option<Identity>,
    pub timeout: Duration,
    pub stage: Stage,
    pub started: Instant,
    pub partitions: BTreeSet<(String, i32)>,
    pub groups: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Transactions {
    pub(super) journal: Arc<Journal>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) groups: Arc<Groups>,
    pub(super) by_id: Mutex<HashMap<String, Arc<Mutex<Transaction>>>>,
    next_producer_id: AtomicI64,
    producer_ids_end: Mutex<i64>,
}

impl Transactions {
    /// As the journal has them; `ending::resume` finishes what was decided.
    pub fn restored(journal: Arc<Journal>, catalog: Arc<Catalog>, groups: Arc<Groups>) -> Self {
        let (by_id, next) = journal.with_image(|image| {
            let restore = |(id, image): (&String, &crate::journal::TransactionImage)| {
                let age_ms = now_ms().saturating_sub(image.started_ms).max(0) as u64;
                let transaction = Transaction {
                    id: id.clone(),
                    identity: Identity { producer_id: image.producer_id, epoch: image.epoch },
                    last: image.last.map(|(producer_id, epoch)| Identity { producer_id, epoch }),
                    timeout: Duration::from_millis(image.timeout_ms.max(0) as u64),
                    stage: image.stage,
                    started: Instant::now().checked_sub(Duration::from_millis(age_ms)).unwrap_or_else(Instant::now),
                    partitions: image.partitions.clone(),
                    groups: image.offsets.keys().cloned().collect(),
                };
                (id.clone(), Arc::new(Mutex::new(transaction)))
            };
            (image.transactions.iter().map(restore).collect(), image.next_producer_id)
        });
        Self {
            journal,
            catalog,
            groups,
            by_id: Mutex::new(by_id),
            next_producer_id: AtomicI64::new(next),
            producer_ids_end: Mutex::new(next),
        }
    }

    pub fn get(&self, id: &str) -> Option<Arc<Mutex<Transaction>>> {
        lock(&self.by_id).get(id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Mutex<Transaction>>> {
        lock(&self.by_id).values().cloned().collect()
    }

    /// A producer id nobody has had.
    pub fn new_producer_id(&self) -> Result<i64, ErrorCode> {
        let mut end = lock(&self.producer_ids_end);
        let id = self.next_producer_id.load(Ordering::Relaxed);
        if id >= *end {
            self.journal.append(Entry::ProducerIds { next: id + PRODUCER_ID_BLOCK }, true)?;
            *end = id + PRODUCER_ID_BLOCK;
        }
        self.next_producer_id.store(id + 1, Ordering::Relaxed);
        Ok(id)
    }

    /// Gives the id to this producer and fences the one before; its open transaction is aborted first.
    pub fn init(&self, id: &str, timeout_ms: i32, shown: Option<Identity>) -> Result<Identity, ErrorCode> {
        let transaction = lock(&self.by_id).get(id).cloned();
        let Some(transaction) = transaction else { return self.create(id, timeout_ms) };
        let mut transaction = lock(&transaction);
        if let Some(shown) = shown {
            let is_current = shown == transaction.identity;
            if !is_current && Some(shown) != transaction.last {
                return Err(ErrorCode::ProducerFenced);
            }
            if !is_current {
                return Ok(transaction.identity);
            }
        }
        let before = transaction.identity;
        match transaction.stage {
            Stage::Prepared(_) => return Err(ErrorCode::ConcurrentTransactions),
            Stage::Ongoing => self.abort_fenced(&mut transaction)?,
            Stage::Empty | Stage::Complete(_) => {}
        }
        let next = self.bumped(transaction.identity)?;
        self.write_producer(id, next, Some((before.producer_id, before.epoch)), timeout_ms)?;
        transaction.last = Some(before);
        transaction.identity = next;
        transaction.timeout = Duration::from_millis(timeout_ms as u64);
        transaction.stage = Stage::Empty;
        Ok(next)
    }

    fn create(&self, id: &str, timeout_ms: i32) -> Result<Identity, ErrorCode> {
        let identity = Identity { producer_id: self.new_producer_id()?, epoch: 0 };
        let mut by_id = lock(&self.by_id);
        if by_id.contains_key(id) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        self.write_producer(id, identity, None, timeout_ms)?;
        let transaction = Transaction {
            id: id.to_owned(),
            identity,
            last: None,
            timeout: Duration::from_millis(timeout_ms as u64),
            stage: Stage::Empty,
            started: Instant::now(),
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        };
        by_id.insert(id.to_owned(), Arc::new(Mutex::new(transaction)));
        Ok(identity)
    }

    fn write_producer(
        &self,
        id: &str,
        to: Identity,
        last: Option<(i64, i16)>,
        timeout_ms: i32,
    ) -> Result<(), ErrorCode> {
        let (producer_id, epoch) = (to.producer_id, to.epoch);
        self.journal.append(Entry::Producer { id: id.to_owned(), producer_id, epoch, last, timeout_ms }, true)
    }

    /// The next epoch; a new producer id when epochs are used up.
    pub(super) fn bumped(&self, identity: Identity) -> Result<Identity, ErrorCode> {
        if identity.epoch >= i16::MAX - 1 {
            return Ok(Identity { producer_id: self.new_producer_id()?, epoch: 0 });
        }
        Ok(Identity { epoch: identity.epoch + 1, ..identity })
    }

    /// Adds existing partitions to the transaction, which begins with the first of them.
    pub fn add_partitions(&self, id: &str, shown: Identity, partitions: Vec<(String, i32)>) -> Result<(), ErrorCode> {
        let transaction = self.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let mut transaction = lock(&transaction);
        transaction.check(shown)?;
        let new: Vec<_> = partitions.into_iter().filter(|added| !transaction.partitions.contains(added)).collect();
        if new.is_empty() && transaction.stage == Stage::Ongoing {
            return Ok(());
        }
        let entry = Entry::Partitions { id: id.to_owned(), partitions: new.clone(), now_ms: now_ms() };
        self.journal.append(entry, false)?;
        transaction.begin();
        for (topic, partition) in new {
            if let Some(log) = self.catalog.partition(&topic, partition) {
                lock(&log).producers.added(shown.producer_id, shown.epoch);
            }
            transaction.partitions.insert((topic, partition));
        }
        Ok(())
    }

    pub fn add_group(&self, id: &str, shown: Identity, group: &str) -> Result<(), ErrorCode> {
        let transaction = self.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let mut transaction = lock(&transaction);
        transaction.check(shown)?;
        if transaction.stage == Stage::Ongoing && transaction.groups.contains(group) {
            return Ok(());
        }
        let entry = Entry::TransactionGroup { id: id.to_owned(), group: group.to_owned(), now_ms: now_ms() };
        self.journal.append(entry, false)?;
        transaction.begin();
        transaction.groups.insert(group.to_owned());
        Ok(())
    }

    /// Notes offsets that become committed if the transaction does.
    pub fn commit_offsets(
        &self,
        id: &str,
        shown: Identity,
        group: &str,
        claim: Claim<'_>,
        offsets: Vec<Committed>,
    ) -> Result<(), ErrorCode> {
        let transaction = self.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let transaction = lock(&transaction);
        if transaction.identity.producer_id != shown.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.identity.epoch != shown.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if transaction.stage != Stage::Ongoing || !transaction.groups.contains(group) {
            return Err(ErrorCode::InvalidTxnState);
        }
        let write = || {
            let (id, group) = (id.to_owned(), group.to_owned());
            self.journal.append(Entry::TransactionOffsets { id, group, offsets: offsets.clone() }, true)
        };
        let now = Instant::now();
        let add = |state: &mut crate::group::Group| {
            state.check_commit(claim, now)?;
            write()?;
            state.offsets.add_pending(shown.producer_id, offsets.clone());
            Ok(())
        };
        if claim.generation >= 0 {
            return self.groups.with(group, add).unwrap_or(Err(ErrorCode::IllegalGeneration));
        }
        self.groups.with_new(group, add)
    }

    /// Why a transactional batch is refused, where the partition knows only that the producer was not added.
    pub fn explain_refusal(&self, id: Option<&str>, shown: Identity) -> ErrorCode {
        let Some(transaction) = id.and_then(|id| self.get(id)) else { return ErrorCode::InvalidProducerIdMapping };
        let transaction = lock(&transaction);
        match transaction.identity {
            current if current.producer_id != shown.producer_id => ErrorCode::InvalidProducerIdMapping,
            current if current.epoch != shown.epoch => ErrorCode::InvalidProducerEpoch,
            _ => ErrorCode::InvalidTxnState,
        }
    }
}

impl Transaction {
    /// The producer is the current one and the last transaction is over or still running.
    pub(super) fn check(&self, shown: Identity) -> Result<(), ErrorCode> {
        if self.identity.producer_id != shown.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if self.identity.epoch != shown.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if matches!(self.stage, Stage::Prepared(_)) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(())
    }

    fn begin(&mut self) {
        if self.stage != Stage::Ongoing {
            self.stage = Stage::Ongoing;
            self.started = Instant::now();
        }
    }
}

/// Offsets by group, as the journal keeps them for a running transaction.
pub(super) type Pending = BTreeMap<String, Vec<Committed>>;
