//! One simulated world's shape, drawn from its seed: small, and different in everything that could matter.

use std::time::Duration;

use crate::cluster::{Pace, Role};
use crate::faults::Faults;
use crate::mutants::Mutant;
use crate::processors::Nature;
use crate::random::Random;
use wasmill::task::Start;
use wasmill::worker::{Bounds, OnError};

#[derive(Clone)]
pub struct Scenario {
    pub partitions: i32,
    pub inputs: u16,
    pub outputs: u16,
    pub stores: u16,
    pub tables: u16,
    pub hosts: usize,
    pub workers: usize,
    /// Input records of the whole run.
    pub records: u64,
    /// Actions before faults end.
    pub actions: u64,
    pub is_cooperative: bool,
    pub is_on_disk: bool,
    pub has_poison: bool,
    /// What a task depends on is taken away once all is processed.
    pub is_damaged_at_end: bool,
    pub has_transactional_inputs: bool,
    pub tick_interval: Option<Duration>,
    pub merge_wait: Duration,
    pub start: Start,
    pub set_records_max: usize,
    pub bounds: Bounds,
    pub on_error: OnError,
    pub nature: Nature,
    pub pace: Pace,
    pub faults: Faults,
    pub mutant: Option<Mutant>,
}

/// A checkpoint older than this is not used; removals are collected after twice that time.
pub const CHECKPOINT_AGE: Duration = Duration::from_secs(5);

impl Scenario {
    pub fn draw(random: &mut Random, mutant: Option<Mutant>) -> Self {
        let inputs = if random.chance(300) { 2 } else { 1 };
        let outputs = random.within(1, 2) as u16;
        let tick_ms = random.within(200, 900);
        let has_poison = random.chance(500);
        let backoff = Duration::from_millis(random.within(5, 50));
        let scenario = Self {
            partitions: random.within(1, 4) as i32,
            inputs,
            outputs,
            stores: random.within(1, 2) as u16,
            tables: random.below(4).saturating_sub(1) as u16,
            hosts: random.within(1, 3) as usize,
            workers: random.within(1, 2) as usize,
            records: random.within(40, 300),
            actions: random.within(600, 3000),
            is_cooperative: inputs == 1,
            is_on_disk: random.chance(600) || mutant.is_some_and(Mutant::is_in_store),
            has_poison,
            is_damaged_at_end: random.chance(250),
            has_transactional_inputs: random.chance(500),
            tick_interval: random.chance(300).then(|| Duration::from_millis(tick_ms)),
            merge_wait: Duration::from_millis(random.within(0, 40)),
            start: if random.chance(800) { Start::Earliest } else { Start::Latest },
            set_records_max: if random.chance(200) { 60 } else { usize::MAX },
            bounds: bounds(random),
            on_error: if random.chance(700) { OnError::DeadLetter } else { OnError::Retry { times: 2, backoff } },
            nature: Nature { is_caching: random.chance(500), outputs, has_poison, mutant },
            pace: pace(random),
            faults: Faults::swarm(random),
            mutant,
        };
        scenario.focused()
    }

    /// A planted fault is looked for where it can show: its occasion is there in every run, how often is drawn.
    fn focused(mut self) -> Self {
        match self.mutant {
            Some(Mutant::KeepProducer) => {
                self.faults.cut_permille = self.faults.cut_permille.max(40);
                self.faults.held_permille = self.faults.held_permille.max(400);
            }
            Some(Mutant::RestoreToStable) => self.pace.marker_slow_permille = self.pace.marker_slow_permille.max(50),
            Some(Mutant::ForgetApply) => self.faults.disk_permille = self.faults.disk_permille.max(5),
            Some(Mutant::ForgetTables) => self.tables = self.tables.max(1),
            Some(mutant) if mutant.is_in_swap() => {
                self.faults.roll_out = self.faults.roll_out.max(20);
                self.nature.is_caching |= mutant == Mutant::AdoptUsedInstance;
            }
            _ => {}
        }
        self
    }

    pub fn roles(&self) -> Vec<(Role, i32)> {
        let partitions = self.partitions;
        let mut roles: Vec<(Role, i32)> = (0..self.inputs).map(|i| (Role::Input(i), partitions)).collect();
        roles.extend((0..self.outputs).map(|i| (Role::Output(i), 2)));
        roles.extend((0..self.stores).map(|i| (Role::Changelog(i), partitions)));
        roles.extend([(Role::DeadLetters, partitions), (Role::Cutovers, 1)]);
        roles.extend((0..self.tables).map(|i| (Role::Table(i), 1 + i32::from(i))));
        roles
    }
}

fn bounds(random: &mut Random) -> Bounds {
    let interval = Duration::from_millis(random.within(1, 60));
    Bounds {
        commit_interval: interval,
        commit_min_interval: interval.min(Duration::from_millis(random.within(0, 10))),
        commit_records_max: *random.pick(&[1, 5, 20, 50, 500]),
        commit_writes_max: *random.pick(&[20, 1000]),
        commit_bytes_max: *random.pick(&[2_000, 1 << 20]),
        overlap: random.chance(500),
        revoke_budget: Duration::from_millis(random.within(50, 600)),
        stop_budget: Duration::from_millis(random.within(50, 600)),
    }
}

fn pace(random: &mut Random) -> Pace {
    let session_timeout = Duration::from_millis(random.within(300, 1500));
    Pace {
        marker_delay_ms_max: random.within(0, 8),
        marker_slow_permille: if random.chance(500) { random.within(1, 100) } else { 0 },
        transaction_timeout: Duration::from_millis(random.within(2000, 5000)),
        session_timeout,
        rebalance_timeout: session_timeout * 3,
    }
}
