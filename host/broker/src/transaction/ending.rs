//! How a transaction ends: prepared in the journal, then markers and offsets, then done.
//! Owns the end of those whose producer is gone: time-outs, fencing, and what a crash left between prepare and done.
//! Does not know the wire.

use std::sync::MutexGuard;
use std::time::Instant;

use super::coordinator::{Identity, Pending, Transaction, Transactions};
use crate::journal::{Entry, Outcome, Stage};
use crate::sync::lock;
use crate::wire::ErrorCode;

impl Transactions {
    /// The producer ends its transaction.
    pub fn end(&self, id: &str, shown: Identity, outcome: Outcome) -> Result<(), ErrorCode> {
        let transaction = self.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let mut transaction = lock(&transaction);
        if transaction.identity.producer_id != shown.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.identity.epoch != shown.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match transaction.stage {
            Stage::Ongoing => {
                let identity = transaction.identity;
                self.prepare(&mut transaction, outcome, identity)?;
                self.complete(&mut transaction)
            }
            // A repeated request whose first answer was lost.
            Stage::Complete(done) if done == outcome => Ok(()),
            Stage::Prepared(decided) if decided == outcome => {
                self.complete(&mut transaction).map_err(|_| ErrorCode::ConcurrentTransactions)
            }
            Stage::Empty | Stage::Complete(_) | Stage::Prepared(_) => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Aborts what a fenced or silent producer left open, under an epoch it does not have.
    pub(super) fn abort_fenced(&self, transaction: &mut MutexGuard<'_, Transaction>) -> Result<(), ErrorCode> {
        let identity = transaction.identity;
        let fencing = Identity { epoch: identity.epoch.saturating_add(1), ..identity };
        self.prepare(transaction, Outcome::Abort, fencing)?;
        self.complete(transaction)
    }

    fn prepare(&self, transaction: &mut Transaction, outcome: Outcome, under: Identity) -> Result<(), ErrorCode> {
        let id = transaction.id.clone();
        self.journal.append(Entry::Prepared { id, outcome, epoch: under.epoch }, true)?;
        transaction.identity = under;
        transaction.stage = Stage::Prepared(outcome);
        Ok(())
    }

    /// Writes the markers and applies the offsets of a decided transaction. May be repeated after a failure.
    fn complete(&self, transaction: &mut Transaction) -> Result<(), ErrorCode> {
        let Stage::Prepared(outcome) = transaction.stage else { return Ok(()) };
        let identity = transaction.identity;
        while let Some((topic, partition)) = transaction.partitions.first().cloned() {
            if let Some(log) = self.catalog.partition(&topic, partition) {
                let mut log = lock(&log);
                if !log.is_closed() {
                    log.end_transaction(identity.producer_id, identity.epoch, outcome == Outcome::Commit)?;
                }
            }
            transaction.partitions.pop_first();
        }
        for group in std::mem::take(&mut transaction.groups) {
            self.groups.with(&group, |group| group.offsets.end_pending(identity.producer_id, outcome));
        }
        // Were this entry lost, a restart would write the markers again, which changes nothing.
        self.journal.append(Entry::Done { id: transaction.id.clone() }, false)?;
        transaction.stage = Stage::Complete(outcome);
        Ok(())
    }

    /// After a start: finishes what was decided, and tells partitions and groups what is still running.
    pub fn resume(&self) {
        for transaction in self.all() {
            let mut transaction = lock(&transaction);
            self.announce(&transaction);
            if self.complete(&mut transaction).is_err() {
                tracing::error!(id = transaction.id, "a decided transaction could not be finished");
            }
        }
        self.abort_orphans();
    }

    fn announce(&self, transaction: &Transaction) {
        let Identity { producer_id, epoch } = transaction.identity;
        for (topic, partition) in &transaction.partitions {
            if let Some(log) = self.catalog.partition(topic, *partition) {
                lock(&log).producers.added(producer_id, epoch);
            }
        }
        let pending: Pending = self.journal.with_image(|image| {
            image.transactions.get(&transaction.id).map(|image| image.offsets.clone()).unwrap_or_default()
        });
        for (group, offsets) in pending {
            self.groups.with_new(&group, |group| group.offsets.add_pending(producer_id, offsets));
        }
    }

    /// Ends transactions that are open in a log although no transactional id knows of them: the journal lost its tail
    /// in a power cut. Left open they would hold the last stable offset for ever.
    fn abort_orphans(&self) {
        let mut held = Vec::new();
        for transaction in self.all() {
            let transaction = lock(&transaction);
            if transaction.stage == Stage::Ongoing {
                held.push((transaction.identity.producer_id, transaction.partitions.clone()));
            }
        }
        for (name, topic) in self.catalog.all() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                let mut log = lock(partition);
                for (producer_id, epoch) in log.producers.open_transactions() {
                    let key = (name.clone(), index as i32);
                    if held.iter().any(|(id, partitions)| *id == producer_id && partitions.contains(&key)) {
                        continue;
                    }
                    tracing::warn!(topic = name, partition = index, producer_id, "an orphaned transaction is aborted");
                    let _ = log.end_transaction(producer_id, epoch, false);
                }
            }
        }
    }

    /// Aborts transactions that ran past their time-out; their producer is fenced.
    pub fn expire(&self, now: Instant) {
        for transaction in self.all() {
            let mut transaction = lock(&transaction);
            let is_late = now.saturating_duration_since(transaction.started) >= transaction.timeout;
            let result = match transaction.stage {
                Stage::Ongoing if is_late => {
                    tracing::info!(id = transaction.id, "transaction timed out and is aborted");
                    self.abort_fenced(&mut transaction)
                }
                Stage::Prepared(_) => self.complete(&mut transaction),
                _ => Ok(()),
            };
            if result.is_err() {
                tracing::error!(id = transaction.id, "a transaction could not be ended; it is tried again");
            }
        }
    }
}
