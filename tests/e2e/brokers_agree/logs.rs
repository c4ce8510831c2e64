//! Logs that lose their beginning or their old values: out of range, DeleteRecords, retention, compaction.

use std::collections::BTreeMap;

use rdkafka::Offset;
use rdkafka::error::RDKafkaErrorCode as Code;
use wasmill_tests::admin::{Admin, Watermarks, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::reader::Isolation::{Committed, Uncommitted};
use wasmill_tests::reader::{Reader, Seen, read, read_from};
use wasmill_tests::until::{LONG, until};

use crate::check::{Check, shared};

pub const CHECKS: &[Check] = &[
    shared("an_offset_out_of_range_is_told", an_offset_out_of_range_is_told),
    shared("deleted_records_move_the_start", deleted_records_move_the_start),
    shared("retention_by_time_drops_old_records", retention_by_time_drops_old_records),
    shared("retention_by_size_drops_the_oldest", retention_by_size_drops_the_oldest),
    shared("compaction_keeps_the_newest_of_each_key", compaction_keeps_the_newest_of_each_key),
    shared("compaction_drops_old_tombstones", compaction_drops_old_tombstones),
    shared("compaction_respects_transactions", compaction_respects_transactions),
];

/// Cleaned as soon as a segment is closed, and a segment is closed half a second after its first record.
const EAGER: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("segment.ms", "500"),
    ("delete.retention.ms", "100"),
];

fn fill(broker: &Broker, topic: &str, count: usize) {
    let producer = Producer::new(broker, &[]);
    for n in 0..count {
        producer.put(topic, 0, "k", &n.to_string());
    }
    producer.places();
}

fn an_offset_out_of_range_is_told(broker: &Broker) {
    let topic = Admin::new(broker).topic("range", 1, &[]);
    fill(broker, &topic, 10);
    let mut reader = Reader::new(broker, Committed, &[]);
    for offset in [11, 1_000] {
        reader.go_to(&topic, &[(0, Offset::Offset(offset))]);
        assert_eq!(reader.to_end(), Err(Code::AutoOffsetReset), "{offset}");
    }
    reader.go_to(&topic, &[(0, Offset::Offset(10))]);
    assert_eq!(reader.to_end(), Ok(vec![]), "the end itself is no error");
    let mut resets = Reader::new(broker, Committed, &[("auto.offset.reset", "earliest")]);
    resets.go_to(&topic, &[(0, Offset::Offset(1_000))]);
    until("it begins anew", LONG, || {
        resets.poll(std::time::Duration::from_millis(50)).and_then(Result::ok).map(|seen| assert_eq!(seen.offset, 0))
    });
}

fn deleted_records_move_the_start(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("cut", 1, &[]);
    fill(broker, &topic, 20);
    assert_eq!(admin.delete_records(&topic, 0, 7), Ok(()));
    assert_eq!(admin.watermarks(&topic, 0), Watermarks { first: 7, end: 20 });
    assert_eq!(read(broker, &topic, 0, Committed)[0].offset, 7);
    let mut reader = Reader::new(broker, Committed, &[]);
    reader.go_to(&topic, &[(0, Offset::Offset(6))]);
    assert_eq!(reader.to_end(), Err(Code::AutoOffsetReset));
    assert_eq!(admin.delete_records(&topic, 0, 21), Err(Code::OffsetOutOfRange));
    assert_eq!(admin.delete_records(&topic, 0, 3), Ok(()), "going back changes nothing");
    assert_eq!(admin.watermarks(&topic, 0), Watermarks { first: 7, end: 20 });
    assert_eq!(admin.delete_records(&topic, 0, 20), Ok(()));
    assert_eq!(admin.watermarks(&topic, 0), Watermarks { first: 20, end: 20 });
    fill(broker, &topic, 1);
    assert_eq!(read(broker, &topic, 0, Committed)[0].offset, 20);
}

fn retention_by_time_drops_old_records(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("old", 1, &[("retention.ms", "3600000")]);
    let producer = Producer::new(broker, &[]);
    let timestamp_ms = Some(1_600_000_000_000);
    for _ in 0..10 {
        producer.send(&Sent {
            topic: &topic,
            partition: Some(0),
            value: Some(b"old"),
            timestamp_ms,
            ..Sent::default()
        });
    }
    producer.places();
    until("the old ones are gone", LONG, || (admin.watermarks(&topic, 0).first == 10).then_some(()));
    fill(broker, &topic, 3);
    let offsets: Vec<i64> = read(broker, &topic, 0, Committed).iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, [10, 11, 12]);
}

