//! Appending and reading, offsets by time, deletion of old records.

use super::*;
use crate::wire::ErrorCode;

#[test]
fn reads_begin_anywhere_and_cross_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    for n in 0..200 {
        let value = format!("v{n}");
        produce(&mut log, &Draft::of(&[("k", &value), ("k", &value)]).codec((n % 5) as i16));
        if n % 50 == 49 {
            log.roll().expect("rolled");
        }
    }
    for from in [0, 1, 2, 77, 99, 100, 101, 398, 399, 400] {
        let offsets: Vec<i64> = read_from(&log, from, true).into_iter().map(|(offset, ..)| offset).collect();
        assert_eq!(offsets, (from..400).collect::<Vec<_>>(), "from {from}");
    }
    assert!(log.plan(401, 100, true).expect("planned").is_none());
    assert!(log.plan(-1, 100, true).expect("planned").is_none());
}

#[test]
fn a_batch_that_is_not_one_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&[("max.message.bytes", "300"), ("cleanup.policy", "compact")]);
    let mut log = PartitionLog::open(folder.path(), settings, false).expect("opened");
    let good = Draft::of(&[("k", "v")]).bytes();
    let damaged = |at: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = value;
        Bytes::from(bytes)
    };
    let twice = Bytes::from([good.clone(), good.clone()].concat());
    let marker = Bytes::from(crate::log::batch::marker(1, 0, true, 0));
    let large: Vec<(&str, &str)> = vec![("key", "a long enough value"); 20];
    let cases = [
        (Bytes::new(), ErrorCode::CorruptMessage),
        (good.slice(..60), ErrorCode::CorruptMessage),
        (good.slice(..good.len() - 1), ErrorCode::CorruptMessage),
        (damaged(30, 99), ErrorCode::CorruptMessage),
        (damaged(11, 5), ErrorCode::CorruptMessage),
        (damaged(16, 1), ErrorCode::UnsupportedForMessageFormat),
        (twice, ErrorCode::InvalidRecord),
        (marker, ErrorCode::InvalidRecord),
        (Draft::of(&[("", "no key")]).bytes(), ErrorCode::InvalidRecord),
        (Draft::of(&[("", "no key")]).codec(3).bytes(), ErrorCode::InvalidRecord),
        (Draft::of(&large).bytes(), ErrorCode::MessageTooLarge),
    ];
    for (bytes, expected) in cases {
        assert_eq!(log.produce(&bytes, true).err(), Some(expected), "{bytes:?}");
    }
    assert_eq!(log.next_offset(), 0);
}

#[test]
fn times_are_found_in_every_codec() {
    for codec in 0..=4 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = open(folder.path());
        for n in 0..300 {
            produce(&mut log, &Draft::of(&[("k", "v"), ("k", "w")]).codec(codec).at(1_000 + n * 10));
        }
        let cases =
            [(0, Some(0)), (1_000, Some(0)), (1_001, Some(2)), (2_500, Some(300)), (3_990, Some(598)), (3_991, None)];
        for (time, expected) in cases {
            let found = log.find_time(time, log.next_offset()).expect("looked up").map(|found| found.offset);
            assert_eq!(found, expected, "codec {codec}, time {time}");
        }
    }
}

#[test]
fn old_records_go_by_age_by_size_and_on_request() {
    let now = crate::clock::now_ms();
    let build = |overrides: &[(&str, &str)], folder: &Path| {
        let mut log = PartitionLog::open(folder, settings(overrides), false).expect("opened");
        for n in 0..4 {
            produce(&mut log, &Draft::of(&[("k", "v"), ("k", "w")]).at(now - 1_000 * (4 - n)));
            log.roll().expect("rolled");
        }
        log
    };
    let cases: &[(&[(&str, &str)], i64)] = &[
        (&[("retention.ms", "-1")], 0),
        (&[("retention.ms", "2500")], 4),
        (&[("retention.ms", "0")], 8),
        (&[("retention.bytes", "100")], 4),
        (&[("retention.bytes", "0")], 8),
        (&[("retention.ms", "0"), ("cleanup.policy", "compact")], 0),
    ];
    for (overrides, expected) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = build(overrides, folder.path());
        log.retain(now).expect("retained");
        assert_eq!((log.start_offset(), log.next_offset()), (*expected, 8), "{overrides:?}");
        drop(log);
        let log = open(folder.path());
        assert_eq!((log.start_offset(), log.next_offset()), (*expected, 8), "{overrides:?} after a restart");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = build(&[], folder.path());
    assert_eq!(log.delete_before(3), Ok(3));
    assert_eq!(log.delete_before(1), Ok(3));
    assert_eq!(log.delete_before(9), Err(ErrorCode::OffsetOutOfRange));
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(log.start_offset(), 3);
    assert_eq!(log.delete_before(-1), Ok(8));
    assert!(values(&log, true).is_empty());
}
