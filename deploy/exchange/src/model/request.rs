//! What a request asks for, as far as the request alone tells.

use serde_json::Value;

use super::decimal;
use crate::record::Record;

/// A request that must get exactly one result.
#[derive(Debug)]
pub(super) struct Request<'r> {
    pub record: &'r Record,
    pub account: &'r str,
    pub guid: String,
    /// Or the reason of its failure.
    pub order: Result<Order, &'static str>,
}

/// Amounts in the smallest parts of their currencies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub kind: String,
    pub debit: Option<(i128, String)>,
    /// Without an amount for an exchange.
    pub credit: Option<(Option<i128>, String)>,
}

impl<'r> Request<'r> {
    /// `None` for a record without a readable account and guid: poison.
    pub(super) fn read(record: &'r Record) -> Option<Self> {
        let account = record.key_text().filter(|key| is_identifier(key))?;
        let body = object(record.value.as_deref())?;
        let guid = body["guid"].as_str().filter(|guid| is_identifier(guid))?.to_owned();
        let order = if body["account"] == account { order(&body) } else { Err("malformed") };
        Some(Self { record, account, guid, order })
    }
}

/// A JSON object, or nothing.
pub(super) fn object(value: Option<&[u8]>) -> Option<Value> {
    serde_json::from_slice::<Value>(value?).ok().filter(Value::is_object)
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && !text.chars().any(|c| c.is_ascii_control())
}

fn order(body: &Value) -> Result<Order, &'static str> {
    let kind = body["type"].as_str().unwrap_or_default();
    let mut order = Order { kind: kind.to_owned(), debit: None, credit: None };
    match kind {
        "DEPOSIT" => {
            let currency = currency(&body["creditCurrency"])?;
            order.credit = Some((Some(amount(&body["creditAmount"], &currency)?), currency));
        }
        "WITHDRAW" => {
            let currency = currency(&body["debitCurrency"])?;
            order.debit = Some((amount(&body["debitAmount"], &currency)?, currency));
        }
        "EXCHANGE" => {
            let (from, to) = (currency(&body["debitCurrency"])?, currency(&body["creditCurrency"])?);
            order.debit = Some((amount(&body["debitAmount"], &from)?, from.clone()));
            if from == to {
                return Err("invalid-currency");
            }
            order.credit = Some((None, to));
        }
        _ => return Err("malformed"),
    }
    Ok(order)
}

fn currency(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(code) if decimal::is_currency(code) => Ok(code.clone()),
        Value::String(_) | Value::Null => Err("invalid-currency"),
        _ => Err("malformed"),
    }
}

/// Numbers that the flow sends are short enough to be exact in any reading.
fn amount(value: &Value, currency: &str) -> Result<i128, &'static str> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null => return Err("invalid-amount"),
        _ => return Err("malformed"),
    };
    decimal::parts(&text, decimal::scale(currency)).filter(|parts| *parts > 0).ok_or("invalid-amount")
}