fn retention_by_size_drops_the_oldest(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("big", 1, &[("segment.bytes", "1048576"), ("retention.bytes", "1500000")]);
    let producer = Producer::new(broker, &[]);
    let value = "z".repeat(10_000);
    for _ in 0..600 {
        producer.put(&topic, 0, "k", &value);
    }
    producer.places();
    until("the oldest are gone", LONG, || (admin.watermarks(&topic, 0).first > 250).then_some(()));
    // More may go between the question for the start and the reading from there.
    let (first, seen) = until("what is kept is read", LONG, || {
        let first = admin.watermarks(&topic, 0).first;
        let mut reader = Reader::new(broker, Committed, &[]);
        reader.go_to(&topic, &[(0, Offset::Offset(first))]);
        reader.to_end().ok().map(|seen| (first, seen))
    });
    assert_eq!(seen.len() as i64, 600 - first, "what is kept is whole");
    assert!(seen.len() >= 150, "no more goes than must: {}", seen.len());
}

/// Appends records of a key of their own until the wished is seen: closes segments, so that what is before can be cleaned.
fn clean_until(broker: &Broker, topic: &str, what: &str, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let producer = Producer::new(broker, &[]);
    until(what, LONG, || {
        producer.put(topic, 0, "roll", "");
        producer.places();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let seen: Vec<Seen> =
            read(broker, topic, 0, Committed).into_iter().filter(|seen| seen.key_text() != "roll").collect();
        holds(&seen).then_some(seen)
    })
}

fn compaction_keeps_the_newest_of_each_key(broker: &Broker) {
    for codec in ["none", "lz4"] {
        let topic = Admin::new(broker).topic("compacted", 1, EAGER);
        let producer = Producer::new(broker, &[("compression.type", codec), ("linger.ms", "20")]);
        let mut newest = BTreeMap::new();
        for n in 0..200 {
            let (key, value) = (format!("k{}", n * 7 % 10), n.to_string());
            producer.put(&topic, 0, &key, &value);
            newest.insert(key, (n, value));
        }
        producer.places();
        let seen = clean_until(broker, &topic, "ten are left", |seen| seen.len() == 10);
        let got: BTreeMap<String, (i64, String)> =
            seen.iter().map(|seen| (seen.key_text(), (seen.offset, seen.text()))).collect();
        assert_eq!(got, newest, "{codec}: values and places");
        assert!(seen.is_sorted_by_key(|seen| seen.offset));
        let jumped = read_from(broker, &topic, 0, Offset::Offset(5), Committed);
        assert_eq!(jumped[0].offset, seen[0].offset, "reading from a cleaned place goes on at the next one");
        assert_eq!(Admin::new(broker).watermarks(&topic, 0).first, 0);
    }
}

fn compaction_drops_old_tombstones(broker: &Broker) {
    let topic = Admin::new(broker).topic("tombstones", 1, EAGER);
    let producer = Producer::new(broker, &[]);
    producer.put(&topic, 0, "stays", "1");
    producer.put(&topic, 0, "goes", "1");
    producer.send(&Sent { topic: &topic, partition: Some(0), key: Some(b"goes"), value: None, ..Sent::default() });
    producer.places();
    let seen = clean_until(broker, &topic, "value and tombstone are gone", |seen| {
        seen.iter().all(|seen| seen.key_text() != "goes")
    });
    assert_eq!(seen.iter().map(Seen::key_text).collect::<Vec<_>>(), ["stays"]);
}

fn compaction_respects_transactions(broker: &Broker) {
    let topic = Admin::new(broker).topic("compacted-tx", 1, EAGER);
    let producer = Producer::ready(broker, &fresh("tx"));
    for (value, is_kept) in [("old", true), ("kept", true), ("aborted", false)] {
        producer.begin();
        producer.put(&topic, 0, "a", value);
        producer.put(&topic, 0, "b", value);
        producer.places();
        if is_kept { producer.commit().expect("it commits") } else { producer.abort().expect("it aborts") }
    }
    // What is aborted may lie in a segment of its own, which is cleaned only once there is one behind it: both are waited
    // for while segments are closed.
    let is_aborted_gone = || !read(broker, &topic, 0, Uncommitted).iter().any(|seen| seen.text() == "aborted");
    let what = "one of each key is left, and the aborted are gone for everybody";
    let seen = clean_until(broker, &topic, what, |seen| seen.len() == 2 && is_aborted_gone());
    assert_eq!(seen.iter().map(Seen::text).collect::<Vec<_>>(), ["kept", "kept"]);
}
