//! Transactions: what readers see of them, and who may end them.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::producer::{CALL_LIMIT, Producer, Refusal};
use wasmill_tests::reader::Isolation::{Committed, Uncommitted};
use wasmill_tests::reader::{Reader, read, read_from, values};
use wasmill_tests::until::{LONG, until};

use crate::check::{Check, shared};

pub const CHECKS: &[Check] = &[
    shared("a_committed_transaction_is_seen_whole", a_committed_transaction_is_seen_whole),
    shared("an_aborted_transaction_is_never_seen", an_aborted_transaction_is_never_seen),
    shared("an_open_transaction_holds_committed_readers_back", an_open_transaction_holds_committed_readers_back),
    shared("two_transactions_interleave_in_a_partition", two_transactions_interleave_in_a_partition),
    shared("many_transactions_of_many_producers", many_transactions_of_many_producers),
    shared("an_aborted_list_serves_every_start", an_aborted_list_serves_every_start),
    shared("an_empty_transaction_commits_and_aborts", an_empty_transaction_commits_and_aborts),
    shared("a_second_producer_fences_the_first", a_second_producer_fences_the_first),
    shared("initializing_ends_the_open_transaction", initializing_ends_the_open_transaction),
    shared("a_zombie_of_every_state_is_fenced", a_zombie_of_every_state_is_fenced),
    shared("a_transaction_times_out_and_fences", a_transaction_times_out_and_fences),
    shared("too_long_a_time_out_is_refused", too_long_a_time_out_is_refused),
    shared(
        "a_too_large_record_aborts_and_the_next_but_one_commits",
        a_too_large_record_aborts_and_the_next_but_one_commits,
    ),
    shared("a_transaction_over_many_partitions", a_transaction_over_many_partitions),
];

fn a_committed_transaction_is_seen_whole(broker: &Broker) {
    let topic = Admin::new(broker).topic("whole", 3, &[]);
    let producer = Producer::ready(broker, &fresh("tx"));
    producer.begin();
    for n in 0..30 {
        producer.put(&topic, n % 3, "k", &n.to_string());
    }
    producer.commit().expect("it commits");
    for partition in 0..3 {
        until("all is seen", LONG, || (values(broker, &topic, partition, Committed).len() == 10).then_some(()));
    }
    // The marker has an offset of its own.
    assert_eq!(Admin::new(broker).watermarks(&topic, 0).end, 11);
}

fn an_aborted_transaction_is_never_seen(broker: &Broker) {
    let topic = Admin::new(broker).topic("aborted", 1, &[]);
    let producer = Producer::ready(broker, &fresh("tx"));
    for (value, is_kept) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        producer.begin();
        producer.put(&topic, 0, "k", value);
        producer.places();
        if is_kept { producer.commit().expect("it commits") } else { producer.abort().expect("it aborts") }
    }
    producer.begin();
    producer.put(&topic, 0, "k", "e");
    producer.commit().expect("it commits");
    until("the last is seen", LONG, || {
        let seen = values(broker, &topic, 0, Committed);
        (seen.last().is_some_and(|last| last == "e")).then(|| assert_eq!(seen, ["a", "c", "e"]))
    });
    assert_eq!(values(broker, &topic, 0, Uncommitted), ["a", "b", "c", "d", "e"]);
}

fn an_open_transaction_holds_committed_readers_back(broker: &Broker) {
    let topic = Admin::new(broker).topic("open", 1, &[]);
    let plain = Producer::new(broker, &[]);
    let producer = Producer::ready(broker, &fresh("tx"));
    plain.put(&topic, 0, "k", "before");
    plain.places();
    producer.begin();
    producer.put(&topic, 0, "k", "open");
    producer.places();
    plain.put(&topic, 0, "k", "after");
    plain.places();
    assert_eq!(values(broker, &topic, 0, Committed), ["before"]);
    assert_eq!(values(broker, &topic, 0, Uncommitted), ["before", "open", "after"]);
    // Last stable offset against high watermark.
    let end = |isolation| {
        let reader = Reader::new(broker, isolation, &[]);
        reader.consumer().fetch_watermarks(&topic, 0, CALL_LIMIT).expect("the broker answers").1
    };
    assert_eq!((end(Committed), end(Uncommitted)), (1, 3));
    // Asking for what lies behind the last stable offset is no error: it comes when the transaction has ended.
    let mut ahead = Reader::new(broker, Committed, &[]);
    ahead.go_to(&topic, &[(0, Offset::Offset(2))]);
    assert_eq!(ahead.poll(Duration::from_millis(200)), None);
    producer.commit().expect("it commits");
    assert_eq!(ahead.to_end().map(|seen| seen.iter().map(|s| s.offset).collect()), Ok(vec![2]));
    until("all is seen", LONG, || (values(broker, &topic, 0, Committed) == ["before", "open", "after"]).then_some(()));
    assert_eq!((end(Committed), end(Uncommitted)), (4, 4));
}

