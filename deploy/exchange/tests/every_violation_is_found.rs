//! The model must be able to fail: each violation is planted into a clean run and must be found, under its name.

#[path = "support/services.rs"]
mod services;

use exchange::flow::{Flow, FlowSettings};
use exchange::model::{self, Kind};
use exchange::record::Record;
use exchange::topics;
use services::Services;

type Records = Vec<Record>;

fn clean_run() -> Records {
    let mut flow = Flow::new(FlowSettings { seed: 11, accounts: 10 });
    let mut services = Services::default();
    flow.opening(0).into_iter().for_each(|message| services.send(message));
    for step in 0..5_000 {
        services.send(flow.message(1_000 + step));
    }
    services.records
}

fn is(topic: &str, text: &str, record: &Record) -> bool {
    record.topic == topic && String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).contains(text)
}

/// The last record of a topic whose value has this text.
fn find(records: &mut Records, topic: &str, text: &str) -> usize {
    records
        .iter()
        .rposition(|record| is(topic, text, record))
        .unwrap_or_else(|| panic!("the run has no {text} in {topic}"))
}

fn remove(topic: &'static str, text: &'static str) -> Box<dyn Fn(&mut Records)> {
    Box::new(move |records| {
        let at = find(records, topic, text);
        records.remove(at);
    })
}

/// Appends a copy, later in its partition, changed by `edit`.
fn copy(topic: &'static str, text: &'static str, edit: fn(&mut Record)) -> Box<dyn Fn(&mut Records)> {
    Box::new(move |records| {
        let at = find(records, topic, text);
        let mut copy = Record { offset: 1_000_000, ..records[at].clone() };
        edit(&mut copy);
        records.push(copy);
    })
}

fn change(topic: &'static str, text: &'static str, edit: fn(&mut Record)) -> Box<dyn Fn(&mut Records)> {
    Box::new(move |records| {
        let at = find(records, topic, text);
        edit(&mut records[at]);
    })
}

fn replace(record: &mut Record, from: &str, to: &str) {
    let text = String::from_utf8(record.value.take().expect("a value")).expect("text");
    assert!(text.contains(from), "{text} has no {from}");
    record.value = Some(text.replacen(from, to, 1).into_bytes());
}

/// Plants a violation.
type Edit = Box<dyn Fn(&mut Records)>;

