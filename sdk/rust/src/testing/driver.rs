//! Runs a processor as a host may: batches split anywhere, instances replaced at any time, effects of failed calls dropped.

use std::marker::PhantomData;

use serde_json::{Value, json};

use super::frames::{self, Input};
use super::host::{HOST, Host, Rows};
use super::sent::Sent;
use crate::{Failure, Instance, Level, Processor, Ticks};

/// What the manifest would say, for a processor under test.
#[derive(Debug)]
pub struct Setup<P> {
    inputs: Vec<String>,
    outputs: Vec<String>,
    stores: Vec<String>,
    tables: Vec<String>,
    rows: Vec<Rows>,
    settings: Value,
    seed: u64,
    processor: PhantomData<fn() -> P>,
}

/// A processor at work. One at a time on each thread.
#[derive(Debug)]
pub struct Driver<P> {
    setup: Setup<P>,
    document: String,
    instance: Option<Instance<P>>,
    host: Host,
    random: u64,
    next_offset: i64,
    is_calm: bool,
}

/// Key and value of a record to send.
pub type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Why a test's call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// It does not open.
    Open(String),
    /// It returned a failure. The index counts within the records that were sent.
    Failure(Failure),
    /// It returned what a host refuses.
    Contract(String),
}

impl<P: Processor> Driver<P> {
    /// One input named `in`, no outputs, stores or tables, no settings.
    #[expect(clippy::new_ret_no_self, reason = "a driver is set up first")]
    pub fn new() -> Setup<P> {
        Setup {
            inputs: vec!["in".to_owned()],
            outputs: Vec::new(),
            stores: Vec::new(),
            tables: Vec::new(),
            rows: Vec::new(),
            settings: json!({}),
            seed: 1,
            processor: PhantomData,
        }
    }

    /// Sends records of the first input, as key and value; returns what came of them, in order.
    ///
    /// # Errors
    /// As [`Driver::send_to`].
    pub fn send<K: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, records: &[(K, V)]) -> Result<Vec<Sent>, Error> {
        let records: Vec<_> = records.iter().map(|(key, value)| (Some(key.as_ref()), Some(value.as_ref()))).collect();
        self.send_to(0, &records)
    }

    /// Sends records of an input. Their timestamp is the time of the driver.
    ///
    /// # Errors
    /// The first failure. Its call's effects are dropped, those of earlier calls stay, and the instance is replaced.
    pub fn send_to(&mut self, input: u32, records: &[KeyValue<'_>]) -> Result<Vec<Sent>, Error> {
        let inputs: Vec<Input> = records.iter().map(|(key, value)| self.input(*key, *value)).collect();
        let mut sent = Vec::new();
        let mut at = 0;
        while at < inputs.len() {
            let most = inputs.len() - at;
            let len = if self.is_calm { most } else { 1 + self.below(most) };
            let part = &inputs[at..at + len];
            let called = self.call(part, |instance, frames| instance.process(input, frames));
            sent.extend(called.map_err(|error| error.counted_from(at))?);
            at += len;
        }
        Ok(sent)
    }

    /// Sends one record with headers.
    ///
    /// # Errors
    /// As [`Driver::send_to`].
    pub fn send_headed(
        &mut self,
        input: u32,
        (key, value): KeyValue<'_>,
        headers: &[(&str, &[u8])],
    ) -> Result<Vec<Sent>, Error> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.to_vec()))).collect();
        let record = Input { headers, ..self.input(key, value) };
        self.call(&[record], |instance, frames| instance.process(input, frames))
    }

    /// What a store holds.
    ///
    /// # Panics
    /// The store is not declared.
    pub fn stored(&self, store: &str, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.rows(store).get(key.as_ref()).cloned()
    }

    /// All of a store, in order of keys.
    ///
    /// # Panics
    /// The store is not declared.
    pub fn all_stored(&self, store: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.rows(store).iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Sets a row of a table, as if it had come in by its topic just now.
    ///
    /// # Panics
    /// The table is not declared.
    pub fn set_row(&mut self, table: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let index = position(&self.setup.tables, table);
        let now_ms = self.host.now_ms;
        let (rows, at_end_ms) = &mut self.host.tables[index];
        rows.insert(key.as_ref().to_vec(), value.as_ref().to_vec());
        *at_end_ms = now_ms;
    }

    /// Moves the time on.
    pub fn advance_ms(&mut self, by: i64) {
        self.host.now_ms += by;
    }

    /// The time of the next call; at first 1,700,000,000,000.
    pub fn now_ms(&self) -> i64 {
        self.host.now_ms
    }

    /// Lines logged since the last look.
    pub fn take_log(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.host.lines)
    }

    /// One call for each `send`, and one instance for all, for a look at what happens with neither splits nor recycling.
    pub fn keep_calm(&mut self) {
        self.is_calm = true;
    }

    /// Replaces the instance now.
    pub fn recycle(&mut self) {
        self.instance = None;
    }

    fn input(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Input {
        // Gaps, as transactions leave them.
        let offset = self.next_offset;
        self.next_offset += 1 + self.below(3) as i64;
        Input {
            offset,
            timestamp_ms: self.host.now_ms,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: Vec::new(),
        }
    }

    /// Calls with the host of this driver in place; keeps the effects only of a call that succeeds.
    fn call(
        &mut self,
        inputs: &[Input],
        call: impl FnOnce(&mut Instance<P>, &[u8]) -> Result<Vec<u8>, Failure>,
    ) -> Result<Vec<Sent>, Error> {
        if !self.is_calm && self.below(4) == 0 {
            self.instance = None;
        }
        self.host.seed = self.random;
        let mut frames = Vec::new();
        inputs.iter().for_each(|input| frames::write(&mut frames, input));
        let before = self.host.clone();
        HOST.set(std::mem::take(&mut self.host));
        let called = self.instance().and_then(|mut instance| {
            let called = call(&mut instance, &frames).map_err(Error::Failure);
            self.instance = Some(instance);
            called
        });
        self.host = HOST.take();
        self.host.end_call();
        let sent =
            called.and_then(|frames| frames::read(&frames, inputs, &self.setup.outputs).map_err(Error::Contract));
        if sent.is_err() {
            self.instance = None;
            let lines = std::mem::take(&mut self.host.lines);
            self.host = Host { lines, ..before };
        }
        sent
    }

    fn instance(&mut self) -> Result<Instance<P>, Error> {
        match self.instance.take() {
            Some(instance) => Ok(instance),
            None => Instance::open(&self.document).map_err(Error::Open),
        }
    }

    fn rows(&self, store: &str) -> &Rows {
        &self.host.stores[position(&self.setup.stores, store)]
    }

    /// xorshift64*: what is random is the same in every run with one seed.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % end as u64) as usize
    }
}

