//! The whole flow through the components' rules, judged by the model; and random requests that no flow would make.

#[path = "support/services.rs"]
mod services;

use exchange::flow::{Expected, Flow, FlowSettings};
use exchange::model;
use exchange::record::Message;
use exchange::topics;
use proptest::prelude::*;
use services::Services;

#[test]
fn a_flow_of_every_kind_of_record_keeps_the_invariants() {
    for seed in 1..4 {
        let mut flow = Flow::new(FlowSettings { seed, accounts: 50 });
        let mut services = Services::default();
        flow.opening(1_000_000).into_iter().for_each(|message| services.send(message));
        for step in 0..20_000 {
            services.send(flow.message(1_000_000 + step * 10));
        }
        let report = model::check(&services.records);
        assert!(report.is_clean(), "seed {seed}\n{report}");
        let Expected { accounts, requests, dead_letters, payments, frauds, .. } = flow.expected;
        let counts = &report.counts;
        assert_eq!((counts.accounts, counts.requests, counts.payments), (accounts, requests, payments));
        assert_eq!((counts.dead_letters, counts.frauds), (dead_letters, frauds));
        let reasons: Vec<_> = counts.reasons.keys().map(String::as_str).collect();
        let all = [
            "duplicate",
            "insufficient-funds",
            "invalid-amount",
            "invalid-currency",
            "malformed",
            "unknown-account",
            "unknown-rate",
        ];
        assert_eq!(reasons, all);
        assert!(counts.repeated > 100 && report.flows["BTC"].credits > 0, "{report}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request { account: u8, guid: u8, body: String },
    Rate { product: &'static str, bid: u32, spread: u32 },
    Wait { ms: i64 },
}

fn amount() -> impl Strategy<Value = String> {
    let limit = "999999999999999999.99".to_owned();
    prop_oneof![
        6 => (0_u64..2_000_00).prop_map(|cents| format!("\"{}.{:02}\"", cents / 100, cents % 100)),
        2 => (0_u64..300_000_000).prop_map(|parts| format!("\"{}.{:08}\"", parts / 100_000_000, parts % 100_000_000)),
        1 => Just(format!("\"{limit}\"")),
        1 => prop::sample::select(vec!["null", "-1", "0", "\"x\"", "1000", "0.5", "[]", "\"0.01\""]).prop_map(str::to_owned),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let currency = || prop::sample::select(vec!["\"USD\"", "\"EUR\"", "\"BTC\"", "\"ETH\"", "\"?\"", "null"]);
    let kind = prop::sample::select(vec!["DEPOSIT", "DEPOSIT", "WITHDRAW", "EXCHANGE", "EXCHANGE", "OTHER"]);
    let request = (0_u8..4, 0_u8..40, kind, amount(), currency(), amount(), currency()).prop_map(
        |(account, guid, kind, debit, from, credit, to)| Step::Request {
            account,
            guid,
            body: format!(
                r#""type":"{kind}","debitAmount":{debit},"debitCurrency":{from},"creditAmount":{credit},"creditCurrency":{to}"#
            ),
        },
    );
    let products = prop::sample::select(vec!["BTC-USD", "BTC-EUR", "ETH-USD", "ETH-BTC", "EUR-USD"]);
    let rate = (products, 1_u32.., 0_u32..1_000).prop_map(|(product, bid, spread)| Step::Rate { product, bid, spread });
    prop_oneof![20 => request, 3 => rate, 1 => (0_i64..90_000).prop_map(|ms| Step::Wait { ms })]
}

fn message(step: &Step, now_ms: i64) -> Option<Message> {
    let parts = |parts: u64| format!("{}.{:08}", parts / 100_000_000, parts % 100_000_000);
    match step {
        Step::Wait { .. } => None,
        Step::Request { account, guid, body } => {
            let value = format!(r#"{{"guid":"g{guid}","account":"a{account}",{body}}}"#);
            Some(Message::new(topics::TRANSACTION_REQUEST, &format!("a{account}"), value, now_ms))
        }
        Step::Rate { product, bid, spread } => {
            let (bid, ask) = (parts(u64::from(*bid) * 100), parts((u64::from(*bid) + u64::from(*spread)) * 100));
            let value =
                format!(r#"{{"type":"ticker","product_id":"{product}","best_bid":"{bid}","best_ask":"{ask}"}}"#);
            Some(Message::new(topics::MARKET_FEED, product, value, now_ms))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn random_requests_keep_the_invariants(steps in prop::collection::vec(step(), 1..200)) {
        let mut services = Services::default();
        let mut now_ms = 1_000_000;
        for account in 0..3 {
            let value = format!(r#"{{"number":"a{account}"}}"#);
            services.send(Message::new(topics::ACCOUNT_REQUEST, &format!("a{account}"), value, now_ms));
        }
        for step in &steps {
            now_ms += if let Step::Wait { ms } = step { *ms } else { 1 };
            if let Some(message) = message(step, now_ms) {
                services.send(message);
            }
        }
        let report = model::check(&services.records);
        prop_assert!(report.is_clean(), "{report}");
    }
}
