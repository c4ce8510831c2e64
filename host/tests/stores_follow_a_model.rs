//! Every store behaves as three layers of plain maps over a base, whatever is done to it in whatever order.

use std::collections::BTreeMap;

use wasmill::record::Offset;
use wasmill::store::{Checkpoint, MemoryStore, Store};

type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The plainest store that could be right.
#[derive(Default)]
struct Model {
    base: BTreeMap<Vec<u8>, Vec<u8>>,
    sealed: Option<Map>,
    filling: Map,
    call: Map,
}

impl Model {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let layers = [Some(&self.call), Some(&self.filling), self.sealed.as_ref()];
        let changed = layers.into_iter().flatten().find_map(|l| l.get(key));
        changed.cloned().unwrap_or_else(|| self.base.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            self.base.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
        for layer in [self.sealed.as_ref(), Some(&self.filling), Some(&self.call)].into_iter().flatten() {
            all.extend(layer.clone());
        }
        let inside = all.into_iter().filter(|(k, _)| k.as_slice() >= from && k.as_slice() < to);
        inside.filter_map(|(k, v)| Some((k, v?))).collect()
    }

    fn commit(&mut self) {
        for (key, value) in self.sealed.take().unwrap_or_default() {
            match value {
                Some(value) => self.base.insert(key, value),
                None => self.base.remove(&key),
            };
        }
    }
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn key(&mut self, keys: u64) -> Vec<u8> {
        let number = self.below(keys);
        format!("key-{number:0width$}", width = 1 + (number % 30) as usize).into_bytes()
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let len = self.below(40) as usize;
        let byte = self.below(256) as u8;
        (self.below(4) > 0).then(|| vec![byte; len])
    }
}

fn pack(out: &mut Vec<u8>, numbers: &[u32], parts: &[&[u8]]) {
    numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    parts.iter().for_each(|p| out.extend_from_slice(p));
}

