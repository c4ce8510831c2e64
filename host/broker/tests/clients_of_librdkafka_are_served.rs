//! End to end with librdkafka: what the engine does with the broker, on one in this process.
//! Owns the checks of isolation, fencing, groups and offsets in transactions as a client sees them.
//! What a crash does is in `a_killed_broker_loses_nothing.rs`.

#[path = "support/clients.rs"]
mod support;

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::*;
use wasmill_broker::{Broker, BrokerConfig};

fn broker() -> (tempfile::TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broker = Broker::start(BrokerConfig::new(folder.path())).expect("the broker starts");
    (folder, broker)
}

#[test]
fn all_codecs_come_back_as_they_went() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        create_topic(&servers, &topic, 1, &[]);
        let producer: BaseProducer = client(&servers).set("compression.type", codec).create().expect("a producer");
        let values: Vec<String> = (0..500).map(|n| format!("value {n} {}", "x".repeat(n % 50))).collect();
        for value in &values {
            producer.send(BaseRecord::to(&topic).key("k").payload(value)).expect("queued");
        }
        producer.flush(Duration::from_secs(10)).expect("delivered");
        assert_eq!(read_all(&servers, &topic, 1, "read_committed"), values, "{codec}");
    }
    broker.stop();
}

#[test]
fn aborted_and_open_transactions_are_invisible_to_committed_readers() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[]);
    let producer = transactional(&servers, "tx");
    for (value, commits) in [("a", true), ("b", false), ("c", true)] {
        transaction(&producer, "t", value, commits);
    }
    producer.begin_transaction().expect("begun");
    send(&producer, "t", "open");
    assert_eq!(read_all(&servers, "t", 1, "read_committed"), ["a", "c"]);
    assert_eq!(read_all(&servers, "t", 1, "read_uncommitted"), ["a", "b", "c", "open"]);
    producer.commit_transaction(Duration::from_secs(10)).expect("committed");
    assert_eq!(read_all(&servers, "t", 1, "read_committed"), ["a", "c", "open"]);
}

#[test]
fn a_second_producer_of_the_same_id_fences_the_first() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[]);
    let first = transactional(&servers, "tx");
    first.begin_transaction().expect("begun");
    send(&first, "t", "lost");
    first.flush(Duration::from_secs(10)).expect("delivered");
    let second = transactional(&servers, "tx");
    let error = first.commit_transaction(Duration::from_secs(10)).expect_err("fenced");
    assert!(is_fatal(&error), "{error:?}");
    transaction(&second, "t", "kept", true);
    assert_eq!(read_all(&servers, "t", 1, "read_committed"), ["kept"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[]);
    let producer: BaseProducer = client(&servers)
        .set("transactional.id", "slow")
        .set("transaction.timeout.ms", "1000")
        .create()
        .expect("a producer");
    producer.init_transactions(Duration::from_secs(10)).expect("initialised");
    producer.begin_transaction().expect("begun");
    send(&producer, "t", "late");
    producer.flush(Duration::from_secs(10)).expect("delivered");
    let reader = assigned(&servers, "t", 1, "read_committed");
    wait_until("the abort", || reader.fetch_watermarks("t", 0, SECOND).is_ok_and(|(_, high)| high == 2));
    assert!(is_fatal(&producer.commit_transaction(Duration::from_secs(10)).expect_err("fenced")));
    assert!(read_all(&servers, "t", 1, "read_committed").is_empty());
}

#[test]
fn offsets_of_a_transaction_count_when_it_commits_and_hold_back_stable_readers() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "in", 1, &[]);
    create_topic(&servers, "out", 1, &[]);
    let consumer = subscribed(&servers, "g", "in", "one", "cooperative-sticky");
    wait_until("the assignment", || {
        consumer.poll(Duration::from_millis(10));
        consumer.assignment().is_ok_and(|list| list.count() == 1)
    });
    let producer = transactional(&servers, "tx");
    for (offset, commits, expected) in [(7, true, 7), (9, false, 7), (11, true, 11)] {
        producer.begin_transaction().expect("begun");
        send(&producer, "out", "x");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("in", 0, Offset::Offset(offset)).expect("added");
        offsets.find_partition("in", 0).expect("there").set_metadata(format!("m{offset}"));
        let metadata = consumer.group_metadata().expect("a member");
        producer.send_offsets_to_transaction(&offsets, &metadata, Duration::from_secs(10)).expect("sent");
        let waiting = committed(&servers, "g", "in", "read_committed", Duration::from_millis(300));
        assert!(waiting.is_err(), "undecided offsets are not told: {waiting:?}");
        producer.flush(Duration::from_secs(10)).expect("delivered");
        if commits {
            producer.commit_transaction(Duration::from_secs(10)).expect("committed");
        } else {
            producer.abort_transaction(Duration::from_secs(10)).expect("aborted");
        }
        let (found, metadata) =
            committed(&servers, "g", "in", "read_committed", Duration::from_secs(10)).expect("told");
        assert_eq!((found, metadata), (Offset::Offset(expected), format!("m{expected}")));
    }
}

