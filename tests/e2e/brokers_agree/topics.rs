//! Topics: making, growing, describing, deleting them, and what is refused.

use rdkafka::error::RDKafkaErrorCode as Code;
use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::until::{LONG, until};

use crate::check::{Check, shared};

pub const CHECKS: &[Check] = &[
    shared("a_made_topic_is_listed_with_its_partitions", a_made_topic_is_listed_with_its_partitions),
    shared("an_unknown_topic_is_told_and_not_made", an_unknown_topic_is_told_and_not_made),
    shared("bad_wishes_for_topics_are_refused", bad_wishes_for_topics_are_refused),
    shared("a_deleted_topic_is_gone", a_deleted_topic_is_gone),
    shared("a_topic_grows_and_never_shrinks", a_topic_grows_and_never_shrinks),
    shared("settings_are_described_and_altered", settings_are_described_and_altered),
];

fn a_made_topic_is_listed_with_its_partitions(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("listed", 3, &[]);
    assert_eq!(admin.leaders(&topic), Ok(3));
    assert!(admin.topics().contains(&topic));
}

fn an_unknown_topic_is_told_and_not_made(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = fresh("unknown");
    for _ in 0..2 {
        assert_eq!(admin.leaders(&topic), Err(Code::UnknownTopicOrPartition));
    }
    assert!(!admin.topics().contains(&topic));
}

fn bad_wishes_for_topics_are_refused(broker: &Broker) {
    let admin = Admin::new(broker);
    let there = admin.topic("there", 1, &[]);
    let long = "x".repeat(250);
    for (name, partitions, settings, expected) in [
        (there.as_str(), 1, &[][..], Code::TopicAlreadyExists),
        ("white space", 1, &[], Code::InvalidTopic),
        ("sla/sh", 1, &[], Code::InvalidTopic),
        (".", 1, &[], Code::InvalidTopic),
        ("..", 1, &[], Code::InvalidTopic),
        (long.as_str(), 1, &[], Code::InvalidTopic),
        ("no-partitions", 0, &[], Code::InvalidPartitions),
        ("unknown-setting", 1, &[("no.such.setting", "1")], Code::InvalidConfig),
        ("bad-setting", 1, &[("retention.ms", "soon")], Code::InvalidConfig),
        ("bad-policy", 1, &[("cleanup.policy", "shred")], Code::InvalidConfig),
    ] {
        assert_eq!(admin.create(name, partitions, settings), Err(expected), "{name}");
    }
    assert_eq!(admin.delete(&fresh("never-there")), Err(Code::UnknownTopicOrPartition));
}

fn a_deleted_topic_is_gone(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("deleted", 2, &[]);
    assert_eq!(admin.delete(&topic), Ok(()));
    until("the topic is gone", LONG, || (admin.leaders(&topic) == Err(Code::UnknownTopicOrPartition)).then_some(()));
    assert!(!admin.topics().contains(&topic));
    assert_eq!(admin.create(&topic, 1, &[]), Ok(()), "its name is free again");
    admin.wait_for_partitions(&topic, 1);
    assert_eq!(admin.watermarks(&topic, 0).end, 0);
}

fn a_topic_grows_and_never_shrinks(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("growing", 1, &[]);
    assert_eq!(admin.grow(&topic, 4), Ok(()));
    admin.wait_for_partitions(&topic, 4);
    for count in [4, 2] {
        assert_eq!(admin.grow(&topic, count), Err(Code::InvalidPartitions), "to {count}");
    }
    assert_eq!(admin.grow(&fresh("nowhere"), 2), Err(Code::UnknownTopicOrPartition));
}

fn settings_are_described_and_altered(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("settings", 1, &[("cleanup.policy", "compact"), ("retention.ms", "12345")]);
    let value = |name: &str| admin.setting(&topic, name);
    assert_eq!(value("cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(value("retention.ms").as_deref(), Some("12345"));
    assert_eq!(value("max.message.bytes").as_deref(), Some("1048588"), "defaults show");
    admin.alter(&topic, &[("retention.ms", "54321")]);
    until("the change is seen", LONG, || (value("retention.ms").as_deref() == Some("54321")).then_some(()));
    // The old call sets all: what is not named goes back to its default.
    until("the rest is default", LONG, || (value("cleanup.policy").as_deref() == Some("delete")).then_some(()));
    admin.alter(&topic, &[("retention.ms", "soon")]);
    assert_eq!(value("retention.ms").as_deref(), Some("54321"), "a bad value changes nothing");
    assert_eq!(admin.setting(&fresh("nowhere"), "retention.ms"), None);
}
