//! Records: whatever goes in comes out, byte for byte and in order.

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::Timestamp;
use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::producer::{CALL_LIMIT, Place, Producer, Sent};
use wasmill_tests::reader::Isolation::Committed;
use wasmill_tests::reader::{Isolation, Reader, Seen, read, read_from};

use crate::check::{Check, Difference, shared};

pub const CHECKS: &[Check] = &[
    shared("every_codec_comes_back", every_codec_comes_back),
    shared("a_topic_of_its_own_codec_comes_back", a_topic_of_its_own_codec_comes_back),
    shared("headers_come_back", headers_come_back),
    shared("absent_and_empty_are_not_the_same", absent_and_empty_are_not_the_same),
    shared("timestamps_come_back", timestamps_come_back),
    shared("a_topic_may_stamp_records_itself", a_topic_may_stamp_records_itself),
    shared("large_records_come_back", large_records_come_back),
    shared("a_too_large_record_is_refused", a_too_large_record_is_refused),
    shared("records_stay_in_order", records_stay_in_order),
    shared("acknowledgements_name_the_offset", acknowledgements_name_the_offset),
    shared("acks_of_0_and_1_arrive", acks_of_0_and_1_arrive),
    shared("a_fetch_starts_in_the_middle_of_a_batch", a_fetch_starts_in_the_middle_of_a_batch),
    shared("a_big_fetch_covers_many_partitions", a_big_fetch_covers_many_partitions),
    shared("a_small_fetch_limit_still_moves", a_small_fetch_limit_still_moves),
    shared("a_waiting_reader_is_woken", a_waiting_reader_is_woken),
    shared("offsets_are_found_by_time", offsets_are_found_by_time),
    shared("an_unknown_partition_is_refused", an_unknown_partition_is_refused),
];

/// Records of old times stay.
const FOR_EVER: &[(&str, &str)] = &[("retention.ms", "-1")];

fn numbered(topic: &str, producer: &Producer, count: usize, pad: &str) -> Vec<String> {
    let values: Vec<String> = (0..count).map(|n| format!("{n}:{pad}")).collect();
    for value in &values {
        producer.put(topic, 0, "k", value);
    }
    values
}

fn every_codec_comes_back(broker: &Broker) {
    let admin = Admin::new(broker);
    let pad = "compressible ".repeat(20);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = admin.topic(codec, 1, &[]);
        let producer = Producer::new(broker, &[("compression.type", codec), ("linger.ms", "50")]);
        let values = numbered(&topic, &producer, 500, &pad);
        assert_eq!(producer.places().len(), 500);
        let seen: Vec<String> = read(broker, &topic, 0, Committed).iter().map(Seen::text).collect();
        assert_eq!(seen, values, "{codec}");
    }
}

fn a_topic_of_its_own_codec_comes_back(broker: &Broker) {
    let topic = Admin::new(broker).topic("topic-codec", 1, &[("compression.type", "lz4")]);
    let producer = Producer::new(broker, &[("compression.type", "gzip")]);
    let values = numbered(&topic, &producer, 50, "some text");
    producer.places();
    let seen: Vec<String> = read(broker, &topic, 0, Committed).iter().map(Seen::text).collect();
    assert_eq!(seen, values);
}