#[test]
fn a_commit_of_a_stale_generation_is_refused() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "in", 2, &[]);
    let first = subscribed(&servers, "g", "in", "one", "range");
    let poll = |consumer: &BaseConsumer| drop(consumer.poll(Duration::from_millis(5)));
    let owns = |consumer: &BaseConsumer, count| consumer.assignment().is_ok_and(|list| list.count() == count);
    wait_until("the first assignment", || {
        poll(&first);
        owns(&first, 2)
    });
    let stale = first.group_metadata().expect("a member");
    let second = subscribed(&servers, "g", "in", "two", "range");
    wait_until("the second assignment", || {
        poll(&first);
        poll(&second);
        owns(&first, 1) && owns(&second, 1)
    });
    let producer = transactional(&servers, "tx");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("in", 0, Offset::Offset(1)).expect("added");
    producer.begin_transaction().expect("begun");
    let error = producer.send_offsets_to_transaction(&offsets, &stale, Duration::from_secs(10)).expect_err("stale");
    assert!(
        matches!(&error, KafkaError::Transaction(e) if e.code() == RDKafkaErrorCode::IllegalGeneration),
        "{error:?}"
    );
    producer.abort_transaction(Duration::from_secs(10)).expect("aborted");
}

#[test]
fn two_members_share_a_topic_cooperatively_and_one_takes_over() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "in", 4, &[]);
    let first = subscribed(&servers, "g", "in", "one", "cooperative-sticky");
    let second = subscribed(&servers, "g", "in", "two", "cooperative-sticky");
    let counts = |members: &[&BaseConsumer]| -> Vec<usize> {
        members.iter().for_each(|member| drop(member.poll(Duration::from_millis(5))));
        members.iter().map(|member| member.assignment().map_or(0, |list| list.count())).collect()
    };
    wait_until("two and two", || counts(&[&first, &second]) == [2, 2]);
    second.unsubscribe();
    drop(second);
    wait_until("all four", || counts(&[&first]) == [4]);
}

#[test]
fn a_restarted_static_member_takes_its_place_and_fences_the_old_one() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "in", 2, &[]);
    let old = subscribed(&servers, "g", "in", "one", "range");
    wait_until("the assignment", || {
        old.poll(Duration::from_millis(5));
        old.assignment().is_ok_and(|list| list.count() == 2)
    });
    let new = subscribed(&servers, "g", "in", "one", "range");
    wait_until("the take-over", || {
        new.poll(Duration::from_millis(5));
        new.assignment().is_ok_and(|list| list.count() == 2)
    });
    wait_until("the fencing", || {
        old.poll(Duration::from_millis(5));
        old.client().fatal_error().is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
    });
}

#[test]
fn positions_out_of_range_and_times_are_told() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    // The timestamps are of 1970: retention by time would take the records away.
    create_topic(&servers, "t", 1, &[("retention.ms", "-1")]);
    let producer: BaseProducer = client(&servers).create().expect("a producer");
    for n in 0..100i64 {
        let record = BaseRecord::<(), _>::to("t").payload("v").timestamp(1_000 + n * 10);
        producer.send(record).expect("queued");
    }
    producer.flush(Duration::from_secs(10)).expect("delivered");
    let consumer = assigned(&servers, "t", 1, "read_committed");
    for (time, expected) in
        [(0, Offset::Offset(0)), (1_000, Offset::Offset(0)), (1_495, Offset::Offset(50)), (9_000, Offset::End)]
    {
        let mut times = TopicPartitionList::new();
        times.add_partition_offset("t", 0, Offset::Offset(time)).expect("added");
        let found = consumer.offsets_for_times(times, 10 * SECOND).expect("found");
        assert_eq!(found.find_partition("t", 0).expect("there").offset(), expected, "{time}");
    }
    let admin = admin(&servers);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("t", 0, Offset::Offset(40)).expect("added");
    block_on(admin.delete_records(&before, &AdminOptions::new())).expect("deleted");
    assert_eq!(consumer.fetch_watermarks("t", 0, SECOND).expect("told"), (40, 100));
    let mut position = TopicPartitionList::new();
    position.add_partition_offset("t", 0, Offset::Offset(10)).expect("added");
    consumer.assign(&position).expect("assigned");
    let mut seen = None;
    wait_until("an error", || {
        seen = consumer.poll(Duration::from_millis(50)).and_then(Result::err);
        seen.is_some()
    });
    let code = seen.and_then(|error| error.rdkafka_error_code());
    assert!(matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)), "{code:?}");
}

