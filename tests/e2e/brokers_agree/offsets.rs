//! Offsets that go with a transaction: what is committed, what waits, and whom the group refuses.

use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::member::{Member, poll_until};
use wasmill_tests::producer::{Next, Producer, Refusal};
use wasmill_tests::reader::Isolation::Committed;
use wasmill_tests::reader::values;
use wasmill_tests::until::{LONG, until};

use crate::check::{Check, shared};

pub const CHECKS: &[Check] = &[
    shared("offsets_are_committed_with_their_transaction", offsets_are_committed_with_their_transaction),
    shared("offsets_vanish_with_an_abort", offsets_vanish_with_an_abort),
    shared("commit_metadata_comes_back_byte_for_byte", commit_metadata_comes_back_byte_for_byte),
    shared("too_long_commit_metadata_is_refused", too_long_commit_metadata_is_refused),
    shared("a_stable_read_waits_for_the_decision", a_stable_read_waits_for_the_decision),
    shared("an_undecided_partition_alone_is_waited_for", an_undecided_partition_alone_is_waited_for),
    shared("a_stale_generation_is_refused", a_stale_generation_is_refused),
    shared("an_unknown_member_is_refused", an_unknown_member_is_refused),
    shared("a_fenced_instance_is_refused", a_fenced_instance_is_refused),
    shared("a_zombies_offsets_are_refused", a_zombies_offsets_are_refused),
    shared("offsets_of_a_timed_out_transaction_vanish", offsets_of_a_timed_out_transaction_vanish),
    shared("plain_commits_come_back", plain_commits_come_back),
    shared("offsets_and_records_commit_together", offsets_and_records_commit_together),
];

const SOON: Duration = Duration::from_secs(5);
const UNCOMMITTED: &[(&str, &str)] = &[("isolation.level", "read_uncommitted")];

/// A topic of two partitions, a member that owns them, and a producer.
struct Stage {
    topic: String,
    group: String,
    member: Member,
    producer: Producer,
}

impl Stage {
    fn new(broker: &Broker, settings: &[(&str, &str)]) -> Self {
        let topic = Admin::new(broker).topic("input", 2, &[]);
        let group = fresh("group");
        let mut member = Member::join(broker, &group, &[&topic], settings);
        poll_until("the member owns all", LONG, &mut [&mut member], |all| all[0].owned().len() == 2);
        Self { topic, group, member, producer: Producer::ready(broker, &fresh("tx")) }
    }

    /// One transaction of nothing but an offset of partition 0, left open.
    fn send(&self, offset: i64, metadata: &str, group: &ConsumerGroupMetadata) -> Result<(), Refusal> {
        self.producer.begin();
        self.producer.send_offsets(&[Next { topic: &self.topic, partition: 0, offset, metadata }], group)
    }

    fn commit(&self, offset: i64, metadata: &str) {
        self.send(offset, metadata, &self.member.metadata()).expect("offsets are taken");
        self.producer.commit().expect("it commits");
    }

    /// What a stable read gives.
    fn committed(&self) -> Option<(i64, String)> {
        self.member.committed(&self.topic, 0, LONG).expect("the broker answers")
    }

    /// A refused set of offsets: abortable, nothing changed, and the producer goes on.
    fn is_refused(&self, group: &ConsumerGroupMetadata, code: Code) {
        let refusal = self.send(99, "stale", group).expect_err("the group refuses");
        assert_eq!(refusal, Refusal { code, is_fatal: false, is_abortable: true });
        self.producer.abort().expect("it aborts");
    }
}

fn offsets_are_committed_with_their_transaction(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    assert_eq!(stage.committed(), None);
    for offset in [1, 7, 3] {
        stage.commit(offset, "m");
        assert_eq!(stage.committed(), Some((offset, "m".to_string())));
    }
    assert_eq!(stage.member.committed(&stage.topic, 1, LONG), Ok(None));
}

