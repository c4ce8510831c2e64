//! The functions of `wasmill:plugin` that a component may import, over the task's scope.
//! Views into the component's memory are read in place; what a function returns is written once.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmList, WasmStr};

use crate::processor::{LogLevel, Scope, Table};
use crate::store::{Store, StoreError};

use super::fault::Stop;
use super::guest::Guest;

/// The version of the contract that this host serves. Components of any 1.x up to it run here.
pub(super) const CONTRACT: &str = "1.0.0";

/// Bytes after which a scan ends its piece.
const SCAN_BYTES: usize = 1 << 20;

type Cx<'a> = StoreContextMut<'a, Guest>;
type Bytes = WasmList<u8>;

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting")]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// Adds all of them.
pub(super) fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_state(linker)?;
    add_tables(linker)?;
    add_log(linker)?;
    add_moment(linker)
}

fn interface(name: &str) -> String {
    format!("wasmill:plugin/{name}@{CONTRACT}")
}

fn add_state(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut state = linker.instance(&interface("state"))?;
    state.func_wrap("get", |mut cx: Cx<'_>, (store, key): (u32, Bytes)| {
        with_store(&mut cx, store, |store, cx| Ok(store.get(key.as_le_slice(cx))?.map(<[u8]>::to_vec))).map(one)
    })?;
    state.func_wrap("put", |mut cx: Cx<'_>, (store, key, value): (u32, Bytes, Bytes)| {
        count(&mut cx, key.len() + value.len())?;
        with_store(&mut cx, store, |store, cx| store.put(key.as_le_slice(cx), Some(value.as_le_slice(cx))))
    })?;
    state.func_wrap("remove", |mut cx: Cx<'_>, (store, key): (u32, Bytes)| {
        count(&mut cx, key.len())?;
        with_store(&mut cx, store, |store, cx| store.put(key.as_le_slice(cx), None))
    })?;
    state.func_wrap("get-many", |mut cx: Cx<'_>, (store, keys): (u32, Bytes)| {
        answer(&mut cx, store, |store, cx, answer| store.get_many(keys.as_le_slice(cx), answer))
    })?;
    state.func_wrap("apply", |mut cx: Cx<'_>, (store, changes): (u32, Bytes)| {
        count(&mut cx, changes.len())?;
        with_store(&mut cx, store, |store, cx| store.apply(changes.as_le_slice(cx)))
    })?;
    state.func_wrap("get-slots", |mut cx: Cx<'_>, (store, keys): (u32, Bytes)| {
        answer(&mut cx, store, |store, cx, answer| store.get_slots(keys.as_le_slice(cx), answer))
    })?;
    state.func_wrap("put-slots", |mut cx: Cx<'_>, (store, changes): (u32, Bytes)| {
        count(&mut cx, changes.len())?;
        with_store(&mut cx, store, |store, cx| store.put_slots(changes.as_le_slice(cx)))
    })?;
    state.func_wrap("scan", |mut cx: Cx<'_>, (store, start, end, limit): (u32, Bytes, Option<Bytes>, u32)| {
        answer(&mut cx, store, |store, cx, answer| {
            let end = end.as_ref().map(|end| end.as_le_slice(cx));
            let mut piece = Piece { entries: answer, left: limit };
            if limit == 0 {
                return Ok(());
            }
            store.scan(start.as_le_slice(cx), end, &mut |key, value| piece.push(key, value))
        })
    })
}

fn add_tables(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut tables = linker.instance(&interface("tables"))?;
    tables.func_wrap("get", |mut cx: Cx<'_>, (table, key): (u32, Bytes)| {
        with_table(&mut cx, table, |table, cx, _| Ok(table.rows.get(key.as_le_slice(cx)).map(|row| row.to_vec())))
            .map(one)
    })?;
    tables.func_wrap("get-many", |mut cx: Cx<'_>, (table, keys): (u32, Bytes)| {
        with_table(&mut cx, table, |table, cx, _| look_up(table, keys.as_le_slice(cx))).map(one)
    })?;
    tables.func_wrap("scan", |mut cx: Cx<'_>, (table, start, end, limit): (u32, Bytes, Option<Bytes>, u32)| {
        with_table(&mut cx, table, |table, cx, _| {
            let end = end.as_ref().map(|end| end.as_le_slice(cx));
            Ok(table_piece(table, start.as_le_slice(cx), end, limit))
        })
        .map(one)
    })?;
    tables.func_wrap("age", |mut cx: Cx<'_>, (table,): (u32,)| {
        with_table(&mut cx, table, |table, _, now_ms| Ok(now_ms.saturating_sub(table.at_end_ms).max(0) as u64)).map(one)
    })
}

