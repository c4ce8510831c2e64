//! The model: judges a run of the exchange by the contents of its topics alone, with arithmetic and rules of its own.
//! Knows nothing of the components' code, of stores, or of how the records came about.

mod decimal;
mod letters;
mod report;
mod request;
mod results;
mod wallets;

pub(crate) use letters::{is_fraud, is_poison};
pub use report::{Counts, Flows, Kind, Report, Violation};

use std::collections::BTreeMap;

use crate::record::Record;
use crate::topics;

/// What a version of `transaction` that charges a fee charges, in ten-thousandths of the credit.
pub const FEE_BASIS_POINTS: u32 = 25;

/// The records of a run, by topic, each partition in order.
pub struct Topics<'r> {
    by_name: BTreeMap<&'r str, Vec<&'r Record>>,
}

/// Checks every invariant of the exchange.
pub fn check(records: &[Record]) -> Report {
    let topics = Topics::new(records);
    let mut report = Report::default();
    results::check(&topics, &mut report);
    wallets::check(&topics, &mut report);
    letters::check(&topics, &mut report);
    check_places(&topics, &mut report);
    report
}

impl<'r> Topics<'r> {
    fn new(records: &'r [Record]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records {
            by_name.entry(&record.topic).or_default().push(record);
        }
        for records in by_name.values_mut() {
            records.sort_by_key(|record| (record.partition, record.offset));
        }
        Self { by_name }
    }

    fn of(&self, topic: &str) -> &[&'r Record] {
        self.by_name.get(topic).map_or(&[], Vec::as_slice)
    }
}

/// All records of one account are in partitions of one number, whatever their topic.
fn check_places(topics: &Topics<'_>, report: &mut Report) {
    let mut places: BTreeMap<&[u8], i32> = BTreeMap::new();
    let keyed_by_account = [
        topics::ACCOUNT_REQUEST,
        topics::ACCOUNT,
        topics::TRANSACTION_REQUEST,
        topics::TRANSACTION_SUCCESS,
        topics::TRANSACTION_FAILED,
        topics::WALLET,
    ];
    for record in keyed_by_account.iter().flat_map(|topic| topics.of(topic)) {
        let Some(key) = record.key.as_deref() else { continue };
        let place = *places.entry(key).or_insert(record.partition);
        if place != record.partition {
            report.add(Kind::Misplaced, record, format!("other records of its key are in partition {place}"));
        }
    }
}
