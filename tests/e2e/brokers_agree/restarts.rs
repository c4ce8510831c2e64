//! What a restart keeps, orderly or by SIGKILL: everything that was acknowledged, and nothing half.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmill_tests::admin::{Admin, Watermarks};
use wasmill_tests::brokers::Broker;
use wasmill_tests::member::{Member, poll_until};
use wasmill_tests::producer::{Next, Producer};
use wasmill_tests::reader::Isolation::{Committed, Uncommitted};
use wasmill_tests::reader::values;
use wasmill_tests::until::{LONG, until};

use crate::check::{Check, Difference, own};

pub const CHECKS: &[Check] = &[
    own("an_orderly_restart_keeps_everything", an_orderly_restart_keeps_everything),
    own("a_killed_broker_keeps_everything", a_killed_broker_keeps_everything),
    own("transactions_survive_kills_whole", transactions_survive_kills_whole),
];

/// A member that outlives restarts, however slow the machine: its session is as long as brokers allow, half an hour.
const STAYING: &[(&str, &str)] =
    &[("group.instance.id", "one"), ("session.timeout.ms", "1800000"), ("max.poll.interval.ms", "1800000")];

fn an_orderly_restart_keeps_everything(broker: &mut Broker) {
    keeps_everything(broker, false);
}

fn a_killed_broker_keeps_everything(broker: &mut Broker) {
    keeps_everything(broker, true);
}

fn keeps_everything(broker: &mut Broker, was_killed: bool) {
    let admin = Admin::new(broker);
    let topic = admin.topic("kept", 2, &[("retention.ms", "987654321")]);
    let cut = admin.topic("cut", 1, &[]);
    let plain = Producer::new(broker, &[("enable.idempotence", "true")]);
    let going_on = Producer::ready(broker, "going-on");
    let left_open = Producer::ready(broker, "left-open");
    let mut member = Member::join(broker, "group", &[&topic], STAYING);
    poll_until("the member owns all", LONG, &mut [&mut member], |all| all[0].owned().len() == 2);

    for n in 0..100 {
        plain.put(&topic, 0, "k", &n.to_string());
        plain.put(&cut, 0, "k", &n.to_string());
    }
    plain.places();
    admin.delete_records(&cut, 0, 40).expect("records are deleted");
    going_on.begin();
    going_on.put(&topic, 1, "k", "committed");
    let next = |offset| [Next { topic: &topic, partition: 0, offset, metadata: "before" }];
    going_on.send_offsets(&next(42), &member.metadata()).expect("offsets are taken");
    going_on.commit().expect("it commits");
    left_open.begin();
    left_open.put(&topic, 1, "k", "open");
    left_open.places();

    if was_killed {
        broker.kill()
    } else {
        broker.stop()
    }
    broker.resume().expect("the broker starts again");

    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(values(broker, &topic, 0, Committed), expected);
    // A commit is decided when it is acknowledged; its markers may follow only after the restart.
    until("the committed is seen", LONG, || (values(broker, &topic, 1, Committed) == ["committed"]).then_some(()));
    let cut_to = admin.watermarks(&cut, 0);
    let is_forgotten = was_killed && Difference::CutsForgottenByKill.is_of(broker) && cut_to.first == 0;
    assert!(is_forgotten || cut_to == Watermarks { first: 40, end: 100 }, "{cut_to:?}");
    assert_eq!(admin.setting(&topic, "retention.ms").as_deref(), Some("987654321"));
    let reader = Member::outside(broker, "group", &[]);
    assert_eq!(reader.committed(&topic, 0, LONG), Ok(Some((42, "before".to_string()))));

    // The same instances go on, without a gap and without a double.
    plain.put(&topic, 0, "k", "100");
    assert_eq!(plain.places()[0].offset, 100);
    going_on.begin();
    going_on.put(&topic, 1, "k", "after");
    poll_until("the member is back", LONG, &mut [&mut member], |all| all[0].owned().len() == 2);
    going_on.send_offsets(&next(43), &member.metadata()).expect("offsets are taken");
    going_on.commit().expect("it commits");
    let successor = Producer::ready(broker, "left-open");
    until("the open one is aborted", LONG, || {
        (values(broker, &topic, 1, Committed) == ["committed", "after"]).then_some(())
    });
    assert!(left_open.commit().expect_err("its successor has ended it").is_fatal);
    assert_eq!(reader.committed(&topic, 0, LONG), Ok(Some((43, "before".to_string()))));
    drop(successor);
}

const TRANSACTIONS: usize = 400;
const KILLS: [usize; 2] = [130, 270];

/// One producer, the same instance throughout, while the broker is killed under it.
fn transactions_survive_kills_whole(broker: &mut Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("run", 2, &[]);
    let producer = Producer::transactional(broker, "runner", &[("transaction.timeout.ms", "60000")]);
    producer.init().expect("transactions are initialized");
    let mut member = Member::join(broker, "group", &[&topic], STAYING);
    poll_until("the member owns all", LONG, &mut [&mut member], |all| all[0].owned().len() == 2);
    let group = member.metadata();
    let committed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..TRANSACTIONS {
                transact(&producer, &topic, n, &group);
                committed.store(n + 1, Ordering::SeqCst);
            }
        });
        for kill in KILLS {
            until("transactions run", LONG * 2, || (committed.load(Ordering::SeqCst) >= kill).then_some(()));
            broker.kill();
            broker.resume().expect("the broker starts again");
        }
    });
    let expected: BTreeSet<String> = (0..TRANSACTIONS).map(|n| n.to_string()).collect();
    for partition in 0..2 {
        until("the last marker is there", LONG, || {
            (values(broker, &topic, partition, Committed).len() >= TRANSACTIONS).then_some(())
        });
        let seen = values(broker, &topic, partition, Committed);
        assert_eq!(seen.len(), TRANSACTIONS, "partition {partition}: none twice");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected, "partition {partition}: none lost");
        assert!(values(broker, &topic, partition, Uncommitted).len() >= TRANSACTIONS);
    }
    let end = member.committed(&topic, 0, LONG).expect("the broker answers");
    assert_eq!(end, Some((TRANSACTIONS as i64, format!("n={}", TRANSACTIONS - 1))));
}

/// Commits record `n` in both partitions and an offset, again and again while that is refused for now.
fn transact(producer: &Producer, topic: &str, n: usize, group: &rdkafka::consumer::ConsumerGroupMetadata) {
    for _ in 0..100 {
        producer.begin();
        producer.put(topic, 0, "k", &n.to_string());
        producer.put(topic, 1, "k", &n.to_string());
        let delivered = producer.delivered().iter().all(Result::is_ok);
        let metadata = format!("n={n}");
        let next = [Next { topic, partition: 0, offset: n as i64 + 1, metadata: &metadata }];
        let outcome = if delivered { producer.send_offsets(&next, group) } else { Ok(()) };
        let outcome = outcome.and_then(|()| producer.commit());
        match outcome {
            Ok(()) => return,
            Err(refusal) => {
                assert!(refusal.is_abortable, "transaction {n}: {refusal:?}");
                producer.abort().expect("it aborts");
            }
        }
    }
    panic!("transaction {n} was refused again and again");
}
