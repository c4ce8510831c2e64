//! What the end-to-end tests share: clients with short time-outs, whole reads, waiting on conditions.
//! Owns no checks.
//! Knows only librdkafka's side.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

pub const SECOND: Duration = Duration::from_secs(1);

/// Runs a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited 30 s in vain for {what}");
        thread::yield_now();
    }
}

pub fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100")
        .set("retry.backoff.ms", "10")
        .set("check.crcs", "true")
        .set("topic.metadata.refresh.interval.ms", "1000");
    config
}

pub fn admin(servers: &str) -> AdminClient<DefaultClientContext> {
    AdminClient::from_config(&client(servers)).expect("an admin client")
}

pub fn try_create_topic(
    servers: &str,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), RDKafkaErrorCode> {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let results = block_on(admin(servers).create_topics(&[topic], &AdminOptions::new()));
    match results {
        Ok(results) => results.into_iter().next().expect("one result").map(drop).map_err(|(_, code)| code),
        Err(error) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
    }
}

pub fn create_topic(servers: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    try_create_topic(servers, name, partitions, settings).expect("the topic is created");
}

pub fn transactional(servers: &str, id: &str) -> BaseProducer {
    let mut config = client(servers);
    config.set("transactional.id", id).set("transaction.timeout.ms", "30000").set("linger.ms", "0");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.client().fetch_metadata(None, 10 * SECOND).expect("metadata");
    producer.init_transactions(10 * SECOND).expect("initialised");
    producer
}

pub fn send(producer: &BaseProducer, topic: &str, value: &str) {
    producer.send(BaseRecord::to(topic).key("k").payload(value)).expect("queued");
}

pub fn transaction(producer: &BaseProducer, topic: &str, value: &str, commits: bool) {
    producer.begin_transaction().expect("begun");
    send(producer, topic, value);
    producer.flush(10 * SECOND).expect("delivered");
    if commits {
        producer.commit_transaction(10 * SECOND).expect("committed");
    } else {
        producer.abort_transaction(10 * SECOND).expect("aborted");
    }
}

pub fn is_fatal(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_fatal() || error.code() == RDKafkaErrorCode::Fatal,
        other => other.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal),
    }
}

/// A consumer without a group that reads all partitions from the beginning.
pub fn assigned(servers: &str, topic: &str, partitions: i32, isolation: &str) -> BaseConsumer {
    let consumer: BaseConsumer = client(servers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("fetch.wait.max.ms", "20")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for index in 0..partitions {
        list.add_partition_offset(topic, index, Offset::Beginning).expect("added");
    }
    consumer.assign(&list).expect("assigned");
    consumer
}

/// All values a reader of this isolation sees before it is told the end of every partition.
pub fn read_all(servers: &str, topic: &str, partitions: i32, isolation: &str) -> Vec<String> {
    let consumer = assigned(servers, topic, partitions, isolation);
    let mut values = Vec::new();
    let mut ends = 0;
    wait_until("the end of the topic", || {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned())
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => panic!("reading {topic}: {error}"),
            None => {}
        }
        ends == partitions
    });
    values
}

/// A static member of a group.
pub fn subscribed(servers: &str, group: &str, topic: &str, instance: &str, assignor: &str) -> BaseConsumer {
    let consumer: BaseConsumer = client(servers)
        .set("group.id", group)
        .set("group.instance.id", instance)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", assignor)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "100")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    consumer
}

/// The committed offset and its metadata, as a client of this isolation is told.
pub fn committed(
    servers: &str,
    group: &str,
    topic: &str,
    isolation: &str,
    timeout: Duration,
) -> KafkaResult<(Offset, String)> {
    let consumer: BaseConsumer =
        client(servers).set("group.id", group).set("isolation.level", isolation).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let list = consumer.committed_offsets(list, timeout)?;
    let found = list.find_partition(topic, 0).expect("asked for");
    Ok((found.offset(), found.metadata().to_owned()))
}
