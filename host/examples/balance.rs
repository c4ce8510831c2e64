//! The JSON workload of the reference measurements, in a component and in the same Rust run natively: parse a payment,
//! keep a balance per account, send a payment with its balance. Processing only: no Kafka. Nanoseconds a record.
//! `cargo run --release -p wasmill --example balance`

#[path = "../tests/support/map_store.rs"]
#[allow(dead_code, reason = "a part of it serves the tests only")]
mod map_store;

use wasmill::processor::{Processor, Scope, Version};
use wasmill::record::{Batch, BatchBuilder, Headers, Input, Partition, Record};
use wasmill::wasm::{Component, Engine, EngineOptions, Limits, OpenDocument, StoreName, WasmVersion};

const RECORDS: usize = 500;

fn main() {
    let batches: Vec<Batch> = (0..20).map(batch).collect();
    for (epochs, inlining) in [(true, true), (true, false), (false, true), (false, false)] {
        let engine = Engine::new(EngineOptions { epochs, inlining }).expect("this machine runs components");
        for parser in ["serde", "extractor"] {
            let mut version = version(&engine, parser);
            let mut instance = version.instance().expect("the guest opens");
            let best = (0..5).map(|_| measure(&mut *instance, &batches)).fold(f64::INFINITY, f64::min);
            println!("epochs {epochs:<5} inlining {inlining:<5} {parser:<10} {best:8.1}");
        }
    }
}

fn measure(processor: &mut dyn Processor, batches: &[Batch]) -> f64 {
    let mut scope =
        Scope { stores: vec![Box::new(map_store::MapStore::default())], output_count: 1, ..Scope::default() };
    let rounds = 20;
    let began = cpu_ns();
    for _ in 0..rounds {
        for batch in batches {
            processor.process(batch.whole(), &mut scope).expect("payments");
            scope.outputs.clear();
        }
    }
    (cpu_ns() - began) as f64 / (rounds * batches.len() * RECORDS) as f64
}

fn batch(round: usize) -> Batch {
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    for index in 0..RECORDS {
        let number = round * RECORDS + index;
        // Few accounts, so that the plain map behind the store does not decide.
        let account = number % 8;
        let value = format!(
            r#"{{"tx_id":"tx-{number:012}","account_id":"acc-{account:08}","amount_cents":{},"currency":"USD","fraud_probability":0.{:04},"merchant":"merchant-{:06}","country":"DE","timestamp":1700000000{:03}}}"#,
            number % 10_000,
            number * 7 % 8_000,
            number % 1_000_000,
            number % 1_000,
        );
        let key = format!("acc-{account:08}");
        builder.push(&Record {
            offset: index as i64,
            timestamp_ms: 1,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers(&[]),
        });
    }
    builder.build()
}

fn version(engine: &Engine, parser: &str) -> WasmVersion {
    let path = format!("{}/../target/wasm32-wasip2/guest/guest_balance.wasm", env!("CARGO_MANIFEST_DIR"));
    let hint = "build it: cargo build --profile guest --target wasm32-wasip2 -p guest-balance";
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; {hint}"));
    let component = Component::compile(engine, &bytes, &Limits::default()).expect("the guest fits the contract");
    let document = OpenDocument {
        settings: serde_json::json!({"parser": parser}),
        outputs: vec!["balances".into()],
        stores: vec![StoreName { name: "balance".into(), scans: false }],
        ..OpenDocument::default()
    };
    WasmVersion::new(&component, &document, Limits::default())
}

/// CPU time of this thread: what other programs on this machine take does not count. Accurate to a few milliseconds.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("it begins with the time on a CPU")
}
