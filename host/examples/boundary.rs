//! What the border of a component costs: an empty call, and a record in and out, against the same work done natively.
//! Prints nanoseconds of the thread's CPU time. `cargo run --release -p wasmill --example boundary`

use wasmill::processor::{Processor, Scope, Version};
use wasmill::record::{Batch, BatchBuilder, Headers, Input, NewOutput, Partition, Record};
use wasmill::wasm::{Component, Engine, EngineOptions, Limits, OpenDocument, WasmVersion};

/// Key and value sizes of the reference measurements.
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 200;

/// What the border is compared with: the same outputs, pushed by native code.
struct Native;

impl Processor for Native {
    fn process(
        &mut self,
        batch: wasmill::record::BatchRef<'_>,
        scope: &mut Scope,
    ) -> Result<(), wasmill::processor::ProcessError> {
        for record in batch.records() {
            let (key, value) = (record.key, record.value);
            let output = NewOutput { output: 0, timestamp_ms: None, key, value, headers: Headers(&[]) };
            scope.outputs.push(&record, output);
        }
        Ok(())
    }
}

fn main() {
    println!("{:<34}{:>12}{:>12}{:>12}", "ns", "identity", "forward", "native");
    for (epochs, inlining) in [(true, false), (true, true), (false, false)] {
        let engine = Engine::new(EngineOptions { epochs, inlining }).expect("this machine runs components");
        let mut identity = instance(&engine, "guest_identity");
        let mut forward = instance(&engine, "guest_forward");
        println!("epochs {epochs}, inlining {inlining}");
        row("  a call without records", &batch(0), &mut [&mut *identity, &mut *forward, &mut Native], 1);
        for records in [1, 10, 100, 500, 2_000] {
            let label = format!("  a record, {records} a call");
            row(&label, &batch(records), &mut [&mut *identity, &mut *forward, &mut Native], records);
        }
    }
    instances();
}

fn row(label: &str, batch: &Batch, processors: &mut [&mut dyn Processor], divisor: usize) {
    print!("{label:<34}");
    for processor in processors {
        let best = (0..5).map(|_| measure(&mut **processor, batch)).fold(f64::INFINITY, f64::min);
        print!("{:>12.1}", best / divisor as f64);
    }
    println!();
}

/// Nanoseconds per call.
fn measure(processor: &mut dyn Processor, batch: &Batch) -> f64 {
    let calls = 300_000 / batch.len().max(3);
    let mut scope = Scope { output_count: 1, ..Scope::default() };
    let began = cpu_ns();
    for _ in 0..calls {
        processor.process(batch.whole(), &mut scope).expect("the guest copies");
        if scope.outputs.payload_bytes() > 4 << 20 {
            scope.outputs.clear();
        }
    }
    (cpu_ns() - began) as f64 / calls as f64
}

fn instances() {
    let engine = Engine::new(EngineOptions::default()).expect("this machine runs components");
    let mut version = version(&engine, "guest_identity");
    let times = 2_000;
    let began = cpu_ns();
    for _ in 0..times {
        drop(version.instance().expect("the guest opens"));
    }
    println!("make, open and drop an instance: {:.1} us", (cpu_ns() - began) as f64 / 1e3 / f64::from(times));
}

fn batch(records: usize) -> Batch {
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    let value = [b'v'; VALUE_BYTES];
    for index in 0..records {
        let key = format!("{index:0KEY_BYTES$}");
        builder.push(&Record {
            offset: index as i64,
            timestamp_ms: 1,
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: Headers(&[]),
        });
    }
    builder.build()
}

fn version(engine: &Engine, file: &str) -> WasmVersion {
    let path = format!("{}/../target/wasm32-wasip2/guest/{file}.wasm", env!("CARGO_MANIFEST_DIR"));
    let hint = "build it: cargo build --profile guest --target wasm32-wasip2 -p guest-identity -p guest-forward";
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; {hint}"));
    let component = Component::compile(engine, &bytes, &Limits::default()).expect("the guest fits the contract");
    WasmVersion::new(&component, &OpenDocument::default(), Limits::default())
}

fn instance(engine: &Engine, file: &str) -> Box<dyn Processor> {
    version(engine, file).instance().expect("the guest opens")
}

/// CPU time of this thread: what other programs on this machine take does not count. Accurate to a few milliseconds.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("it begins with the time on a CPU")
}
