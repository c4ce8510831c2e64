//! The producers of the inputs: plain ones and transactional ones, some of whose records are never committed.

use crate::cluster::{Cluster, NewEntry, Place, Role};
use crate::processors::{FAILS, FLAKY, HOST_FAILS, LIES, TRAPS};
use crate::random::Random;
use crate::scenario::Scenario;

pub struct Inputs {
    left: u64,
    inputs: u16,
    partitions: i32,
    has_poison: bool,
    is_transactional: bool,
    /// Of the foreign producers: who has a transaction open, and where.
    open: Vec<(u64, Place)>,
    next_producer: u64,
    random: Random,
}

/// Producers of ours count from 1; these are none of ours.
const FOREIGN_PRODUCERS: u64 = 1 << 40;

const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f", "g"];

impl Inputs {
    pub fn new(scenario: &Scenario, random: Random) -> Self {
        Self {
            left: scenario.records,
            inputs: scenario.inputs,
            partitions: scenario.partitions,
            has_poison: scenario.has_poison,
            is_transactional: scenario.has_transactional_inputs,
            open: Vec::new(),
            next_producer: FOREIGN_PRODUCERS,
            random,
        }
    }

    /// Writes some records, or ends a foreign transaction.
    pub fn produce(&mut self, cluster: &mut Cluster, now_ms: i64) {
        if !self.open.is_empty() && self.random.chance(400) {
            return self.end_one(cluster);
        }
        let count = self.random.within(1, 12).min(self.left);
        self.left -= count;
        let input = self.random.below(u64::from(self.inputs)) as u16;
        let partition = self.random.below(self.partitions as u64) as i32;
        let place = Place { topic: cluster.topic(Role::Input(input)), partition };
        let records: Vec<NewEntry> = (0..count).map(|_| self.record(now_ms)).collect();
        let producer = if self.is_transactional && self.random.chance(300) { self.next_producer } else { 0 };
        let now = cluster.now;
        cluster.log_mut(place).append(&records, producer, now);
        if producer != 0 && !records.is_empty() {
            self.next_producer += 1;
            self.open.push((producer, place));
        }
    }

    fn end_one(&mut self, cluster: &mut Cluster) {
        let (producer, place) = self.open.swap_remove(self.random.below(self.open.len() as u64) as usize);
        let (is_commit, now) = (self.random.chance(600), cluster.now);
        cluster.log_mut(place).mark(producer, is_commit, now);
    }

    /// Ends every open transaction, as their time-outs would.
    pub fn settle(&mut self, cluster: &mut Cluster) {
        while !self.open.is_empty() {
            self.end_one(cluster);
        }
    }

    fn record(&mut self, now_ms: i64) -> NewEntry {
        let key = (!self.random.chance(100)).then(|| self.random.pick(KEYS).as_bytes().to_vec());
        let value = (!self.random.chance(150)).then(|| self.value());
        let skew_ms = self.random.below(20) as i64;
        NewEntry { key, value, headers: Vec::new(), timestamp_ms: now_ms - skew_ms }
    }

    fn value(&mut self) -> Vec<u8> {
        let number = self.random.below(100_000);
        let mark = match self.random.below(40) {
            0 if self.has_poison => FAILS,
            1 if self.has_poison => TRAPS,
            2 if self.has_poison => LIES,
            3 if self.has_poison => FLAKY,
            4 if self.has_poison && self.random.chance(200) => HOST_FAILS,
            _ => b'v',
        };
        let mut value = vec![mark];
        value.extend_from_slice(number.to_string().as_bytes());
        value
    }
}
