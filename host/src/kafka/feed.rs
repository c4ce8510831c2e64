//! Small ways in and out of topics for tools, demos and tests: an idempotent producer and a reader of whole topics.
//! The engine does not use them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::admin::client_config;
use super::trouble;
use crate::record::partition_of;

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether everything is delivered.
const FLUSH_LOOK: Duration = Duration::from_millis(3);

/// A record of a topic, owned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicRecord {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("{doing} {topic}: {error}")]
    Kafka { doing: &'static str, topic: String, error: KafkaError },
    #[error("{topic} did not come to its end within {seconds} s")]
    Stalled { topic: String, seconds: u64 },
    #[error("this machine gives what a client needs no more: {0}")]
    Machine(std::io::Error),
}

/// Writes records, each once, to the partition that Java's clients would choose.
pub struct Feed {
    producer: BaseProducer,
    partitions: BTreeMap<String, i32>,
}

impl Feed {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(properties: &BTreeMap<String, String>) -> Result<Self, FeedError> {
        let mut config = client_config(properties);
        config.set("enable.idempotence", "true").set("linger.ms", "2").set("queue.buffering.max.messages", "1000000");
        let failed = |error| FeedError::Kafka { doing: "write to", topic: String::new(), error };
        Ok(Self { producer: BaseProducer::from_config(&config).map_err(failed)?, partitions: BTreeMap::new() })
    }

    /// Hands a record over; records without a key go to partition 0 onwards in turn of their offset in time.
    ///
    /// # Errors
    /// The topic is not known, or the broker does not take records for a long while.
    pub fn send(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
        timestamp_ms: Option<i64>,
    ) -> Result<(), FeedError> {
        let failed = |doing, error| FeedError::Kafka { doing, topic: topic.to_owned(), error };
        let count = self.partition_count(topic)?;
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.key = key;
        record.payload = value;
        record.timestamp = timestamp_ms;
        record.partition = key.map(|k| partition_of(k, count).0);
        if !headers.is_empty() {
            let add = |all: OwnedHeaders, (key, value): &(&str, &[u8])| all.insert(Header { key, value: Some(*value) });
            record.headers = Some(headers.iter().fold(OwnedHeaders::new(), add));
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) if Instant::now() < until => {
                    record = back;
                    self.producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(failed("write to", error)),
            }
        }
    }

    /// Hands a record over for a partition of the caller's choice.
    ///
    /// # Errors
    /// The broker does not take records for a long while.
    pub fn put(&mut self, topic: &str, partition: i32, key: &[u8], value: &[u8]) -> Result<(), FeedError> {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).key(key).payload(value);
        let failed = |error| FeedError::Kafka { doing: "write to", topic: topic.to_owned(), error };
        self.producer.send(record).map_err(|(error, _)| failed(error))
    }

    /// Waits until everything is delivered.
    ///
    /// # Errors
    /// Something was not.
    pub fn flush(&self) -> Result<(), FeedError> {
        let until = Instant::now() + PATIENCE;
        loop {
            // One of any length looks only every 100 ms.
            match self.producer.flush(Duration::ZERO) {
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) if Instant::now() < until => {
                    self.producer.poll(FLUSH_LOOK);
                }
                done => return done.map_err(|error| FeedError::Kafka { doing: "flush", topic: String::new(), error }),
            }
        }
    }

    fn partition_count(&mut self, topic: &str) -> Result<i32, FeedError> {
        if let Some(count) = self.partitions.get(topic) {
            return Ok(*count);
        }
        let failed = |error| FeedError::Kafka { doing: "find", topic: topic.to_owned(), error };
        let metadata = self.producer.client().fetch_metadata(Some(topic), PATIENCE).map_err(failed)?;
        let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len()) as i32;
        if count == 0 {
            return Err(failed(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)));
        }
        self.partitions.insert(topic.to_owned(), count);
        Ok(count)
    }
}

/// Reads topics, read_committed, from where it stands.
pub struct Tail {
    consumer: BaseConsumer,
    ends: BaseConsumer,
}

