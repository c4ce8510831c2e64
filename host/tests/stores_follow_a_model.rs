//! Every store behaves as three layers of plain maps over a base, whatever is done to it in whatever order, crashes
//! included. One table of engines, one list of steps for all of them.

#[path = "support/store_model.rs"]
mod store_model;

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store_model::{Change, Key, Map, Model};
use wasmill::record::{Offset, Partition};
use wasmill::store::{Checkpoint, DiskStores, IDENTITY_KEY, KEY_BYTES_MAX, MemoryStore, Store, VALUE_BYTES_MAX};

/// A kind of store.
struct Engine {
    name: &'static str,
    /// Opens what is in a folder, keeping keys in order or not.
    open: fn(&Path, bool) -> Box<dyn Store>,
    /// Whether what was committed is there after a crash; else it is restored.
    is_lasting: bool,
    cases: u32,
}

const ENGINES: [Engine; 2] = [
    Engine { name: "memory", open: open_memory, is_lasting: false, cases: 200 },
    Engine { name: "disk", open: open_disk, is_lasting: true, cases: 16 },
];

fn open_memory(_: &Path, has_scans: bool) -> Box<dyn Store> {
    Box::new(MemoryStore::new(has_scans))
}

fn open_disk(folder: &Path, has_scans: bool) -> Box<dyn Store> {
    let stores = DiskStores::open(folder, &["s"]).expect("a usable folder");
    Box::new(stores.store("s", Partition(0), has_scans).expect("a usable database"))
}

#[derive(Clone, Debug)]
enum Step {
    Get(Key),
    Committed(Key),
    Put(Key, Change),
    /// Packed lookups, then packed changes of the same keys.
    Many(Vec<(Key, Change)>),
    /// As above by slots; only those marked are changed.
    Slots(Vec<(Key, Change, bool)>),
    Scan(Key, Option<Key>, usize),
    EndCall {
        keep: bool,
    },
    /// Ends the call, then seals; where a set is sealed already, commits it or rolls back.
    Seal,
    Commit,
    RollBack,
    /// The process dies: layers are gone, what was committed is there again.
    Crash,
    /// The base is emptied and restored.
    Rebuild,
}

/// Few keys, so that they meet again; of many lengths, and some on both sides of the host's own.
fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        6 => (0u32..12).prop_map(|n| format!("key-{n:0width$}", width = 1 + n as usize * 3).into_bytes()),
        2 => (0u32..2000).prop_map(|n| n.to_be_bytes().to_vec()),
        1 => prop::sample::select(vec![b"\0".to_vec(), b"\0wasmill".to_vec(), b"\0wasmill.identitz".to_vec()]),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop::option::weighted(0.75, prop::collection::vec(any::<u8>(), 0..40))
}

fn step() -> impl Strategy<Value = Step> {
    let keyed = || prop::collection::vec((key(), change()), 0..8);
    prop_oneof![
        4 => key().prop_map(Step::Get),
        2 => key().prop_map(Step::Committed),
        6 => (key(), change()).prop_map(|(key, change)| Step::Put(key, change)),
        3 => keyed().prop_map(Step::Many),
        3 => prop::collection::vec((key(), change(), any::<bool>()), 0..8).prop_map(Step::Slots),
        3 => (key(), prop::option::of(key()), 1usize..30).prop_map(|(from, to, limit)| Step::Scan(from, to, limit)),
        5 => any::<bool>().prop_map(|keep| Step::EndCall { keep }),
        4 => Just(Step::Seal),
        3 => Just(Step::Commit),
        1 => Just(Step::RollBack),
        1 => Just(Step::Crash),
        1 => Just(Step::Rebuild),
    ]
}

/// A store under test beside its model.
struct Pair<'a> {
    engine: &'a Engine,
    folder: &'a Path,
    has_scans: bool,
    /// Taken out only while it is opened anew.
    store: Option<Box<dyn Store>>,
    model: Model,
    checkpoint: Checkpoint,
    /// What the store must tell of itself: nothing before the first commit.
    told: Option<Checkpoint>,
}

impl<'a> Pair<'a> {
    fn open(engine: &'a Engine, folder: &'a Path, has_scans: bool) -> Self {
        let store = Some((engine.open)(folder, has_scans));
        let checkpoint = Checkpoint { identity: 1, next: Offset(0), sequence: 0, at_end_ms: 0 };
        Self { engine, folder, has_scans, store, model: Model::default(), checkpoint, told: None }
    }

