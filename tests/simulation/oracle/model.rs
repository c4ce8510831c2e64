//! One task as it should be: where it stands and what its state is, advanced by each of its commits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wasmill::client::Metadata;

use super::Violation;
use super::effects::{Effects, RecordOutput, TickOutput};
use crate::cluster::{Cluster, Log, Place, Role};
use crate::processors::{ALL_KEY, NULL_KEY, Tally, amount_of, place_of, place_of_tick};
use crate::versions::{self, is_poison, is_poison_tick};

pub struct TaskModel {
    pub partition: i32,
    /// Per input: the first offset that is not committed.
    pub next: Vec<i64>,
    /// `None` before genesis.
    pub committed: Option<Metadata>,
    /// What the first store must hold.
    pub tallies: BTreeMap<Vec<u8>, Tally>,
    /// What the second store must hold: the last offset of each key.
    pub last: BTreeMap<Vec<u8>, i64>,
    /// Per table and partition: how far it was when it was last read.
    pub(super) tables: Vec<Vec<i64>>,
    next_tick_ms: i64,
    /// What the newest cutover names.
    pub(super) version: u64,
}

/// An effect, in the order in which they were made.
enum Effect {
    Record(RecordOutput),
    Tick(TickOutput),
}

impl Effect {
    fn place(&self) -> u64 {
        match self {
            Self::Record(record) => record.all_count,
            Self::Tick(tick) => tick.all_count,
        }
    }
}

impl TaskModel {
    pub fn new(partition: i32, inputs: u16) -> Self {
        let (next, tallies, last) = (vec![0; usize::from(inputs)], BTreeMap::new(), BTreeMap::new());
        Self { partition, next, committed: None, tallies, last, tables: Vec::new(), next_tick_ms: 0, version: 0 }
    }

    /// Applies one commit, effect by effect.
    pub fn commit(
        &mut self,
        cluster: &Cluster,
        effects: Effects,
        next: &[i64],
        metadata: &Metadata,
        tick_interval: Option<Duration>,
    ) -> Result<(), Violation> {
        self.check_sequence(metadata)?;
        if self.committed.is_none() {
            // Where it begins is its own choice, once.
            self.next = next.to_vec();
        }
        self.check_revision(&effects, metadata)?;
        let interval_ms = versions::tick_interval(tick_interval, self.version).map_or(0, |i| i.as_millis() as i64);
        let Effects { records, ticks, mut dead_letters, mut dead_ticks, .. } = effects;
        if self.next_tick_ms == 0 {
            // The first one is due where the task was when it began to have any.
            let due = ticks.iter().map(|t| t.scheduled_ms).chain(dead_ticks.iter().copied());
            self.next_tick_ms = due.min().unwrap_or(metadata.next_tick_ms);
        }
        let mut made: Vec<Effect> = records.into_iter().map(Effect::Record).collect();
        made.extend(ticks.into_iter().map(Effect::Tick));
        made.sort_by_key(Effect::place);
        for effect in made {
            match effect {
                Effect::Record(output) => {
                    self.pass(cluster, output.input, output.offset, &mut dead_letters)?;
                    self.check_tables(cluster, &output.met, Some(output.key.as_deref().unwrap_or(NULL_KEY)))?;
                    self.record(cluster, &output)?;
                }
                Effect::Tick(output) => {
                    self.check_tables(cluster, &output.met, None)?;
                    self.pass_ticks(output.scheduled_ms, interval_ms, &mut dead_ticks)?;
                    self.tick(&output, interval_ms)?;
                }
            }
        }
        for (input, next) in next.iter().enumerate() {
            self.pass(cluster, input as u16, *next, &mut dead_letters)?;
            if self.next[input] > *next {
                return Err(format!("input {input}: processed to {}, committed {next}", self.next[input]));
            }
            self.next[input] = *next;
        }
        if !dead_letters.is_empty() {
            return Err(format!("dead letters of records that were not passed: {dead_letters:?}"));
        }
        self.check_table_positions(metadata)?;
        self.pass_ticks(metadata.next_tick_ms, interval_ms, &mut dead_ticks)?;
        if !dead_ticks.is_empty() {
            return Err(format!("dead letters of ticks that were not passed: {dead_ticks:?}"));
        }
        self.committed = Some(metadata.clone());
        Ok(())
    }

    fn check_sequence(&self, metadata: &Metadata) -> Result<(), Violation> {
        let expected = self.committed.as_ref().map_or(0, |m| m.sequence + 1);
        if metadata.sequence != expected {
            return Err(format!("its sequence should be {expected}"));
        }
        let before = self.committed.as_ref().map_or(0, |m| m.stream_time_ms);
        if metadata.stream_time_ms < before {
            return Err(format!("stream time went back from {before} to {}", metadata.stream_time_ms));
        }
        Ok(())
    }

