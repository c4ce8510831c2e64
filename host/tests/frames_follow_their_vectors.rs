//! The host reads and writes frames as `wit/FRAMES.md` says: every vector under `wit/vectors` holds.

use serde_json::Value;
use wasmill::record::{Batch, BatchBuilder, Headers, Input, Outputs, Partition, Record};

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/../wit/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal text");
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn bytes_or_null(hex: &Value) -> Option<Vec<u8>> {
    (!hex.is_null()).then(|| bytes(hex))
}

/// A record of a vector, with its header list in frame layout.
struct Expected {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<u8>,
}

impl Expected {
    fn new(record: &Value) -> Self {
        let mut headers = Vec::new();
        for header in record["headers"].as_array().expect("a list") {
            Headers::push(&mut headers, &bytes(&header[0]), bytes_or_null(&header[1]).as_deref());
        }
        Self {
            offset: record["offset"].as_i64().unwrap_or(0),
            timestamp_ms: record["timestamp"].as_i64().expect("a number"),
            key: bytes_or_null(&record["key"]),
            value: bytes_or_null(&record["value"]),
            headers,
        }
    }

    fn record(&self) -> Record<'_> {
        Record {
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: Headers(&self.headers),
        }
    }
}

fn batch(records: &Value) -> Batch {
    let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
    for record in records.as_array().expect("a list") {
        builder.push(&Expected::new(record).record());
    }
    builder.build()
}

#[test]
fn input_frames_are_written_as_laid_down() {
    let of_this_host = |case: &&Value| !case["name"].as_str().expect("a name").starts_with("a later host");
    for case in vectors("input").iter().filter(of_this_host) {
        let batch = batch(&case["records"]);
        assert_eq!(batch.whole().frames(), bytes(&case["frames"]), "{}", case["name"]);
        let expected: Vec<_> = case["records"].as_array().expect("a list").iter().map(Expected::new).collect();
        let expected: Vec<_> = expected.iter().map(Expected::record).collect();
        assert_eq!(batch.whole().records().collect::<Vec<_>>(), expected, "{}", case["name"]);
    }
}

#[test]
fn valid_output_frames_become_their_records() {
    for case in vectors("output-valid") {
        let batch = batch(&case["input"]);
        let count = case["outputs"].as_u64().expect("a number") as usize;
        let mut outputs = Outputs::default();
        let lifted = outputs.lift(&bytes(&case["frames"]), batch.whole(), count);
        lifted.unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
        let expected = case["records"].as_array().expect("a list");
        assert_eq!(outputs.len(), expected.len(), "{}", case["name"]);
        for (output, record) in outputs.iter().zip(expected) {
            let expected = Expected::new(record);
            assert_eq!(u64::from(output.output), record["output"].as_u64().expect("a number"), "{}", case["name"]);
            let got = (output.timestamp_ms, output.key, output.value, output.headers);
            let record = expected.record();
            assert_eq!(got, (record.timestamp_ms, record.key, record.value, record.headers), "{}", case["name"]);
        }
    }
}

#[test]
fn invalid_output_frames_are_refused_with_their_message() {
    for case in vectors("output-invalid") {
        let batch = batch(&case["input"]);
        let count = case["outputs"].as_u64().expect("a number") as usize;
        let mut outputs = Outputs::default();
        let error = outputs.lift(&bytes(&case["frames"]), batch.whole(), count);
        let message = error.expect_err(case["name"].as_str().expect("a name")).to_string();
        assert!(message.starts_with(case["message"].as_str().expect("a message")), "{}: {message}", case["name"]);
        assert!(outputs.is_empty() && outputs.payload_bytes() == 0, "{}", case["name"]);
    }
}
