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

/// What one round on one broker found.
struct Round {
    produced_per_s: f64,
    consumed_per_s: f64,
    commit_ms: f64,
    way_ms: f64,
}

pub fn measure(embedded: &Place, kafka: &Place) -> anyhow::Result<Vec<Row>> {
    let mut rounds = Vec::new();
    for number in 0..=ROUNDS {
        let pair = [round(embedded, number)?, round(kafka, number)?];
        if number > 0 {
            rounds.push(pair);
        }
    }
    let rate =
        |name: &str, of: fn(&Round) -> f64| row(name, &rounds, of, |value| format!("{:.0} k/s", value / 1e3), true);
    let time = |name: &str, of: fn(&Round) -> f64| row(name, &rounds, of, |value| format!("{value:.2} ms"), false);
    Ok(vec![
        rate("produce", |r| r.produced_per_s),
        rate("consume", |r| r.consumed_per_s),
        time("commit p50, 1,000 records", |r| r.commit_ms),
        time("end to end p50", |r| r.way_ms),
    ])
}

fn row(name: &str, rounds: &[[Round; 2]], of: fn(&Round) -> f64, text: fn(f64) -> String, is_rate: bool) -> Row {
    let (embedded, kafka) = (median(rounds.iter().map(|r| of(&r[0]))), median(rounds.iter().map(|r| of(&r[1]))));
    // Above 1 the embedded broker is faster.
    let ratio = if is_rate { embedded / kafka } else { kafka / embedded };
    let text = format!("embedded {}, Kafka {}: {ratio:.2}", text(embedded), text(kafka));
    let runs: Vec<[f64; 2]> = rounds.iter().map(|r| [of(&r[0]), of(&r[1])]).collect();
    let figures = vec![Figure { text, value: ratio, bar: Some(Bar::Least(1.0)) }];
    Row { name: name.to_owned(), figures, runs: serde_json::json!(runs) }
}

fn round(place: &Place, number: usize) -> anyhow::Result<Round> {
    let topic = format!("figures-{number}");
    place.topic(&topic, &[]);
    let round = Round {
        produced_per_s: produce(place, &topic)?,
        consumed_per_s: consume(place)?,
        commit_ms: commit(place, &topic, number),
        way_ms: way(place, number)?,
    };
    place.drop_topic(&topic);
    Ok(round)
}

/// Records a second of one idempotent producer.
fn produce(place: &Place, topic: &str) -> anyhow::Result<f64> {
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
    Ok(PRODUCED as f64 / began.elapsed().as_secs_f64())
}

/// Records a second of one reader of the input, from its first record.
fn consume(place: &Place) -> anyhow::Result<f64> {
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
fn commit(place: &Place, topic: &str, number: usize) -> f64 {
    let producer = Producer::ready(&place.broker, &format!("figures-{number}"));
    let mut numbers = Numbers(11);
    let records: Vec<_> = (0..COMMIT_RECORDS as u64).map(|index| payment(index, ACCOUNTS, &mut numbers)).collect();
    median((0..COMMITS).map(|_| {
        let began = Instant::now();
        producer.begin();
        for (index, (key, value)) in records.iter().enumerate() {
            producer.put(topic, index as i32 % PARTITIONS, key, value);
        }
        producer.commit().expect("nobody fences this producer");
        began.elapsed().as_secs_f64() * 1e3
    }))
}

/// Milliseconds from handing over one record until a waiting reader has it.
fn way(place: &Place, number: usize) -> anyhow::Result<f64> {
    let topic = format!("way-{number}");
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
