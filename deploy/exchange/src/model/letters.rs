//! Dead letters against poison, fraud against payments: the same records on both sides, none more, none less.

use std::collections::BTreeMap;

use serde_json::Value;

use super::request::{Request, object};
use super::{Kind, Report, Topics};
use crate::record::Record;
use crate::topics;

/// What a dead letter and a forwarded record keep of their record.
type Same<'r> = (Option<&'r [u8]>, Option<&'r [u8]>, i64);

pub(super) fn check(topics: &Topics<'_>, report: &mut Report) {
    for processor in topics::PROCESSORS {
        let inputs = topics::FED.iter().filter(|(_, reader)| *reader == processor);
        let records = inputs.flat_map(|(topic, _)| topics.of(topic)).copied();
        let poison: Vec<_> = records.filter(|record| is_poison(record)).collect();
        let name = topics::dead_letters(processor);
        report.counts.poison += poison.len() as u64;
        report.counts.dead_letters += topics.of(&name).len() as u64;
        compare(&poison, topics.of(&name), Kind::MissingDeadLetter, Kind::UnexpectedDeadLetter, report);
    }
    let payments = topics.of(topics::PAYMENTS);
    let frauds: Vec<_> = payments.iter().copied().filter(|record| is_fraud(record)).collect();
    report.counts.payments = payments.iter().filter(|record| !is_poison(record)).count() as u64;
    report.counts.frauds = frauds.len() as u64;
    let found = topics.of(topics::FRAUDULENT_PAYMENTS);
    compare(&frauds, found, Kind::MissingFraud, Kind::UnexpectedFraud, report);
}

/// Whether a record from outside cannot be handled by its reader.
pub(crate) fn is_poison(record: &Record) -> bool {
    let body = object(record.value.as_deref());
    match record.topic.as_str() {
        topics::TRANSACTION_REQUEST => Request::read(record).is_none(),
        topics::ACCOUNT_REQUEST => body.is_none_or(|body| body["number"].as_str() != record.key_text()),
        topics::MARKET_FEED => body.is_none_or(|body| !body["type"].is_string()),
        _ => body.is_none_or(|body| !body["fraudProbability"].is_number()),
    }
}

/// Whether a payment is to be forwarded.
pub(crate) fn is_fraud(record: &Record) -> bool {
    let body = object(record.value.as_deref()).unwrap_or(Value::Null);
    body["fraudProbability"].as_f64().is_some_and(|probability| probability > topics::FRAUD_THRESHOLD)
}

fn compare(expected: &[&Record], found: &[&Record], missing: Kind, unexpected: Kind, report: &mut Report) {
    let mut open: BTreeMap<Same<'_>, Vec<&Record>> = BTreeMap::new();
    for record in expected {
        open.entry(same(record)).or_default().push(record);
    }
    for record in found {
        if open.get_mut(&same(record)).and_then(Vec::pop).is_none() {
            report.add(unexpected, record, "is here without cause, or twice".into());
        }
    }
    for record in open.into_values().flatten() {
        report.add(missing, record, "did not come out".into());
    }
}

fn same(record: &Record) -> Same<'_> {
    (record.key.as_deref(), record.value.as_deref(), record.timestamp_ms)
}
