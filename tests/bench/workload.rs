//! What is measured: the records, and the logic in native Rust that the components are compared with.
//! The JSON is that of the published balance workload: 197 bytes, 10,000 accounts, a fifth filtered out.

use serde::{Deserialize, Serialize};
use wasmill::processor::{FaultKind, GuestFault, ProcessError, Processor, Scope, Version};
use wasmill::record::{BatchRef, Headers, NewOutput};
use wasmill::store::StoreError;

/// Payments above this are filtered out.
pub const FRAUD_MAX: f64 = 0.8;

/// Bytes of one JSON value.
pub const VALUE_BYTES: usize = 197;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// Every record out unchanged.
    Copy,
    /// Parse, filter, per-account balance in a store, JSON out.
    Balance,
}

impl Logic {
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Balance => "balance",
        }
    }

    pub fn stores(self) -> usize {
        match self {
            Self::Copy => 0,
            Self::Balance => 1,
        }
    }
}

/// A payment, as generated and as parsed.
#[derive(Serialize, Deserialize)]
pub struct Payment<'a> {
    pub tx_id: &'a str,
    pub account_id: &'a str,
    pub amount_cents: i64,
    pub fraud_probability: f64,
}

/// What the balance logic puts out.
#[derive(Serialize, Deserialize)]
pub struct Balance<'a> {
    pub tx_id: &'a str,
    pub account_id: &'a str,
    pub amount_cents: i64,
    pub balance_cents: i64,
}

/// A small, fast, repeatable source of numbers (xorshift64*).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Key and value of record `index`.
pub fn payment(index: u64, accounts: u64, numbers: &mut Numbers) -> (String, String) {
    let account = format!("acc-{:012}", numbers.below(accounts));
    let amount = numbers.below(200_000) as i64 - 100_000;
    let fraud = numbers.below(10_000) as f64 / 10_000.0;
    let head = format!(
        r#"{{"tx_id":"tx-{index:013}","account_id":"{account}","amount_cents":{amount},"fraud_probability":{fraud},"currency":"EUR","country":"DE","channel":"web","note":""#
    );
    let fill = VALUE_BYTES.saturating_sub(head.len() + 2);
    (account, format!("{head}{}\"}}", "x".repeat(fill)))
}

/// The native twin of a component.
pub struct Native(pub Logic);

impl Version for Native {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        Ok(match self.0 {
            Logic::Copy => Box::new(Copy),
            Logic::Balance => Box::new(Balances),
        })
    }
}

struct Copy;

impl Processor for Copy {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        for record in batch.records() {
            let output = NewOutput {
                output: 0,
                timestamp_ms: None,
                key: record.key,
                value: record.value,
                headers: Headers::default(),
            };
            scope.outputs.push(&record, output);
        }
        Ok(())
    }
}

struct Balances;

impl Processor for Balances {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        let mut json = Vec::with_capacity(256);
        for (index, record) in batch.records().enumerate() {
            let payment: Payment<'_> = serde_json::from_slice(record.value.unwrap_or_default())
                .map_err(|e| failure(index, "malformed", e.to_string()))?;
            if payment.fraud_probability > FRAUD_MAX {
                continue;
            }
            let store = &mut scope.stores[0];
            let key = payment.account_id.as_bytes();
            let before = store.get(key).map_err(host)?.map_or(0, balance_of);
            let balance_cents = before + payment.amount_cents;
            store.put(key, Some(&balance_cents.to_be_bytes())).map_err(host)?;
            json.clear();
            let Payment { tx_id, account_id, amount_cents, .. } = payment;
            serde_json::to_writer(&mut json, &Balance { tx_id, account_id, amount_cents, balance_cents })
                .map_err(|e| failure(index, "json", e.to_string()))?;
            let value = Some(json.as_slice());
            let output =
                NewOutput { output: 0, timestamp_ms: None, key: record.key, value, headers: Headers::default() };
            scope.outputs.push(&record, output);
        }
        Ok(())
    }
}

fn balance_of(value: &[u8]) -> i64 {
    value.try_into().map_or(0, i64::from_be_bytes)
}

fn failure(index: usize, code: &str, message: String) -> ProcessError {
    let kind = FaultKind::Failure(code.into());
    GuestFault { kind, index: Some(index as u32), message, backtrace: None }.into()
}

fn host(error: StoreError) -> ProcessError {
    ProcessError::Host(error.to_string())
}
