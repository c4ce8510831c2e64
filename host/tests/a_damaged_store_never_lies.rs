//! Damage to the files of stores on disk, through real files: whatever is done to them, a store opens, and what it then
//! shows is the state after one of its commits, or it says that it has none, or that it cannot be read. Never a mixture.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use wasmill::record::{Offset, Partition};
use wasmill::store::{Checkpoint, DiskOptions, DiskStore, DiskStores, Store, StoreError};

/// Keys of the store, changed in turn.
const KEYS: u64 = 40;

/// Commits of a small store: all of it in one journal, and in no table yet.
const COMMITS: u64 = 100;

/// A value of commit `sequence`.
fn value(sequence: u64, bytes: usize) -> Vec<u8> {
    // Does not compress: what is cut is content.
    let mut number = sequence | 1 << 40;
    let noise = (0..bytes).map(|_| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number as u8
    });
    sequence.to_le_bytes().into_iter().chain(noise).collect()
}

/// The keys that commit `sequence` changes; of two neighbours one is set and one removed.
fn changes(sequence: u64, bytes: usize) -> [(u64, Option<Vec<u8>>); 2] {
    let first = sequence % KEYS;
    [(first, Some(value(sequence, bytes))), ((first + 1) % KEYS, None)]
}

/// What a store holds after commit `sequence`.
fn state_at(sequence: u64, bytes: usize) -> BTreeMap<u64, Vec<u8>> {
    let mut state = BTreeMap::new();
    for (key, value) in (1..=sequence).flat_map(|s| changes(s, bytes)) {
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
    }
    state
}

fn open(folder: &Path) -> DiskStore {
    let stores = DiskStores::open(folder, &["s"]).expect("the folder can be used");
    stores.store("s", Partition(3), true).expect("the store opens")
}

fn checkpoint(sequence: u64) -> Checkpoint {
    Checkpoint { identity: 77, next: Offset(sequence as i64 * 3), sequence, at_end_ms: 1_000 + sequence as i64 }
}

fn commit(store: &mut DiskStore, sequence: u64, bytes: usize) -> Result<(), StoreError> {
    for (key, value) in changes(sequence, bytes) {
        store.put(&key.to_be_bytes(), value.as_deref())?;
    }
    store.end_call(true);
    store.seal(&mut |_, _| {})?;
    store.commit(&checkpoint(sequence))
}

/// Fills a folder; nothing is left open.
fn fill(folder: &Path, commits: u64, bytes: usize) {
    let mut store = open(folder);
    (1..=commits).for_each(|sequence| commit(&mut store, sequence, bytes).expect("committed"));
}

/// What a folder turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The state after this commit.
    State(u64),
    /// No checkpoint: the task empties it and restores.
    Nothing,
    /// A read failed: the task empties it and restores.
    Unreadable,
}

/// Opens a folder, checks that it does not lie, and that it can be emptied and used again.
fn look(folder: &Path, bytes: usize) -> Found {
    let mut store = open(folder);
    let found = match store.checkpoint() {
        None => Found::Nothing,
        Some(found) => match read_all(&mut store) {
            Err(StoreError::Disk(_)) => Found::Unreadable,
            Err(other) => panic!("not an error of the disk: {other}"),
            Ok(state) => {
                assert_eq!(found, checkpoint(found.sequence), "a checkpoint that was written");
                let is_true = state == state_at(found.sequence, bytes);
                assert!(is_true, "not the state after commit {}: keys {:?}", found.sequence, state.keys());
                Found::State(found.sequence)
            }
        },
    };
    assert_eq!(store.is_damaged(), found == Found::Unreadable);
    store.wipe().expect("emptied");
    assert_eq!((store.checkpoint(), store.is_damaged()), (None, false));
    assert_eq!(read_all(&mut store).expect("readable"), BTreeMap::new());
    store.restore(&1u64.to_be_bytes(), Some(&value(1, 0))).expect("restored");
    store.restored(&checkpoint(1)).expect("restored");
    drop(store);
    assert_eq!(open(folder).checkpoint(), Some(checkpoint(1)), "what was restored lasts");
    found
}

