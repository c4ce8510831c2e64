//! Orderly stop and start on the same folder and port: topics, settings, offsets, groups, producers and transactions
//! go on. Owns the comparison of before and after. What a kill does is in `a_killed_broker_loses_nothing.rs`.

#[path = "support/clients.rs"]
mod support;

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset;
use support::*;
use wasmill_broker::{Broker, BrokerConfig};

#[test]
fn clients_go_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = BrokerConfig::new(folder.path());
    let broker = Broker::start(config.clone()).expect("the broker starts");
    config.address = broker.address();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 2, &[("retention.ms", "-1")]);
    let member = subscribed(&servers, "g", "t", "one", "cooperative-sticky");
    wait_until("the assignment", || {
        member.poll(Duration::from_millis(5));
        member.assignment().is_ok_and(|list| list.count() == 2)
    });
    let assigned_before = member.assignment().expect("assigned");
    let producer = transactional(&servers, "tx");
    transaction(&producer, "t", "before", true);
    producer.begin_transaction().expect("begun");
    send(&producer, "t", "across");
    let mut offsets = assigned_before.clone();
    offsets.set_partition_offset("t", 0, Offset::Offset(3)).expect("set");
    offsets.set_partition_offset("t", 1, Offset::Offset(4)).expect("set");
    producer.flush(10 * SECOND).expect("delivered");
    let metadata = member.group_metadata().expect("a member");
    producer.send_offsets_to_transaction(&offsets, &metadata, 10 * SECOND).expect("sent");
    broker.stop();
    let broker = Broker::start(config.clone()).expect("the broker starts again");
    assert_eq!(broker.address().to_string(), servers);
    // The open transaction is still open, with its offsets, and the same producer commits it.
    assert!(committed(&servers, "g", "t", "read_committed", Duration::from_millis(300)).is_err(), "still undecided");
    producer.commit_transaction(10 * SECOND).expect("committed across the restart");
    let (offset, _) = committed(&servers, "g", "t", "read_committed", 10 * SECOND).expect("told");
    assert_eq!(offset, Offset::Offset(3));
    let mut values = read_all(&servers, "t", 2, "read_committed");
    values.sort();
    assert_eq!(values, ["across", "before"]);
    // The member was not thrown out: what it was before is still accepted, and nothing was taken from it.
    member.poll(Duration::from_millis(200));
    assert_eq!(member.assignment().expect("assigned"), assigned_before);
    producer.begin_transaction().expect("begun");
    producer.send_offsets_to_transaction(&offsets, &metadata, 10 * SECOND).expect("same member, same generation");
    producer.commit_transaction(10 * SECOND).expect("committed");
    transaction(&producer, "t", "after", true);
    broker.stop();
}

/// With `fsync` everything works as without: what a power cut does cannot be tested here.
#[test]
fn a_synced_broker_serves_and_restarts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = BrokerConfig::new(folder.path());
    config.fsync = true;
    let broker = Broker::start(config.clone()).expect("the broker starts");
    config.address = broker.address();
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[]);
    let producer = transactional(&servers, "tx");
    transaction(&producer, "t", "a", true);
    transaction(&producer, "t", "b", false);
    broker.stop();
    let _broker = Broker::start(config).expect("the broker starts again");
    transaction(&producer, "t", "c", true);
    assert_eq!(read_all(&servers, "t", 1, "read_committed"), ["a", "c"]);
}