impl Tail {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(properties: &BTreeMap<String, String>) -> Result<Self, FeedError> {
        let open = |isolation: &str| {
            let mut config = client_config(properties);
            let pairs = [
                ("group.id", "wasmill-tail"),
                ("enable.auto.commit", "false"),
                ("isolation.level", isolation),
                ("fetch.wait.max.ms", "20"),
                ("auto.offset.reset", "earliest"),
            ];
            for (key, value) in pairs {
                config.set(key, value);
            }
            let failed = |error| FeedError::Kafka { doing: "read", topic: String::new(), error };
            BaseConsumer::from_config(&config).map_err(failed)
        };
        Ok(Self { consumer: open("read_committed")?, ends: open("read_uncommitted")? })
    }

    /// All committed records of a topic, up to its present high watermark, in the order of each partition. Waits for
    /// transactions that are open there.
    ///
    /// # Errors
    /// The topic is not known, or an open transaction keeps its end away for a long while.
    pub fn read_all(&self, topic: &str) -> Result<Vec<TopicRecord>, FeedError> {
        self.read_from(topic, 0)
    }

    /// The present high watermark of a partition.
    ///
    /// # Errors
    /// What the broker says of it.
    pub fn end_of(&self, topic: &str, partition: i32) -> Result<i64, FeedError> {
        let failed = |error| FeedError::Kafka { doing: "find the end of", topic: topic.to_owned(), error };
        trouble::ends(&self.ends, topic, partition, PATIENCE).map(|(_, end)| end).map_err(failed)
    }

    /// The same from an offset on, in every partition.
    ///
    /// # Errors
    /// The topic is not known, or an open transaction keeps its end away for a long while.
    pub fn read_from(&self, topic: &str, offset: i64) -> Result<Vec<TopicRecord>, FeedError> {
        let mut records = Vec::new();
        self.visit(topic, offset, |record| records.push(record))?;
        records.sort_by_key(|r| (r.partition, r.offset));
        Ok(records)
    }

    /// Shows each of them, in the order of each partition, and keeps none.
    ///
    /// # Errors
    /// The topic is not known, or an open transaction keeps its end away for a long while.
    pub fn visit(&self, topic: &str, offset: i64, visit: impl FnMut(TopicRecord)) -> Result<(), FeedError> {
        let failed = |doing, error| FeedError::Kafka { doing, topic: topic.to_owned(), error };
        let metadata = self.ends.fetch_metadata(Some(topic), PATIENCE).map_err(|e| failed("find", e))?;
        let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len()) as i32;
        let mut list = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for partition in 0..count {
            let (first, end) =
                trouble::ends(&self.ends, topic, partition, PATIENCE).map_err(|e| failed("find the end of", e))?;
            let from = first.max(offset);
            if from < end {
                ends.insert(partition, end);
                list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(|e| failed("read", e))?;
            }
        }
        self.consumer.assign(&list).map_err(|e| failed("read", e))?;
        let visited = self.visit_until(topic, ends, visit);
        self.consumer.unassign().map_err(|e| failed("read", e))?;
        visited
    }

    fn visit_until(
        &self,
        topic: &str,
        mut ends: BTreeMap<i32, i64>,
        mut visit: impl FnMut(TopicRecord),
    ) -> Result<(), FeedError> {
        let failed = |error| FeedError::Kafka { doing: "read", topic: topic.to_owned(), error };
        let mut until = Instant::now() + PATIENCE;
        while !ends.is_empty() {
            let polled = self.consumer.poll(Duration::from_millis(20));
            let passes = matches!(&polled, Some(Err(error)) if trouble::passes(error));
            if let Some(message) = polled.filter(|_| !passes) {
                let message = message.map_err(failed)?;
                let end = ends.get(&message.partition()).copied().unwrap_or(0);
                if message.offset() < end {
                    visit(record_of(&message));
                    until = Instant::now() + PATIENCE;
                }
                if message.offset() + 1 < end {
                    continue;
                }
            }
            let positions = self.consumer.position().map_err(failed)?;
            for element in positions.elements() {
                if let Offset::Offset(at) = element.offset()
                    && ends.get(&element.partition()).is_some_and(|end| at >= *end)
                {
                    ends.remove(&element.partition());
                }
            }
            if Instant::now() > until {
                return Err(FeedError::Stalled { topic: topic.to_owned(), seconds: PATIENCE.as_secs() });
            }
        }
        Ok(())
    }
}

pub(super) fn record_of(message: &impl Message) -> TopicRecord {
    let headers =
        message.headers().map(|all| all.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
    TopicRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