/// By scan and by key, which read different parts of tables.
fn read_all(store: &mut DiskStore) -> Result<BTreeMap<u64, Vec<u8>>, StoreError> {
    let mut scanned = BTreeMap::new();
    let number = |key: &[u8]| u64::from_be_bytes(key.try_into().expect("eight bytes"));
    store.scan(b"", None, &mut |key, value| scanned.insert(number(key), value.to_vec()).is_none())?;
    for key in 0..KEYS {
        let got = store.get(&key.to_be_bytes())?.map(<[u8]>::to_vec);
        assert_eq!(got, scanned.get(&key).cloned(), "key {key}: by key and by scan");
    }
    Ok(scanned)
}

fn database(folder: &Path) -> PathBuf {
    folder.join("db-1")
}

/// Journals, oldest first: all but the last are complete and never written again.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(database(folder))
        .expect("a database")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "jnl"))
        .map(|path| (path.file_stem().and_then(|s| s.to_str()?.parse().ok()).expect("a number"), path))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &target) } else { copy_file(&path, &target) }
    }
}

/// Leaves out the empty end of journals, which is most of them.
fn copy_file(from: &Path, to: &Path) {
    let bytes = fs::read(from).expect("readable");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    fs::write(to, &bytes[..used]).expect("written");
    truncate(to, bytes.len() as u64);
}

fn truncate(path: &Path, len: u64) {
    File::options().write(true).open(path).and_then(|file| file.set_len(len)).expect("cut");
}

/// Writes garbage in the middle of what was written: journals end in unused room.
fn scramble(path: &Path, at: u64, bytes: usize) {
    let mut file = File::options().read(true).write(true).open(path).expect("a file");
    let mut there = vec![0; bytes];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read(&mut there)).expect("read");
    there.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(7) ^ 0xa5);
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&there)).expect("written");
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len()
}

/// What must come out.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Last,
    /// The state of an earlier commit.
    Earlier,
    Nothing,
    /// Nothing, or the state of an earlier commit.
    NotLast,
}

