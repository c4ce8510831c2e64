//! Opens accounts: a page's wish on `account-request` becomes an account on `account`. This file binds the rules of `logic`
//! to topics and the store, a batch at a time.

pub mod logic;

use wasmill_sdk::{Batch, Config, Failure, Keys, Out, Output, Part, Processor, Store};

/// The account service.
pub struct Accounts {
    accounts: Output,
    known: Store,
}

impl Processor for Accounts {
    fn open(config: &Config) -> Result<Self, String> {
        Ok(Self { accounts: config.output("account"), known: config.store("account") })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let records: Vec<_> = batch.records().collect();
        let mut keys = Keys::default();
        for record in &records {
            let key = record.key.filter(|key| !key.is_empty());
            keys.push(key.ok_or_else(|| Failure::new("malformed", "no key").at(record))?);
        }
        self.known.update_many(&keys, |position, entry| {
            let record = &records[position];
            let account = logic::open(record.key, record.value, record.timestamp_ms, entry.value());
            let account = account.map_err(|fault| Failure::new(fault.code, fault.message).at(record))?;
            entry.set(&account);
            out.of(record).send(self.accounts, Part::Same, &account);
            Ok(())
        })
    }
}

wasmill_sdk::export!(Accounts);