    fn store(&mut self) -> &mut dyn Store {
        self.store.as_deref_mut().expect("open but for a moment")
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Get(key) => {
                let expected = self.model.get(&key);
                assert_eq!(self.store().get(&key).expect("readable").map(<[u8]>::to_vec), expected);
            }
            Step::Committed(key) => {
                let expected = self.model.base.get(&key).cloned();
                assert_eq!(self.store().committed(&key).expect("readable"), expected);
            }
            Step::Put(key, change) => {
                self.store().put(&key, change.as_deref()).expect("a good key");
                self.model.call.insert(key, change);
            }
            Step::Many(changes) => self.many(changes),
            Step::Slots(changes) => self.slots(&changes),
            Step::Scan(from, to, limit) => self.scan(&from, to.as_deref(), limit),
            Step::EndCall { keep } => self.end_call(keep),
            Step::Seal if self.model.sealed.is_none() => self.seal(),
            Step::Seal | Step::Commit => self.commit(),
            Step::RollBack => {
                self.end_call(false);
                self.store().roll_back();
                self.model.roll_back();
            }
            Step::Crash => self.crash(),
            Step::Rebuild => {
                self.model.crash();
                self.store().wipe().expect("emptied");
                assert_eq!(self.store().checkpoint(), None);
                self.told = None;
                self.restore();
            }
        }
    }

    fn many(&mut self, changes: Vec<(Key, Change)>) {
        let (mut asked, mut packed) = (Vec::new(), Vec::new());
        let wanted: Vec<Change> = changes.iter().map(|(key, _)| self.model.get(key)).collect();
        for (key, change) in &changes {
            pack(&mut asked, &[key.len() as u32], &[key]);
            let value = change.as_deref().unwrap_or_default();
            pack(&mut packed, &[key.len() as u32, len_of(change)], &[key, value]);
        }
        let mut values = Vec::new();
        self.store().get_many(&asked, &mut values).expect("packed keys");
        assert_eq!(unpack(&values, wanted.len()), wanted);
        self.store().apply(&packed).expect("packed changes");
        self.model.call.extend(changes);
    }

    fn slots(&mut self, changes: &[(Key, Change, bool)]) {
        let (mut asked, mut answer, mut packed) = (Vec::new(), Vec::new(), Vec::new());
        changes.iter().for_each(|(key, ..)| pack(&mut asked, &[key.len() as u32], &[key]));
        self.store().get_slots(&asked, &mut answer).expect("packed keys");
        let number = |at: usize| u32::from_le_bytes(answer[at * 4..at * 4 + 4].try_into().expect("four bytes"));
        let distinct = number(0) as usize;
        let slots: Vec<u32> = (1..=changes.len()).map(number).collect();
        let values = unpack(&answer[4 + 4 * changes.len()..], distinct);
        for ((key, ..), slot) in changes.iter().zip(&slots) {
            assert_eq!(values[*slot as usize], self.model.get(key));
        }
        for ((key, change, _), slot) in changes.iter().zip(&slots).filter(|((.., is_changed), _)| *is_changed) {
            pack(&mut packed, &[*slot, len_of(change)], &[change.as_deref().unwrap_or_default()]);
            self.model.call.insert(key.clone(), change.clone());
        }
        self.store().put_slots(&packed).expect("packed slot changes");
        let stranger = [distinct as u32, 0].map(u32::to_le_bytes).concat();
        assert!(self.store().put_slots(&stranger).is_err(), "a slot nobody got");
    }

    fn scan(&mut self, from: &[u8], to: Option<&[u8]>, limit: usize) {
        let mut found = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            found.len() < limit
        };
        let scanned = self.store().scan(from, to, &mut visit);
        if !self.has_scans {
            return assert!(scanned.is_err(), "an unordered store refuses scans");
        }
        scanned.expect("an ordered store");
        let mut expected = self.model.scan(from, to);
        expected.truncate(limit);
        assert_eq!(found, expected);
    }

    fn end_call(&mut self, keep: bool) {
        self.store().end_call(keep);
        self.model.end_call(keep);
        let size = |(key, change): (&Key, &Change)| key.len() + change.as_ref().map_or(0, Vec::len);
        let (keys, bytes) = (self.model.filling.len(), self.model.filling.iter().map(size).sum::<usize>());
        assert_eq!((self.store().filling_keys(), self.store().filling_bytes()), (keys, bytes));
    }

    fn seal(&mut self) {
        self.end_call(true);
        let mut visited = Map::new();
        let mut visit = |key: &[u8], value: Option<&[u8]>| {
            assert!(visited.insert(key.to_vec(), value.map(<[u8]>::to_vec)).is_none(), "each key once");
        };
        self.store().seal(&mut visit).expect("sealed");
        assert_eq!(visited, self.model.filling);
        self.model.sealed = Some(std::mem::take(&mut self.model.filling));
    }

    fn commit(&mut self) {
        if self.model.sealed.is_none() {
            return;
        }
        self.checkpoint.sequence += 1;
        self.checkpoint.next.0 += 7;
        let checkpoint = self.checkpoint;
        self.store().commit(&checkpoint).expect("committed");
        self.model.commit();
        self.told = Some(checkpoint);
        assert_eq!(self.store().checkpoint(), self.told);
    }

    fn crash(&mut self) {
        self.model.crash();
        // Closed before it is opened again: a database serves one process, and one of its handles, at a time.
        drop(self.store.take());
        self.store = Some((self.engine.open)(self.folder, self.has_scans));
        if self.engine.is_lasting {
            assert_eq!(self.store().checkpoint(), self.told, "the last commit, no more and no less");
        } else {
            self.restore();
        }
        let base: Vec<Key> = self.model.base.keys().cloned().collect();
        base.into_iter().for_each(|key| self.take(Step::Committed(key)));
        if self.has_scans {
            self.scan(b"", None, usize::MAX);
        }
    }

    fn restore(&mut self) {
        let rows = self.model.base.clone();
        self.store().restore(b"gone", Some(b"again")).expect("restored");
        rows.iter().for_each(|(key, value)| self.store().restore(key, Some(value)).expect("restored"));
        self.store().restore(b"gone", None).expect("restored");
        let checkpoint = self.checkpoint;
        self.store().restored(&checkpoint).expect("restored");
        self.told = Some(checkpoint);
        assert_eq!(self.store().checkpoint(), self.told);
    }
}

