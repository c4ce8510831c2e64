//! Answers each transaction request of an account with exactly one result. This file binds the rules of `logic` to topics
//! and stores, a batch at a time; it holds no rule of its own.

mod account;
pub mod logic;
pub mod memory;
mod request;

pub use account::Account;
pub use request::Request;

use std::collections::HashMap;

use wasmill_sdk::{Batch, Changes, Config, Failure, Input, Keys, NewRecord, Out, Output, Part, Processor, Record};
use wasmill_sdk::{Store, Table, Ticks, now_ms};

use logic::{Answer, Fault, Outcome, Settings};
use money::RateTable;

/// Marks a result that was given before: whoever adds up `transaction-success` passes over it.
pub const REPEATED_HEADER: &str = "repeated";

/// Results forgotten per tick: more than come in a second, and milliseconds of work.
const FORGOTTEN_PER_TICK_MAX: usize = 20_000;

/// Where the store `expiry` keeps the stream's time: behind all results, whose keys begin with digits.
const STREAM_TIME_KEY: &[u8] = b"stream-time";

/// Clocks of producers may be ahead by this much; more would forget results too early.
const CLOCK_SKEW_MS: i64 = 60_000;

/// The transaction service.
pub struct Transactions {
    requests: Input,
    accounts_input: Input,
    success: Output,
    failed: Output,
    accounts: Store,
    results: Store,
    expiry: Store,
    rates: Table,
    settings: Settings,
}

/// Changes of the stores `result` and `expiry` that a batch makes, and the results that it has given itself.
#[derive(Default)]
struct Given<'k> {
    recent: HashMap<&'k [u8], Vec<u8>>,
    results: Changes,
    expiry: Changes,
}

impl Processor for Transactions {
    fn open(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.settings()?;
        if settings.guid_keep_days == 0 || settings.rate_age_max_ms <= 0 {
            return Err("settings: guid_keep_days and rate_age_max_ms must be greater than 0".into());
        }
        Ok(Self {
            requests: config.input("transaction-request"),
            accounts_input: config.input("account"),
            success: config.output("transaction-success"),
            failed: config.output("transaction-failed"),
            accounts: config.store("account"),
            results: config.store("result"),
            expiry: config.store("expiry"),
            rates: config.table("exchange-rate"),
            settings,
        })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        if batch.input == self.accounts_input {
            return self.open_accounts(batch);
        }
        debug_assert_eq!(batch.input, self.requests);
        self.answer(batch, out)
    }
}

impl Transactions {
    /// An account is known from its record on, and closed by a tombstone; its money stays.
    fn open_accounts(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        let mut keys = Keys::default();
        let mut records = Vec::new();
        for record in batch.records() {
            let account = money::text_of(record.key).filter(|account| money::is_identifier(account));
            let account = account.ok_or_else(|| Failure::new("malformed", "the key is no account").at(&record))?;
            keys.push(account.as_bytes());
            records.push((account, record));
        }
        self.accounts.update_many(&keys, |position, entry| {
            let (name, record) = &records[position];
            let is_open = record.value.is_some();
            let mut account = match entry.value() {
                Some(value) => Account::read(value).map_err(|fault| failure(fault, record))?,
                None if is_open => Account::closed(),
                None => return Ok(()),
            };
            if account.is_open != is_open {
                account.is_open = is_open;
                entry.set(&account.write(name));
            }
            Ok(())
        })
    }