    /// Moves an input up to `offset`: every record before it must have left a dead letter, and deserved it.
    fn pass(
        &mut self,
        cluster: &Cluster,
        input: u16,
        offset: i64,
        dead_letters: &mut BTreeSet<(u16, i64)>,
    ) -> Result<(), Violation> {
        let log = self.input(cluster, input);
        let next = self.next[usize::from(input)];
        for entry in log.committed(next, offset) {
            if !dead_letters.remove(&(input, entry.offset)) {
                return Err(format!("input {input}: record {} is lost, between {next} and {offset}", entry.offset));
            }
            if !is_poison(entry.value.as_deref(), self.version) {
                return Err(format!("input {input}: record {} is a dead letter without a reason", entry.offset));
            }
        }
        self.next[usize::from(input)] = next.max(offset);
        Ok(())
    }

    fn record(&mut self, cluster: &Cluster, output: &RecordOutput) -> Result<(), Violation> {
        let RecordOutput { input, offset, .. } = *output;
        if offset < self.next[usize::from(input)] {
            return Err(format!("input {input}: record {offset} is processed twice"));
        }
        let log = self.input(cluster, input);
        let entry = log.committed(offset, offset + 1).next();
        let Some(entry) = entry else { return Err(format!("input {input}: there is no committed record {offset}")) };
        let value = entry.value.as_deref();
        if is_poison(value, self.version) {
            return Err(format!("input {input}: record {offset} cannot be processed, but was"));
        }
        if (&output.key, output.timestamp_ms) != (&entry.key, entry.timestamp_ms) {
            return Err(format!("input {input}: the output of {offset} has another key or time"));
        }
        cluster.note(|| {
            format!(
                "judge: {}, input {input}: record {offset} of {:?}, {:?}",
                self.partition,
                entry.key,
                value.map(<[u8]>::len)
            )
        });
        let (place, amount) = (place_of(input, offset, value), amount_of(value));
        let key = entry.key.clone().unwrap_or_else(|| NULL_KEY.to_vec());
        let all = self.tallies.get(ALL_KEY).copied().unwrap_or_default().add(place, amount);
        self.tallies.insert(ALL_KEY.to_vec(), all);
        let tally = match value {
            None => {
                self.tallies.remove(&key);
                self.last.remove(&key);
                Tally::default()
            }
            Some(_) => {
                let tally = self.tallies.get(&key).copied().unwrap_or_default().add(place, amount);
                self.tallies.insert(key.clone(), tally);
                self.last.insert(key, offset);
                tally
            }
        };
        let found = Tally { count: output.count, sum: output.sum, chain: output.chain };
        if (output.all_count, output.all_chain) != (all.count, all.chain) || found != tally {
            return Err(format!(
                "input {input}: record {offset} met wrong state: {output:?}, not {tally:?} of {all:?}"
            ));
        }
        self.next[usize::from(input)] = offset + 1;
        Ok(())
    }

    /// Moves to the tick that is due at `to`: each one before it must have left a dead letter, which stands for those
    /// that were missed with it.
    fn pass_ticks(&mut self, to: i64, interval_ms: i64, dead: &mut BTreeSet<i64>) -> Result<(), Violation> {
        while self.next_tick_ms != to {
            let due = self.next_tick_ms;
            if !dead.remove(&due) || !is_poison_tick(due, self.version) {
                return Err(format!("the next tick is due at {to}, expected {due}"));
            }
            self.next_tick_ms = dead.first().copied().unwrap_or(to).min(to);
            if self.next_tick_ms <= due || interval_ms == 0 || self.next_tick_ms % interval_ms != 0 {
                return Err(format!("tick {} follows the dead one of {due}", self.next_tick_ms));
            }
        }
        Ok(())
    }

    fn tick(&mut self, output: &TickOutput, interval_ms: i64) -> Result<(), Violation> {
        if interval_ms == 0 {
            return Err(format!("a version without ticks made one: {output:?}"));
        }
        // Anchored: to the next multiple of the interval, even if another one was in force before.
        let last = output.scheduled_ms + output.missed as i64 * interval_ms;
        self.next_tick_ms = last - last.rem_euclid(interval_ms) + interval_ms;
        let place = place_of_tick(output.scheduled_ms, output.missed);
        let all = self.tallies.get(ALL_KEY).copied().unwrap_or_default().add(place, 1);
        self.tallies.insert(ALL_KEY.to_vec(), all);
        if (output.all_count, output.all_chain) != (all.count, all.chain) {
            return Err(format!("tick {} met wrong state: {output:?}, not {all:?}", output.scheduled_ms));
        }
        Ok(())
    }

    pub(super) fn input<'a>(&self, cluster: &'a Cluster, input: u16) -> &'a Log {
        cluster.log(Place { topic: cluster.topic(Role::Input(input)), partition: self.partition })
    }
}
