//! Native processors for the simulation. Each writes into every output where it came from and what state it saw, so that
//! a record lost, doubled, out of order or met by the wrong state shows. Knows nothing of the oracle that reads this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use wasmill::processor::{FaultKind, GuestFault, ProcessError, Processor, Scope, Table, Version};
use wasmill::record::{BatchRef, Headers, NewOutput, Record};

use crate::mutants::Mutant;
use crate::random::{mix, mix_bytes};
use crate::world::Deployed;

/// The running state of a key, of a partition, or of its ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    pub sum: i64,
    /// Chains everything that went in, in order.
    pub chain: u64,
}

/// State keys that no record has.
pub const ALL_KEY: &[u8] = b"\x01all";
pub const NULL_KEY: &[u8] = b"\x01null";

impl Tally {
    pub fn add(self, place: u64, amount: i64) -> Self {
        Self { count: self.count + 1, sum: self.sum + amount, chain: mix(self.chain ^ mix(place)) }
    }

    pub fn encode(self) -> Vec<u8> {
        [self.count.to_le_bytes(), self.sum.to_le_bytes(), self.chain.to_le_bytes()].concat()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let [count, sum, chain] = numbers.try_into().ok()?;
        let chain = u64::from_le_bytes(chain);
        rest.is_empty().then_some(Self { count: u64::from_le_bytes(count), sum: i64::from_le_bytes(sum), chain })
    }
}

/// What identifies an input record for the chains.
pub fn place_of(input: u16, offset: i64, value: Option<&[u8]>) -> u64 {
    mix(u64::from(input) << 48 ^ offset as u64) ^ value.map_or(1, mix_bytes)
}

pub fn place_of_tick(scheduled_ms: i64, missed: u64) -> u64 {
    mix(scheduled_ms as u64) ^ missed << 1 ^ 1 << 63
}

/// How a record is marked to misbehave: the first letter of its value.
pub const FAILS: u8 = b'f';
pub const TRAPS: u8 = b't';
/// Names another record than the one at fault.
pub const LIES: u8 = b'l';
/// Fails once, then never again in this process.
pub const FLAKY: u8 = b'y';
/// The host fails once.
pub const HOST_FAILS: u8 = b'h';

/// Fails where the version is a bad one.
pub const BREAKS_BAD: u8 = b'b';

pub fn is_poison(value: Option<&[u8]>, version: u64) -> bool {
    match value.and_then(|v| v.first()) {
        Some(&(FAILS | TRAPS | LIES)) => true,
        Some(&BREAKS_BAD) => is_bad_version(version),
        _ => false,
    }
}

fn is_bad_version(version: u64) -> bool {
    version % 3 == 2
}

/// Some ticks trap, and some of them only once, where anything is poison at all.
pub fn is_poison_tick(scheduled_ms: i64) -> bool {
    mix(scheduled_ms as u64).is_multiple_of(8)
}

fn is_flaky_tick(scheduled_ms: i64) -> bool {
    mix(scheduled_ms as u64) % 8 == 1
}

pub fn amount_of(value: Option<&[u8]>) -> i64 {
    value.map_or(0, |v| (mix_bytes(v) % 1000) as i64)
}

/// What kind of component it is.
#[derive(Clone, Debug, Default)]
pub struct Nature {
    /// Keeps what it read in its own memory and reads it there: right only if instances are replaced as promised.
    pub is_caching: bool,
    pub outputs: u16,
    pub has_poison: bool,
    pub mutant: Option<Mutant>,
}

/// Makes instances; what it remembers lives as long as the process.
pub struct NativeVersion {
    nature: Nature,
    deployed: Deployed,
    seen: Arc<Mutex<BTreeSet<(u16, i32, i64)>>>,
    /// Of the fault planted in the reuse of instances.
    kept: Cache,
}

type Cache = Arc<Mutex<BTreeMap<(i32, Vec<u8>), Option<Tally>>>>;

impl NativeVersion {
    pub fn new(nature: Nature, deployed: Deployed) -> Self {
        Self { nature, deployed, seen: Arc::default(), kept: Arc::default() }
    }
}

impl Version for NativeVersion {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        let is_kept = self.nature.mutant == Some(Mutant::KeepInstance);
        let cache = if is_kept { self.kept.clone() } else { Cache::default() };
        let cache = self.nature.is_caching.then_some(cache);
        let (outputs, deployed, seen) = (self.nature.outputs, self.deployed, self.seen.clone());
        Ok(Box::new(Native { outputs, deployed, has_poison: self.nature.has_poison, seen, cache }))
    }
}

struct Native {
    outputs: u16,
    deployed: Deployed,
    has_poison: bool,
    seen: Arc<Mutex<BTreeSet<(u16, i32, i64)>>>,
    cache: Option<Cache>,
}

impl Processor for Native {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        for (index, record) in batch.records().enumerate() {
            self.misbehave(batch, index, &record)?;
            self.record(batch, &record, scope)?;
        }
        Ok(())
    }

    fn tick(&mut self, batch: BatchRef<'_>, missed: u64, scope: &mut Scope) -> Result<(), ProcessError> {
        let record = batch.record(0);
        let partition = batch.partition().0;
        self.misbehave_in_tick(partition, record.timestamp_ms)?;
        let place = place_of_tick(record.timestamp_ms, missed);
        let all = self.get(partition, ALL_KEY, scope)?.unwrap_or_default().add(place, 1);
        self.put(partition, ALL_KEY, Some(all), scope)?;
        let (scheduled, met) = (record.timestamp_ms, self.circumstances(NULL_KEY, scope));
        let text = format!("tick;{partition};{scheduled};{missed};{};{};{met}", all.count, all.chain);
        emit(&record, 0, None, &text, scope);
        Ok(())
    }
}

