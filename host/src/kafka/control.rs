//! The control topics of an application: appended to with a confirmed delivery, and followed from their beginning.
//! Knows records, not what they mean.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::admin::client_config;
use super::feed::{FeedError, Tail, TopicRecord};
use super::follow::Follow;

/// How long the broker may take to confirm.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes records and knows that they are there.
pub struct Appender {
    producer: BaseProducer<Failures>,
}

/// The first delivery that failed since it was last asked for.
#[derive(Default)]
struct Failures(Mutex<Option<KafkaError>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

impl Appender {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(properties: &BTreeMap<String, String>) -> Result<Self, FeedError> {
        let mut config = client_config(properties);
        let pairs =
            [("enable.idempotence", "true"), ("acks", "all"), ("linger.ms", "0"), ("message.timeout.ms", "20000")];
        for (key, value) in pairs {
            config.set(key, value);
        }
        let failed = |error| FeedError::Kafka { doing: "write to", topic: String::new(), error };
        let producer = BaseProducer::from_config_and_context(&config, Failures::default()).map_err(failed)?;
        Ok(Self { producer })
    }

    /// Appends records to partition 0 of a topic, in order, and waits until the broker has them.
    ///
    /// # Errors
    /// One of them was not delivered.
    pub fn append<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), FeedError> {
        let failed = |error| FeedError::Kafka { doing: "write to", topic: topic.to_owned(), error };
        for (key, value) in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).key(key);
            record.payload = value;
            self.producer.send(record).map_err(|(error, _)| failed(error))?;
        }
        self.producer.flush(PATIENCE).map_err(failed)?;
        let failure = self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |error| Err(failed(error)))
    }
}

/// Reads topics of one partition from their beginning and on.
pub struct ControlReader {
    follow: Follow,
    /// High watermarks when the reader was made, by topic.
    ends: BTreeMap<String, i64>,
    tail: Tail,
}

impl ControlReader {
    /// # Errors
    /// A topic is not there, or the broker does not answer.
    pub fn open(properties: &BTreeMap<String, String>, topics: &[String]) -> Result<Self, FeedError> {
        let tail = Tail::new(properties)?;
        let end = |topic: &String| Ok((topic.clone(), tail.end_of(topic, 0)?));
        let ends = topics.iter().map(end).collect::<Result<_, FeedError>>()?;
        Ok(Self { follow: Follow::new(properties, topics)?, ends, tail })
    }

    /// The records that came since the last call, with their topics; waits at most `wait` for the first.
    ///
    /// # Errors
    /// What the broker says of a topic.
    pub fn poll(&self, wait: Duration) -> Result<Vec<(String, TopicRecord)>, FeedError> {
        self.follow.poll(wait)
    }

    /// Whether everything that was in a topic when this reader was made has been read.
    ///
    /// # Errors
    /// The reader was closed.
    pub fn is_caught_up(&self, topic: &str) -> Result<bool, FeedError> {
        let end = self.ends.get(topic).copied().unwrap_or_default();
        Ok(end == 0 || self.follow.position(topic, 0)? >= end)
    }

    /// The records of a topic's partition 0 from an offset to its present end.
    ///
    /// # Errors
    /// What the broker says of it.
    pub fn read_from(&self, topic: &str, offset: i64) -> Result<Vec<TopicRecord>, FeedError> {
        self.tail.read_from(topic, offset)
    }

    /// The present high watermark of a topic's partition 0.
    ///
    /// # Errors
    /// What the broker says of it.
    pub fn end_of(&self, topic: &str) -> Result<i64, FeedError> {
        self.tail.end_of(topic, 0)
    }
}
