//! One simulated world: a cluster, hosts with workers, a stream of inputs, and everything that can go wrong, all moved by
//! one seeded schedule on one thread. Runs the host's own worker, task and store code.

mod actions;
mod host;
mod inputs;
mod outside;
mod rollout;
mod seat;
mod tables;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wasmill::worker::Command;

use crate::clock::Time;
use crate::cluster::Cluster;
use crate::faults::Weather;
use crate::mutants::Mutant;
use crate::oracle::{Oracle, Violation};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::trace::Trace;
use host::Host;
use inputs::Inputs;
use rollout::Rollout;

pub struct World {
    scenario: Scenario,
    time: Time,
    cluster: Rc<RefCell<Cluster>>,
    hosts: Vec<Host>,
    inputs: Inputs,
    weather: Weather,
    oracle: Oracle,
    random: Random,
    trace: Trace,
    stats: Stats,
    /// The task that was damaged from outside, which may and must halt.
    damaged: Option<i32>,
    rollout: Rollout,
}

/// What a run went through: a simulation in which nothing happens finds nothing.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub turns: u64,
    pub commits: u64,
    pub records: u64,
    pub dead_letters: u64,
    pub ticks: u64,
    pub failed_commits: u64,
    pub crashes: u64,
    pub pauses: u64,
    pub ghosts: u64,
    pub restarts: u64,
    pub deployments: u64,
    /// Adoptions that were ordered of a worker.
    pub orders: u64,
    /// Times that a task had to wait for its revision.
    pub waits: u64,
    pub condemned: u64,
    pub returns: u64,
    pub damages: u64,
    pub virtual_ms: u64,
    /// Of everything that readers see: equal for equal seeds.
    pub digest: u64,
}

/// A run's seed and end.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub stats: Stats,
    pub violation: Option<Violation>,
    pub trace: Vec<String>,
}

/// How long a host prepares a version, at most: a cached one, a small one, one in an interpreted language.
const PREPARE_MS: &[u64] = &[1, 50, 1000, 12_000];

/// Virtual time in which everything must be processed once faults have ended.
const DRAIN_MAX: Duration = Duration::from_secs(60);

pub fn run(seed: u64, mutant: Option<Mutant>, trace: Trace) -> Report {
    let mut world = World::new(seed, mutant, trace);
    let violation = world.run().err();
    world.stats.virtual_ms = world.time.now().as_millis() as u64;
    world.stats.digest = world.digest();
    Report { seed, stats: world.stats.clone(), violation, trace: world.trace.lines() }
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let scenario = Scenario::draw(&mut random, mutant);
        let cluster = Cluster::new(
            &scenario.roles(),
            scenario.is_cooperative,
            scenario.pace.clone(),
            random.fork(),
            trace.clone(),
        );
        let time = Time::default();
        let hosts = (0..scenario.hosts).map(|i| Host::new(i, &scenario, &time, *random.pick(PREPARE_MS))).collect();
        Self {
            oracle: Oracle::new(scenario.partitions, scenario.inputs, scenario.tick_interval),
            inputs: Inputs::new(&scenario, random.fork()),
            weather: Weather::new(scenario.faults.clone()),
            cluster: Rc::new(RefCell::new(cluster)),
            hosts,
            time,
            random,
            trace,
            stats: Stats::default(),
            damaged: None,
            rollout: Rollout::new(),
            scenario,
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        for host in 0..self.hosts.len() {
            self.start(host);
        }
        for _ in 0..self.scenario.actions {
            self.act()?;
        }
        self.end_faults();
        self.drain()?;
        self.judge_stores()?;
        if self.scenario.is_damaged_at_end { self.damage_from_outside() } else { Ok(()) }
    }

    fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.time.now(), line);
    }

    /// Lets time pass in small steps; all threads that are not paused run beside it.
    fn pass(&mut self, time: Duration) -> Result<(), Violation> {
        let mut left = time;
        while left > Duration::ZERO {
            let step = left.min(Duration::from_micros(self.random.within(100, 40_000)));
            left -= step;
            self.time.advance(step);
            let now = self.time.now();
            let is_broker_first = self.random.chance(500);
            self.cluster.borrow_mut().now = now;
            if is_broker_first {
                self.cluster.borrow_mut().advance(now);
            }
            self.hosts.iter().for_each(|host| host.run_threads(now));
            self.read_tables(now);
            if !is_broker_first {
                self.cluster.borrow_mut().advance(now);
            }
            self.judge_decided()?;
        }
        Ok(())
    }

    fn read_tables(&mut self, now: Duration) {
        let cluster = self.cluster.borrow();
        let awake = self.hosts.iter().filter(|host| !host.is_paused(now) && now >= host.cut_off_until);
        awake.for_each(|host| host.tables.run(&cluster, &mut self.random));
    }

    fn judge_decided(&mut self) -> Result<(), Violation> {
        let mut cluster = self.cluster.borrow_mut();
        for decided in cluster.take_decided() {
            self.oracle.decided(&cluster, &decided)?;
        }
        Ok(())
    }

    fn end_faults(&mut self) {
        self.note(|| "world: faults end".to_owned());
        self.weather.calm();
        self.inputs.settle(&mut self.cluster.borrow_mut());
        for host in 0..self.hosts.len() {
            self.hosts[host].resume();
            self.start(host);
            self.hosts[host].seats.iter_mut().flatten().for_each(|seat| seat.worker.command(Command::Resume));
        }
    }

    /// After the faults everything must be processed, in bounded time.
    fn drain(&mut self) -> Result<(), Violation> {
        let until = self.time.now() + DRAIN_MAX;
        while self.time.now() < until {
            for host in 0..self.hosts.len() {
                for seat in 0..self.scenario.workers {
                    self.turn(host, seat)?;
                }
                self.start(host);
            }
            let pause = Duration::from_micros(self.random.within(100, 4000));
            self.pass(pause)?;
            let is_behind = self.oracle.behind(&self.cluster.borrow()).is_some();
            if !is_behind && self.is_at_rest() && self.is_rolled_out() {
                return self.oracle.at_rest(&self.cluster.borrow());
            }
        }
        let behind = self.oracle.behind(&self.cluster.borrow());
        let hosts: Vec<String> = self.hosts.iter().map(Host::describe).collect();
        let active = self.rollout.active;
        Err(format!("no progress to {active:?}: {} is not processed; {}", behind.unwrap_or_default(), hosts.join("; ")))
    }

    fn is_at_rest(&self) -> bool {
        let cluster = self.cluster.borrow();
        cluster.is_settled() && cluster.group.is_stable() && !self.hosts.iter().any(Host::is_committing)
    }

    /// What the owners' local stores hold must be what was committed.
    fn judge_stores(&mut self) -> Result<(), Violation> {
        for host in &self.hosts {
            host.judge_stores(&self.oracle)?;
        }
        self.stats.commits = self.oracle.commits;
        self.stats.records = self.oracle.outputs;
        self.stats.ticks = self.oracle.ticks;
        self.stats.dead_letters = self.oracle.dead_letters;
        Ok(())
    }

    fn digest(&self) -> u64 {
        let cluster = self.cluster.borrow();
        let logs = cluster.topics.iter().flat_map(|t| &t.partitions);
        logs.flat_map(|log| log.range(0, log.end())).fold(0, |digest, entry| {
            let value = entry.value.as_deref().map_or(7, crate::random::mix_bytes);
            crate::random::mix(digest ^ value ^ entry.offset as u64)
        })
    }
}
