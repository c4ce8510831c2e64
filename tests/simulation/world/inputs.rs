//! The producers of the inputs: plain ones and transactional ones, some of whose records are never committed.

use wasmill::record::partition_of;

use crate::cluster::{Cluster, NewEntry, Place, Role};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::versions::{BREAKS_BAD, FAILS, FLAKY, HOST_FAILS, LIES, TRAPS};

pub struct Inputs {
    left: u64,
    inputs: u16,
    partitions: i32,
    tables: u16,
    has_poison: bool,
    is_transactional: bool,
    /// Of the foreign producers: who has a transaction open, and where.
    open: Vec<(u64, Place)>,
    next_producer: u64,
    random: Random,
}

/// Producers of ours count from 1; these are none of ours.
const FOREIGN_PRODUCERS: u64 = 1 << 40;

pub const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f", "g"];

impl Inputs {
    pub fn new(scenario: &Scenario, random: Random) -> Self {
        Self {
            left: scenario.records,
            inputs: scenario.inputs,
            partitions: scenario.partitions,
            tables: scenario.tables,
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
        if self.tables > 0 && self.random.chance(300) {
            return self.produce_row(cluster, now_ms);
        }
        let count = self.random.within(1, 12).min(self.left);
        self.left -= count;
        let input = self.random.below(u64::from(self.inputs)) as u16;
        let partition = self.random.below(self.partitions as u64) as i32;
        let place = Place { topic: cluster.topic(Role::Input(input)), partition };
        let records: Vec<NewEntry> = (0..count).map(|_| self.record(now_ms)).collect();
        let producer = if self.is_transactional && self.random.chance(300) { self.next_producer } else { 0 };
        cluster.log_mut(place).append(&records, producer);
        if producer != 0 && !records.is_empty() {
            self.next_producer += 1;
            self.open.push((producer, place));
        }
    }

    /// Some records into every partition but one of every input.
    pub fn produce_beside(&mut self, but: i32, cluster: &mut Cluster, now_ms: i64) {
        let (inputs, partitions) = (self.inputs, self.partitions);
        for (input, partition) in (0..inputs).flat_map(|i| (0..partitions).filter(|p| *p != but).map(move |p| (i, p))) {
            let place = Place { topic: cluster.topic(Role::Input(input)), partition };
            let records: Vec<NewEntry> = (0..3).map(|_| self.record(now_ms)).collect();
            cluster.log_mut(place).append(&records, 0);
        }
    }

    /// A new value, or a removal, in a table.
    fn produce_row(&mut self, cluster: &mut Cluster, timestamp_ms: i64) {
        let topic = cluster.topic(Role::Table(self.random.below(u64::from(self.tables)) as u16));
        let key = self.random.pick(KEYS).as_bytes().to_vec();
        let partition = partition_of(&key, cluster.topics[topic].partitions.len() as i32).0;
        let value = (!self.random.chance(200)).then(|| self.random.below(100_000).to_string().into_bytes());
        let row = NewEntry { key: Some(key), value, headers: Vec::new(), timestamp_ms };
        cluster.log_mut(Place { topic, partition }).append(&[row], 0);
    }

    fn end_one(&mut self, cluster: &mut Cluster) {
        let (producer, place) = self.open.swap_remove(self.random.below(self.open.len() as u64) as usize);
        let is_commit = self.random.chance(600);
        cluster.log_mut(place).mark(producer, is_commit);
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
            5 | 6 => BREAKS_BAD,
            4 if self.has_poison && self.random.chance(200) => HOST_FAILS,
            _ => b'v',
        };
        let mut value = vec![mark];
        value.extend_from_slice(number.to_string().as_bytes());
        value
    }
}
