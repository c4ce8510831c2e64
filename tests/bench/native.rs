//! The logic in native Rust that the components are compared with, called by the same engine.

use wasmill::processor::{FaultKind, GuestFault, ProcessError, Processor, Scope, Version};
use wasmill::record::{BatchRef, Headers, NewOutput};
use wasmill::store::StoreError;
use wasmill_sdk::Failure;

use crate::payment::{Parser, Payment};
use crate::workload::{FRAUD_MAX, Logic};

/// The native twin of a component.
pub struct Native(pub Logic);

impl Version for Native {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        Ok(match self.0 {
            Logic::Copy => Box::new(Copy),
            Logic::Balance(parser) => Box::new(Balances { parser }),
        })
    }
}

struct Copy;

impl Processor for Copy {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        for record in batch.records() {
            let (key, value) = (record.key, record.value);
            let output = NewOutput { output: 0, timestamp_ms: None, key, value, headers: Headers::default() };
            scope.outputs.push(&record, output);
        }
        Ok(())
    }
}

/// As anybody would write it: each record is parsed, looked up, written.
struct Balances {
    parser: Parser,
}

impl Processor for Balances {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        let mut value = Vec::with_capacity(256);
        for (index, record) in batch.records().enumerate() {
            let refused = |failure: Failure| refused(index, &failure);
            let payment = Payment::read(self.parser, record.value.unwrap_or_default()).map_err(refused)?;
            if payment.fraud_probability > FRAUD_MAX {
                continue;
            }
            let store = &mut scope.stores[0];
            let key = payment.account_id.as_bytes();
            let before = store.get(key).map_err(host)?.map_or(0, balance_of);
            let balance = before + payment.amount_cents;
            store.put(key, Some(&balance.to_be_bytes())).map_err(host)?;
            value.clear();
            payment.write(self.parser, balance, &mut value).map_err(refused)?;
            let (key, value) = (record.key, Some(value.as_slice()));
            let output = NewOutput { output: 0, timestamp_ms: None, key, value, headers: Headers::default() };
            scope.outputs.push(&record, output);
        }
        Ok(())
    }
}

fn balance_of(value: &[u8]) -> i64 {
    value.try_into().map_or(0, i64::from_be_bytes)
}

fn refused(index: usize, failure: &Failure) -> ProcessError {
    let kind = FaultKind::Failure(failure.code.clone());
    GuestFault { kind, index: Some(index as u32), message: failure.message.clone(), backtrace: None }.into()
}

fn host(error: StoreError) -> ProcessError {
    ProcessError::Host(error.to_string())
}