    fn answer(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let mut requests = Vec::new();
        let mut accounts = Keys::default();
        let mut result_keys = Vec::new();
        for record in batch.records() {
            let request = Request::read(record.key, record.value, record.timestamp_ms);
            let request = request.map_err(|fault| failure(fault, &record))?;
            accounts.push(request.account().as_bytes());
            result_keys.push(memory::result_key(request.account(), request.guid()));
            requests.push((record, request));
        }
        let looked_up = self.results.get_many(&result_keys.iter().map(Vec::as_slice).collect());
        let mut looked_up = looked_up.iter();
        let rates = self.rates();
        let mut given = Given::default();
        self.accounts.update_many(&accounts, |position, entry| {
            let (record, request) = &requests[position];
            let key = result_keys[position].as_slice();
            let base = looked_up.next().flatten();
            let remembered = given.recent.get(key).map(Vec::as_slice).or(base);
            let answer =
                logic::answer(request, entry.value(), remembered, &rates.at(record.timestamp_ms), &self.settings);
            let answer = answer.map_err(|fault| failure(fault, record))?;
            self.send(&answer, record, out);
            if let Some(account) = &answer.account {
                entry.set(account);
            }
            given.remember(key, record.timestamp_ms, answer);
            Ok::<(), Failure>(())
        })?;
        if let Some(stream_time_ms) = requests.iter().map(|(record, _)| record.timestamp_ms).max() {
            let stream_time_ms = stream_time_ms.min(now_ms() + CLOCK_SKEW_MS);
            given.expiry.put(STREAM_TIME_KEY, stream_time_ms.to_string().as_bytes());
        }
        self.results.apply(&given.results);
        self.expiry.apply(&given.expiry);
        Ok(())
    }

    /// A copy that has lost its source is as good as none.
    fn rates(&self) -> RateTable<impl Fn(&[u8]) -> Option<Vec<u8>> + use<>> {
        let (table, age_max_ms) = (self.rates, self.settings.rate_age_max_ms);
        let is_current = table.age_ms() <= age_max_ms as u64;
        RateTable::new(age_max_ms, move |key: &[u8]| if is_current { table.get(key) } else { None })
    }

    fn send(&self, answer: &Answer, record: &Record<'_>, out: &mut Out) {
        let output = match answer.outcome {
            Outcome::Success => self.success,
            Outcome::Failed => self.failed,
        };
        let (key, value) = (Part::Same, Part::from(&answer.value));
        if answer.is_repeated {
            let headers = Some(&[(REPEATED_HEADER, b"true".as_slice())][..]);
            out.of(record).send_record(output, &NewRecord { key, value, timestamp_ms: None, headers });
        } else {
            out.of(record).send(output, key, value);
        }
    }
}

impl Ticks for Transactions {
    /// Removes results that are older than they are kept, by the stream's time: the clock on the wall may be years ahead
    /// of a stream that is read again. What a guid means does not depend on it, `logic` looks at the time itself.
    fn tick(&mut self, _batch: Batch<'_>, _missed: u64, _out: &mut Out) -> Result<(), Failure> {
        let stream_time = self.expiry.get(STREAM_TIME_KEY);
        let stream_time_ms = stream_time.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<i64>().ok());
        let Some(stream_time_ms) = stream_time_ms else { return Ok(()) };
        let oldest = memory::time_key(stream_time_ms - self.settings.keep_ms());
        let (mut results, mut expiry) = (Changes::default(), Changes::default());
        for (key, _) in self.expiry.scan(b"0", Some(&oldest)).take(FORGOTTEN_PER_TICK_MAX) {
            results.remove(memory::result_key_of(&key));
            expiry.remove(&key);
        }
        self.results.apply(&results);
        self.expiry.apply(&expiry);
        Ok(())
    }
}

impl<'k> Given<'k> {
    fn remember(&mut self, key: &'k [u8], timestamp_ms: i64, answer: Answer) {
        let Some(remembered) = answer.remembered else { return };
        if let Some(forgotten_ms) = answer.forgotten_ms {
            self.expiry.remove(&memory::expiry_key(forgotten_ms, key));
        }
        self.expiry.put(&memory::expiry_key(timestamp_ms, key), b"{}");
        self.results.put(key, &remembered);
        self.recent.insert(key, remembered);
    }
}

fn failure(fault: Fault, record: &Record<'_>) -> Failure {
    Failure::new(fault.code, fault.message).at(record)
}

wasmill_sdk::export!(Transactions, ticks);
