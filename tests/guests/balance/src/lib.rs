//! The workload of the benches: parse a payment, pass over probable fraud, keep a balance per account, send the payment
//! with its new balance. Settings choose how values are parsed: `{"parser": "serde"}` or `{"parser": "extractor"}`.

use serde::Deserialize;
use wasmill_sdk::{Batch, Config, Failure, Keys, Out, Output, Part, Processor, Store};

mod payment;

use payment::{Parser, Payment};

struct Balance {
    out: Output,
    balances: Store,
    parser: Parser,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    parser: Parser,
}

const FRAUD: f64 = 0.8;

impl Processor for Balance {
    fn open(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.settings()?;
        Ok(Self { parser: settings.parser, out: config.output("balances"), balances: config.store("balance") })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let records: Vec<_> = batch.records().collect();
        let mut payments = Vec::with_capacity(records.len());
        let mut keys = Keys::with_capacity(records.len(), 16);
        for record in &records {
            let value = record.value.unwrap_or_default();
            let payment = Payment::read(self.parser, value).map_err(|failure| failure.at(record))?;
            if payment.fraud_probability <= FRAUD {
                keys.push(payment.account_id.as_bytes());
                payments.push((record, payment));
            }
        }
        self.balances.update_many(&keys, |position, entry| {
            let (record, payment) = &payments[position];
            let old = entry.value().and_then(|value| value.try_into().ok()).map_or(0, i64::from_be_bytes);
            let balance = old.checked_add(payment.amount_cents);
            let balance = balance.ok_or_else(|| Failure::new("overflow", "balance").at(record))?;
            entry.set(&balance.to_be_bytes());
            out.of(record).send_with(self.out, Part::Same, |value| payment.write(self.parser, balance, value))
        })
    }
}

wasmill_sdk::export!(Balance);
