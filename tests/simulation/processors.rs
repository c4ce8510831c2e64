//! Native processors for the simulation. Each writes into every output where it came from and what state it saw, so that
//! a record lost, doubled, out of order or met by the wrong state shows. Knows nothing of the oracle that reads this.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use wasmill::processor::{FaultKind, GuestFault, ProcessError, Processor, Scope, Table, Version};
use wasmill::record::{BatchRef, Headers, NewOutput, Record};

use crate::mutants::Mutant;
use crate::random::{mix, mix_bytes};
use crate::versions::{
    BREAKS_BAD, Deployed, FAILS, FLAKY, LIES, TRAPS, fails_the_host, is_bad, is_flaky_tick, is_poison_tick, mark_of,
    refuses_to_open,
};

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
    has_opened: bool,
    leaks: Leaks,
}

type Cache = Arc<Mutex<BTreeMap<(i32, Vec<u8>), Option<Tally>>>>;

/// What all versions in one worker could reach of each other, if a fault is planted there.
#[derive(Clone, Default)]
pub struct Leaks {
    /// The memory of the newest instance.
    cache: Arc<Mutex<Cache>>,
    /// What was ordered last.
    ordered: Arc<Mutex<Option<Deployed>>>,
}

impl Leaks {
    pub fn order(&self, deployed: Deployed) {
        *self.ordered.lock().expect(ONE_THREAD) = Some(deployed);
    }
}

const ONE_THREAD: &str = "one thread runs a simulation";

thread_local! {
    /// The revision whose code was called last.
    static CALLED: Cell<u64> = const { Cell::new(0) };
}

pub fn called_last() -> u64 {
    CALLED.get()
}

impl NativeVersion {
    pub fn new(nature: Nature, deployed: Deployed, leaks: Leaks) -> Self {
        Self { nature, deployed, seen: Arc::default(), has_opened: false, leaks }
    }

    fn cache(&self, is_first: bool) -> Cache {
        let mut newest = self.leaks.cache.lock().expect(ONE_THREAD);
        *newest = match self.nature.mutant {
            Some(Mutant::KeepInstance) => newest.clone(),
            Some(Mutant::AdoptUsedInstance) if is_first => {
                Arc::new(Mutex::new(newest.lock().expect(ONE_THREAD).clone()))
            }
            _ => Cache::default(),
        };
        newest.clone()
    }
}

impl Version for NativeVersion {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        let is_first = !std::mem::replace(&mut self.has_opened, true);
        if refuses_to_open(self.deployed.version) && !is_first {
            return Err(marked(FaultKind::Trap, None));
        }
        let cache = self.nature.is_caching.then(|| self.cache(is_first));
        let (outputs, deployed, seen) = (self.nature.outputs, self.deployed, self.seen.clone());
        let ordered = (self.nature.mutant == Some(Mutant::MixVersions)).then(|| self.leaks.ordered.clone());
        Ok(Box::new(Native { outputs, deployed, ordered, has_poison: self.nature.has_poison, seen, cache }))
    }
}

fn marked(kind: FaultKind, index: Option<u32>) -> ProcessError {
    ProcessError::Guest(GuestFault { kind, index, message: "marked".into(), backtrace: None })
}

struct Native {
    outputs: u16,
    deployed: Deployed,
    /// Of the fault planted there: takes effect as soon as it is ordered.
    ordered: Option<Arc<Mutex<Option<Deployed>>>>,
    has_poison: bool,
    seen: Arc<Mutex<BTreeSet<(u16, i32, i64)>>>,
    cache: Option<Cache>,
}

impl Processor for Native {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        self.enter();
        for (index, record) in batch.records().enumerate() {
            self.misbehave(batch, index, &record)?;
            self.record(batch, &record, scope)?;
        }
        Ok(())
    }

    fn tick(&mut self, batch: BatchRef<'_>, missed: u64, scope: &mut Scope) -> Result<(), ProcessError> {
        self.enter();
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
    fn enter(&mut self) {
        if let Some(ordered) = &self.ordered {
            self.deployed = ordered.lock().expect(ONE_THREAD).unwrap_or(self.deployed);
        }
        CALLED.set(self.deployed.revision);
    }

    fn misbehave(&mut self, batch: BatchRef<'_>, index: usize, record: &Record<'_>) -> Result<(), ProcessError> {
        let index = index as u32;
        let (input, partition, offset) = (batch.input().0, batch.partition().0, record.offset);
        let lie = index / 2 + batch.len() as u32 / 2;
        match mark_of(record.value) {
            FAILS => Err(marked(FaultKind::Failure("marked".into()), Some(index))),
            BREAKS_BAD if is_bad(self.deployed.version) => Err(marked(FaultKind::Trap, None)),
            TRAPS => Err(marked(FaultKind::Trap, None)),
            LIES => Err(marked(FaultKind::Failure("marked".into()), Some(lie))),
            FLAKY if self.is_first(input, partition, offset) => Err(marked(FaultKind::Trap, None)),
            _ if self.fails_the_host(record.value) && self.is_first(input, partition, offset) => {
                Err(ProcessError::Host("marked".into()))
            }
            _ => Ok(()),
        }
    }

    fn fails_the_host(&self, value: Option<&[u8]>) -> bool {
        self.has_poison && value.is_some_and(|value| fails_the_host(value, self.deployed.version))
    }

    fn misbehave_in_tick(&mut self, partition: i32, scheduled_ms: i64) -> Result<(), ProcessError> {
        let is_flaky = is_flaky_tick(scheduled_ms) && self.is_first(u16::MAX, partition, scheduled_ms);
        if self.has_poison && (is_flaky || is_poison_tick(scheduled_ms, self.deployed.version)) {
            return Err(marked(FaultKind::Trap, None));
        }
        Ok(())
    }

    fn is_first(&mut self, input: u16, partition: i32, offset: i64) -> bool {
        let mut seen = self.seen.lock().expect(ONE_THREAD);
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
        let Deployed { revision, version, .. } = self.deployed;
        format!("{revision}.{version};{}", tables.join(","))
    }

    fn get(&mut self, partition: i32, key: &[u8], scope: &mut Scope) -> Result<Option<Tally>, ProcessError> {
        if let Some(cache) = &self.cache
            && let Some(known) = cache.lock().expect(ONE_THREAD).get(&(partition, key.to_vec()))
        {
            return Ok(*known);
        }
        let Some(store) = scope.stores.first_mut() else { return Ok(None) };
        let value = store.get(key).map_err(|error| ProcessError::Host(error.to_string()))?;
        Ok(value.and_then(Tally::decode))
    }

    fn put(&mut self, partition: i32, key: &[u8], tally: Option<Tally>, scope: &mut Scope) -> Result<(), ProcessError> {
        if let Some(cache) = &self.cache {
            cache.lock().expect(ONE_THREAD).insert((partition, key.to_vec()), tally);
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