#[test]
fn topics_are_made_changed_and_removed() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    let admin: AdminClient<DefaultClientContext> =
        AdminClient::from_config(&client(&servers)).expect("an admin client");
    create_topic(&servers, "t", 2, &[("retention.ms", "1234")]);
    let bad = [("bad name", 1), ("t", 1), ("none", 0)];
    for (name, partitions) in bad {
        assert!(try_create_topic(&servers, name, partitions, &[]).is_err(), "{name}");
    }
    assert!(try_create_topic(&servers, "u", 1, &[("no.such.setting", "1")]).is_err());
    block_on(admin.create_partitions(&[NewPartitions::new("t", 5)], &AdminOptions::new())).expect("asked")[0]
        .as_ref()
        .expect("grown");
    let consumer = assigned(&servers, "t", 1, "read_committed");
    let metadata = consumer.fetch_metadata(Some("t"), 10 * SECOND).expect("told");
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
    let change = AlterConfig::new(ResourceSpecifier::Topic("t")).set("cleanup.policy", "compact");
    block_on(admin.alter_configs(&[change], &AdminOptions::new())).expect("asked")[0].as_ref().expect("changed");
    let told = block_on(admin.describe_configs(&[ResourceSpecifier::Topic("t")], &AdminOptions::new())).expect("asked");
    let told = told[0].as_ref().expect("told").entry_map().clone();
    let value = |name: &str| told[name].value.clone().expect("a value");
    assert_eq!((value("cleanup.policy").as_str(), value("retention.ms").as_str()), ("compact", "604800000"));
    block_on(admin.delete_topics(&["t"], &AdminOptions::new())).expect("asked")[0].as_ref().expect("deleted");
    let metadata = consumer.fetch_metadata(None, 10 * SECOND).expect("told");
    assert!(metadata.topics().iter().all(|topic| topic.name() != "t"));
}

#[test]
fn a_record_larger_than_the_topic_allows_is_refused() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[("max.message.bytes", "1000")]);
    let producer = transactional(&servers, "tx");
    producer.begin_transaction().expect("begun");
    send(&producer, "t", &"x".repeat(2_000));
    let error = producer.commit_transaction(Duration::from_secs(10)).expect_err("too large");
    assert!(matches!(&error, KafkaError::Transaction(e) if e.txn_requires_abort()), "{error:?}");
    producer.abort_transaction(Duration::from_secs(10)).expect("aborted");
    // librdkafka has used up a sequence number that the log never saw; a new handle gets a new epoch. (As on Kafka.)
    drop(producer);
    transaction(&transactional(&servers, "tx"), "t", "small", true);
    assert_eq!(read_all(&servers, "t", 1, "read_committed"), ["small"]);
}

#[test]
fn a_long_poll_ends_when_something_arrives() {
    let (_folder, broker) = broker();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[]);
    let consumer: BaseConsumer = client(&servers)
        .set("group.id", "reader")
        .set("fetch.wait.max.ms", "10000")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Beginning).expect("added");
    consumer.assign(&list).expect("assigned");
    let producer: BaseProducer = client(&servers).set("linger.ms", "0").create().expect("a producer");
    // The first round trips set up connections; later ones wait in the broker.
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let begin = Instant::now();
        producer.send(BaseRecord::<(), _>::to("t").payload("v")).expect("queued");
        producer.poll(Duration::ZERO);
        wait_until("the record", || matches!(consumer.poll(Duration::from_millis(100)), Some(Ok(_))));
        if round > 2 {
            slowest = slowest.max(begin.elapsed());
        }
    }
    assert!(slowest < Duration::from_secs(5), "a poll of 10 s was not woken: {slowest:?}");
}