impl Native {
    fn misbehave(&mut self, batch: BatchRef<'_>, index: usize, record: &Record<'_>) -> Result<(), ProcessError> {
        let index = index as u32;
        let mark = record.value.and_then(|v| v.first()).copied().unwrap_or_default();
        let fault = |kind, index| {
            let (message, backtrace) = ("marked".to_owned(), None);
            Err(ProcessError::Guest(GuestFault { kind, index, message, backtrace }))
        };
        match mark {
            FAILS => fault(FaultKind::Failure("marked".into()), Some(index)),
            BREAKS_BAD if is_bad_version(self.deployed.version) => fault(FaultKind::Trap, None),
            TRAPS => fault(FaultKind::Trap, None),
            LIES => fault(FaultKind::Failure("marked".into()), Some(index / 2 + batch.len() as u32 / 2)),
            FLAKY if self.is_first(batch.input().0, batch.partition().0, record.offset) => fault(FaultKind::Trap, None),
            HOST_FAILS if self.is_first(batch.input().0, batch.partition().0, record.offset) => {
                Err(ProcessError::Host("marked".into()))
            }
            _ => Ok(()),
        }
    }

    fn misbehave_in_tick(&mut self, partition: i32, scheduled_ms: i64) -> Result<(), ProcessError> {
        let is_flaky = is_flaky_tick(scheduled_ms) && self.is_first(u16::MAX, partition, scheduled_ms);
        if self.has_poison && (is_flaky || is_poison_tick(scheduled_ms)) {
            let (message, backtrace) = ("marked".to_owned(), None);
            return Err(ProcessError::Guest(GuestFault { kind: FaultKind::Trap, index: None, message, backtrace }));
        }
        Ok(())
    }

    fn is_first(&mut self, input: u16, partition: i32, offset: i64) -> bool {
        let mut seen = self.seen.lock().expect("one thread runs a simulation");
        seen.insert((input, partition, offset))
    }

    fn record(&mut self, batch: BatchRef<'_>, record: &Record<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        let (input, partition) = (batch.input().0, batch.partition().0);
        let place = place_of(input, record.offset, record.value);
        let key = record.key.unwrap_or(NULL_KEY);
        let all = self.get(partition, ALL_KEY, scope)?.unwrap_or_default().add(place, amount_of(record.value));
        self.put(partition, ALL_KEY, Some(all), scope)?;
        let tally = match record.value {
            None => None,
            Some(value) => {
                Some(self.get(partition, key, scope)?.unwrap_or_default().add(place, amount_of(Some(value))))
            }
        };
        self.put(partition, key, tally, scope)?;
        if scope.stores.len() > 1 {
            put(scope, 1, key, record.value.map(|_| record.offset.to_le_bytes().to_vec()).as_deref())?;
        }
        let Tally { count, sum, chain } = tally.unwrap_or_default();
        let (all_count, all_chain) = (all.count, all.chain);
        let (offset, met) = (record.offset, self.circumstances(key, scope));
        let text = format!("record;{partition};{input};{offset};{all_count};{all_chain};{count};{sum};{chain};{met}");
        let output = (mix_bytes(key) % u64::from(self.outputs.max(1))) as u16;
        emit(record, output, record.key, &text, scope);
        Ok(())
    }

    /// The revision and its version, how far each table was, and what it said of the key.
    fn circumstances(&self, key: &[u8], scope: &Scope) -> String {
        let row = |table: &Table| match table.rows.get(key) {
            Some(row) => mix_bytes(row),
            None => 0,
        };
        let table = |table: &std::sync::Arc<Table>| {
            let positions: Vec<String> = table.positions.iter().map(ToString::to_string).collect();
            format!("{}={}", positions.join(":"), row(table))
        };
        let tables: Vec<String> = scope.tables.iter().map(table).collect();
        let Deployed { revision, version } = self.deployed;
        format!("{revision}.{version};{}", tables.join(","))
    }

    fn get(&mut self, partition: i32, key: &[u8], scope: &mut Scope) -> Result<Option<Tally>, ProcessError> {
        if let Some(cache) = &self.cache
            && let Some(known) = cache.lock().expect("one thread runs a simulation").get(&(partition, key.to_vec()))
        {
            return Ok(*known);
        }
        let Some(store) = scope.stores.first_mut() else { return Ok(None) };
        let value = store.get(key).map_err(|error| ProcessError::Host(error.to_string()))?;
        Ok(value.and_then(Tally::decode))
    }

    fn put(&mut self, partition: i32, key: &[u8], tally: Option<Tally>, scope: &mut Scope) -> Result<(), ProcessError> {
        if let Some(cache) = &self.cache {
            cache.lock().expect("one thread runs a simulation").insert((partition, key.to_vec()), tally);
        }
        put(scope, 0, key, tally.map(Tally::encode).as_deref())
    }
}

fn put(scope: &mut Scope, store: usize, key: &[u8], value: Option<&[u8]>) -> Result<(), ProcessError> {
    let Some(store) = scope.stores.get_mut(store) else { return Ok(()) };
    store.put(key, value).map_err(|error| ProcessError::Host(error.to_string()))
}

fn emit(record: &Record<'_>, output: u16, key: Option<&[u8]>, text: &str, scope: &mut Scope) {
    let (value, headers) = (Some(text.as_bytes()), Headers::default());
    scope.outputs.push(record, NewOutput { output, timestamp_ms: None, key, value, headers });
}