fn offsets_vanish_with_an_abort(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    for before in [None, Some((5, "kept".to_string()))] {
        if let Some((offset, metadata)) = &before {
            stage.commit(*offset, metadata);
        }
        stage.send(50, "gone", &stage.member.metadata()).expect("offsets are taken");
        stage.producer.abort().expect("it aborts");
        assert_eq!(stage.committed(), before);
    }
}

fn commit_metadata_comes_back_byte_for_byte(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    let text = |len: usize| (0..len).map(|at| char::from(b'!' + (at % 90) as u8)).collect::<String>();
    for (offset, metadata) in
        [(1, String::new()), (2, text(10)), (3, text(1024)), (4, text(4096)), (5, "w1;1;ü→;s=id:12".to_string())]
    {
        stage.commit(offset, &metadata);
        assert_eq!(stage.committed(), Some((offset, metadata)));
    }
}

fn too_long_commit_metadata_is_refused(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    stage.commit(1, "kept");
    let refusal = stage.send(2, &"x".repeat(4097), &stage.member.metadata()).expect_err("it is too long");
    assert_eq!(refusal, Refusal { code: Code::OffsetMetadataTooLarge, is_fatal: false, is_abortable: true });
    stage.producer.abort().expect("it aborts");
    assert_eq!(stage.committed(), Some((1, "kept".to_string())));
    stage.commit(3, "next");
    assert_eq!(stage.committed(), Some((3, "next".to_string())));
}

fn a_stable_read_waits_for_the_decision(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    let stale = Member::outside(broker, &stage.group, UNCOMMITTED);
    let stable = Member::outside(broker, &stage.group, &[]);
    let read = |reader: &Member, wait| reader.committed(&stage.topic, 0, wait);
    stage.commit(1, "first");
    for (offset, is_kept) in [(2, false), (3, true)] {
        stage.send(offset, "pending", &stage.member.metadata()).expect("offsets are taken");
        let start = Instant::now();
        assert_eq!(read(&stale, SOON), Ok(Some((1, "first".to_string()))), "an unstable read is stale at once");
        assert!(start.elapsed() < SOON);
        let waited = read(&stable, Duration::from_millis(700));
        assert!(
            matches!(
                waited,
                Err(KafkaError::ConsumerCommit(Code::OperationTimedOut)
                    | KafkaError::OffsetFetch(Code::OperationTimedOut)
                    | KafkaError::MetadataFetch(Code::OperationTimedOut))
            ),
            "{waited:?}"
        );
        if is_kept {
            stage.producer.commit().expect("it commits")
        } else {
            stage.producer.abort().expect("it aborts")
        }
        let expected = if is_kept { (offset, "pending") } else { (1, "first") };
        assert_eq!(read(&stable, LONG), Ok(Some((expected.0, expected.1.to_string()))));
    }
}

fn an_undecided_partition_alone_is_waited_for(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    stage.send(1, "pending", &stage.member.metadata()).expect("offsets are taken");
    assert_eq!(stage.member.committed(&stage.topic, 1, SOON), Ok(None), "the other one is decided");
    stage.producer.commit().expect("it commits");
    assert_eq!(stage.committed(), Some((1, "pending".to_string())));
}

fn a_stale_generation_is_refused(broker: &Broker) {
    let mut stage = Stage::new(broker, &[("partition.assignment.strategy", "range")]);
    let old = stage.member.metadata();
    let mut other = Member::join(broker, &stage.group, &[&stage.topic], &[("partition.assignment.strategy", "range")]);
    poll_until("they share", LONG, &mut [&mut stage.member, &mut other], |all| {
        all.iter().all(|m| m.owned().len() == 1)
    });
    stage.is_refused(&old, Code::IllegalGeneration);
    stage.commit(4, "current");
    assert_eq!(stage.committed(), Some((4, "current".to_string())));
}

