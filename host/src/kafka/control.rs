//! The control topics of an application: appended to with a confirmed delivery, and followed from their beginning.
//! Knows records, not what they mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};

use super::admin::client_config;
use super::feed::{FeedError, Tail, TopicRecord};
use super::follow::Follow;
use super::wake::Wake;

/// How long the broker may take to confirm.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a look for deliveries lasts. What is delivered is told at once, but the end of a look is spun away by the
/// `rdkafka` crate, up to a millisecond each: with its own thread, which looks ten times a second, that is 1 % of a core.
const LOOK: Duration = Duration::from_secs(1);

/// Writes records and knows that they are there. Used from any thread.
pub struct Appender {
    // Not `flush`: it sleeps for 100 ms at least, whatever was delivered.
    producer: Arc<BaseProducer<Deliveries>>,
    is_done: Arc<AtomicBool>,
}

/// Each record carries the sending half of a channel: it tells of a failure, and is gone when the delivery is decided.
struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Sender<KafkaError>>;

    fn delivery(&self, result: &DeliveryResult<'_>, failures: Box<Sender<KafkaError>>) {
        if let Err((error, _)) = result {
            // Whoever appended may have given up.
            let _ = failures.send(error.clone());
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
        let producer = Arc::new(BaseProducer::from_config_and_context(&config, Deliveries).map_err(failed)?);
        let is_done = Arc::new(AtomicBool::new(false));
        let (served, is_over) = (producer.clone(), is_done.clone());
        let body = move || {
            while !is_over.load(Ordering::Relaxed) {
                served.poll(LOOK);
            }
        };
        std::thread::Builder::new().name("appender".into()).spawn(body).map_err(FeedError::Machine)?;
        Ok(Self { producer, is_done })
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
        let (failures, decided) = crossbeam_channel::unbounded();
        for (key, value) in records {
            let opaque = Box::new(failures.clone());
            let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, opaque).partition(0).key(key);
            record.payload = value;
            self.producer.send(record).map_err(|(error, _)| failed(error))?;
        }
        drop(failures);
        all_delivered(&decided).map_err(failed)
    }
}

impl Drop for Appender {
    /// Its thread ends by itself, within one look.
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
    }
}

/// Waits until every delivery is decided, and gives the first failure.
fn all_delivered(decided: &Receiver<KafkaError>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + PATIENCE;
    let mut first = None;
    loop {
        match decided.recv_deadline(deadline) {
            Ok(error) => drop(first.get_or_insert(error)),
            Err(RecvTimeoutError::Disconnected) => return first.map_or(Ok(()), Err),
            Err(RecvTimeoutError::Timeout) => {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut));
            }
        }
    }
}

/// Reads topics of one partition from their beginning and on.
pub struct ControlReader {
    follow: Follow,
    /// High watermarks when the reader was made, by topic.
    ends: BTreeMap<String, i64>,
}

impl ControlReader {
    /// # Errors
    /// A topic is not there, or the broker does not answer.
    pub fn open(properties: &BTreeMap<String, String>, topics: &[String]) -> Result<Self, FeedError> {
        let tail = Tail::new(properties)?;
        let end = |topic: &String| Ok((topic.clone(), tail.end_of(topic, 0)?));
        let ends = topics.iter().map(end).collect::<Result<_, FeedError>>()?;
        Ok(Self { follow: Follow::new(properties, topics)?, ends })
    }

    /// Ends the wait of [`Self::poll`], or of the next one.
    pub fn waker(&self) -> Wake {
        self.follow.waker()
    }

    /// The records that came since the last call, with their topics; waits at most `wait` for the first, less if woken.
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
}
