//! Reads many topics together as they grow, read_committed, for tools and demos. The engine does not use it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::admin::client_config;
use super::feed::{FeedError, TopicRecord, record_of};
use super::trouble;
use super::waiting::Waiting;
use super::wake::Wake;

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records per call: a bound on its memory.
const RECORDS_MAX: usize = 10_000;

/// A reader of topics, which begins at their beginning.
pub struct Follow {
    waiting: Waiting,
}

impl Follow {
    /// # Errors
    /// A property that librdkafka does not take, or a broker that does not tell the topics' partitions.
    pub fn new(properties: &BTreeMap<String, String>, topics: &[String]) -> Result<Self, FeedError> {
        let mut config = client_config(properties);
        let pairs = [
            ("group.id", "wasmill-follow"),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
        ];
        for (key, value) in pairs {
            config.set(key, value);
        }
        let failed = |topic: &str, error| FeedError::Kafka { doing: "follow", topic: topic.to_owned(), error };
        let consumer = BaseConsumer::from_config(&config).map_err(|error| failed("", error))?;
        let waiting = Waiting::new(consumer).map_err(FeedError::Machine)?;
        let consumer = waiting.consumer();
        let mut list = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(|error| failed(topic, error))?;
            let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
            for partition in 0..count as i32 {
                let added = list.add_partition_offset(topic, partition, Offset::Beginning);
                added.map_err(|error| failed(topic, error))?;
            }
        }
        consumer.assign(&list).map_err(|error| failed("", error))?;
        Ok(Self { waiting })
    }

    /// The offset that a partition is read on from; 0 while nothing of it was read.
    ///
    /// # Errors
    /// The reader was closed.
    pub fn position(&self, topic: &str, partition: i32) -> Result<i64, FeedError> {
        let failed = |error| FeedError::Kafka { doing: "follow", topic: topic.to_owned(), error };
        let positions = self.waiting.consumer().position().map_err(failed)?;
        let found = positions.find_partition(topic, partition).map(|element| element.offset());
        Ok(if let Some(Offset::Offset(at)) = found { at } else { 0 })
    }

    /// Ends the wait of [`Self::poll`], or of the next one.
    pub fn waker(&self) -> Wake {
        self.waiting.waker()
    }

    /// The records that came since the last call, with their topics; waits at most `wait` for the first, less if woken.
    ///
    /// # Errors
    /// What the broker says of a topic.
    pub fn poll(&self, wait: Duration) -> Result<Vec<(String, TopicRecord)>, FeedError> {
        let until = Instant::now() + wait;
        let mut records = Vec::new();
        while records.len() < RECORDS_MAX {
            let left =
                if records.is_empty() { until.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let Some(message) = self.waiting.next(left) else { break };
            if matches!(&message, Err(error) if trouble::passes(error)) {
                continue;
            }
            let message = message.map_err(|error| FeedError::Kafka { doing: "follow", topic: String::new(), error })?;
            records.push((message.topic().to_owned(), record_of(&message)));
        }
        Ok(records)
    }
}
