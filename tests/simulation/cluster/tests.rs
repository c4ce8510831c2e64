//! The model must be able to go wrong in the ways in which brokers were seen to (`librdkafka-verified`), or the
//! simulation proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::random::Random;

const INPUT: Place = Place { topic: 0, partition: 0 };
const OUT0: Place = Place { topic: 1, partition: 0 };
const OUT1: Place = Place { topic: 1, partition: 1 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn cluster(is_cooperative: bool) -> Cluster {
    let pace = Pace {
        marker_delay_ms_max: 0,
        marker_slow_permille: 0,
        transaction_timeout: ms(1000),
        session_timeout: ms(500),
        rebalance_timeout: ms(2000),
    };
    Cluster::new(&[(Role::Input(0), 2), (Role::Output(0), 2)], is_cooperative, pace, Random::new(1), Trace::off())
}

fn record(value: &str) -> NewEntry {
    NewEntry { value: Some(value.into()), ..NewEntry::default() }
}

fn visible(cluster: &Cluster, place: Place) -> Vec<String> {
    let log = cluster.log(place);
    let text = |e: &log::Entry| String::from_utf8_lossy(e.value.as_deref().unwrap_or_default()).into_owned();
    log.committed(0, log.stable_end()).map(text).collect()
}

fn offsets(next: i64, metadata: &str) -> BTreeMap<Place, OffsetText> {
    BTreeMap::from([(INPUT, OffsetText { next, metadata: metadata.into() })])
}

fn unfenced() -> Sender {
    Sender { member: String::new(), generation: -1, instance: None }
}

/// One transaction up to its last request.
fn write(cluster: &mut Cluster, producer: &Producer, place: Place, value: &str) {
    cluster.add_partition(producer, place).expect("added");
    cluster.produce(producer, place, &[record(value)]).expect("produced");
}

#[test]
fn a_transaction_is_seen_after_its_markers_and_an_aborted_one_never() {
    let mut cluster = cluster(true);
    let producer = cluster.init_producer("t").expect("first life");
    write(&mut cluster, &producer, OUT0, "a");
    assert_eq!(visible(&cluster, OUT0), [""; 0]);
    cluster.end_transaction(&producer, true).expect("decided");
    assert_eq!(cluster.add_partition(&producer, OUT0), Err(TxError::Concurrent));
    assert_eq!((cluster.log(OUT0).stable_end(), cluster.log(OUT0).end()), (0, 1), "decided, not yet marked");
    cluster.advance(ms(1));
    assert_eq!((visible(&cluster, OUT0), cluster.log(OUT0).end()), (vec!["a".to_owned()], 2));
    write(&mut cluster, &producer, OUT0, "b");
    cluster.end_transaction(&producer, false).expect("decided");
    cluster.advance(ms(2));
    assert_eq!(visible(&cluster, OUT0), ["a"]);
}

#[test]
fn a_late_end_tears_the_next_transaction_unless_the_producer_was_recycled() {
    for (is_recycled, expected) in [(false, vec!["k", "torn"]), (true, vec!["k"])] {
        let mut cluster = cluster(true);
        let mut producer = cluster.init_producer("t").expect("first life");
        write(&mut cluster, &producer, OUT0, "k");
        let late = Late::End { at: ms(5), producer: producer.clone(), is_commit: true };
        cluster.end_transaction(&producer, true).expect("the repeated request");
        cluster.advance(ms(1));
        if is_recycled {
            producer = cluster.init_producer("t").expect("second life");
        }
        write(&mut cluster, &producer, OUT0, "torn");
        cluster.hold_back(late);
        cluster.advance(ms(5));
        cluster.advance(ms(6));
        let more = cluster.produce(&producer, OUT1, &[record("half")]);
        assert_eq!(more, Err(TxError::InvalidState), "not added yet");
        let _ = cluster.end_transaction(&producer, false);
        cluster.advance(ms(7));
        assert_eq!(visible(&cluster, OUT0), expected);
    }
}

#[test]
fn a_late_offset_commit_moves_the_next_transactions_offsets_back() {
    for (is_recycled, expected) in [(false, 100), (true, 200)] {
        let mut cluster = cluster(true);
        let mut producer = cluster.init_producer("t").expect("first life");
        cluster.add_offsets(&producer).expect("added");
        cluster.commit_offsets(&producer, &unfenced(), &offsets(100, "k")).expect("pending");
        let late =
            Late::Offsets { at: ms(5), producer: producer.clone(), sender: unfenced(), offsets: offsets(100, "k") };
        cluster.end_transaction(&producer, true).expect("decided");
        cluster.advance(ms(1));
        if is_recycled {
            producer = cluster.init_producer("t").expect("second life");
        }
        cluster.add_offsets(&producer).expect("added");
        cluster.commit_offsets(&producer, &unfenced(), &offsets(200, "k+1")).expect("pending");
        assert!(cluster.has_pending_offset(INPUT));
        cluster.hold_back(late);
        cluster.advance(ms(5));
        cluster.end_transaction(&producer, true).expect("decided");
        cluster.advance(ms(6));
        assert_eq!(cluster.committed_offset(INPUT).map(|o| o.next), Some(expected));
    }
}

#[test]
fn a_new_life_ends_the_transaction_of_the_one_before() {
    let mut cluster = cluster(true);
    let old = cluster.init_producer("t").expect("first life");
    write(&mut cluster, &old, OUT0, "a");
    assert_eq!(cluster.init_producer("t"), Err(TxError::Concurrent));
    cluster.advance(ms(1));
    let new = cluster.init_producer("t").expect("second life");
    assert_eq!(cluster.end_transaction(&old, true), Err(TxError::Fenced));
    assert_eq!(visible(&cluster, OUT0), [""; 0]);
    write(&mut cluster, &new, OUT0, "b");
    cluster.advance(ms(5000));
    assert_eq!(cluster.end_transaction(&new, true), Err(TxError::Fenced), "too slow");
}

/// Joins and waits for the round's end.
fn joined(cluster: &mut Cluster, now: Duration, id: &str, instance: &str, claim: GroupClaim) -> String {
    match cluster.group.join(now, id, instance, claim).expect("joins") {
        Joined::Waiting(id) | Joined::Resumed(id) => id,
    }
}

fn share(cluster: &mut Cluster, id: &str) -> (i32, Vec<i32>) {
    let (generation, share) = cluster.group.answer(id).expect("known").expect("the round has ended");
    (generation, share.into_iter().collect())
}

fn claim(owned: &[i32], generation: i32) -> GroupClaim {
    GroupClaim { owned: owned.iter().copied().collect::<BTreeSet<i32>>(), generation }
}

#[test]
fn a_partition_moves_only_after_its_owner_let_go() {
    let mut cluster = cluster(true);
    let a = joined(&mut cluster, ms(0), "", "a", claim(&[], 0));
    cluster.group.advance(ms(1));
    assert_eq!(share(&mut cluster, &a), (1, vec![0, 1]));
    let b = joined(&mut cluster, ms(2), "", "b", claim(&[], 0));
    assert_eq!(cluster.group.heartbeat(ms(3), &a, "a", 1), Err(GroupError::RebalanceInProgress));
    joined(&mut cluster, ms(4), &a, "a", claim(&[0, 1], 1));
    cluster.group.advance(ms(5));
    assert_eq!((share(&mut cluster, &a), share(&mut cluster, &b)), ((2, vec![0]), (2, vec![])));
    joined(&mut cluster, ms(6), &a, "a", claim(&[0], 2));
    joined(&mut cluster, ms(6), &b, "b", claim(&[], 2));
    cluster.group.advance(ms(7));
    assert_eq!((share(&mut cluster, &a), share(&mut cluster, &b)), ((3, vec![0]), (3, vec![1])));
}

#[test]
fn a_static_member_comes_back_under_a_new_id_and_its_old_id_is_fenced() {
    let mut cluster = cluster(true);
    let a = joined(&mut cluster, ms(0), "", "a", claim(&[], 0));
    cluster.group.advance(ms(1));
    share(&mut cluster, &a);
    let again = joined(&mut cluster, ms(2), "", "a", claim(&[], 0));
    assert_ne!(a, again);
    assert_eq!(share(&mut cluster, &again), (1, vec![0, 1]), "nothing moved");
    let sender = |member: &str| Sender { member: member.into(), generation: 1, instance: Some("a".into()) };
    assert_eq!(cluster.group.check_sender(&sender(&a)), Err(GroupError::FencedInstance));
    assert_eq!(cluster.group.check_sender(&sender(&again)), Ok(()));
    assert_eq!(cluster.group.check_sender(&unfenced()), Ok(()), "the hole of those who never joined");
    cluster.group.advance(ms(600));
    assert_eq!(cluster.group.check_sender(&sender(&again)), Err(GroupError::UnknownMember), "silent for too long");
}

#[test]
fn an_old_claim_yields_to_a_newer_one() {
    let claims = BTreeMap::from([("a".to_owned(), claim(&[0, 1], 1)), ("b".to_owned(), claim(&[0, 1], 3))]);
    let shares = assignor::sticky(&claims, 2);
    assert_eq!((shares["a"].len(), shares["b"].iter().copied().collect::<Vec<_>>()), (0, vec![0]));
}

#[test]
fn compaction_keeps_the_newest_and_forgets_old_removals() {
    let mut log = Log::default();
    let keyed = |key: &str, value: Option<&str>| NewEntry {
        key: Some(key.into()),
        value: value.map(Into::into),
        ..NewEntry::default()
    };
    let entries = [
        keyed("a", Some("1")),
        keyed("b", Some("1")),
        keyed("a", Some("2")),
        keyed("b", None),
        keyed("z", None),
        keyed("z", None),
        keyed("z", None),
    ];
    log.append(&entries, 0);
    let offsets = |log: &Log| log.range(0, 99).map(|e| e.offset).collect::<Vec<_>>();
    for pass in [500, 599] {
        log.compact(ms(pass), ms(100));
        assert_eq!(offsets(&log), [2, 3, 4, 5, 6], "removals stay for their time after the first pass");
    }
    log.compact(ms(600), ms(100));
    assert_eq!(offsets(&log), [2, 4, 5, 6]);
}
