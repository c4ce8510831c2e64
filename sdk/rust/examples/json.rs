//! What reading four members of a payment costs natively: `serde_json` and the extractor. Nanoseconds of CPU time.
//! `cargo run --release -p wasmill-sdk --example json`

use std::hint::black_box;

use wasmill_sdk::json::{Names, Object};

#[derive(serde::Deserialize, serde::Serialize)]
struct Payment<'a> {
    tx_id: &'a str,
    account_id: &'a str,
    amount_cents: i64,
    fraud_probability: f64,
}

const NAMES: Names<4> = Names::new(["tx_id", "account_id", "amount_cents", "fraud_probability"]);
const ROUNDS: usize = 3_000_000;

fn main() {
    let text = br#"{"tx_id":"tx-000000000123","account_id":"acc-00000007","amount_cents":123,"currency":"USD","fraud_probability":0.0861,"merchant":"merchant-000123","country":"DE","timestamp":1700000000123}"#;
    report("serde_json", || {
        let payment: Payment<'_> = serde_json::from_slice(black_box(text)).expect("valid");
        black_box(payment);
    });
    report("extractor", || {
        let [tx_id, account_id, amount, fraud] = NAMES.read(black_box(text)).expect("valid");
        let texts = (tx_id.into_text().expect("text"), account_id.into_text().expect("text"));
        black_box((texts, amount.as_i64().expect("number"), fraud.as_f64().expect("number")));
    });
    let mut out = Vec::with_capacity(256);
    report("written by serde_json", || {
        out.clear();
        let payment =
            Payment { tx_id: "tx-000000000123", account_id: "acc-7", amount_cents: 5, fraud_probability: 0.5 };
        serde_json::to_writer(&mut out, black_box(&payment)).expect("memory");
        black_box(&out);
    });
    let mut out = Vec::with_capacity(256);
    report("written by Object", || {
        out.clear();
        let object = Object::begin(&mut out).string("tx_id", black_box("tx-000000000123"));
        object.string("account_id", black_box("acc-7")).integer("amount_cents", 5).integer("balance", 12_345).end();
        black_box(&out);
    });
}

fn report(what: &str, mut work: impl FnMut()) {
    let began = cpu_ns();
    (0..ROUNDS).for_each(|_| work());
    println!("{what:<24}{:8.1}", (cpu_ns() - began) as f64 / ROUNDS as f64);
}

fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("it begins with the time on a CPU")
}