fn unpack(list: &[u8], count: usize) -> Vec<Option<Vec<u8>>> {
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

fn len_of(value: Option<&Vec<u8>>) -> u32 {
    value.map_or(u32::MAX, |v| v.len() as u32)
}

fn single(store: &mut dyn Store, model: &mut Model, numbers: &mut Numbers, keys: u64) {
    let (key, value) = (numbers.key(keys), numbers.value());
    store.put(&key, value.as_deref()).expect("a good key");
    model.call.insert(key, value);
}

fn many(store: &mut dyn Store, model: &mut Model, numbers: &mut Numbers, keys: u64) {
    let (mut asked, mut wanted, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let mut applied = Vec::new();
    for _ in 0..numbers.below(8) {
        let (key, value) = (numbers.key(keys), numbers.value());
        pack(&mut asked, &[key.len() as u32], &[&key]);
        wanted.push(model.get(&key));
        pack(&mut changes, &[key.len() as u32, len_of(value.as_ref())], &[&key, value.as_deref().unwrap_or_default()]);
        applied.push((key, value));
    }
    let mut values = Vec::new();
    store.get_many(&asked, &mut values).expect("packed keys");
    assert_eq!(unpack(&values, wanted.len()), wanted);
    store.apply(&changes).expect("packed changes");
    model.call.extend(applied);
}

fn slots(store: &mut dyn Store, model: &mut Model, numbers: &mut Numbers, keys: u64) {
    let (mut asked, mut all) = (Vec::new(), Vec::new());
    for _ in 0..1 + numbers.below(8) {
        let key = numbers.key(keys);
        pack(&mut asked, &[key.len() as u32], &[&key]);
        all.push(key);
    }
    let mut answer = Vec::new();
    store.get_slots(&asked, &mut answer).expect("packed keys");
    let number = |at: usize| u32::from_le_bytes(answer[at * 4..at * 4 + 4].try_into().expect("four bytes"));
    let distinct = number(0) as usize;
    let given: Vec<u32> = (1..=all.len()).map(number).collect();
    let values = unpack(&answer[4 + 4 * all.len()..], distinct);
    for (key, slot) in all.iter().zip(&given) {
        assert_eq!(values[*slot as usize], model.get(key));
    }
    let mut changes = Vec::new();
    for (key, slot) in all.iter().zip(&given) {
        if numbers.below(2) == 0 {
            let value = numbers.value();
            pack(&mut changes, &[*slot, len_of(value.as_ref())], &[value.as_deref().unwrap_or_default()]);
            model.call.insert(key.clone(), value);
        }
    }
    store.put_slots(&changes).expect("packed slot changes");
    assert!(store.put_slots(&[distinct as u32, 0].map(u32::to_le_bytes).concat()).is_err(), "a slot nobody got");
}

fn end_call(store: &mut dyn Store, model: &mut Model, keep: bool) {
    store.end_call(keep);
    let call = std::mem::take(&mut model.call);
    if keep {
        model.filling.extend(call);
    }
    assert_eq!(store.filling_keys(), model.filling.len());
    let size = |(k, v): (&Vec<u8>, &Option<Vec<u8>>)| k.len() + v.as_ref().map_or(0, Vec::len);
    assert_eq!(store.filling_bytes(), model.filling.iter().map(size).sum::<usize>());
}

fn finish_set(store: &mut dyn Store, model: &mut Model, numbers: &mut Numbers, checkpoint: &mut Checkpoint) {
    if model.sealed.is_none() {
        let mut visited = Map::new();
        store
            .seal(&mut |key, value| {
                let twice = visited.insert(key.to_vec(), value.map(<[u8]>::to_vec));
                assert!(twice.is_none(), "each key once");
            })
            .expect("sealed");
        assert_eq!(visited, model.filling);
        model.sealed = Some(std::mem::take(&mut model.filling));
    } else if numbers.below(3) > 0 {
        checkpoint.sequence += 1;
        store.commit(checkpoint).expect("committed");
        assert_eq!(store.checkpoint(), Some(*checkpoint));
        model.commit();
    } else {
        store.roll_back();
        model.sealed = None;
        model.filling.clear();
    }
}

fn drive(store: &mut dyn Store, has_scans: bool, seed: u64, steps: u64, keys: u64) {
    let (mut model, mut numbers) = (Model::default(), Numbers(seed));
    let mut checkpoint = Checkpoint { identity: 1, next: Offset(0), sequence: 0, at_end_ms: 0 };
    for _ in 0..steps {
        match numbers.below(16) {
            0..5 => single(store, &mut model, &mut numbers, keys),
            5..7 => many(store, &mut model, &mut numbers, keys),
            7..10 => slots(store, &mut model, &mut numbers, keys),
            10..12 => {
                let keep = numbers.below(3) > 0;
                end_call(store, &mut model, keep);
            }
            12 => {
                end_call(store, &mut model, true);
                finish_set(store, &mut model, &mut numbers, &mut checkpoint);
            }
            13 if has_scans => {
                let (from, to) = (numbers.key(keys), numbers.key(keys));
                let mut found = Vec::new();
                let mut visit = |k: &[u8], v: &[u8]| {
                    found.push((k.to_vec(), v.to_vec()));
                    true
                };
                store.scan(&from, Some(&to), &mut visit).expect("an ordered store");
                assert_eq!(found, model.scan(&from, &to));
            }
            14 => {
                let key = numbers.key(keys);
                assert_eq!(store.committed(&key).expect("readable"), model.base.get(&key).cloned());
            }
            _ => {
                let key = numbers.key(keys);
                assert_eq!(store.get(&key).expect("readable").map(<[u8]>::to_vec), model.get(&key));
            }
        }
    }
}

#[test]
fn the_store_in_memory_follows_the_model() {
    for seed in 1..=40 {
        let keys = [5, 60, 5_000][seed as usize % 3];
        drive(&mut MemoryStore::new(false), false, seed, 4_000, keys);
        drive(&mut MemoryStore::new(true), true, seed, 2_000, keys);
    }
}

#[test]
fn an_unordered_store_refuses_scans_and_bad_keys_are_refused() {
    let mut store = MemoryStore::new(false);
    assert!(store.scan(b"a", None, &mut |_, _| true).is_err());
    assert!(store.put(b"", Some(b"v")).is_err());
    assert!(store.put(wasmill::store::IDENTITY_KEY, Some(b"v")).is_err());
}

#[test]
fn what_was_restored_is_the_base() {
    let mut store = MemoryStore::new(true);
    store.restore(b"a", Some(b"1")).expect("restored");
    store.restore(b"b", Some(b"2")).expect("restored");
    store.restore(b"a", None).expect("restored");
    let checkpoint = Checkpoint { identity: 3, next: Offset(9), sequence: 4, at_end_ms: 5 };
    store.restored(&checkpoint).expect("restored");
    assert_eq!((store.checkpoint(), store.keys_estimate()), (Some(checkpoint), 1));
    store.roll_back();
    assert_eq!(store.committed(b"b").expect("readable"), Some(b"2".to_vec()));
    store.wipe().expect("wiped");
    assert_eq!((store.checkpoint(), store.get(b"b").expect("readable")), (None, None));
}