fn pack(out: &mut Vec<u8>, numbers: &[u32], parts: &[&[u8]]) {
    numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    parts.iter().for_each(|p| out.extend_from_slice(p));
}

fn unpack(list: &[u8], count: usize) -> Vec<Change> {
    let (mut at, mut values) = (0, Vec::new());
    for _ in 0..count {
        let len = u32::from_le_bytes(list[at..at + 4].try_into().expect("four bytes"));
        at += 4;
        let value = (len != u32::MAX).then(|| list[at..at + len as usize].to_vec());
        at += value.as_ref().map_or(0, Vec::len);
        values.push(value);
    }
    assert_eq!(at, list.len(), "nothing follows the last value");
    values
}

fn len_of(change: &Change) -> u32 {
    change.as_ref().map_or(u32::MAX, |value| value.len() as u32)
}

#[test]
fn every_store_follows_the_model() {
    for engine in &ENGINES {
        let config = Config { cases: engine.cases, failure_persistence: None, ..Config::default() };
        let steps = (any::<bool>(), prop::collection::vec(step(), 1..300));
        let followed = TestRunner::new(config).run(&steps, |(has_scans, steps)| {
            let folder = tempfile::tempdir().expect("a folder");
            let mut pair = Pair::open(engine, folder.path(), has_scans);
            steps.into_iter().for_each(|step| pair.take(step));
            Ok(())
        });
        followed.unwrap_or_else(|error| panic!("{}: {error}", engine.name));
    }
}

/// Enough rows that the memory store collects its garbage and the engine on disk flushes its tables.
#[test]
fn every_store_follows_the_model_with_many_keys() {
    for engine in &ENGINES {
        let folder = tempfile::tempdir().expect("a folder");
        let mut pair = Pair::open(engine, folder.path(), true);
        for round in 0..12u32 {
            for n in 0..3000u32 {
                let key = format!("row-{}", (n * 7 + round * 1311) % 9000).into_bytes();
                let value = (n % 5 != round % 5).then(|| vec![round as u8; (n % 200) as usize]);
                pair.take(Step::Put(key, value));
            }
            [Step::Seal, Step::Commit].into_iter().for_each(|step| pair.take(step));
            if round % 4 == 3 {
                pair.take(Step::Crash);
            }
        }
        pair.take(Step::Rebuild);
        pair.take(Step::Crash);
    }
}

#[test]
fn limits_are_those_of_the_contract_on_every_store() {
    for engine in &ENGINES {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = (engine.open)(folder.path(), true);
        let (longest_key, longest_value) = (vec![7; KEY_BYTES_MAX], vec![8; VALUE_BYTES_MAX]);
        let reserved = [IDENTITY_KEY, b"more"].concat();
        for key in [&b""[..], IDENTITY_KEY, &reserved, &[7; KEY_BYTES_MAX + 1]] {
            assert!(store.put(key, Some(b"v")).is_err(), "{}: {} bytes", engine.name, key.len());
            assert_eq!(store.get(key).expect("readable"), None, "{}", engine.name);
        }
        assert!(store.put(b"k", Some(&[0; VALUE_BYTES_MAX + 1])).is_err());
        store.put(&longest_key, Some(&longest_value)).expect("within the limits");
        store.end_call(true);
        store.seal(&mut |_, _| {}).expect("sealed");
        store.commit(&Checkpoint { identity: 1, next: Offset(1), sequence: 1, at_end_ms: 1 }).expect("committed");
        drop(store);
        if engine.is_lasting {
            let mut store = (engine.open)(folder.path(), true);
            assert_eq!(store.get(&longest_key).expect("readable"), Some(&longest_value[..]));
            let mut keys = 0;
            store
                .scan(b"", None, &mut |_, _| {
                    keys += 1;
                    true
                })
                .expect("ordered");
            assert_eq!(keys, 1, "rows of the host's own are not seen");
        }
    }
}
