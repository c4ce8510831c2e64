//! How far a run is, told from its topics: what went in, what must come out of it, what has come out. Records of earlier
//! runs count like any other, so that a run may continue on old topics.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model;
use crate::record::Record;
use crate::topics;

#[derive(Debug, Default)]
pub struct Progress {
    /// Records by topic.
    pub read: BTreeMap<String, u64>,
    pub requests: u64,
    pub results: u64,
    pub accounts_asked: u64,
    pub poison: u64,
    pub dead_letters: u64,
    pub frauds_asked: u64,
    /// The newest value of each rate.
    pub rates: BTreeMap<String, String>,
    accounts: BTreeSet<Vec<u8>>,
    /// Transactions less wallets of one account and time: a wallet carries the time of its transaction. Wallets that
    /// others made (new accounts, valuations) leave a number below zero.
    wallets_owed: HashMap<(Vec<u8>, i64), i64>,
}

impl Progress {
    pub fn take(&mut self, record: &Record) {
        *self.read.entry(record.topic.clone()).or_default() += 1;
        let is_fed = topics::FED.iter().any(|(topic, _)| *topic == record.topic);
        if is_fed && model::is_poison(record) {
            self.poison += 1;
            return;
        }
        match record.topic.as_str() {
            topics::TRANSACTION_REQUEST => self.requests += 1,
            topics::ACCOUNT_REQUEST => self.accounts_asked += 1,
            topics::PAYMENTS => self.frauds_asked += u64::from(model::is_fraud(record)),
            topics::TRANSACTION_SUCCESS => {
                self.results += 1;
                if !record.has_header(topics::REPEATED_HEADER) {
                    self.owe_wallet(record, 1);
                }
            }
            topics::TRANSACTION_FAILED => self.results += 1,
            topics::WALLET => self.owe_wallet(record, -1),
            topics::ACCOUNT => {
                self.accounts.insert(record.key.clone().unwrap_or_default());
            }
            topics::EXCHANGE_RATE => {
                let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
                self.rates.insert(record.key_text().unwrap_or_default().to_owned(), value);
            }
            topic if topic.ends_with(".dlq") => self.dead_letters += 1,
            _ => {}
        }
    }

    fn owe_wallet(&mut self, record: &Record, change: i64) {
        let name = (record.key.clone().unwrap_or_default(), record.timestamp_ms);
        let owed = self.wallets_owed.entry(name.clone()).or_default();
        *owed += change;
        if *owed == 0 {
            self.wallets_owed.remove(&name);
        }
    }

    pub fn of(&self, topic: &str) -> u64 {
        self.read.get(topic).copied().unwrap_or_default()
    }

    /// Records of all inputs from outside.
    pub fn inputs(&self) -> u64 {
        topics::FED.iter().map(|(topic, _)| self.of(topic)).sum()
    }

    /// Whether customers may begin: each account is there, each pair has a rate.
    pub fn is_open(&self, accounts: usize, pairs: usize) -> bool {
        self.accounts.len() >= accounts && self.rates.len() >= pairs
    }

    /// Whether everything has come out of `inputs` records. More than that is no reason to wait either.
    pub fn is_done(&self, inputs: u64) -> bool {
        self.inputs() >= inputs
            && self.results >= self.requests
            && self.of(topics::ACCOUNT) >= self.accounts_asked
            && self.dead_letters >= self.poison
            && self.of(topics::FRAUDULENT_PAYMENTS) >= self.frauds_asked
            && self.wallets_owed.values().all(|owed| *owed <= 0)
    }
}
