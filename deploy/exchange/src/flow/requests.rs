//! What customers ask for: accounts, valid transactions with a realistic mixture of amounts, and every invalid kind.

use super::random::Random;
use crate::record::Message;
use crate::topics;

const FIAT: [&str; 3] = ["USD", "EUR", "GBP"];
const NAMES: [(&str, &str); 6] = [
    ("Ada", "Lovelace"),
    ("Alan", "Turing"),
    ("Grace", "Hopper"),
    ("Edsger", "Dijkstra"),
    ("Barbara", "Liskov"),
    ("José", "Núñez \\\"Pepe\\\""),
];
const CITIES: [(&str, &str, &str); 4] = [
    ("Torstraße 1", "Berlin", "DE"),
    ("10 King Street", "London", "GB"),
    ("5 Main St", "Boston", "US"),
    ("2 rue de Lille", "Paris", "FR"),
];

pub(super) fn account_number(number: u64) -> String {
    format!("{:08}", 10_000_000 + number)
}

pub(super) fn account(random: &mut Random, number: u32, timestamp_ms: i64) -> Message {
    let number = account_number(u64::from(number));
    let (first, last) = random.pick(&NAMES);
    let (street, city, country) = random.pick(&CITIES);
    let postal_code = random.between(10_000, 99_999);
    let value = format!(
        r#"{{"number":"{number}","firstName":"{first}","lastName":"{last}","streetAddress":"{street}","postalCode":"{postal_code}","city":"{city}","country":"{country}"}}"#
    );
    Message::new(topics::ACCOUNT_REQUEST, &number, value, timestamp_ms)
}

/// A request that is well-formed. Whether the money suffices is not known here.
pub(super) fn valid(random: &mut Random, accounts: u32, timestamp_ms: i64) -> Message {
    let account = account_number(random.between(0, u64::from(accounts)));
    let fiat = *random.pick(&FIAT);
    let body = match random.weighted(&[(38, 'd'), (22, 'w'), (25, 'b'), (15, 's')]) {
        'd' => body("DEPOSIT", None, Some((&amount(random, 100_00, 5_000_00), fiat))),
        'w' => body("WITHDRAW", Some((&amount(random, 10_00, 1_500_00), fiat)), None),
        'b' => {
            let coin = *random.pick(&["BTC", "BTC", "ETH"]);
            body("EXCHANGE", Some((&amount(random, 1_00, 1_500_00), fiat)), Some(("null", coin)))
        }
        _ => {
            let (coin, credit) = *random.pick(&[("BTC", fiat), ("ETH", fiat), ("ETH", "BTC"), ("BTC", "ETH")]);
            let parts = random.between(1, 20_000_000);
            body("EXCHANGE", Some((&format!(r#""0.{parts:08}""#), coin)), Some(("null", credit)))
        }
    };
    message(&account, &random.guid(), &body, timestamp_ms)
}

/// One of each reason that does not depend on balances.
pub(super) fn invalid(random: &mut Random, accounts: u32, timestamp_ms: i64) -> Message {
    let mut account = account_number(random.between(0, u64::from(accounts)));
    let usd = Some((r#""100.00""#, "USD"));
    let bodies = [
        body("DEPOSIT", None, Some((r#""-5.00""#, "USD"))),
        body("DEPOSIT", None, Some((r#""0""#, "EUR"))),
        body("DEPOSIT", None, Some((r#""1.005""#, "EUR"))),
        body("WITHDRAW", Some((r#""1000000000000000000""#, "USD")), None),
        body("DEPOSIT", None, Some((r#""12,50""#, "GBP"))),
        body("DEPOSIT", None, Some(("null", "GBP"))),
        body("DEPOSIT", None, Some((r#""5""#, "XXX"))),
        body("EXCHANGE", usd, Some(("null", "USD"))),
        body("EXCHANGE", usd, Some(("null", "usd"))),
        body("EXCHANGE", usd, Some(("null", "CHF"))),
        body("TRANSFER", usd, usd),
        body("DEPOSIT", None, Some((r#"{"value":5}"#, "USD"))),
        body("WITHDRAW", Some((r#""999999999.00""#, "USD")), None),
        body("EXCHANGE", Some((r#""99999999.00000000""#, "BTC")), Some(("null", "EUR"))),
    ];
    let body = random.pick(&bodies).clone();
    let guid = random.guid();
    match random.between(0, 8) {
        0 => {
            account = account_number(random.between(1_000_000, 2_000_000));
            message(&account, &guid, &self::body("DEPOSIT", None, usd), timestamp_ms)
        }
        1 => {
            let value = value("12345678", &guid, &self::body("DEPOSIT", None, usd));
            Message::new(topics::TRANSACTION_REQUEST, &account, value, timestamp_ms)
        }
        _ => message(&account, &guid, &body, timestamp_ms),
    }
}

/// The same guid for another transaction: of another amount.
pub(super) fn altered(message: Message) -> Message {
    let value = message.value.as_deref().unwrap_or_default();
    let mut body: serde_json::Value = serde_json::from_slice(value).expect("requests made here are JSON");
    let name = if body["debitAmount"].is_null() { "creditAmount" } else { "debitAmount" };
    body[name] = "77.75".into();
    Message { value: Some(body.to_string().into_bytes()), ..message }
}

fn message(account: &str, guid: &str, body: &str, timestamp_ms: i64) -> Message {
    Message::new(topics::TRANSACTION_REQUEST, account, value(account, guid, body), timestamp_ms)
}

fn value(account: &str, guid: &str, body: &str) -> String {
    format!(r#"{{"guid":"{guid}","account":"{account}",{body}}}"#)
}

/// Amounts are JSON.
fn body(kind: &str, debit: Option<(&str, &str)>, credit: Option<(&str, &str)>) -> String {
    let leg = |name: &str, leg: Option<(&str, &str)>| match leg {
        None => format!(r#""{name}Amount":null,"{name}Currency":null"#),
        Some((amount, currency)) => format!(r#""{name}Amount":{amount},"{name}Currency":"{currency}""#),
    };
    format!(r#""type":"{kind}",{},{}"#, leg("debit", debit), leg("credit", credit))
}

/// Between two numbers of cents; mostly a text with two digits, sometimes a shorter one or a whole number.
fn amount(random: &mut Random, low: u64, high: u64) -> String {
    let cents = random.between(low, high);
    match random.between(0, 10) {
        0 => format!("{}", cents / 100),
        1 => format!(r#""{}""#, cents / 100),
        2 => format!(r#""{}.{}""#, cents / 100, cents / 10 % 10),
        _ => format!(r#""{}.{:02}""#, cents / 100, cents % 100),
    }
}
