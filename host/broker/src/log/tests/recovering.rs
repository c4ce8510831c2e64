//! What a start makes of what a crash left.

use std::fs;

use super::*;
use crate::error::BrokerError;

fn filled(folder: &Path) -> PartitionLog {
    let mut log = open(folder);
    for n in 0..40 {
        let value = format!("v{n}");
        log.producers.added(5, 0);
        produce(&mut log, &Draft::of(&[("k", &value)]).from(5, 0, n).in_transaction().codec((n % 5) as i16));
        log.end_transaction(5, 0, n % 3 != 0).expect("ended");
        if n % 15 == 14 {
            log.roll().expect("rolled");
        }
    }
    log
}

fn active_file(folder: &Path) -> std::path::PathBuf {
    let logs = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path());
    logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("a segment")
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_batch_loses_that_batch_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = filled(folder.path());
    let whole = values(&log, true);
    let before = fs::metadata(active_file(folder.path())).expect("there").len();
    produce(&mut log, &Draft::of(&[("k", "last"), ("k", "of all")]));
    let next = log.next_offset();
    drop(log);
    let path = active_file(folder.path());
    let content = fs::read(&path).expect("read");
    let checkpoint = fs::read(folder.path().join("checkpoint")).expect("read");
    for has_checkpoint in [true, false] {
        for cut in before..=content.len() as u64 {
            fs::write(&path, &content[..cut as usize]).expect("written");
            match has_checkpoint {
                true => fs::write(folder.path().join("checkpoint"), &checkpoint).expect("written"),
                false => drop(fs::remove_file(folder.path().join("checkpoint"))),
            }
            let mut log = open(folder.path());
            let is_whole = cut == content.len() as u64;
            let expected = if is_whole { next } else { next - 2 };
            assert_eq!(log.next_offset(), expected, "cut at {cut}, checkpoint {has_checkpoint}");
            if !is_whole {
                assert_eq!(values(&log, true), whole, "cut at {cut}");
                assert_eq!(fs::metadata(&path).expect("there").len(), before, "the torn tail is gone");
                assert_eq!(produce(&mut log, &Draft::of(&[("k", "again")])), expected);
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_the_last_batch_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = filled(folder.path());
    let next = log.next_offset();
    let before = fs::metadata(active_file(folder.path())).expect("there").len() as usize;
    produce(&mut log, &Draft::of(&[("k", "last")]));
    drop(log);
    let path = active_file(folder.path());
    let content = fs::read(&path).expect("read");
    // The base offset (8 bytes) and leader epoch (4 from 12) are outside the CRC; offsets below the expected are seen.
    for at in (before + 16)..content.len() {
        let mut damaged = content.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).expect("written");
        assert_eq!(open(folder.path()).next_offset(), next, "byte {at}");
    }
}

#[test]
fn damaged_checkpoints_and_indexes_cost_a_scan_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = filled(folder.path());
    log.checkpoint().expect("written");
    let (seen, next) = (values(&log, true), log.next_offset());
    drop(log);
    let mut files: Vec<_> = fs::read_dir(folder.path()).expect("listed").map(|e| e.expect("listed").path()).collect();
    files.retain(|path| path.extension().is_none_or(|extension| extension != "log"));
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let content = fs::read(&path).expect("read");
        let mut flipped = content.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for damage in [Vec::new(), content[..middle].to_vec(), flipped] {
            fs::write(&path, damage).expect("written");
            let log = open(folder.path());
            assert_eq!((values(&log, true), log.next_offset()), (seen.clone(), next), "{}", path.display());
        }
        fs::write(&path, &content).expect("restored");
    }
}

#[test]
fn a_start_after_a_stop_reads_no_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = filled(folder.path());
    log.checkpoint_if_due(true).expect("written");
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.bytes_since_checkpoint, 0, "nothing had to be scanned");
    assert_eq!(log.next_offset(), 80);
}

#[test]
fn files_of_a_newer_format_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = filled(folder.path());
    log.checkpoint().expect("written");
    drop(log);
    let newer = crate::sealed::Kind { magic: *b"WBCP", format: 9 };
    crate::sealed::write(&folder.path().join("checkpoint"), newer, b"{}", false).expect("written");
    let error = PartitionLog::open(folder.path(), settings(&[]), false).expect_err("refused");
    assert!(matches!(error, BrokerError::Format { found: 9, known: 1, .. }), "{error}");
}

#[test]
fn an_index_newer_than_the_checkpoint_hides_no_sequence() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    produce(&mut log, &Draft::of(&[("k", "a")]).from(5, 0, 0));
    log.checkpoint().expect("written");
    produce(&mut log, &Draft::of(&[("k", "b")]).from(5, 0, 1));
    log.active().save_index(false).expect("written");
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(produce(&mut log, &Draft::of(&[("k", "b")]).from(5, 0, 1)), 1, "known as a repetition");
    assert_eq!(produce(&mut log, &Draft::of(&[("k", "c")]).from(5, 0, 2)), 2);
}
