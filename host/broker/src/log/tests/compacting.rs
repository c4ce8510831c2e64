//! Compaction against a model: the newest value of each key, and what readers must still see.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::log::compaction::compact;
use crate::sync::lock;

fn compacted(folder: &Path, overrides: &[(&str, &str)]) -> Mutex<PartitionLog> {
    let mut all = vec![("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    all.extend_from_slice(overrides);
    Mutex::new(PartitionLog::open(folder, settings(&all), false).expect("opened"))
}

fn run(log: &Mutex<PartitionLog>) -> bool {
    compact(log, &|| false).expect("compacted")
}

/// The state a reader folds from the topic.
fn fold(seen: &[Seen]) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for (_, key, value) in seen {
        let key = key.clone().expect("compacted topics have keys");
        match value {
            Some(value) => drop(state.insert(key, value.clone())),
            None => drop(state.remove(&key)),
        }
    }
    state
}

#[derive(Clone, Debug)]
enum Act {
    Plain { key: u8, value: Option<u8>, codec: i16 },
    Transaction { keys: Vec<u8>, value: u8, commits: bool },
    Roll,
    Compact,
    Restart { keeps_checkpoint: bool },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let plain = (0..6u8, proptest::option::weighted(0.8, any::<u8>()), 0..5i16);
    let transaction = (proptest::collection::vec(0..6u8, 1..4), any::<u8>(), any::<bool>());
    let act = prop_oneof![
        5 => plain.prop_map(|(key, value, codec)| Act::Plain { key, value, codec }),
        3 => transaction.prop_map(|(keys, value, commits)| Act::Transaction { keys, value, commits }),
        2 => Just(Act::Roll),
        2 => Just(Act::Compact),
        1 => any::<bool>().prop_map(|keeps_checkpoint| Act::Restart { keeps_checkpoint }),
    ];
    proptest::collection::vec(act, 1..60)
}

fn play(folder: &Path, acts: &[Act]) {
    let mut log = compacted(folder, &[]);
    let mut model = BTreeMap::new();
    let mut sequence = 0;
    let mut next = 0;
    for act in acts {
        match act {
            Act::Plain { key, value, codec } => {
                let (key, value) = (format!("k{key}"), value.map(|value| format!("v{value}")));
                let draft = Draft::of(&[(&key, value.as_deref().unwrap_or(""))]).codec(*codec);
                produce(&mut lock(&log), &draft);
                next += 1;
                match value {
                    Some(value) => drop(model.insert(key, value)),
                    None => drop(model.remove(&key)),
                }
            }
            Act::Transaction { keys, value, commits } => {
                let mut log = lock(&log);
                log.producers.added(3, 0);
                for key in keys {
                    let (key, value) = (format!("k{key}"), format!("t{value}"));
                    produce(&mut log, &Draft::of(&[(&key, &value)]).from(3, 0, sequence).in_transaction());
                    sequence += 1;
                    next += 1;
                    if *commits {
                        model.insert(key, value);
                    }
                }
                log.end_transaction(3, 0, *commits).expect("ended");
                next += 1;
            }
            Act::Roll => lock(&log).roll().expect("rolled"),
            Act::Compact => drop(run(&log)),
            Act::Restart { keeps_checkpoint } => {
                drop(log);
                if !keeps_checkpoint {
                    let _ = fs::remove_file(folder.join("checkpoint"));
                }
                log = compacted(folder, &[]);
            }
        }
        let log = lock(&log);
        assert_eq!(log.next_offset(), next, "offsets are never reused or lost");
        assert_eq!(fold(&read_from(&log, log.start_offset(), true)), model, "after {act:?}");
    }
    check_ends(&log);
}

/// After a last pass only one record per key is left below the active segment, and a reader still comes to the end.
fn check_ends(log: &Mutex<PartitionLog>) {
    lock(log).roll().expect("rolled");
    run(log);
    let log = lock(log);
    let seen = read_from(&log, log.start_offset(), false);
    let keys: Vec<_> = seen.iter().map(|(_, key, _)| key.clone()).collect();
    let mut unique = keys.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(keys.len(), unique.len(), "one record per key");
    if log.next_offset() > 0 {
        let plan = log.plan(log.next_offset() - 1, 1, true).expect("planned").expect("in range");
        assert!(plan.available_bytes() > 0, "the last batch stays visible");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_value_of_each_key_stays(acts in acts()) {
        let folder = tempfile::tempdir().expect("a folder");
        play(folder.path(), &acts);
    }
}

#[test]
fn nothing_undecided_or_active_is_compacted() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = compacted(folder.path(), &[]);
    produce(&mut lock(&log), &Draft::of(&[("a", "1")]));
    produce(&mut lock(&log), &Draft::of(&[("a", "2")]));
    assert!(!run(&log), "the active segment is left alone");
    lock(&log).roll().expect("rolled");
    lock(&log).producers.added(9, 0);
    produce(&mut lock(&log), &Draft::of(&[("a", "open")]).from(9, 0, 0).in_transaction());
    lock(&log).roll().expect("rolled");
    assert!(run(&log), "the first segment is decided");
    assert_eq!(values(&lock(&log), false), ["2", "open"]);
    assert!(!run(&log), "the second is not");
    lock(&log).end_transaction(9, 0, false).expect("ended");
    lock(&log).roll().expect("rolled");
    assert!(run(&log));
    assert_eq!(values(&lock(&log), false), ["2"], "aborted data are gone, also for uncommitted readers");
}

#[test]
fn tombstones_stay_until_their_time_is_up() {
    for (retention_ms, expected) in [("3600000", 1), ("0", 0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let log = compacted(folder.path(), &[("delete.retention.ms", retention_ms)]);
        produce(&mut lock(&log), &Draft::of(&[("a", "1")]).at(5));
        produce(&mut lock(&log), &Draft::of(&[("a", "")]).at(1_234));
        lock(&log).roll().expect("rolled");
        assert!(run(&log));
        assert_eq!(read_from(&lock(&log), 0, true).len(), 1, "the first pass keeps the tombstone");
        let found = lock(&log).find_time(1_234, 2).expect("looked up").map(|found| (found.timestamp_ms, found.offset));
        assert_eq!(found, Some((1_234, 1)), "its timestamp is what it was");
        let begin = crate::clock::now_ms();
        while crate::clock::now_ms() == begin {
            std::thread::yield_now(); // the horizon must lie in the past
        }
        produce(&mut lock(&log), &Draft::of(&[("b", "2")]));
        lock(&log).roll().expect("rolled");
        assert!(run(&log));
        let tombstones = read_from(&lock(&log), 0, true).into_iter().filter(|(_, _, value)| value.is_none()).count();
        assert_eq!(tombstones, expected, "delete.retention.ms = {retention_ms}");
    }
}

#[test]
fn recent_segments_wait_for_their_lag_and_a_dirty_ratio() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = compacted(folder.path(), &[("min.compaction.lag.ms", "3600000")]);
    produce(&mut lock(&log), &Draft::of(&[("a", "1")]));
    lock(&log).roll().expect("rolled");
    assert!(!run(&log), "younger than the lag");
    lock(&log).settings = settings(&[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.5")]);
    assert!(run(&log), "all is dirty");
    produce(&mut lock(&log), &Draft::of(&[("a", "2")]));
    lock(&log).roll().expect("rolled");
    assert!(run(&log), "half is dirty");
}

#[test]
fn a_crash_in_a_swap_leaves_the_old_or_the_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = compacted(folder.path(), &[]);
    for value in ["1", "2", "3"] {
        produce(&mut lock(&log), &Draft::of(&[("a", value)]));
        lock(&log).roll().expect("rolled");
    }
    drop(log);
    let copy = |name: &str, to: &str| fs::copy(folder.path().join(name), folder.path().join(to)).expect("copied");
    // Half written: dropped.
    copy("00000000000000000000.log", "00000000000000000000.cleaned");
    assert_eq!(values(&open(folder.path()), true), ["1", "2", "3"]);
    // Decided: the third segment's batch stands for all three.
    copy("00000000000000000002.log", "00000000000000000000-00000000000000000003.swap");
    let log = open(folder.path());
    assert_eq!(read_from(&log, 0, true), [(2, Some("a".to_owned()), Some("3".to_owned()))]);
    assert_eq!(log.next_offset(), 3);
}