fn add_log(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(&interface("log"))?.func_wrap("log", |mut cx: Cx<'_>, (level, text): (Level, WasmStr)| {
        let text = text.to_str(&cx)?.into_owned();
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        cx.data_mut().capture.line(level, &text);
        Ok(())
    })
}

fn add_moment(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut moment = linker.instance(&interface("moment"))?;
    moment.func_wrap("now", |cx: Cx<'_>, (): ()| Ok((cx.data().wasi.now_ms,)))?;
    moment.func_wrap("seed", |cx: Cx<'_>, (): ()| Ok((cx.data().wasi.seed,)))
}

fn one<T>(value: T) -> (T,) {
    (value,)
}

#[inline]
fn count(cx: &mut Cx<'_>, bytes: usize) -> wasmtime::Result<()> {
    let counted = cx.data_mut().meter.count_state(bytes);
    counted.map_err(|max| {
        wasmtime::Error::new(Stop::Contract(format!("wrote more than {max} bytes of state in one call")))
    })
}

/// Runs `work` on a store, with the component's memory readable beside it.
#[inline]
fn with_store<T>(
    cx: &mut Cx<'_>,
    index: u32,
    work: impl FnOnce(&mut dyn Store, &Cx<'_>) -> Result<T, StoreError>,
) -> wasmtime::Result<T> {
    with_scope(cx, |scope, cx| {
        let count = scope.stores.len();
        let store = scope.stores.get_mut(index as usize).ok_or_else(|| no_such("store", index, count))?;
        Ok(work(store.as_mut(), cx)?)
    })
}

#[inline]
fn answer(
    cx: &mut Cx<'_>,
    index: u32,
    work: impl FnOnce(&mut dyn Store, &Cx<'_>, &mut Vec<u8>) -> Result<(), StoreError>,
) -> wasmtime::Result<(Vec<u8>,)> {
    with_store(cx, index, |store, cx| {
        let mut answer = Vec::new();
        work(store, cx, &mut answer)?;
        Ok((answer,))
    })
}

fn with_table<T>(
    cx: &mut Cx<'_>,
    index: u32,
    work: impl FnOnce(&Table, &Cx<'_>, i64) -> Result<T, Stop>,
) -> wasmtime::Result<T> {
    with_scope(cx, |scope, cx| {
        let table = scope.tables.get(index as usize).ok_or_else(|| no_such("table", index, scope.tables.len()))?;
        work(table, cx, scope.now_ms)
    })
}

#[inline]
fn with_scope<T>(cx: &mut Cx<'_>, work: impl FnOnce(&mut Scope, &Cx<'_>) -> Result<T, Stop>) -> wasmtime::Result<T> {
    let mut scope = cx.data_mut().lend().map_err(wasmtime::Error::new)?;
    let result = work(&mut scope, cx);
    cx.data_mut().scope = Some(scope);
    result.map_err(wasmtime::Error::new)
}

fn no_such(kind: &str, index: u32, count: usize) -> Stop {
    Stop::Contract(format!("asked for {kind} {index}, but {count} are declared"))
}

/// Collects entries of a scan until there are enough.
struct Piece<'a> {
    entries: &'a mut Vec<u8>,
    left: u32,
}

impl Piece<'_> {
    /// Adds an entry; whether there is room for another.
    fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.entries.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.entries.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.entries.extend_from_slice(key);
        self.entries.extend_from_slice(value);
        self.left -= 1;
        self.left > 0 && self.entries.len() < SCAN_BYTES
    }
}

fn table_piece(table: &Table, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<u8> {
    let mut entries = Vec::new();
    if limit == 0 || end.is_some_and(|end| end <= start) {
        return entries;
    }
    let mut piece = Piece { entries: &mut entries, left: limit };
    let from = std::ops::Bound::Included(start);
    let to = end.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    for (key, value) in table.rows.range::<[u8], _>((from, to)) {
        if !piece.push(key, value) {
            break;
        }
    }
    entries
}

fn look_up(table: &Table, mut keys: &[u8]) -> Result<Vec<u8>, Stop> {
    let mut values = Vec::new();
    while !keys.is_empty() {
        let (key, rest) = next_key(keys).ok_or_else(|| Stop::Contract("packed keys are cut off".to_owned()))?;
        match table.rows.get(key) {
            Some(value) => {
                values.extend_from_slice(&(value.len() as u32).to_le_bytes());
                values.extend_from_slice(value);
            }
            None => values.extend_from_slice(&u32::MAX.to_le_bytes()),
        }
        keys = rest;
    }
    Ok(values)
}

fn next_key(keys: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = keys.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}
