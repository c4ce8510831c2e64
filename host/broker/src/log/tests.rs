//! Tests of one partition's log: what they share.
//! Owns a builder of batches and whole reads.
//! The tests themselves are one file per concern.

mod appending;
mod compacting;
mod producing;
mod recovering;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::PartitionLog;
use super::batch::{BatchHeader, Build, HEADER_BYTES};
use super::{codec, record};
use crate::topic::TopicSettings;
use crate::topic::settings::Overrides;

/// A batch to be produced.
#[derive(Clone, Debug)]
pub struct Draft {
    pub records: Vec<(Option<String>, Option<String>)>,
    pub producer: Option<(i64, i16, i32)>,
    pub is_transactional: bool,
    pub codec: i16,
    pub timestamp_ms: i64,
}

impl Draft {
    pub fn of(records: &[(&str, &str)]) -> Self {
        let own = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let records = records.iter().map(|(key, value)| (own(key), own(value))).collect();
        Self { records, producer: None, is_transactional: false, codec: 0, timestamp_ms: crate::clock::now_ms() }
    }

    pub fn from(mut self, producer_id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = Some((producer_id, epoch, sequence));
        self
    }

    pub fn in_transaction(mut self) -> Self {
        self.is_transactional = true;
        self
    }

    pub fn codec(mut self, codec: i16) -> Self {
        self.codec = codec;
        self
    }

    pub fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = timestamp_ms;
        self
    }

    pub fn bytes(&self) -> Bytes {
        let mut body = Vec::new();
        for (at, (key, value)) in self.records.iter().enumerate() {
            put_record(at, key.as_deref(), value.as_deref(), &mut body);
        }
        let body = codec::compress(self.codec, &body).expect("compressed");
        let (producer_id, producer_epoch, base_sequence) = self.producer.unwrap_or((-1, -1, -1));
        let header = BatchHeader {
            base_offset: 0,
            size_bytes: 0,
            attributes: self.codec | if self.is_transactional { 0x10 } else { 0 },
            last_offset_delta: self.records.len() as i32 - 1,
            base_timestamp_ms: self.timestamp_ms,
            max_timestamp_ms: self.timestamp_ms,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: self.records.len() as i32,
        };
        Build { header, body: &body }.bytes().into()
    }
}

/// Lengths below 64 only, so that each is one byte.
fn put_record(delta: usize, key: Option<&str>, value: Option<&str>, out: &mut Vec<u8>) {
    let mut record = vec![0, 0, (delta * 2) as u8];
    for part in [key, value] {
        record.push(part.map_or(1, |part| (part.len() * 2) as u8));
        record.extend_from_slice(part.unwrap_or_default().as_bytes());
    }
    record.push(0);
    assert!(record.len() < 64 && delta < 64, "the builder writes one-byte lengths");
    out.push((record.len() * 2) as u8);
    out.extend_from_slice(&record);
}

pub fn settings(overrides: &[(&str, &str)]) -> Arc<TopicSettings> {
    let overrides: Overrides =
        overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(TopicSettings::new(&overrides))
}

pub fn open(folder: &Path) -> PartitionLog {
    PartitionLog::open(folder, settings(&[]), false).expect("opened")
}

/// What a reader sees: (offset, key, value).
pub type Seen = (i64, Option<String>, Option<String>);

/// Reads from `offset` as a consumer would: batch by batch, without aborted records and markers.
pub fn read_from(log: &PartitionLog, offset: i64, is_committed: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut next = offset;
    loop {
        let plan = log.plan(next, 4_096, is_committed).expect("planned").expect("in range");
        let mut bytes = Vec::new();
        plan.read(4_096, true, &mut bytes).expect("read");
        if bytes.is_empty() {
            return seen;
        }
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            let header = BatchHeader::parse_intact(&rest).expect("whole batches");
            let batch = rest.split_to(header.size_bytes);
            let is_aborted = header.is_transactional()
                && plan
                    .aborted
                    .iter()
                    .any(|a| a.producer_id == header.producer_id && (a.first..=a.last).contains(&header.base_offset));
            let is_hidden = header.is_control() || is_committed && is_aborted;
            if !is_hidden {
                take_records(&header, &batch, next, &mut seen);
            }
            next = header.next_offset();
        }
    }
}

fn take_records(header: &BatchHeader, batch: &Bytes, from: i64, seen: &mut Vec<Seen>) {
    let body = codec::decompress(header.codec(), batch.slice(HEADER_BYTES..)).expect("decompressed");
    for record in record::records(&body, header.record_count) {
        let record = record.expect("parsed");
        let offset = header.base_offset + record.offset_delta;
        if offset >= from {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = record.has_value.then(|| value_of(record.raw));
            seen.push((offset, record.key.map(text), value));
        }
    }
}

/// The value of a record made by `put_record`.
fn value_of(raw: &[u8]) -> String {
    let mut at = 2;
    while raw[at] & 0x80 != 0 {
        at += 1; // a shifted timestamp delta takes several bytes
    }
    at += 2;
    let key_length = if raw[at] == 1 { 0 } else { usize::from(raw[at] / 2) };
    at += 1 + key_length;
    let length = usize::from(raw[at] / 2);
    String::from_utf8_lossy(&raw[at + 1..at + 1 + length]).into_owned()
}

pub fn values(log: &PartitionLog, is_committed: bool) -> Vec<String> {
    read_from(log, log.start_offset(), is_committed).into_iter().filter_map(|(_, _, value)| value).collect()
}

pub fn produce(log: &mut PartitionLog, draft: &Draft) -> i64 {
    log.produce(&draft.bytes(), true).expect("appended").base_offset
}