fn headers_come_back(broker: &Broker) {
    let topic = Admin::new(broker).topic("headers", 1, &[]);
    let producer = Producer::new(broker, &[]);
    let headers: &[(&str, Option<&[u8]>)] = &[
        ("a", Some(b"1")),
        ("empty", Some(b"")),
        ("null", None),
        ("a", Some(b"again")),
        ("bytes", Some(&[0, 255, 128])),
    ];
    producer.send(&Sent { topic: &topic, partition: Some(0), value: Some(b"v"), headers, ..Sent::default() });
    producer.places();
    let seen = read(broker, &topic, 0, Committed);
    let expected: Vec<(String, Option<Vec<u8>>)> =
        headers.iter().map(|(key, value)| (key.to_string(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(seen[0].headers, expected);
}

/// Key and value.
type Form<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn absent_and_empty_are_not_the_same(broker: &Broker) {
    let topic = Admin::new(broker).topic("absent", 1, &[]);
    let producer = Producer::new(broker, &[]);
    let forms: &[Form<'_>] = &[
        (Some(b"k"), Some(b"v")),
        (None, Some(b"v")),
        (Some(b"k"), None),
        (None, None),
        (Some(b""), Some(b"")),
        (Some(b""), None),
    ];
    for (key, value) in forms {
        producer.send(&Sent { topic: &topic, partition: Some(0), key: *key, value: *value, ..Sent::default() });
    }
    producer.places();
    let seen = read(broker, &topic, 0, Committed);
    let got: Vec<Form<'_>> = seen.iter().map(|s| (s.key.as_deref(), s.value.as_deref())).collect();
    assert_eq!(got, forms);
}

fn timestamps_come_back(broker: &Broker) {
    let topic = Admin::new(broker).topic("times", 1, FOR_EVER);
    let producer = Producer::new(broker, &[]);
    let times = [1_700_000_000_000, 1_600_000_000_000, 1_700_000_000_001, 1];
    for time in times {
        producer.send(&Sent {
            topic: &topic,
            partition: Some(0),
            value: Some(b"v"),
            timestamp_ms: Some(time),
            ..Sent::default()
        });
    }
    producer.places();
    let seen: Vec<Timestamp> = read(broker, &topic, 0, Committed).iter().map(|s| s.timestamp).collect();
    assert_eq!(seen, times.map(Timestamp::CreateTime));
}

fn a_topic_may_stamp_records_itself(broker: &Broker) {
    let (admin, settings) = (Admin::new(broker), &[("message.timestamp.type", "LogAppendTime")]);
    if Difference::NoAppendTime.is_of(broker) {
        assert_eq!(admin.create(&fresh("stamped"), 1, settings), Err(Code::InvalidConfig));
        return;
    }
    let topic = admin.topic("stamped", 1, settings);
    let producer = Producer::new(broker, &[]);
    let old = Some(1_600_000_000_000);
    producer.send(&Sent { topic: &topic, partition: Some(0), value: Some(b"v"), timestamp_ms: old, ..Sent::default() });
    producer.places();
    match read(broker, &topic, 0, Committed)[0].timestamp {
        Timestamp::LogAppendTime(time) => assert!(time > 1_700_000_000_000, "{time}"),
        other => panic!("{other:?}"),
    }
}

fn large_records_come_back(broker: &Broker) {
    let topic = Admin::new(broker).topic("large", 1, &[("max.message.bytes", "10485760")]);
    let producer = Producer::new(broker, &[]);
    let sizes = [0, 1, 100, 65_536, 1_000_000, 5_000_000, 3];
    for size in sizes {
        let value = vec![size as u8 ^ 0x5a; size];
        producer.send(&Sent { topic: &topic, partition: Some(0), value: Some(&value), ..Sent::default() });
    }
    producer.places();
    let seen = read(broker, &topic, 0, Committed);
    let got: Vec<usize> = seen.iter().map(|s| s.value.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(got, sizes);
    assert!(
        seen.iter().all(|s| s
            .value
            .iter()
            .flatten()
            .all(|byte| *byte == s.value.as_ref().map_or(0, Vec::len) as u8 ^ 0x5a))
    );
}

fn a_too_large_record_is_refused(broker: &Broker) {
    let admin = Admin::new(broker);
    let small = admin.topic("small-limit", 1, &[("max.message.bytes", "2000")]);
    let plain = admin.topic("default-limit", 1, &[]);
    let producer = Producer::new(broker, &[]);
    for (topic, size) in [(&small, 3_000), (&plain, 1_100_000)] {
        let value = vec![7; size];
        producer.send(&Sent { topic, partition: Some(0), value: Some(&value), ..Sent::default() });
        assert_eq!(producer.delivered(), [Err(Code::MessageSizeTooLarge)], "{size}");
        producer.put(topic, 0, "k", "fits");
        assert_eq!(producer.places(), [Place { partition: 0, offset: 0 }]);
    }
}

fn records_stay_in_order(broker: &Broker) {
    let topic = Admin::new(broker).topic("ordered", 1, &[]);
    let producer = Producer::new(broker, &[("enable.idempotence", "true"), ("batch.num.messages", "37")]);
    let values = numbered(&topic, &producer, 5_000, "");
    assert_eq!(producer.places().len(), values.len());
    let seen = read(broker, &topic, 0, Committed);
    assert!(seen.iter().enumerate().all(|(at, s)| s.offset == at as i64));
    assert_eq!(seen.iter().map(Seen::text).collect::<Vec<_>>(), values);
}

fn acknowledgements_name_the_offset(broker: &Broker) {
    let topic = Admin::new(broker).topic("acknowledged", 2, &[]);
    let producer = Producer::new(broker, &[("enable.idempotence", "true")]);
    for (partition, expected) in [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)] {
        producer.put(&topic, partition, "k", "v");
        assert_eq!(producer.places(), [Place { partition, offset: expected }]);
    }
}

fn acks_of_0_and_1_arrive(broker: &Broker) {
    let topic = Admin::new(broker).topic("acks", 1, &[]);
    for acks in ["0", "1"] {
        let producer = Producer::new(broker, &[("acks", acks)]);
        numbered(&topic, &producer, 10, acks);
        producer.places();
    }
    wasmill_tests::until::until("all arrived", wasmill_tests::until::LONG, || {
        (read(broker, &topic, 0, Committed).len() == 20).then_some(())
    });
}

fn a_fetch_starts_in_the_middle_of_a_batch(broker: &Broker) {
    let topic = Admin::new(broker).topic("middle", 1, &[]);
    for codec in ["none", "zstd"] {
        let producer = Producer::new(broker, &[("linger.ms", "200"), ("compression.type", codec)]);
        numbered(&topic, &producer, 100, codec);
        producer.places();
    }
    for from in [0, 1, 50, 99, 100, 150, 199, 200] {
        let seen = read_from(broker, &topic, 0, Offset::Offset(from), Committed);
        let offsets: Vec<i64> = seen.iter().map(|s| s.offset).collect();
        assert_eq!(offsets, (from..200).collect::<Vec<_>>(), "from {from}");
    }
}

fn a_big_fetch_covers_many_partitions(broker: &Broker) {
    let partitions = 40;
    let topic = Admin::new(broker).topic("wide", partitions, &[]);
    let producer = Producer::new(broker, &[]);
    let pad = "x".repeat(1_000);
    for n in 0..200 {
        for partition in 0..partitions {
            producer.put(&topic, partition, "k", &format!("{partition}/{n}:{pad}"));
        }
    }
    producer.places();
    let mut reader = Reader::new(broker, Committed, &[("fetch.max.bytes", "1000000")]);
    let from: Vec<(i32, Offset)> = (0..partitions).map(|partition| (partition, Offset::Beginning)).collect();
    reader.go_to(&topic, &from);
    let seen = reader.to_end().expect("all can be read");
    assert_eq!(seen.len(), 200 * partitions as usize);
    for partition in 0..partitions {
        let offsets: Vec<i64> = seen.iter().filter(|s| s.partition == partition).map(|s| s.offset).collect();
        assert_eq!(offsets, (0..200).collect::<Vec<_>>(), "partition {partition}");
    }
}

/// A batch larger than every limit is given nevertheless, or a reader would stand for ever.
fn a_small_fetch_limit_still_moves(broker: &Broker) {
    let topic = Admin::new(broker).topic("small-fetch", 2, &[]);
    let producer = Producer::new(broker, &[]);
    let value = "y".repeat(200_000);
    for n in 0..10 {
        producer.put(&topic, n % 2, "k", &value);
    }
    producer.places();
    let limits = [("fetch.message.max.bytes", "1000"), ("fetch.max.bytes", "1000"), ("message.max.bytes", "1000")];
    let mut reader = Reader::new(broker, Committed, &limits);
    reader.go_to(&topic, &[(0, Offset::Beginning), (1, Offset::Beginning)]);
    assert_eq!(reader.to_end().expect("all can be read").len(), 10);
}

fn a_waiting_reader_is_woken(broker: &Broker) {
    let topic = Admin::new(broker).topic("woken", 1, &[]);
    let mut reader = Reader::new(broker, Committed, &[("fetch.wait.max.ms", "20000")]);
    reader.go_to(&topic, &[(0, Offset::Beginning)]);
    assert_eq!(reader.to_end(), Ok(vec![]));
    let producer = Producer::new(broker, &[]);
    producer.put(&topic, 0, "k", "v");
    producer.places();
    let start = std::time::Instant::now();
    wasmill_tests::until::until("the record comes", CALL_LIMIT, || {
        reader.poll(std::time::Duration::from_millis(50)).and_then(Result::ok)
    });
    assert!(start.elapsed().as_secs() < 15, "only when the long poll ended");
}

fn offsets_are_found_by_time(broker: &Broker) {
    let topic = Admin::new(broker).topic("by-time", 1, FOR_EVER);
    let producer = Producer::new(broker, &[]);
    let base = 1_700_000_000_000;
    // Two batches; the times within a batch do not grow.
    for times in [&[100, 300, 200][..], &[400, 400, 600]] {
        for time in times {
            let timestamp_ms = Some(base + time);
            producer.send(&Sent {
                topic: &topic,
                partition: Some(0),
                value: Some(b"v"),
                timestamp_ms,
                ..Sent::default()
            });
        }
        producer.places();
    }
    let reader = Reader::new(broker, Isolation::Uncommitted, &[]);
    for (time, expected) in [
        (0, Offset::Offset(0)),
        (100, Offset::Offset(0)),
        (101, Offset::Offset(1)),
        (300, Offset::Offset(1)),
        (301, Offset::Offset(3)),
        (401, Offset::Offset(5)),
        (601, Offset::End),
    ] {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Offset(base + time)).expect("an offset");
        let found = reader.consumer().offsets_for_times(list, CALL_LIMIT).expect("the broker answers");
        assert_eq!(found.elements()[0].offset(), expected, "at {time}");
    }
    let watermarks = Admin::new(broker).watermarks(&topic, 0);
    assert_eq!((watermarks.first, watermarks.end), (0, 6));
}

fn an_unknown_partition_is_refused(broker: &Broker) {
    let topic = Admin::new(broker).topic("two", 2, &[]);
    let producer = Producer::new(broker, &[("message.timeout.ms", "3000")]);
    let sent = Sent { topic: &topic, partition: Some(7), value: Some(b"v"), ..Sent::default() };
    let told = match producer.try_send(&sent) {
        Ok(()) => producer.delivered()[0].expect_err("nothing can be delivered there"),
        Err(error) => error.rdkafka_error_code().expect("an error with a code"),
    };
    assert_eq!(told, Code::UnknownPartition);
}
