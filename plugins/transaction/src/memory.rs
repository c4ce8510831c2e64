//! Results that are remembered by guid, so that the same request again gets the same answer, and for how long.
//! Owns the keys and values of the stores `result` and `expiry`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::logic::{Fault, Outcome};
use crate::request::Transaction;

/// Digits of a time in a key: enough for the year 300,000, and sorted as text.
const TIME_DIGITS: usize = 16;

/// A value of the store `result`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Remembered<'a> {
    pub outcome: Outcome,
    /// That of the request.
    pub timestamp: i64,
    /// The answer, byte for byte.
    #[serde(borrow)]
    pub result: &'a RawValue,
}

/// The members of a result that repeat its request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repeated<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    debit_amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    debit_currency: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credit_amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credit_currency: Option<Cow<'a, str>>,
}

impl<'a> Remembered<'a> {
    /// # Errors
    /// The value is not what [`Remembered::write`] writes.
    pub fn read(value: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(value).map_err(|error| Fault::state(error.to_string()))
    }

    pub fn write(outcome: Outcome, timestamp_ms: i64, result: &str) -> Vec<u8> {
        let name = outcome.name();
        format!(r#"{{"outcome":"{name}","timestamp":{timestamp_ms},"result":{result}}}"#).into_bytes()
    }

    /// Whether the remembered answer is one to this transaction. The credit of an exchange is computed, not asked for.
    ///
    /// # Errors
    /// The remembered result is not one.
    pub fn is_answer_to(&self, transaction: &Transaction<'_>) -> Result<bool, Fault> {
        let was: Repeated<'_> =
            serde_json::from_str(self.result.get()).map_err(|error| Fault::state(error.to_string()))?;
        let debit = transaction.debit_amount.as_ref().map(|amount| amount.as_str());
        let credit = transaction.credit_amount.as_ref().map(|amount| amount.as_str());
        Ok(was.kind.as_deref() == transaction.kind
            && was.debit_amount.as_deref() == debit
            && was.debit_currency.as_deref() == transaction.debit_currency
            && was.credit_currency.as_deref() == transaction.credit_currency
            && (transaction.kind == Some("EXCHANGE") || was.credit_amount.as_deref() == credit))
    }
}

/// Key of a remembered result: account and guid. Neither can hold a zero byte.
pub fn result_key(account: &str, guid: &str) -> Vec<u8> {
    [account.as_bytes(), b"\0", guid.as_bytes()].concat()
}

/// Key of the store `expiry`: the time of a result before its key.
pub fn expiry_key(timestamp_ms: i64, result_key: &[u8]) -> Vec<u8> {
    [time_key(timestamp_ms).as_slice(), result_key].concat()
}

/// Where the results older than `timestamp_ms` end in the store `expiry`.
pub fn time_key(timestamp_ms: i64) -> Vec<u8> {
    let time = timestamp_ms.clamp(0, 10_i64.pow(TIME_DIGITS as u32) - 1);
    format!("{time:016}").into_bytes()
}

/// The key in `result` of a key in `expiry`.
pub fn result_key_of(expiry_key: &[u8]) -> &[u8] {
    expiry_key.get(TIME_DIGITS..).unwrap_or_default()
}
