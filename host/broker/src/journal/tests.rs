//! The journal's file: torn, damaged, foreign, grown.

use std::fs;
use std::path::Path;

use super::entry::{Committed, Entry, Outcome};
use super::file::Journal;
use super::image::Stage;
use crate::error::BrokerError;

fn open(path: &Path) -> Journal {
    Journal::open(path, false).expect("opened")
}

fn offset(partition: i32, offset: i64) -> Committed {
    Committed { topic: "t".to_owned(), partition, offset, leader_epoch: 0, metadata: "m".repeat(100) }
}

fn entries() -> Vec<Entry> {
    let id = || "tx".to_owned();
    let topic = |partitions| Entry::Topic { name: "t".to_owned(), id: 3, partitions, overrides: Default::default() };
    vec![
        Entry::Cluster { id: "c".to_owned() },
        topic(2),
        topic(4),
        Entry::ProducerIds { next: 1_000 },
        Entry::Offsets { group: "g".to_owned(), offsets: vec![offset(0, 1), offset(1, 2)] },
        Entry::Producer { id: id(), producer_id: 5, epoch: 1, last: Some((5, 0)), timeout_ms: 10 },
        Entry::Partitions { id: id(), partitions: vec![("t".to_owned(), 0)], now_ms: 9 },
        Entry::TransactionGroup { id: id(), group: "g".to_owned(), now_ms: 10 },
        Entry::TransactionOffsets { id: id(), group: "g".to_owned(), offsets: vec![offset(0, 7)] },
        Entry::Prepared { id: id(), outcome: Outcome::Commit, epoch: 1 },
        Entry::Done { id: id() },
    ]
}

#[test]
fn a_journal_cut_anywhere_holds_its_whole_entries() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let journal = open(&path);
    let mut ends = Vec::new();
    for entry in entries() {
        journal.append(entry, true).expect("written");
        ends.push((fs::metadata(&path).expect("there").len(), journal.with_image(Clone::clone)));
    }
    drop(journal);
    let content = fs::read(&path).expect("read");
    for cut in 0..=content.len() {
        fs::write(&path, &content[..cut]).expect("written");
        let expected = ends.iter().rev().find(|(end, _)| *end <= cut as u64).map(|(_, image)| image.clone());
        let journal = open(&path);
        assert_eq!(journal.with_image(Clone::clone), expected.unwrap_or_default(), "cut at {cut}");
        journal.append(Entry::Cluster { id: "d".to_owned() }, true).expect("written");
        drop(journal);
        assert_eq!(open(&path).with_image(|image| image.cluster_id.clone()), "d", "cut at {cut}");
    }
}

#[test]
fn entries_add_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(&folder.path().join("journal"));
    let committed = |journal: &Journal| {
        journal.with_image(|image| image.groups["g"].offsets["t"].values().map(|c| c.offset).collect::<Vec<_>>())
    };
    let mut all = entries();
    let done = all.pop().expect("entries");
    for entry in all {
        journal.append(entry, true).expect("written");
    }
    assert_eq!(committed(&journal), [1, 2], "prepared is not yet applied");
    journal.append(done, true).expect("written");
    assert_eq!(committed(&journal), [7, 2]);
    journal.with_image(|image| {
        let transaction = &image.transactions["tx"];
        assert_eq!((transaction.stage, transaction.partitions.len()), (Stage::Complete(Outcome::Commit), 0));
        assert_eq!((image.topics["t"].partitions, image.next_topic_id), (4, 4));
    });
    journal.append(Entry::TopicDeleted { name: "t".to_owned() }, true).expect("written");
    journal.with_image(|image| {
        assert!(image.topics.is_empty() && image.groups["g"].offsets.is_empty());
        assert_eq!(image.next_topic_id, 4, "ids are not used again");
    });
}

#[test]
fn damage_before_the_end_and_foreign_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let journal = open(&path);
    for entry in entries() {
        journal.append(entry, true).expect("written");
    }
    drop(journal);
    let content = fs::read(&path).expect("read");
    let refused = |at: usize, value: u8| {
        let mut damaged = content.clone();
        damaged[at] = value;
        fs::write(&path, damaged).expect("written");
        Journal::open(&path, false).expect_err("refused")
    };
    assert!(matches!(refused(0, b'X'), BrokerError::Foreign { .. }));
    assert!(matches!(refused(7, 9), BrokerError::Format { found: 9, known: 1, .. }));
    assert!(matches!(refused(20, b'!'), BrokerError::Damaged { position: 8, .. }));
    fs::write(&path, b"a text file").expect("written");
    assert!(matches!(Journal::open(&path, false), Err(BrokerError::Foreign { .. })));
}

#[test]
fn a_journal_that_grew_is_rewritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let journal = open(&path);
    let mut largest = 0;
    for n in 0..80_000 {
        let entry = Entry::Offsets { group: format!("g{}", n % 10), offsets: vec![offset(n % 7, i64::from(n))] };
        journal.append(entry, false).expect("written");
        if n % 1_000 == 0 {
            largest = largest.max(fs::metadata(&path).expect("there").len());
        }
    }
    let size = fs::metadata(&path).expect("there").len();
    assert!(size < largest, "{size} after {largest}: it was rewritten");
    let image = journal.with_image(Clone::clone);
    drop(journal);
    assert_eq!(open(&path).with_image(Clone::clone), image);
}