fn an_unknown_member_is_refused(broker: &Broker) {
    let mut stage = Stage::new(broker, &[]);
    let old = stage.member.metadata();
    stage.member.unsubscribe();
    poll_until("it has left", LONG, &mut [&mut stage.member], |all| all[0].owned().is_empty());
    let admin = Admin::new(broker);
    until("the group is empty", LONG, || (admin.members_of(&stage.group) == Some(0)).then_some(()));
    stage.is_refused(&old, Code::UnknownMemberId);
    let mut next = Member::join(broker, &stage.group, &[&stage.topic], &[]);
    poll_until("the next owns all", LONG, &mut [&mut next], |all| all[0].owned().len() == 2);
    stage.member = next;
    stage.commit(5, "next");
    assert_eq!(stage.committed(), Some((5, "next".to_string())));
}

fn a_fenced_instance_is_refused(broker: &Broker) {
    let settings = [("group.instance.id", "one")];
    let mut stage = Stage::new(broker, &settings);
    let old = stage.member.metadata();
    let mut second = Member::join(broker, &stage.group, &[&stage.topic], &settings);
    poll_until("the second owns all", LONG, &mut [&mut second], |all| all[0].owned().len() == 2);
    stage.is_refused(&old, Code::FencedInstanceId);
    stage.member = second;
    stage.commit(6, "second");
    assert_eq!(stage.committed(), Some((6, "second".to_string())));
}

fn a_zombies_offsets_are_refused(broker: &Broker) {
    let mut stage = Stage::new(broker, &[]);
    let id = fresh("tx");
    let zombie = Producer::ready(broker, &id);
    stage.producer = Producer::ready(broker, &id);
    zombie.begin();
    let next = [Next { topic: &stage.topic, partition: 0, offset: 66, metadata: "zombie" }];
    let refusal = zombie.send_offsets(&next, &stage.member.metadata()).expect_err("it is fenced");
    assert!(refusal.is_fatal, "{refusal:?}");
    assert_eq!(stage.committed(), None);
    stage.commit(7, "second");
    assert_eq!(stage.committed(), Some((7, "second".to_string())));
}

fn offsets_of_a_timed_out_transaction_vanish(broker: &Broker) {
    let mut stage = Stage::new(broker, &[]);
    stage.commit(1, "first");
    stage.producer = Producer::transactional(broker, &fresh("tx"), &[("transaction.timeout.ms", "1500")]);
    stage.producer.init().expect("transactions are initialized");
    stage.send(2, "late", &stage.member.metadata()).expect("offsets are taken");
    assert_eq!(stage.committed(), Some((1, "first".to_string())), "after the time-out, and no sooner");
    assert!(stage.producer.commit().expect_err("it was aborted").is_fatal);
}

fn plain_commits_come_back(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    for (offset, metadata) in [(1, ""), (10, "plain"), (0, "back")] {
        stage.member.commit(&stage.topic, 0, offset, metadata).expect("the broker commits");
        assert_eq!(stage.committed(), Some((offset, metadata.to_string())));
    }
    let refused = stage.member.commit(&stage.topic, 0, 2, &"x".repeat(4097)).expect_err("it is too long");
    assert_eq!(refused.rdkafka_error_code(), Some(Code::OffsetMetadataTooLarge));
    let other = Member::outside(broker, &fresh("other"), &[]);
    assert_eq!(other.committed(&stage.topic, 0, LONG), Ok(None), "each group has its own");
}

fn offsets_and_records_commit_together(broker: &Broker) {
    let stage = Stage::new(broker, &[]);
    let output = Admin::new(broker).topic("output", 1, &[]);
    for (round, is_kept) in [true, false, true, true, false].into_iter().enumerate() {
        stage.producer.begin();
        stage.producer.put(&output, 0, "k", &round.to_string());
        stage.producer.places();
        let offset = round as i64 + 1;
        let next = [Next { topic: &stage.topic, partition: 0, offset, metadata: "" }];
        stage.producer.send_offsets(&next, &stage.member.metadata()).expect("offsets are taken");
        if is_kept { stage.producer.commit().expect("it commits") } else { stage.producer.abort().expect("it aborts") }
    }
    assert_eq!(stage.committed(), Some((4, String::new())));
    until("the last is seen", LONG, || (values(broker, &output, 0, Committed).len() == 3).then_some(()));
    assert_eq!(values(broker, &output, 0, Committed), ["0", "2", "3"]);
}
