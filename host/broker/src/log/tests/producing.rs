//! Sequences, epochs and transactions as a partition judges them.

use super::*;
use crate::wire::ErrorCode;

/// What arrives, and what becomes of it: an offset or an error.
enum Step {
    Batch { epoch: i16, sequence: i32, count: usize, outcome: Result<i64, ErrorCode> },
    Marker { epoch: i16 },
}

fn batch(epoch: i16, sequence: i32, count: usize, outcome: Result<i64, ErrorCode>) -> Step {
    Step::Batch { epoch, sequence, count, outcome }
}

#[test]
fn sequences_are_judged_as_apache_kafka_does() {
    use ErrorCode::{InvalidProducerEpoch, OutOfOrderSequence};
    let tables: Vec<(&str, Vec<Step>)> = vec![
        ("in order", vec![batch(0, 0, 2, Ok(0)), batch(0, 2, 3, Ok(2)), batch(0, 5, 1, Ok(5))]),
        ("repeated", vec![batch(0, 0, 2, Ok(0)), batch(0, 2, 1, Ok(2)), batch(0, 0, 2, Ok(0)), batch(0, 3, 1, Ok(3))]),
        ("a gap", vec![batch(0, 0, 1, Ok(0)), batch(0, 2, 1, Err(OutOfOrderSequence)), batch(0, 1, 1, Ok(1))]),
        ("an overlap", vec![batch(0, 0, 3, Ok(0)), batch(0, 1, 3, Err(OutOfOrderSequence))]),
        ("unknown producers start anywhere", vec![batch(0, 17, 1, Ok(0)), batch(0, 18, 1, Ok(1))]),
        (
            "a new epoch starts at 0",
            vec![batch(0, 0, 1, Ok(0)), batch(1, 1, 1, Err(OutOfOrderSequence)), batch(1, 0, 1, Ok(1))],
        ),
        ("an old epoch", vec![batch(3, 0, 1, Ok(0)), batch(2, 0, 1, Err(InvalidProducerEpoch))]),
        ("wrapping", vec![batch(0, i32::MAX, 1, Ok(0)), batch(0, 0, 1, Ok(1)), batch(0, 1, 1, Ok(2))]),
        (
            "wrapping inside",
            vec![batch(0, i32::MAX - 1, 4, Ok(0)), batch(0, 2, 1, Ok(4)), batch(0, i32::MAX - 1, 4, Ok(0))],
        ),
        (
            "fenced by a marker",
            vec![
                batch(0, 0, 1, Ok(0)),
                Step::Marker { epoch: 1 },
                batch(0, 1, 1, Err(InvalidProducerEpoch)),
                batch(1, 0, 1, Ok(2)),
            ],
        ),
        ("a marker keeps the sequence", vec![batch(0, 0, 1, Ok(0)), Step::Marker { epoch: 0 }, batch(0, 1, 1, Ok(2))]),
        (
            "six batches ago is forgotten",
            (0..6)
                .map(|n| batch(0, n, 1, Ok(i64::from(n))))
                .chain([batch(0, 1, 1, Ok(1)), batch(0, 0, 1, Err(OutOfOrderSequence))])
                .collect(),
        ),
    ];
    for (name, steps) in tables {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = open(folder.path());
        for step in steps {
            match step {
                Step::Marker { epoch } => log.end_transaction(7, epoch, false).expect("ended"),
                Step::Batch { epoch, sequence, count, outcome } => {
                    let bytes = Draft::of(&vec![("k", "v"); count]).from(7, epoch, sequence).bytes();
                    assert_eq!(log.produce(&bytes, true).map(|appended| appended.base_offset), outcome, "{name}");
                }
            }
            // A restart from the checkpoint or from the log alone knows the same.
            log.checkpoint().expect("written");
            log = open(folder.path());
        }
    }
}

#[test]
fn transactional_batches_need_a_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    let bytes = |epoch, sequence| Draft::of(&[("k", "v")]).from(7, epoch, sequence).in_transaction().bytes();
    assert_eq!(log.produce(&bytes(0, 0), true).err(), Some(ErrorCode::InvalidTxnState));
    log.producers.added(7, 0);
    log.produce(&bytes(0, 0), true).expect("appended");
    assert_eq!((log.stable_offset(), log.next_offset()), (0, 1));
    log.end_transaction(7, 0, true).expect("ended");
    assert_eq!((log.stable_offset(), log.next_offset()), (2, 2));
    assert_eq!(log.produce(&bytes(0, 1), true).err(), Some(ErrorCode::InvalidTxnState));
    assert_eq!(log.produce(&bytes(0, 0), true).map(|appended| appended.base_offset), Ok(0), "a repeated one is known");
    log.producers.added(7, 1);
    assert_eq!(log.produce(&bytes(0, 1), true).err(), Some(ErrorCode::InvalidTxnState));
    assert_eq!(log.produce(&bytes(1, 0), true).map(|appended| appended.base_offset), Ok(2));
}

#[test]
fn readers_see_committed_data_up_to_the_first_open_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    let write = |log: &mut PartitionLog, producer: i64, sequence: i32, value: &str| {
        log.producers.added(producer, 0);
        produce(log, &Draft::of(&[("k", value)]).from(producer, 0, sequence).in_transaction());
    };
    write(&mut log, 1, 0, "aborted");
    write(&mut log, 2, 0, "open");
    produce(&mut log, &Draft::of(&[("k", "plain")]));
    log.end_transaction(1, 0, false).expect("ended");
    assert!(values(&log, true).is_empty(), "producer 2 is open from offset 1");
    log.end_transaction(2, 0, true).expect("ended");
    assert_eq!(values(&log, true), ["open", "plain"]);
    assert_eq!(values(&log, false), ["aborted", "open", "plain"]);
    write(&mut log, 1, 1, "committed");
    log.end_transaction(1, 0, true).expect("ended");
    assert_eq!(values(&log, true), ["open", "plain", "committed"]);
    for reopened in [true, false] {
        if reopened {
            log.checkpoint().expect("written");
        } else {
            std::fs::remove_file(folder.path().join("checkpoint")).expect("removed");
        }
        log = open(folder.path());
        assert_eq!(values(&log, true), ["open", "plain", "committed"], "checkpoint: {reopened}");
    }
}