impl<P: Ticks> Driver<P> {
    /// A tick that was due now.
    ///
    /// # Errors
    /// As [`Driver::send_to`].
    pub fn tick(&mut self, missed: u64) -> Result<Vec<Sent>, Error> {
        let input = self.input(None, None);
        self.call(&[input], |instance, frames| instance.tick(frames, missed))
    }
}

impl<P: Processor> Setup<P> {
    #[must_use]
    pub fn inputs(mut self, names: &[&str]) -> Self {
        self.inputs = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    #[must_use]
    pub fn output(mut self, name: &str) -> Self {
        self.outputs.push(name.to_owned());
        self
    }

    #[must_use]
    pub fn store(mut self, name: &str) -> Self {
        self.stores.push(name.to_owned());
        self
    }

    #[must_use]
    pub fn table(mut self, name: &str, rows: &[(&str, &str)]) -> Self {
        self.tables.push(name.to_owned());
        self.rows.push(rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect());
        self
    }

    #[must_use]
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// Where batches are split and instances replaced.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed.max(1);
        self
    }

    /// Opens the processor.
    ///
    /// # Errors
    /// It does not open.
    pub fn open(self) -> Result<Driver<P>, Error> {
        let named = |names: &[String]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let document = json!({
            "application": "test", "processor": "test", "settings": self.settings,
            "inputs": named(&self.inputs), "outputs": named(&self.outputs),
            "stores": named(&self.stores), "tables": named(&self.tables),
        });
        let now_ms = 1_700_000_000_000;
        let host = Host {
            stores: vec![Rows::new(); self.stores.len()],
            tables: self.rows.iter().map(|rows| (rows.clone(), now_ms)).collect(),
            now_ms,
            ..Host::default()
        };
        let document = document.to_string();
        let instance = Instance::open(&document).map_err(Error::Open)?;
        let random = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let instance = Some(instance);
        Ok(Driver { setup: self, document, instance, host, random, next_offset: 0, is_calm: false })
    }
}

impl Error {
    fn counted_from(self, at: usize) -> Self {
        match self {
            Self::Failure(Failure { code, index, message }) => {
                Self::Failure(Failure { code, index: index.map(|index| index + at as u32), message })
            }
            other => other,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(reason) => write!(f, "does not open: {reason}"),
            Self::Failure(failure) => write!(f, "{} at {:?}: {}", failure.code, failure.index, failure.message),
            Self::Contract(reason) => write!(f, "a host would refuse what it returned: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

fn position(names: &[String], name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name} is not declared for this test"))
}

#[cfg(test)]
mod tests;