#[test]
fn each_planted_violation_is_found_under_its_name() {
    let clean = clean_run();
    let report = model::check(&clean);
    assert!(report.is_clean(), "{report}");

    let (success, failed) = (topics::TRANSACTION_SUCCESS, topics::TRANSACTION_FAILED);
    let same: fn(&mut Record) = |_| {};
    let cases: Vec<(Kind, &str, Edit)> = vec![
        (Kind::Lost, "a success is gone", remove(success, "DEPOSIT")),
        (Kind::Lost, "a failure is gone", remove(failed, "insufficient-funds")),
        (Kind::Doubled, "a success comes twice", copy(success, "DEPOSIT", same)),
        (Kind::Doubled, "a failure comes twice", copy(failed, "malformed", same)),
        (
            Kind::Unasked,
            "a result of another guid",
            copy(success, "WITHDRAW", |r| replace(r, "\"guid\":\"", "\"guid\":\"x")),
        ),
        (Kind::Unasked, "a result of another time", copy(success, "WITHDRAW", |r| r.timestamp_ms = 7)),
        (
            Kind::NegativeBalance,
            "more is taken than is there",
            change(success, "WITHDRAW", |r| replace(r, "\"debitAmount\":\"", "\"debitAmount\":\"9999999")),
        ),
        (
            Kind::WrongResult,
            "another amount than was asked for",
            change(success, "DEPOSIT", |r| replace(r, "\"creditAmount\":\"", "\"creditAmount\":\"1")),
        ),
        (
            Kind::WrongResult,
            "another reason",
            change(failed, "invalid-amount", |r| replace(r, "invalid-amount", "unknown-account")),
        ),
        (
            Kind::WrongResult,
            "funds were there",
            change(failed, "unknown-rate", |r| replace(r, "unknown-rate", "insufficient-funds")),
        ),
        (
            Kind::WrongResult,
            "an amount that is not canonical",
            change(success, "DEPOSIT", |r| replace(r, "\",\"creditCurrency", "0\",\"creditCurrency")),
        ),
        (
            Kind::WrongResult,
            "a repetition that does not say so",
            Box::new(|records| {
                let record = records.iter_mut().rfind(|r| r.has_header(topics::REPEATED_HEADER)).expect("a repetition");
                record.headers.clear();
            }),
        ),
        (
            Kind::WrongResult,
            "a duplicate that is not told",
            change(failed, "duplicate", |r| replace(r, "duplicate", "invalid-amount")),
        ),
        (
            Kind::WrongResult,
            "an account that is not there",
            Box::new(|records| {
                records.retain(|r| r.topic != topics::ACCOUNT || r.key.as_deref() != Some(b"10000003"));
            }),
        ),
        (
            Kind::WrongExchange,
            "one part too much",
            change(success, "EXCHANGE", |r| {
                let text = String::from_utf8_lossy(r.value.as_deref().expect("a value")).into_owned();
                let credit = text
                    .split("\"creditAmount\":\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
                    .expect("a credit")
                    .to_owned();
                let digit = if credit.ends_with('9') { "8" } else { "9" };
                let wrong = format!("{}{digit}", &credit[..credit.len() - 1]);
                replace(r, &credit, &wrong);
            }),
        ),
        (
            Kind::WrongExchange,
            "a rate that never was",
            change(success, "EXCHANGE", |r| replace(r, "\"timestamp\":", "\"timestamp\":9")),
        ),
        (
            Kind::NotConserved,
            "money appears in a wallet",
            change(topics::WALLET, "USD", |r| replace(r, "\"balance\":\"", "\"balance\":\"1")),
        ),
        (
            Kind::WrongWallet,
            "a wallet is behind",
            Box::new(|records| {
                // Every account has a transaction after its first wallet, so that one without its last wallet is behind.
                let at = records.iter().rposition(|r| r.topic == topics::WALLET).expect("a wallet");
                records.remove(at);
            }),
        ),
        (
            Kind::WrongWallet,
            "entries are not sorted",
            change(topics::WALLET, "\"EUR\"", |r| replace(r, "\"EUR\"", "\"ZZZ\"")),
        ),
        (Kind::MissingDeadLetter, "a dead letter is gone", remove("exchange.transaction.dlq", "")),
        (
            Kind::MissingDeadLetter,
            "a dead letter of another time",
            change("exchange.rate.dlq", "", |r| r.timestamp_ms += 1),
        ),
        (Kind::UnexpectedDeadLetter, "a dead letter comes twice", copy("exchange.account.dlq", "", same)),
        (
            Kind::UnexpectedDeadLetter,
            "a good record among the dead letters",
            copy(topics::PAYMENTS, "id", |r| r.topic = "exchange.fraud.dlq".into()),
        ),
        (Kind::MissingFraud, "a fraud is gone", remove(topics::FRAUDULENT_PAYMENTS, "")),
        (Kind::UnexpectedFraud, "a fraud comes twice", copy(topics::FRAUDULENT_PAYMENTS, "", same)),
        (Kind::Misplaced, "a record in another partition", change(success, "DEPOSIT", |r| r.partition += 1)),
    ];
    for (kind, name, plant) in cases {
        let mut records = clean.clone();
        plant(&mut records);
        let report = model::check(&records);
        assert!(report.count(kind) > 0, "{name} is not found as {kind:?}\n{report}");
    }
}

#[test]
fn a_report_says_what_was_lost() {
    let mut records = clean_run();
    let at = find(&mut records, topics::TRANSACTION_FAILED, "duplicate");
    records.remove(at);
    let text = model::check(&records).to_string();
    assert!(
        text.contains("VIOLATION Lost") && text.ends_with("1 lost, 0 doubled, money conserved, 1 violations"),
        "{text}"
    );
}
