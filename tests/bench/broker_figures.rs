//! The embedded broker against Apache Kafka, with the same clients, in turns on the same machine: rates of writing and
//! reading, and the times of a transaction and of a record's way through.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, TopicPartitionList};
use wasmill::kafka::Feed;
use wasmill_tests::producer::Producer;

use crate::brokers::{ACCOUNTS, INPUT, PARTITIONS, Place};
use crate::report::{Bar, Figure, Row, median};
use crate::workload::{Numbers, payment};

/// Counted rounds; one more before them warms Java's compiler.
const ROUNDS: usize = 5;

const PRODUCED: u64 = 300_000;
const CONSUMED: usize = 2_000_000;
const COMMITS: usize = 100;
const COMMIT_RECORDS: usize = 1_000;
const WAYS: usize = 300;

/// No round takes longer; one that does has stalled.
const PATIENCE: Duration = Duration::from_secs(60);

/// One thing that is measured on both brokers.
struct Measure {
    name: &'static str,
    /// On one broker, in one round: records a second, or milliseconds.
    of: fn(&Place, usize) -> anyhow::Result<f64>,
    is_rate: bool,
}

const MEASURES: [Measure; 4] = [
    Measure { name: "produce", of: produce, is_rate: true },
    Measure { name: "consume", of: consume, is_rate: true },
    Measure { name: "commit p50, 1,000 records", of: commit, is_rate: false },
    Measure { name: "end to end p50", of: way, is_rate: false },
];

pub fn measure(embedded: &Place, kafka: &Place) -> anyhow::Result<Vec<Row>> {
    let mut found: [Vec<[f64; 2]>; MEASURES.len()] = Default::default();
    for round in 0..=ROUNDS {
        for (measure, found) in MEASURES.iter().zip(&mut found) {
            found.push([(measure.of)(embedded, round)?, (measure.of)(kafka, round)?]);
        }
    }
    Ok(MEASURES.iter().zip(&found).map(|(measure, found)| row(measure, &found[1..])).collect())
}

fn row(measure: &Measure, found: &[[f64; 2]]) -> Row {
    let of = |f: fn(&[f64; 2]) -> f64| median(found.iter().map(f));
    let text = |value: f64| match measure.is_rate {
        true => format!("{:.0} k/s", value / 1e3),
        false => format!("{value:.2} ms"),
    };
    // Of each pair, as it met the machine. Above 1 the embedded broker is faster.
    let ratio = if measure.is_rate { of(|[e, k]| e / k) } else { of(|[e, k]| k / e) };
    let text = format!("embedded {}, Kafka {}: {ratio:.2}", text(of(|f| f[0])), text(of(|f| f[1])));
    let figures = vec![Figure { text, value: ratio, bar: Some(Bar::Least(1.0)) }];
    Row { name: measure.name.to_owned(), figures, runs: serde_json::json!(found) }
}

/// Records a second of one idempotent producer.
fn produce(place: &Place, round: usize) -> anyhow::Result<f64> {
    let topic = &format!("produce-{round}");
    place.topic(topic, &[]);
    let mut feed = Feed::new(&place.properties())?;
    let mut numbers = Numbers(7);
    let records: Vec<_> = (0..1_000).map(|index| payment(index, ACCOUNTS, &mut numbers)).collect();
    // A producer that has found its leader and its id: how long that takes is not what is compared.
    let (key, value) = &records[0];
    feed.send(topic, Some(key.as_bytes()), Some(value.as_bytes()), &[], None)?;
    feed.flush()?;
    let began = Instant::now();
    for index in 0..PRODUCED {
        let (key, value) = &records[index as usize % records.len()];
        feed.send(topic, Some(key.as_bytes()), Some(value.as_bytes()), &[], None)?;
    }
    feed.flush()?;
    let took = began.elapsed();
    place.drop_topic(topic);
    Ok(PRODUCED as f64 / took.as_secs_f64())
}

/// Records a second of one reader of the input, from its first record.
fn consume(place: &Place, _round: usize) -> anyhow::Result<f64> {
    let consumer = consumer(place, INPUT, Offset::Beginning)?;
    let (mut read, mut began) = (0, None);
    let limit = Instant::now() + PATIENCE;
    let wanted = CONSUMED.min(input_records(place));
    while read < wanted {
        anyhow::ensure!(Instant::now() < limit, "{}: {read} of {wanted} records came", place.kind());
        if let Some(message) = consumer.poll(Duration::from_millis(20)) {
            message?;
            // From the first record on: finding leaders is not what is compared.
            began.get_or_insert_with(Instant::now);
            read += 1;
        }
    }
    Ok(read as f64 / began.map_or(f64::INFINITY, |began| began.elapsed().as_secs_f64()))
}

fn input_records(place: &Place) -> usize {
    (0..PARTITIONS).map(|partition| place.admin.watermarks(INPUT, partition).end as usize).sum()
}

/// Milliseconds of a whole transaction, back to back.
fn commit(place: &Place, round: usize) -> anyhow::Result<f64> {
    let topic = &format!("commit-{round}");
    place.topic(topic, &[]);
    let producer = Producer::ready(&place.broker, topic);
    let mut numbers = Numbers(11);
    let records: Vec<_> = (0..COMMIT_RECORDS as u64).map(|index| payment(index, ACCOUNTS, &mut numbers)).collect();
    let took = median((0..COMMITS).map(|_| {
        let began = Instant::now();
        producer.begin();
        for (index, (key, value)) in records.iter().enumerate() {
            producer.put(topic, index as i32 % PARTITIONS, key, value);
        }
        producer.commit().expect("nobody fences this producer");
        began.elapsed().as_secs_f64() * 1e3
    }));
    place.drop_topic(topic);
    Ok(took)
}

/// Milliseconds from handing over one record until a waiting reader has it.
fn way(place: &Place, round: usize) -> anyhow::Result<f64> {
    let topic = format!("way-{round}");
    place.topic(&topic, &[]);
    let producer = Producer::new(&place.broker, &[("acks", "all")]);
    let consumer = consumer(place, &topic, Offset::Beginning)?;
    let mut times = Vec::with_capacity(WAYS);
    for _ in 0..WAYS {
        let began = Instant::now();
        producer.put(&topic, 0, "key", "value");
        loop {
            anyhow::ensure!(began.elapsed() < PATIENCE, "{}: a record never came", place.kind());
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                anyhow::ensure!(message?.key() == Some(b"key"), "another record came");
                break;
            }
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    place.drop_topic(&topic);
    Ok(median(times))
}

fn consumer(place: &Place, topic: &str, from: Offset) -> anyhow::Result<BaseConsumer> {
    let mut config = place.broker.client();
    config.set("group.id", "figures").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    config.set("fetch.queue.backoff.ms", "5").set("fetch.wait.max.ms", "500");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}
