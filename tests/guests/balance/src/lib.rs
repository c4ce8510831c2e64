//! The workload of the benches: parse a payment, pass over probable fraud, keep a balance per account, send the payment
//! with its new balance. Settings choose how values are parsed: `{"parser": "serde"}` or `{"parser": "extractor"}`.

use serde::{Deserialize, Serialize};
use wasmill_sdk::{Batch, Config, Failure, Keys, Out, Output, Part, Processor, Store};

struct Balance {
    out: Output,
    balances: Store,
}

#[derive(Deserialize)]
struct Payment<'a> {
    tx_id: &'a str,
    account_id: &'a str,
    amount_cents: i64,
    fraud_probability: f64,
}

#[derive(Serialize)]
struct Booked<'a> {
    tx_id: &'a str,
    account_id: &'a str,
    amount_cents: i64,
    balance_cents: i64,
}

const FRAUD: f64 = 0.8;

impl Processor for Balance {
    fn open(config: &Config) -> Result<Self, String> {
        Ok(Self { out: config.output("balances"), balances: config.store("balance") })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let records: Vec<_> = batch.records().collect();
        let mut payments = Vec::with_capacity(records.len());
        let mut keys = Keys::with_capacity(records.len(), 16);
        for record in &records {
            let value = record.value.unwrap_or_default();
            let payment: Payment<'_> =
                serde_json::from_slice(value).map_err(|error| Failure::from(error).at(record))?;
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
            let booked = Booked {
                tx_id: payment.tx_id,
                account_id: payment.account_id,
                amount_cents: payment.amount_cents,
                balance_cents: balance,
            };
            out.of(record).send_with(self.out, Part::Same, |value| serde_json::to_writer(value, &booked))?;
            Ok(())
        })
    }
}

wasmill_sdk::export!(Balance);
