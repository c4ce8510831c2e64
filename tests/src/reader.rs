//! Reads partitions to their end, outside of any group.
//! Owns the plain form of a record that was read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::{Offset, TopicPartitionList};

use crate::brokers::Broker;
use crate::until::LONG;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

impl Isolation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Timestamp,
}

impl Seen {
    pub fn of(message: &BorrowedMessage<'_>) -> Self {
        let header = |h: rdkafka::message::Header<'_, &[u8]>| (h.key.to_string(), h.value.map(<[u8]>::to_vec));
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(|all| all.iter().map(header).collect()).unwrap_or_default(),
            timestamp: message.timestamp(),
        }
    }

    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Reads partitions that it was told to, from where it was told to.
pub struct Reader {
    consumer: BaseConsumer,
    partitions: usize,
}

impl Reader {
    pub fn new(broker: &Broker, isolation: Isolation, settings: &[(&str, &str)]) -> Self {
        let mut config = broker.client();
        config.set("group.id", "no-group").set("enable.auto.commit", "false").set("auto.offset.reset", "error");
        config.set("isolation.level", isolation.name()).set("enable.partition.eof", "true").set("check.crcs", "true");
        config.set("fetch.wait.max.ms", "50");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Self { consumer: config.create().expect("these settings are valid"), partitions: 0 }
    }

    /// Goes to these offsets of partitions of a topic.
    pub fn go_to(&mut self, topic: &str, from: &[(i32, Offset)]) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            list.add_partition_offset(topic, *partition, *offset).expect("an offset");
        }
        self.consumer.assign(&list).expect("partitions are assigned");
        self.partitions = from.len();
    }

    /// Reads until every partition has told its end, as this isolation sees it.
    ///
    /// # Errors
    /// The first error other than an end.
    pub fn to_end(&self) -> Result<Vec<Seen>, RDKafkaErrorCode> {
        let (mut seen, mut ended, start) = (Vec::new(), BTreeSet::new(), Instant::now());
        while ended.len() < self.partitions {
            assert!(start.elapsed() < LONG, "no end within {LONG:?}; read {}", seen.len());
            match self.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => seen.push(record),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition);
                }
                Some(Err(error)) => return Err(error.rdkafka_error_code().expect("an error with a code")),
                None => {}
            }
        }
        Ok(seen)
    }

    pub fn poll(&self, wait: Duration) -> Option<Result<Seen, KafkaError>> {
        self.consumer.poll(wait).map(|polled| polled.map(|message| Seen::of(&message)))
    }

    pub fn consumer(&self) -> &BaseConsumer {
        &self.consumer
    }
}

/// All records of one partition.
pub fn read(broker: &Broker, topic: &str, partition: i32, isolation: Isolation) -> Vec<Seen> {
    read_from(broker, topic, partition, Offset::Beginning, isolation)
}

/// All records of one partition from an offset on.
pub fn read_from(broker: &Broker, topic: &str, partition: i32, from: Offset, isolation: Isolation) -> Vec<Seen> {
    let mut reader = Reader::new(broker, isolation, &[]);
    reader.go_to(topic, &[(partition, from)]);
    reader.to_end().expect("the partition can be read")
}

/// The values of one partition, as text.
pub fn values(broker: &Broker, topic: &str, partition: i32, isolation: Isolation) -> Vec<String> {
    read(broker, topic, partition, isolation).iter().map(Seen::text).collect()
}
