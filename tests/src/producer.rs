//! A producer whose deliveries can be waited for, and its transactions.
//! Owns the numbering of records; calls of the transaction return what librdkafka said, flags included.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::brokers::Broker;

/// Longer than any honest answer; a call that takes it has failed.
pub const CALL_LIMIT: Duration = Duration::from_secs(40);

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

pub type Delivery = Result<Place, RDKafkaErrorCode>;

/// Why a call of the transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: RDKafkaErrorCode,
    pub is_fatal: bool,
    pub is_abortable: bool,
}

/// A record to be sent.
#[derive(Clone, Debug, Default)]
pub struct Sent<'a> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub timestamp_ms: Option<i64>,
}

/// An offset to be committed with a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub metadata: &'a str,
}

#[derive(Default)]
struct Reports {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    sent: usize,
    taken: usize,
    reported: BTreeMap<usize, Delivery>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        let delivery = match result {
            Ok(message) => Ok(Place { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(error.rdkafka_error_code().expect("deliveries fail with a code")),
        };
        self.state.lock().expect("no holder panics").reported.insert(*number, delivery);
        self.changed.notify_all();
    }
}

pub struct Producer {
    native: ThreadedProducer<Reports>,
}

impl Producer {
    pub fn new(broker: &Broker, settings: &[(&str, &str)]) -> Self {
        let mut config = broker.client();
        config.set("linger.ms", "0").set("message.max.bytes", "20000000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let native = config.create_with_context(Reports::default()).expect("these settings are valid");
        Self { native }
    }

    /// With transactions, not yet initialized.
    pub fn transactional(broker: &Broker, id: &str, settings: &[(&str, &str)]) -> Self {
        let all: Vec<(&str, &str)> = [("transactional.id", id)].into_iter().chain(settings.iter().copied()).collect();
        Self::new(broker, &all)
    }

    /// With transactions, initialized.
    pub fn ready(broker: &Broker, id: &str) -> Self {
        let producer = Self::transactional(broker, id, &[]);
        producer.init().expect("transactions are initialized");
        producer
    }

    /// Enqueues a record.
    pub fn try_send(&self, record: &Sent<'_>) -> KafkaResult<()> {
        let reports = self.native.client().context();
        let number = reports.state.lock().expect("no holder panics").sent;
        let mut native = BaseRecord::<[u8], [u8], _>::with_opaque_to(record.topic, Box::new(number));
        native.key = record.key;
        native.payload = record.value;
        native.partition = record.partition;
        native.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let add =
                |all: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| all.insert(Header { key, value: *value });
            native.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), add));
        }
        reports.state.lock().expect("no holder panics").sent += 1;
        self.native.send(native).map_err(|(error, _)| {
            reports.state.lock().expect("no holder panics").sent -= 1;
            error
        })
    }

    pub fn send(&self, record: &Sent<'_>) {
        self.try_send(record).expect("the record is enqueued");
    }

    /// Enqueues a record of a key and a value.
    pub fn put(&self, topic: &str, partition: i32, key: &str, value: &str) {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        self.send(&Sent { topic, partition: Some(partition), key, value, ..Sent::default() });
    }

    /// Waits for everything sent and gives what has not been given before, in the order of sending.
    pub fn delivered(&self) -> Vec<Delivery> {
        let reports = self.native.client().context();
        let state = reports.state.lock().expect("no holder panics");
        let wait = reports.changed.wait_timeout_while(state, CALL_LIMIT, |s| s.taken + s.reported.len() < s.sent);
        let (mut state, timeout) = wait.expect("no holder panics");
        assert!(
            !timeout.timed_out(),
            "deliveries are missing: {} of {}",
            state.reported.len(),
            state.sent - state.taken
        );
        state.taken = state.sent;
        std::mem::take(&mut state.reported).into_values().collect()
    }

    /// Waits for everything sent, all of which must have arrived.
    pub fn places(&self) -> Vec<Place> {
        self.delivered().into_iter().map(|delivery| delivery.expect("the record is delivered")).collect()
    }

    pub fn init(&self) -> Result<(), Refusal> {
        told(self.native.init_transactions(CALL_LIMIT))
    }

    pub fn begin(&self) {
        self.native.begin_transaction().expect("a transaction begins");
    }

    pub fn send_offsets(&self, next: &[Next<'_>], group: &ConsumerGroupMetadata) -> Result<(), Refusal> {
        let mut list = TopicPartitionList::new();
        for next in next {
            let mut element = list.add_partition(next.topic, next.partition);
            element.set_offset(Offset::Offset(next.offset)).expect("an offset");
            element.set_metadata(next.metadata);
        }
        told(self.native.send_offsets_to_transaction(&list, group, CALL_LIMIT))
    }

    /// Waits for deliveries first, because rust-rdkafka's own flush takes 100 ms whenever something is in flight.
    pub fn commit(&self) -> Result<(), Refusal> {
        self.delivered();
        told(self.native.commit_transaction(CALL_LIMIT))
    }

    pub fn abort(&self) -> Result<(), Refusal> {
        told(self.native.abort_transaction(CALL_LIMIT))
    }

    /// The fatal error of the whole instance, if there is one.
    pub fn fatal_error(&self) -> Option<RDKafkaErrorCode> {
        self.native.client().fatal_error().map(|(code, _)| code)
    }
}

fn told(result: KafkaResult<()>) -> Result<(), Refusal> {
    result.map_err(|error| match error {
        KafkaError::Transaction(error) => {
            Refusal { code: error.code(), is_fatal: error.is_fatal(), is_abortable: error.txn_requires_abort() }
        }
        other => panic!("not an error of a transaction: {other}"),
    })
}
