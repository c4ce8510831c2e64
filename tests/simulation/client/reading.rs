//! Reading inputs and changelogs, read_committed: up to the last stable offset, without aborted records and markers.

use std::collections::BTreeMap;

use wasmill::client::Event;
use wasmill::record::{Batch, BatchBuilder, Headers, Input, Offset, Partition, Position, Record};

use super::Connection;
use crate::cluster::{Fate, Log, Place, Role};
use crate::mutants::Mutant;
use crate::random::Random;

#[derive(Default)]
pub struct Reading {
    /// By partition, then input.
    fetches: BTreeMap<(i32, u16), Fetch>,
    /// By partition, then store.
    restores: BTreeMap<(i32, u16), Restore>,
    mutant: Option<Mutant>,
}

struct Fetch {
    next: i64,
    is_held: bool,
    known_end: Option<i64>,
}

struct Restore {
    next: i64,
    to: i64,
}

/// Most records of one batch.
const BATCH_RECORDS_MAX: u64 = 12;

impl Reading {
    pub fn new(mutant: Option<Mutant>) -> Self {
        Self { mutant, ..Self::default() }
    }

    pub fn fetch(&mut self, input: u16, partition: i32, next: i64) {
        let is_held = self.fetches.get(&(partition, input)).is_some_and(|f| f.is_held);
        let is_ahead = self.fetches.get(&(partition, input)).is_some_and(|f| f.next > next);
        if self.mutant == Some(Mutant::KeepReading) && is_ahead {
            return;
        }
        self.fetches.insert((partition, input), Fetch { next, is_held, known_end: None });
    }

    pub fn hold(&mut self, input: u16, partition: i32, is_held: bool) {
        if let Some(fetch) = self.fetches.get_mut(&(partition, input)) {
            fetch.is_held = is_held;
        }
    }

    pub fn restore(&mut self, store: u16, partition: i32, from: i64, to: i64) {
        let next = if self.mutant == Some(Mutant::SkipRestore) { to } else { from };
        self.restores.insert((partition, store), Restore { next, to });
    }

    pub fn stop(&mut self, partition: i32) {
        self.fetches.retain(|(p, _), _| *p != partition);
        self.restores.retain(|(p, _), _| *p != partition);
    }

    pub fn end_of(&self, input: u16, partition: i32) -> Option<i64> {
        self.fetches.get(&(partition, input))?.known_end
    }

    /// A batch of some input that has records, chosen at random.
    pub fn records(&mut self, connection: &Connection, random: &mut Random) -> Option<Event> {
        let cluster = connection.cluster.borrow();
        let start = random.below(self.fetches.len() as u64) as usize;
        let keys: Vec<(i32, u16)> = self.fetches.keys().copied().collect();
        for (partition, input) in keys.iter().cycle().skip(start).take(keys.len()) {
            let place = Place { topic: cluster.topic(Role::Input(*input)), partition: *partition };
            let log = cluster.log(place);
            let Some(fetch) = self.fetches.get_mut(&(*partition, *input)).filter(|f| !f.is_held) else { continue };
            if fetch.next < log.first() || fetch.next > log.end() {
                let position =
                    Position { input: Input(*input), partition: Partition(*partition), next: Offset(fetch.next) };
                let (first, end) = (Offset(log.first()), Offset(log.end()));
                self.fetches.remove(&(*partition, *input));
                return Some(Event::OutOfRange { position, first, end });
            }
            fetch.known_end = Some(log.end());
            let is_uncommitted = self.mutant == Some(Mutant::ReadUncommitted);
            let stable = if is_uncommitted { log.end() } else { log.stable_end() };
            let count = random.within(1, BATCH_RECORDS_MAX) as usize;
            let batch = batch(log, *input, *partition, fetch.next..stable, count, is_uncommitted);
            match batch {
                Some(batch) => {
                    fetch.next = batch.next().0;
                    return Some(Event::Records(batch));
                }
                None => fetch.next = fetch.next.max(stable),
            }
        }
        None
    }

    /// The next part of some changelog that is being restored.
    pub fn changelog(&mut self, connection: &Connection, random: &mut Random) -> Option<Event> {
        let cluster = connection.cluster.borrow();
        let keys: Vec<(i32, u16)> = self.restores.keys().copied().collect();
        let start = random.below(keys.len() as u64) as usize;
        for (partition, store) in keys.iter().cycle().skip(start).take(keys.len()) {
            let place = Place { topic: cluster.topic(Role::Changelog(*store)), partition: *partition };
            let log = cluster.log(place);
            let restore = self.restores.get_mut(&(*partition, *store))?;
            let stable = restore.to.min(log.stable_end());
            let with_aborted = self.mutant == Some(Mutant::RestoreAborted);
            let count = random.within(1, BATCH_RECORDS_MAX) as usize;
            if let Some(batch) = batch(log, *store, *partition, restore.next..stable, count, with_aborted) {
                restore.next = batch.next().0;
                return Some(Event::Changelog(batch));
            }
            restore.next = restore.next.max(stable);
            let is_satisfied = self.mutant == Some(Mutant::RestoreToStable) && restore.next >= stable;
            if restore.next >= restore.to || is_satisfied {
                let to = Offset(restore.to);
                self.restores.remove(&(*partition, *store));
                return Some(Event::Restored { store: *store, partition: Partition(*partition), to });
            }
        }
        None
    }
}

/// At most `count` visible records of a range; `None` if there are none.
fn batch(
    log: &Log,
    input: u16,
    partition: i32,
    range: std::ops::Range<i64>,
    count: usize,
    with_aborted: bool,
) -> Option<Batch> {
    let mut builder = BatchBuilder::new(Input(input), Partition(partition), None);
    let is_visible = |fate| matches!(fate, Fate::Plain | Fate::Committed) || with_aborted && fate != Fate::Marker;
    for entry in log.range(range.start, range.end).filter(|e| is_visible(e.fate)).take(count) {
        builder.push(&Record {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: entry.key.as_deref(),
            value: entry.value.as_deref(),
            headers: Headers(&entry.headers),
        });
    }
    (!builder.is_empty()).then(|| builder.build())
}
