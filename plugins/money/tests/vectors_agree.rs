//! The vectors that every language tests: `plugins/vectors/amounts.json` and `exchanges.json`.

use std::path::Path;

use money::{Currency, Member, Money, Quote, Rates, exchange};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Deserialize)]
struct Amount {
    currency: String,
    json: String,
    canonical: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    debit: String,
    debit_currency: String,
    credit_currency: String,
    rate: Value,
    credit: Option<String>,
}

struct OneRate(Quote);

impl Rates for OneRate {
    fn quote(&self, base: Currency, quote: Currency) -> Option<Quote> {
        (self.0.base == base.code() && self.0.quote == quote.code()).then(|| self.0.clone())
    }
}

fn vectors<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name);
    let text = std::fs::read_to_string(&path).expect("the vectors stand beside the plugins");
    let vectors: Vec<T> = serde_json::from_str(&text).expect("the vectors are what their README says");
    assert!(!vectors.is_empty());
    vectors
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("the vectors name known currencies")
}

#[test]
fn amounts_are_read_and_written() {
    for Amount { currency: code, json, canonical } in vectors("amounts.json") {
        let member: Member<'_> = serde_json::from_str(&json).expect("a JSON value");
        let amount = Money::read(&member, currency(&code)).ok();
        let written = amount.map(|amount| amount.text().as_str().to_owned());
        assert_eq!(written, canonical, "{code} {json}");
        if let Some(canonical) = canonical {
            assert_eq!(Money::parse(&canonical, currency(&code)).ok(), amount, "{canonical} read again");
        }
    }
}

#[test]
fn exchanges_come_to_the_same_credit() {
    for vector in vectors::<Exchange>("exchanges.json") {
        let json = vector.rate.to_string();
        let rate = Quote::parse(json.as_bytes()).expect("a rate");
        let debit = Money::parse(&vector.debit, currency(&vector.debit_currency)).expect("an amount");
        let traded = exchange(debit, currency(&vector.credit_currency), &OneRate(rate)).expect("the rate fits");
        let credit = traded.credit.map(|credit| credit.text().as_str().to_owned());
        assert_eq!(credit, vector.credit, "{} {} by {json}", vector.debit, vector.debit_currency);
    }
}

#[test]
fn rates_are_written_in_the_order_of_their_topic() {
    let canonical =
        r#"{"base":"BTC","quote":"USD","ask":"8000.00000000","bid":"7999.50000000","timestamp":1600000000000}"#;
    let loose =
        r#"{ "timestamp": 1600000000000, "bid": "7999.5", "ask": "8000", "quote": "USD", "base": "BTC", "x": 1 }"#;
    let quote = Quote::parse(loose.as_bytes()).expect("a rate");
    assert_eq!(serde_json::to_string(&quote).expect("plain data"), canonical);
    for bad in ["", "{}", &canonical.replace("8000", "-8000"), &canonical.replace("\"8000.00000000\"", "8000")] {
        assert_eq!(Quote::parse(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn an_exchange_without_a_rate_of_either_direction_is_none() {
    let rate = Quote::parse(br#"{"base":"BTC","quote":"USD","ask":"1","bid":"1","timestamp":0}"#).expect("a rate");
    let debit = Money::parse("1", Currency::Eur).expect("an amount");
    assert_eq!(exchange(debit, Currency::Btc, &OneRate(rate)), None);
}