fn two_transactions_interleave_in_a_partition(broker: &Broker) {
    let topic = Admin::new(broker).topic("interleaved", 1, &[]);
    let (kept, dropped) = (Producer::ready(broker, &fresh("tx")), Producer::ready(broker, &fresh("tx")));
    kept.begin();
    dropped.begin();
    for n in 0..5 {
        for (producer, name) in [(&kept, "kept"), (&dropped, "dropped")] {
            producer.put(&topic, 0, "k", &format!("{name}{n}"));
            producer.places();
        }
    }
    dropped.abort().expect("it aborts");
    assert_eq!(values(broker, &topic, 0, Committed), [""; 0], "the other one is still open");
    kept.commit().expect("it commits");
    until("the kept is seen", LONG, || (!values(broker, &topic, 0, Committed).is_empty()).then_some(()));
    assert_eq!(values(broker, &topic, 0, Committed), ["kept0", "kept1", "kept2", "kept3", "kept4"]);
}

fn many_transactions_of_many_producers(broker: &Broker) {
    let topic = Admin::new(broker).topic("crowd", 2, &[]);
    let producers: Vec<Producer> = (0..4).map(|_| Producer::ready(broker, &fresh("tx"))).collect();
    let mut expected = [Vec::new(), Vec::new()];
    for round in 0..15 {
        for (at, producer) in producers.iter().enumerate() {
            producer.begin();
            for partition in 0..2 {
                producer.put(&topic, partition, "k", &format!("{at}/{round}"));
            }
            producer.places();
        }
        for (at, producer) in producers.iter().enumerate().rev() {
            if (at + round) % 3 == 0 {
                producer.abort().expect("it aborts");
            } else {
                producer.commit().expect("it commits");
            }
        }
        for (at, _) in producers.iter().enumerate().filter(|(at, _)| (at + round) % 3 != 0) {
            expected.iter_mut().for_each(|values| values.push(format!("{at}/{round}")));
        }
    }
    for (partition, expected) in expected.iter().enumerate() {
        let read = || values(broker, &topic, partition as i32, Committed);
        until("all committed are seen", LONG, || (read().len() >= expected.len()).then_some(()));
        assert_eq!(read(), *expected);
    }
}

fn an_aborted_list_serves_every_start(broker: &Broker) {
    let topic = Admin::new(broker).topic("starts", 1, &[]);
    let producer = Producer::ready(broker, &fresh("tx"));
    // Offsets: 0..9 aborted and marker 10, 11..20 committed and marker 21, and so on.
    for round in 0..6 {
        producer.begin();
        for n in 0..10 {
            producer.put(&topic, 0, "k", &format!("{round}/{n}"));
        }
        producer.places();
        if round % 2 == 0 { producer.abort().expect("it aborts") } else { producer.commit().expect("it commits") }
    }
    until("the last is seen", LONG, || (values(broker, &topic, 0, Committed).len() == 30).then_some(()));
    for from in 0..66 {
        let seen: Vec<i64> =
            read_from(broker, &topic, 0, Offset::Offset(from), Committed).iter().map(|s| s.offset).collect();
        let expected: Vec<i64> = (from..66).filter(|at| (at / 11) % 2 == 1 && at % 11 != 10).collect();
        assert_eq!(seen, expected, "from {from}");
    }
}

fn an_empty_transaction_commits_and_aborts(broker: &Broker) {
    let producer = Producer::ready(broker, &fresh("tx"));
    for _ in 0..3 {
        producer.begin();
        producer.commit().expect("it commits");
        producer.begin();
        producer.abort().expect("it aborts");
    }
}

fn a_second_producer_fences_the_first(broker: &Broker) {
    let topic = Admin::new(broker).topic("fenced", 1, &[]);
    let id = fresh("tx");
    let first = Producer::ready(broker, &id);
    first.begin();
    first.put(&topic, 0, "k", "first");
    first.commit().expect("it commits");
    let second = Producer::ready(broker, &id);
    first.begin();
    first.put(&topic, 0, "k", "zombie");
    let refusal = first.commit().expect_err("a zombie commits nothing");
    assert!(refusal.is_fatal, "{refusal:?}");
    assert!(is_fencing(refusal.code), "{refusal:?}");
    assert!(first.abort().expect_err("a zombie aborts nothing").is_fatal);
    second.begin();
    second.put(&topic, 0, "k", "second");
    second.commit().expect("it commits");
    until("the second is seen", LONG, || (values(broker, &topic, 0, Committed).len() == 2).then_some(()));
    assert_eq!(values(broker, &topic, 0, Committed), ["first", "second"]);
}