type Damage = (&'static str, fn(&Path), Expected);

const DAMAGES: &[Damage] = &[
    ("none", |_| {}, Expected::Last),
    ("folder deleted", |f| fs::remove_dir_all(f).expect("gone"), Expected::Nothing),
    ("marker deleted", |f| fs::remove_file(f.join("marker")).expect("gone"), Expected::Nothing),
    ("marker empty", |f| truncate(&f.join("marker"), 0), Expected::Nothing),
    ("marker cut", |f| truncate(&f.join("marker"), 13), Expected::Nothing),
    ("marker longer", |f| truncate(&f.join("marker"), 22), Expected::Nothing),
    ("marker of something else", |f| scramble(&f.join("marker"), 0, 4), Expected::Nothing),
    ("marker of another format", |f| scramble(&f.join("marker"), 8, 1), Expected::Nothing),
    ("marker names another database", |f| scramble(&f.join("marker"), 12, 1), Expected::Nothing),
    ("last opening did not end", |f| last_opening_did_not_end(f), Expected::Nothing),
    ("marker is a folder", |f| marker_is_a_folder(f), Expected::Nothing),
    ("database deleted", |f| fs::remove_dir_all(database(f)).expect("gone"), Expected::Nothing),
    ("database is a file", |f| database_is_a_file(f), Expected::Nothing),
    ("engine's version deleted", |f| fs::remove_file(database(f).join("version")).expect("gone"), Expected::Nothing),
    ("engine's version garbage", |f| scramble(&database(f).join("version"), 0, 4), Expected::Nothing),
    ("engine's lock deleted", |f| fs::remove_file(database(f).join("lock")).expect("gone"), Expected::Nothing),
    ("keyspaces deleted", |f| fs::remove_dir_all(database(f).join("keyspaces")).expect("gone"), Expected::Nothing),
    ("keyspace deleted", |f| fs::remove_dir_all(database(f).join("keyspaces/1")).expect("gone"), Expected::Nothing),
    (
        "keyspace not begun",
        |f| fs::remove_file(database(f).join("keyspaces/1/current")).expect("gone"),
        Expected::Nothing,
    ),
    ("stray folder", |f| fs::create_dir(database(f).join("keyspaces/stray")).expect("made"), Expected::Nothing),
    ("stray file", |f| fs::write(f.join("stray"), "x").expect("made"), Expected::Last),
    ("journal deleted", |f| fs::remove_file(&journals(f)[0]).expect("gone"), Expected::NotLast),
    ("journal empty", |f| truncate(&journals(f)[0], 0), Expected::NotLast),
    ("journal cut", |f| truncate(&journals(f)[0], 4000), Expected::Earlier),
    ("journal garbage from the start", |f| scramble(&journals(f)[0], 0, 64), Expected::NotLast),
    ("journal garbage in the middle", |f| scramble(&journals(f)[0], 4000, 64), Expected::NotLast),
    ("journal one byte wrong", |f| scramble(&journals(f)[0], 4040, 1), Expected::NotLast),
];

fn last_opening_did_not_end(folder: &Path) {
    let mut bytes = fs::read(folder.join("marker")).expect("a marker");
    *bytes.last_mut().expect("a flag") = 1;
    fs::write(folder.join("marker"), bytes).expect("written");
}

fn marker_is_a_folder(folder: &Path) {
    fs::remove_file(folder.join("marker")).expect("gone");
    fs::create_dir(folder.join("marker")).expect("made");
}

fn database_is_a_file(folder: &Path) {
    fs::remove_dir_all(database(folder)).expect("gone");
    fs::write(database(folder), "not a database").expect("written");
}

#[test]
fn every_damage_of_the_folder_has_its_answer() {
    let root = tempfile::tempdir().expect("a folder");
    let whole = root.path().join("whole");
    fill(&whole, COMMITS, 60);
    for (index, (what, damage, expected)) in DAMAGES.iter().enumerate() {
        println!("{what}");
        let folder = root.path().join(index.to_string());
        copy(&whole, &folder);
        damage(&folder);
        let found = look(&folder, 60);
        let is_expected = match expected {
            Expected::Last => found == Found::State(COMMITS),
            Expected::Earlier => matches!(found, Found::State(s) if s < COMMITS),
            Expected::Nothing => found == Found::Nothing,
            Expected::NotLast => found != Found::State(COMMITS),
        };
        assert!(is_expected, "{what}: {found:?} instead of {expected:?}");
    }
}

/// A name, and what is done to a file.
type Way = (&'static str, fn(&Path));

/// A store with tables, damaged in every file in several ways.
#[test]
fn no_file_can_be_damaged_unseen() {
    let root = tempfile::tempdir().expect("a folder");
    let (whole, damaged) = (root.path().join("whole"), root.path().join("damaged"));
    let bytes = 4000;
    let options = DiskOptions { memtable_bytes: 256 << 10 };
    let stores = DiskStores::open_with(&whole, &["s"], options).expect("a usable folder");
    let mut store = stores.store("s", Partition(3), true).expect("opened");
    let is_table = |file: &&PathBuf| file.parent().is_some_and(|folder| folder.ends_with("keyspaces/1/tables"));
    let mut sequence = 0;
    while all_files(&whole).iter().filter(is_table).count() < 2 {
        sequence += 1;
        assert!(sequence < 20_000, "the engine makes no tables");
        commit(&mut store, sequence, bytes).expect("committed");
    }
    drop((store, stores));
    let files = all_files(&whole);
    let ways: [Way; 4] = [
        ("deleted", |f| fs::remove_file(f).expect("gone")),
        ("cut in half", |f| truncate(f, len(f) / 2)),
        ("garbage in the middle", |f| scramble(f, len(f) / 2, 100)),
        ("garbage at the start", |f| scramble(f, 0, 16)),
    ];
    let mut seen = BTreeMap::new();
    for file in &files {
        let name = file.strip_prefix(&whole).expect("inside");
        for (way, damage) in ways {
            println!("{} {way}", name.display());
            copy(&whole, &damaged);
            damage(&damaged.join(name));
            seen.insert(format!("{} {way}", name.display()), look(&damaged, bytes));
            fs::remove_dir_all(&damaged).expect("gone");
        }
    }
    println!("{seen:#?}");
    assert!(seen.values().any(|found| *found == Found::Unreadable), "no damage was found while reading");
    assert!(seen.values().any(|found| *found == Found::Nothing), "no damage was found while opening");
}

/// Journals are shared by the stores of a processor, and one is kept until all of them have their tables. A journal that
/// is gone or cut while a later one is whole leaves a store with its last commits and without those before.
#[test]
fn a_hole_in_the_journals_is_seen() {
    let root = tempfile::tempdir().expect("a folder");
    let whole = root.path().join("whole");
    let stores = DiskStores::open(&whole, &["s"]).expect("a usable folder");
    let mut quiet = stores.store("s", Partition(3), true).expect("opened");
    let mut busy = stores.store("s", Partition(4), true).expect("opened");
    (1..=50).for_each(|sequence| commit(&mut quiet, sequence, 60).expect("committed"));
    let mut sequence = 0;
    while journals(&whole).len() < 2 {
        sequence += 1;
        assert!(sequence < 4000, "the engine does not begin a second journal");
        commit(&mut busy, sequence, 64 << 10).expect("committed");
    }
    (51..=60).for_each(|sequence| commit(&mut quiet, sequence, 60).expect("committed"));
    drop((quiet, busy, stores));
    let damages: [Damage; 5] = [
        ("none", |_| {}, Expected::Last),
        ("first journal deleted", |f| fs::remove_file(&journals(f)[0]).expect("gone"), Expected::Nothing),
        ("first journal cut", |f| truncate(&journals(f)[0], 4000), Expected::Nothing),
        ("first journal garbage", |f| scramble(&journals(f)[0], 4000, 64), Expected::Nothing),
        ("last journal deleted", |f| fs::remove_file(&journals(f)[1]).expect("gone"), Expected::Earlier),
    ];
    for (what, damage, expected) in damages {
        let folder = root.path().join("damaged");
        copy(&whole, &folder);
        damage(&folder);
        let found = look(&folder, 60);
        let is_expected = match expected {
            Expected::Last => found == Found::State(60),
            Expected::Earlier => found == Found::State(50),
            Expected::Nothing | Expected::NotLast => found == Found::Nothing,
        };
        assert!(is_expected, "{what}: {found:?} instead of {expected:?}");
        fs::remove_dir_all(&folder).expect("gone");
    }
}

/// A task that has moved between workers of one host: the last to open its store has it.
#[test]
fn a_store_has_one_writer() {
    let root = tempfile::tempdir().expect("a folder");
    let stores = DiskStores::open(root.path(), &["s"]).expect("a usable folder");
    let mut before = stores.store("s", Partition(3), true).expect("opened");
    commit(&mut before, 1, 10).expect("committed");
    let mut now = stores.store("s", Partition(3), true).expect("opened");
    assert_eq!(now.checkpoint(), Some(checkpoint(1)));
    commit(&mut now, 2, 10).expect("committed");
    assert!(commit(&mut before, 2, 10).is_err(), "a late commit of the worker before");
    assert!(before.wipe().is_err(), "and its cleaning up");
    assert!(!before.is_damaged(), "nothing is wrong with the disk");
    assert_eq!(read_all(&mut now).expect("readable"), state_at(2, 10));
    let mut other = stores.store("s", Partition(4), true).expect("opened");
    commit(&mut other, 1, 10).expect("stores of other tasks are their own");
    assert_eq!(read_all(&mut now).expect("readable"), state_at(2, 10));
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path(), 5, 10);
    let used = open(root.path());
    assert!(DiskStores::open(root.path(), &["s"]).is_err(), "two hosts, or two handles");
    drop(used);
    assert_eq!(open(root.path()).checkpoint(), Some(checkpoint(5)));
}

#[test]
fn state_of_stores_that_are_gone_is_removed() {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path(), 5, 10);
    drop(DiskStores::open(root.path(), &["other"]).expect("a usable folder"));
    assert_eq!(open(root.path()).checkpoint(), None);
}
