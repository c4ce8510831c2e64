//! A member of a consumer group, and what the group did to it.
//! Owns the log of rebalances. Members of one check are polled together by `poll_until`.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::brokers::Broker;
use crate::reader::Seen;

/// Topic and partition.
pub type Part = (String, i32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Assigned(Vec<Part>),
    Revoked(Vec<Part>),
    Lost(Vec<Part>),
}

#[derive(Default)]
struct Log {
    changes: Mutex<Vec<Change>>,
}

impl ClientContext for Log {}

impl ConsumerContext for Log {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let change = match rebalance {
            Rebalance::Assign(list) => Change::Assigned(parts(list)),
            Rebalance::Revoke(list) if consumer.assignment_lost() => Change::Lost(parts(list)),
            Rebalance::Revoke(list) => Change::Revoked(parts(list)),
            Rebalance::Error(_) => return,
        };
        self.changes.lock().expect("no holder panics").push(change);
    }
}

pub struct Member {
    consumer: BaseConsumer<Log>,
    pub seen: Vec<Seen>,
    pub errors: Vec<RDKafkaErrorCode>,
}

/// Settings that make groups of checks quick.
const QUICK: &[(&str, &str)] = &[
    ("session.timeout.ms", "3000"),
    ("heartbeat.interval.ms", "200"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("isolation.level", "read_committed"),
    ("fetch.wait.max.ms", "50"),
];

impl Member {
    /// A member that has asked to join; it joins while it is polled.
    pub fn join(broker: &Broker, group: &str, topics: &[&str], settings: &[(&str, &str)]) -> Self {
        let member = Self::outside(broker, group, settings);
        member.consumer.subscribe(topics).expect("a subscription");
        member
    }

    /// A client with a group's id that does not join.
    pub fn outside(broker: &Broker, group: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = broker.client();
        config.set("group.id", group);
        for (key, value) in QUICK.iter().chain(settings) {
            config.set(*key, *value);
        }
        let consumer = config.create_with_context(Log::default()).expect("these settings are valid");
        Self { consumer, seen: Vec::new(), errors: Vec::new() }
    }

    /// Serves the group and the fetching for a moment.
    pub fn poll(&mut self) {
        match self.consumer.poll(Duration::from_millis(5)) {
            Some(Ok(message)) => self.seen.push(Seen::of(&message)),
            Some(Err(error)) => self.errors.extend(error.rdkafka_error_code()),
            None => {}
        }
    }

    pub fn owned(&self) -> BTreeSet<Part> {
        let list = self.consumer.assignment().expect("an assignment");
        parts(&list).into_iter().collect()
    }

    pub fn changes(&self) -> Vec<Change> {
        self.consumer.context().changes.lock().expect("no holder panics").clone()
    }

    pub fn metadata(&self) -> ConsumerGroupMetadata {
        self.consumer.group_metadata().expect("a member has group metadata")
    }

    pub fn fatal_error(&self) -> Option<RDKafkaErrorCode> {
        self.consumer.client().fatal_error().map(|(code, _)| code)
    }

    /// Leaves for good, also as a static member.
    pub fn unsubscribe(&self) {
        self.consumer.unsubscribe();
    }

    /// Commits one offset, outside of any transaction.
    pub fn commit(&self, topic: &str, partition: i32, offset: i64, metadata: &str) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset))?;
        element.set_metadata(metadata);
        self.consumer.commit(&list, CommitMode::Sync)
    }

    /// The committed offset of a partition and its metadata.
    ///
    /// # Errors
    /// A time-out, while a transaction with an offset of it is undecided.
    pub fn committed(&self, topic: &str, partition: i32, wait: Duration) -> Result<Option<(i64, String)>, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let answer = self.consumer.committed_offsets(list, wait)?;
        let element = &answer.elements()[0];
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_string())),
            _ => None,
        })
    }
}

/// Polls members in turn until a condition holds for them.
///
/// # Panics
/// When it does not within `limit`.
pub fn poll_until(what: &str, limit: Duration, members: &mut [&mut Member], holds: impl Fn(&[&mut Member]) -> bool) {
    let start = Instant::now();
    while !holds(members) {
        let told = || members.iter().map(|m| (m.owned(), m.changes(), m.errors.clone())).collect::<Vec<_>>();
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}; members: {:?}", told());
        for member in &mut *members {
            member.poll();
        }
    }
}

fn parts(list: &TopicPartitionList) -> Vec<Part> {
    list.elements().iter().map(|element| (element.topic().to_string(), element.partition())).collect()
}
