//! Makes exchange rates of the messages of a market. This file binds the rules of `logic` to topics and stores, a batch at
//! a time.

pub mod book;
pub mod logic;
pub mod message;

use std::collections::BTreeMap;

use wasmill_sdk::{Batch, Changes, Config, Emit, Failure, Out, Output, Part, Processor, Record, Store};

use book::Levels;
use logic::{Fault, Product, Settings};
use message::Message;

/// The rate service.
pub struct Rates {
    rates: Output,
    products: Store,
    levels: Store,
    settings: Settings,
}

/// Levels with changes that are written together, at the latest before the next reading.
struct StoredLevels {
    store: Store,
    changes: Changes,
}

impl Processor for Rates {
    fn open(config: &Config) -> Result<Self, String> {
        Ok(Self {
            rates: config.output("exchange-rate"),
            products: config.store("product"),
            levels: config.store("level"),
            settings: config.settings()?,
        })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let mut products = BTreeMap::new();
        let mut levels = StoredLevels { store: self.levels, changes: Changes::default() };
        for record in batch.records() {
            let taken = self.take(&record, &mut products, &mut levels, &mut out.of(&record));
            taken.map_err(|fault| Failure::new(fault.code, fault.message).at(&record))?;
        }
        levels.write();
        let mut changes = Changes::default();
        for (key, product) in &products {
            changes.put(key.as_bytes(), &product.write());
        }
        self.products.apply(&changes);
        Ok(())
    }
}

impl Rates {
    fn take<'r>(
        &self,
        record: &Record<'r>,
        products: &mut BTreeMap<&'r str, Product>,
        levels: &mut StoredLevels,
        out: &mut Emit<'_>,
    ) -> Result<(), Fault> {
        let message = Message::read(record.key, record.value)?;
        let name = message.product();
        if name.is_empty() {
            return Ok(());
        }
        if !products.contains_key(name) {
            let known = self.products.get(name.as_bytes());
            products.insert(name, known.map(|value| Product::read(&value)).transpose()?.unwrap_or_default());
        }
        let product = products.get_mut(name).expect("it was put there above");
        if let Some(rate) = logic::take(&message, record.timestamp_ms, product, levels, &self.settings)? {
            let written = out.send_with(self.rates, Part::Same, |value| serde_json::to_writer(value, &rate));
            written.expect("plain data is written without fault");
        }
        Ok(())
    }
}

impl StoredLevels {
    fn write(&mut self) {
        self.store.apply(&std::mem::take(&mut self.changes));
    }
}

impl Levels for StoredLevels {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.put(key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        self.changes.remove(key);
    }

    fn first(&mut self, start: &[u8], end: &[u8]) -> Option<Vec<u8>> {
        self.write();
        self.store.scan(start, Some(end)).next().map(|(_, value)| value)
    }

    fn keys(&mut self, start: &[u8], end: &[u8]) -> Vec<Vec<u8>> {
        self.write();
        self.store.scan(start, Some(end)).map(|(key, _)| key).collect()
    }
}

wasmill_sdk::export!(Rates);
