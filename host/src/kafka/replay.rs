//! Records and marks in one transaction of a fixed identity, so that a second run of the same command fences the first.
//! For tools; the engine does not use it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::admin::client_config;
use super::feed::TopicRecord;

/// How long the broker may take for each step.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run of the command reads topics while its transaction is open.
const TRANSACTION_TIMEOUT_MS: &str = "120000";

/// Larger than any topic takes: what the original was, the broker judges.
const MESSAGE_BYTES_MAX: &str = "1000000000";

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("another run as {identity} has taken over: let that one end, then look what is left")]
    Fenced { identity: String },
    #[error("{doing}: {error}")]
    Kafka { doing: String, error: KafkaError },
}

/// One open transaction.
pub struct Replay {
    producer: ThreadedProducer<DefaultProducerContext>,
    identity: String,
}

impl Replay {
    /// Ends what another run of this identity left open, keeps it from going on, and begins.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn begin(properties: &BTreeMap<String, String>, identity: &str) -> Result<Self, ReplayError> {
        let mut config = client_config(properties);
        config.set("transactional.id", identity).set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
        config.set("message.max.bytes", MESSAGE_BYTES_MAX).set("linger.ms", "2");
        let failed = |doing: &str, error| told(identity, doing, error);
        let producer = ThreadedProducer::from_config(&config).map_err(|e| failed("open a producer", e))?;
        producer.init_transactions(PATIENCE).map_err(|e| failed("begin", e))?;
        producer.begin_transaction().map_err(|e| failed("begin", e))?;
        Ok(Self { producer, identity: identity.to_owned() })
    }

    /// Adds a record, to `record.partition` of the topic.
    ///
    /// # Errors
    /// The broker does not take records for a long while, or the topic is not known.
    pub fn send(&self, topic: &str, record: &TopicRecord) -> Result<(), ReplayError> {
        let add = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
            all.insert(Header { key, value: value.as_deref() })
        };
        let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.timestamp = Some(record.timestamp_ms);
        message.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), add));
        let until = Instant::now() + PATIENCE;
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) if Instant::now() < until => {
                    message = back;
                    self.producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(told(&self.identity, &format!("write to {topic}"), error)),
            }
        }
    }

    /// Makes all of it visible at once.
    ///
    /// # Errors
    /// Another run has taken over, or a record was not taken: nothing was written then.
    pub fn commit(self) -> Result<(), ReplayError> {
        let committed = self.producer.commit_transaction(PATIENCE);
        committed.map_err(|error| {
            let told = told(&self.identity, "commit", error);
            if !matches!(told, ReplayError::Fenced { .. })
                && let Err(worse) = self.producer.abort_transaction(PATIENCE)
            {
                tracing::debug!(error = %worse, "the broker ends the transaction by its time-out");
            }
            told
        })
    }
}

fn told(identity: &str, doing: &str, error: KafkaError) -> ReplayError {
    let fenced = [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch];
    let code = match &error {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    };
    if code.is_some_and(|c| fenced.contains(&c)) {
        return ReplayError::Fenced { identity: identity.to_owned() };
    }
    ReplayError::Kafka { doing: doing.to_owned(), error }
}
