//! The host's functions over memory, one host per thread. As strict as the real one: an unknown store or a key beyond
//! the limits panics, as it would end a component's call.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Level;
use crate::packed::{ABSENT, push, u32_at};

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

const KEY_BYTES_MAX: usize = 65_535;
const VALUE_BYTES_MAX: usize = 900 * 1024;

/// What a call sees and leaves behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) stores: Vec<Rows>,
    pub(crate) tables: Vec<(Rows, i64)>,
    pub(crate) lines: Vec<(Level, String)>,
    pub(crate) now_ms: i64,
    pub(crate) seed: u64,
    /// Keys by slot, of the last `get-slots` of each store.
    pub(super) slots: BTreeMap<u32, Vec<Vec<u8>>>,
}

thread_local! {
    pub(crate) static HOST: RefCell<Host> = RefCell::default();
}

impl Host {
    pub(crate) fn end_call(&mut self) {
        self.slots.clear();
    }

    fn store(&mut self, store: u32) -> &mut Rows {
        self.stores.get_mut(store as usize).unwrap_or_else(|| panic!("store {store} is not declared"))
    }

    fn table(&self, table: u32) -> &(Rows, i64) {
        self.tables.get(table as usize).unwrap_or_else(|| panic!("table {table} is not declared"))
    }

    fn set(&mut self, store: u32, key: &[u8], value: Option<&[u8]>) {
        assert!((1..=KEY_BYTES_MAX).contains(&key.len()), "a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len());
        let rows = self.store(store);
        match value {
            Some(value) => {
                assert!(value.len() <= VALUE_BYTES_MAX, "a value has up to {VALUE_BYTES_MAX} bytes");
                rows.insert(key.to_vec(), value.to_vec());
            }
            None => {
                rows.remove(key);
            }
        }
    }
}

fn with<T>(work: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(work)
}

pub(crate) fn now() -> i64 {
    with(|host| host.now_ms)
}

pub(crate) fn seed() -> u64 {
    with(|host| host.seed)
}

pub(crate) fn log(level: Level, message: &str) {
    with(|host| host.lines.push((level, message.to_owned())));
}

pub(crate) fn state_get(store: u32, key: &[u8]) -> Option<Vec<u8>> {
    with(|host| host.store(store).get(key).cloned())
}

pub(crate) fn state_put(store: u32, key: &[u8], value: &[u8]) {
    with(|host| host.set(store, key, Some(value)));
}

pub(crate) fn state_remove(store: u32, key: &[u8]) {
    with(|host| host.set(store, key, None));
}

pub(crate) fn state_get_many(store: u32, keys: &[u8]) -> Vec<u8> {
    with(|host| look_up(host.store(store), keys))
}

pub(crate) fn state_apply(store: u32, changes: &[u8]) {
    with(|host| {
        let mut at = 0;
        while at < changes.len() {
            let (key_len, value_len) = (u32_at(changes, at) as usize, u32_at(changes, at + 4));
            let key = &changes[at + 8..][..key_len];
            at += 8 + key_len;
            host.set(store, key, value_at(changes, &mut at, value_len));
        }
    });
}

pub(crate) fn state_get_slots(store: u32, keys: &[u8]) -> Vec<u8> {
    with(|host| {
        let mut distinct: Vec<Vec<u8>> = Vec::new();
        let mut answer = vec![0; 4];
        for key in keys_of(keys) {
            let slot = distinct.iter().position(|known| known == key).unwrap_or_else(|| {
                distinct.push(key.to_vec());
                distinct.len() - 1
            });
            answer.extend_from_slice(&(slot as u32).to_le_bytes());
        }
        answer[..4].copy_from_slice(&(distinct.len() as u32).to_le_bytes());
        for key in &distinct {
            push_value(&mut answer, host.store(store).get(key));
        }
        host.slots.insert(store, distinct);
        answer
    })
}

pub(crate) fn state_put_slots(store: u32, changes: &[u8]) {
    with(|host| {
        let keys = host.slots.get(&store).cloned().unwrap_or_default();
        let mut at = 0;
        while at < changes.len() {
            let (slot, value_len) = (u32_at(changes, at) as usize, u32_at(changes, at + 4));
            at += 8;
            host.set(store, &keys[slot], value_at(changes, &mut at, value_len));
        }
    });
}

pub(crate) fn state_scan(store: u32, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<u8> {
    with(|host| range(host.store(store), start, end, limit))
}

pub(crate) fn table_get(table: u32, key: &[u8]) -> Option<Vec<u8>> {
    with(|host| host.table(table).0.get(key).cloned())
}

pub(crate) fn table_get_many(table: u32, keys: &[u8]) -> Vec<u8> {
    with(|host| look_up(&host.table(table).0, keys))
}

pub(crate) fn table_scan(table: u32, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<u8> {
    with(|host| range(&host.table(table).0, start, end, limit))
}

pub(crate) fn table_age(table: u32) -> u64 {
    with(|host| host.now_ms.saturating_sub(host.table(table).1).max(0) as u64)
}

fn look_up(rows: &Rows, keys: &[u8]) -> Vec<u8> {
    let mut values = Vec::new();
    for key in keys_of(keys) {
        push_value(&mut values, rows.get(key));
    }
    values
}

fn range(rows: &Rows, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<u8> {
    let mut entries = Vec::new();
    let in_range = rows.range(start.to_vec()..).take_while(|(key, _)| end.is_none_or(|end| key.as_slice() < end));
    for (key, value) in in_range.take(limit as usize) {
        entries.extend_from_slice(&(key.len() as u32).to_le_bytes());
        entries.extend_from_slice(&(value.len() as u32).to_le_bytes());
        entries.extend_from_slice(key);
        entries.extend_from_slice(value);
    }
    entries
}

fn keys_of(keys: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= keys.len() {
            return None;
        }
        let len = u32_at(keys, at) as usize;
        let key = &keys[at + 4..][..len];
        at += 4 + len;
        Some(key)
    })
}

fn value_at<'c>(changes: &'c [u8], at: &mut usize, len: u32) -> Option<&'c [u8]> {
    if len == ABSENT {
        return None;
    }
    let value = &changes[*at..][..len as usize];
    *at += len as usize;
    Some(value)
}

fn push_value(list: &mut Vec<u8>, value: Option<&Vec<u8>>) {
    match value {
        Some(value) => push(list, value),
        None => list.extend_from_slice(&ABSENT.to_le_bytes()),
    }
}
