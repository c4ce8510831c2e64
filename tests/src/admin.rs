//! Topics, their settings, and what a broker tells about them.
//! Owns the waiting until a change is seen by clients.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::brokers::Broker;
use crate::until::{LONG, until};

const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A name that no other check of this process uses.
pub fn fresh(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The end, or the start, of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub first: i64,
    pub end: i64,
}

pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    probe: BaseConsumer,
    options: AdminOptions,
}

impl Admin {
    pub fn new(broker: &Broker) -> Self {
        let config = broker.client();
        let client = config.create().expect("these settings are valid");
        let probe = config.create().expect("these settings are valid");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT)).request_timeout(Some(ANSWER_LIMIT));
        Self { client, probe, options }
    }

    /// Makes a topic with a fresh name and waits until it is seen.
    pub fn topic(&self, stem: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = fresh(stem);
        self.create(&name, partitions, settings).expect("a topic is made");
        self.wait_for_partitions(&name, partitions as usize);
        name
    }

    /// What the broker says to the wish for a topic.
    pub fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<(), RDKafkaErrorCode> {
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
        first(block_on(self.client.create_topics([&new], &self.options)))
    }

    pub fn delete(&self, name: &str) -> Result<(), RDKafkaErrorCode> {
        first(block_on(self.client.delete_topics(&[name], &self.options)))
    }

    pub fn grow(&self, name: &str, partitions: usize) -> Result<(), RDKafkaErrorCode> {
        first(block_on(self.client.create_partitions([&NewPartitions::new(name, partitions)], &self.options)))
    }

    /// Waits until every partition is served. That its leader is told is not enough: Apache Kafka tells it a moment
    /// before that broker knows that it leads, and refuses requests until then.
    pub fn wait_for_partitions(&self, name: &str, count: usize) {
        until("all partitions are seen and have a leader", LONG, || (self.leaders(name) == Ok(count)).then_some(()));
        for partition in 0..count as i32 {
            self.watermarks(name, partition);
        }
    }

    /// How many partitions of a topic have a leader.
    pub fn leaders(&self, name: &str) -> Result<usize, RDKafkaErrorCode> {
        let metadata = self.probe.fetch_metadata(Some(name), ANSWER_LIMIT).expect("the broker answers");
        let topic = &metadata.topics()[0];
        match topic.error() {
            Some(error) => Err(RDKafkaErrorCode::from(error)),
            None => Ok(topic.partitions().iter().filter(|p| p.error().is_none() && p.leader() >= 0).count()),
        }
    }

    /// Every topic that a plain listing shows.
    pub fn topics(&self) -> Vec<String> {
        let metadata = self.probe.fetch_metadata(None, ANSWER_LIMIT).expect("the broker answers");
        metadata.topics().iter().map(|topic| topic.name().to_string()).collect()
    }

    /// As an uncommitted reader sees them, once the partition has a leader that serves it.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Watermarks {
        let ask = || match self.probe.fetch_watermarks(topic, partition, ANSWER_LIMIT) {
            Ok((first, end)) => Some(Watermarks { first, end }),
            Err(error) if is_without_leader(&error) => None,
            Err(error) => panic!("watermarks of {topic}/{partition}: {error}"),
        };
        until("the partition has a leader", LONG, ask)
    }

    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), RDKafkaErrorCode> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let answer = block_on(self.client.delete_records(&list, &self.options)).expect("the broker answers");
        let outcome = answer.elements()[0].error();
        outcome.map_err(|error| error.rdkafka_error_code().expect("an error of the broker"))
    }

    pub fn delete_group(&self, group: &str) -> Result<(), RDKafkaErrorCode> {
        first(block_on(self.client.delete_groups(&[group], &self.options)))
    }

    /// How many members a group has; nothing where it is unknown.
    pub fn members_of(&self, group: &str) -> Option<usize> {
        let list = self.probe.fetch_group_list(Some(group), ANSWER_LIMIT).expect("the broker answers");
        list.groups().iter().find(|found| found.name() == group).map(|found| found.members().len())
    }

    /// One setting of a topic; nothing where the topic is unknown, as rust-rdkafka drops the answer's error.
    pub fn setting(&self, topic: &str, name: &str) -> Option<String> {
        let wanted = ResourceSpecifier::Topic(topic);
        let answer = block_on(self.client.describe_configs([&wanted], &self.options)).expect("the broker answers");
        let config = answer.into_iter().next().expect("an answer for each topic").ok()?;
        config.entries.into_iter().find(|entry| entry.name == name)?.value
    }

    /// Sets all settings of a topic. Whether the broker refused shows only in what it describes afterwards:
    /// rust-rdkafka drops the answer's error.
    pub fn alter(&self, topic: &str, settings: &[(&str, &str)]) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let change = settings.iter().fold(change, |change, (key, value)| change.set(key, value));
        let answer = block_on(self.client.alter_configs([&change], &self.options)).expect("the broker answers");
        assert_eq!(answer.len(), 1);
    }
}

/// What a broker answers between the making of a partition, or a restart, and the first moment of its leader.
fn is_without_leader(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    matches!(error.rdkafka_error_code(), Some(LeaderNotAvailable | NotLeaderForPartition))
}

/// What was asked for, and the broker's error.
type Refused<T> = (T, RDKafkaErrorCode);

fn first<T>(answer: KafkaResult<Vec<Result<T, Refused<T>>>>) -> Result<(), RDKafkaErrorCode> {
    let answer = answer.expect("the broker answers");
    answer.into_iter().next().expect("an answer for each name").map(drop).map_err(|(_, code)| code)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
