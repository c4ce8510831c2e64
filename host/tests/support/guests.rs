//! For tests of components: the guests that were built before, and small things to call them with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use wasmill::processor::{ProcessError, Processor, Scope, Version};
use wasmill::record::{Batch, BatchBuilder, Headers, Input, Partition, Record};
use wasmill::wasm::{Component, Engine, EngineOptions, Limits, OpenDocument, StoreName, WasmVersion};

/// The bytes of a component built from `tests/guests/<name>` or `plugins/<name>`.
pub fn bytes(name: &str) -> Vec<u8> {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/guest").join(file);
    std::fs::read(&path).unwrap_or_else(|error| {
        let how = match name.starts_with("wat-") {
            true => "cargo run --release -p guest-assemble".to_owned(),
            false => format!("cargo build --profile guest --target wasm32-wasip2 -p {name}"),
        };
        panic!("{}: {error}; build it: {how}", path.display())
    })
}

pub fn engine() -> Engine {
    Engine::new(EngineOptions::default()).expect("this machine runs components")
}

/// A document with one input, one output `out`, and these stores, all with scans.
#[allow(dead_code, reason = "not every test file has stores")]
pub fn document(settings: serde_json::Value, stores: &[&str]) -> OpenDocument {
    OpenDocument {
        application: "test".to_owned(),
        processor: "it".to_owned(),
        settings,
        inputs: vec!["in".to_owned()],
        outputs: vec!["out".to_owned()],
        stores: stores.iter().map(|name| StoreName { name: (*name).to_owned(), scans: true }).collect(),
        tables: vec!["rates".to_owned()],
    }
}

/// A version of the named guest, compiled once per process.
#[allow(dead_code, reason = "not every test file makes one")]
pub fn version(name: &str, document: &OpenDocument, limits: Limits) -> WasmVersion {
    static COMPILED: Mutex<BTreeMap<String, Component>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let component = compiled
        .entry(name.to_owned())
        .or_insert_with(|| Component::compile(&engine(), &bytes(name), &Limits::default()).expect("the guest fits"));
    WasmVersion::new(component, document, limits)
}

#[allow(dead_code, reason = "not every test file needs one")]
pub fn instance(version: &mut WasmVersion) -> Box<dyn Processor> {
    version.instance().expect("the guest opens")
}

#[allow(dead_code, reason = "not every test file makes batches")]
/// A batch of key and value pairs, with timestamps 1,000, 1,001 and so on.
pub fn batch(records: &[(&str, &str)]) -> Batch {
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    for (index, (key, value)) in records.iter().enumerate() {
        builder.push(&Record {
            offset: index as i64,
            timestamp_ms: 1_000 + index as i64,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers(&[]),
        });
    }
    builder.build()
}

#[allow(dead_code, reason = "not every test file calls")]
/// A scope with one output and no stores.
pub fn scope() -> Scope {
    Scope { output_count: 1, now_ms: 1_700_000_000_000, seed: 7, ..Scope::default() }
}

/// Output number, key and value of all outputs, as text.
#[allow(dead_code, reason = "not every test file looks at outputs")]
pub fn outputs(scope: &Scope) -> Vec<(u16, String, String)> {
    let text = |bytes: Option<&[u8]>| bytes.map_or("null".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    scope.outputs.iter().map(|output| (output.output, text(output.key), text(output.value))).collect()
}

/// The guest's fault.
#[allow(dead_code, reason = "not every test file has faults")]
pub fn fault(result: Result<(), ProcessError>) -> wasmill::processor::GuestFault {
    match result {
        Err(ProcessError::Guest(fault)) => fault,
        other => panic!("a fault of the component was expected, not {other:?}"),
    }
}