fn initializing_ends_the_open_transaction(broker: &Broker) {
    let topic = Admin::new(broker).topic("taken-over", 1, &[]);
    let id = fresh("tx");
    let first = Producer::ready(broker, &id);
    first.begin();
    first.put(&topic, 0, "k", "left open");
    first.places();
    let second = Producer::ready(broker, &id);
    second.begin();
    second.put(&topic, 0, "k", "second");
    second.commit().expect("it commits");
    until("the second is seen", LONG, || (values(broker, &topic, 0, Committed) == ["second"]).then_some(()));
    let refusal = first.commit().expect_err("it was ended by the second");
    assert!(refusal.is_fatal && is_fencing(refusal.code), "{refusal:?}");
}

/// Idle, begun, with records in flight: whatever the first was doing when the second came.
fn a_zombie_of_every_state_is_fenced(broker: &Broker) {
    let topic = Admin::new(broker).topic("zombies", 1, &[]);
    for state in ["idle", "begun", "produced"] {
        let id = fresh("tx");
        let first = Producer::ready(broker, &id);
        if state != "idle" {
            first.begin();
        }
        if state == "produced" {
            first.put(&topic, 0, "k", state);
            first.places();
        }
        let second = Producer::ready(broker, &id);
        if state == "idle" {
            first.begin();
        }
        first.put(&topic, 0, "k", state);
        let refusal = first.commit().expect_err(state);
        assert!(refusal.is_fatal && is_fencing(refusal.code), "{state}: {refusal:?}");
        assert!(first.fatal_error().is_some(), "{state}");
        second.begin();
        second.put(&topic, 0, "k", "second");
        second.commit().expect("it commits");
    }
    until("all is seen", LONG, || (values(broker, &topic, 0, Committed).len() == 3).then_some(()));
    assert!(values(broker, &topic, 0, Committed).iter().all(|value| value == "second"));
}

fn a_transaction_times_out_and_fences(broker: &Broker) {
    let topic = Admin::new(broker).topic("timed-out", 1, &[]);
    let producer = Producer::transactional(broker, &fresh("tx"), &[("transaction.timeout.ms", "1500")]);
    producer.init().expect("transactions are initialized");
    producer.begin();
    producer.put(&topic, 0, "k", "late");
    producer.places();
    let plain = Producer::new(broker, &[]);
    plain.put(&topic, 0, "k", "other");
    plain.places();
    until("the broker aborts it", LONG, || (values(broker, &topic, 0, Committed) == ["other"]).then_some(()));
    let refusal = producer.commit().expect_err("it was aborted");
    assert!(refusal.is_fatal && is_fencing(refusal.code), "{refusal:?}");
    assert_eq!(values(broker, &topic, 0, Committed), ["other"]);
}

fn too_long_a_time_out_is_refused(broker: &Broker) {
    let hour = Duration::from_secs(3600).as_millis().to_string();
    let producer = Producer::transactional(broker, &fresh("tx"), &[("transaction.timeout.ms", &hour)]);
    let refusal = producer.init().expect_err("the broker's limit is 15 minutes");
    assert_eq!(refusal, Refusal { code: Code::InvalidTransactionTimeout, is_fatal: true, is_abortable: false });
}

/// The refused batch has used up a sequence number of librdkafka's, so the broker finds a gap once more before it goes on.
fn a_too_large_record_aborts_and_the_next_but_one_commits(broker: &Broker) {
    let topic = Admin::new(broker).topic("tx-limit", 1, &[("max.message.bytes", "2000")]);
    for is_alone in [true, false] {
        let producer = Producer::ready(broker, &fresh("tx"));
        let expected = [Some(Code::MessageSizeTooLarge), Some(Code::OutOfOrderSequenceNumber), None];
        for (round, expected) in expected.into_iter().enumerate() {
            producer.begin();
            if !is_alone || round > 0 {
                producer.put(&topic, 0, "k", &format!("round {round}"));
            }
            if round == 0 {
                producer.put(&topic, 0, "k", &"x".repeat(3_000));
            }
            let refusal = producer.commit().err();
            assert_eq!(refusal.as_ref().map(|r| r.code), expected, "round {round}");
            if let Some(refusal) = refusal {
                assert!(refusal.is_abortable && !refusal.is_fatal, "{refusal:?}");
                producer.abort().expect("it aborts");
            }
        }
    }
    until("both last ones are seen", LONG, || {
        (values(broker, &topic, 0, Committed) == ["round 2", "round 2"]).then_some(())
    });
}

fn a_transaction_over_many_partitions(broker: &Broker) {
    let topic = Admin::new(broker).topic("spread", 60, &[]);
    let producer = Producer::ready(broker, &fresh("tx"));
    for _ in 0..2 {
        producer.begin();
        for partition in 0..60 {
            producer.put(&topic, partition, "k", "v");
        }
        producer.commit().expect("it commits");
    }
    for partition in 0..60 {
        until("both are seen", LONG, || (read(broker, &topic, partition, Committed).len() == 2).then_some(()));
    }
}

fn is_fencing(code: Code) -> bool {
    matches!(code, Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fenced)
}
