//! What may happen next, and how often. Every choice comes from the seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wasmill::task::State;
use wasmill::worker::{Command, Turn};

use super::World;
use crate::client::Connection;
use crate::cluster::Role;
use crate::oracle::Violation;
use crate::scenario::CHECKPOINT_AGE;

impl World {
    /// One action: mostly a turn of some worker, or a little time.
    pub(super) fn act(&mut self) -> Result<(), Violation> {
        let host = self.random.below(self.hosts.len() as u64) as usize;
        match self.random.below(100) {
            0..2 => self.haunt(host),
            2..55 => {
                let seat = self.random.below(self.scenario.workers as u64) as usize;
                self.turn(host, seat)
            }
            55..85 => {
                let time = self.some_time();
                self.pass(time)
            }
            85..94 => {
                let now_ms = self.time.wall_ms();
                self.inputs.produce(&mut self.cluster.borrow_mut(), now_ms);
                Ok(())
            }
            _ => self.something_wrong(host),
        }
    }

    /// Mostly as long as a request takes.
    fn some_time(&mut self) -> Duration {
        let max_us = match self.random.below(100) {
            0..70 => 2_000,
            70..95 => 20_000,
            95..99 => 200_000,
            _ => 1_000_000,
        };
        Duration::from_micros(self.random.within(1, max_us))
    }

    pub(super) fn turn(&mut self, host: usize, seat: usize) -> Result<(), Violation> {
        let now = self.time.now();
        if self.hosts[host].is_paused(now) || now < self.hosts[host].stalled_until {
            return Ok(());
        }
        let wait = Duration::from_millis(self.random.below(10));
        self.hand_out(host);
        let Some(at_work) = &mut self.hosts[host].seats[seat] else {
            self.start_if_due(host);
            return Ok(());
        };
        self.stats.turns += 1;
        let before = at_work.worker.status();
        at_work.tell_judge(now);
        let turned = catch_unwind(AssertUnwindSafe(|| at_work.worker.turn(wait)));
        let turn = turned.map_err(|panic| format!("panic in a turn: {}", message(panic.as_ref())))?;
        self.stats.failed_commits += at_work.worker.counters().commits_failed - before.counters.commits_failed;
        if let Turn::Ended(end) = turn {
            if at_work.is_leaving {
                at_work.worker.leave_group();
            }
            self.hosts[host].seats[seat] = None;
            self.note(|| format!("world: worker {seat} of host {host} ended: {end:?}"));
            self.stats.restarts += 1;
        }
        self.follow(host, seat, &before)?;
        self.check_halts(host, seat)
    }

    /// A turn of each process that was taken for dead.
    fn haunt(&mut self, host: usize) -> Result<(), Violation> {
        let now = self.time.now();
        let mut ghosts = std::mem::take(&mut self.hosts[host].ghosts);
        for _ in 0..5 {
            for ghost in ghosts.iter_mut().filter(|g| now >= g.paused_until) {
                let turned = catch_unwind(AssertUnwindSafe(|| ghost.seat.worker.turn(Duration::ZERO)));
                match turned.map_err(|panic| format!("panic in a turn: {}", message(panic.as_ref())))? {
                    Turn::Go => {}
                    // Its own process ends by itself; here it is kept from being called again.
                    Turn::Ended(_) => ghost.paused_until = Duration::MAX,
                }
            }
        }
        ghosts.retain(|g| g.paused_until != Duration::MAX);
        self.hosts[host].ghosts = ghosts;
        Ok(())
    }

    /// Nothing here is a reason for an owner to halt. Who has lost a task without knowing it yet may misread what he
    /// finds.
    fn check_halts(&self, host: usize, seat: usize) -> Result<(), Violation> {
        let Some(at_work) = &self.hosts[host].seats[seat] else { return Ok(()) };
        let status = at_work.worker.status();
        let cluster = self.cluster.borrow();
        let member = at_work.threads.member_id();
        let mut halted = status.tasks.iter().filter(|t| matches!(t.state, State::Halted { .. }));
        let may_halt = |partition: i32| self.damaged == Some(partition);
        match halted.find(|t| cluster.group.is_owner(&member, t.partition.0) && !may_halt(t.partition.0)) {
            Some(task) => Err(format!("task {} of host {host} halted: {:?}", task.partition, task.state)),
            None => Ok(()),
        }
    }

    fn start_if_due(&mut self, host: usize) {
        if self.time.now() >= self.hosts[host].down_until {
            self.start(host);
        }
    }

    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].seats.iter().all(Option::is_some) {
            return;
        }
        self.note(|| format!("world: host {host} starts what does not run"));
        let connection = Connection {
            cluster: self.cluster.clone(),
            instance: String::new(),
            inputs: self.scenario.inputs,
            stores: self.scenario.stores,
            set_records_max: self.scenario.set_records_max,
            weather: self.weather.clone(),
            fails: self.weather.disks_fail(),
            mutant: self.scenario.mutant,
        };
        self.hosts[host].start(&connection, &mut self.random);
    }

    fn something_wrong(&mut self, host: usize) -> Result<(), Violation> {
        let faults = self.weather.now();
        let mut at = self.random.below(400);
        let mut is_chosen = |weight: u64| {
            let is_chosen = at < weight;
            at = if is_chosen { u64::MAX } else { at.saturating_sub(weight) };
            is_chosen
        };
        if is_chosen(faults.crash) {
            self.crash(host);
        } else if is_chosen(faults.pause) {
            self.pause(host);
        } else if is_chosen(faults.stall) {
            let most_ms = self.scenario.pace.rebalance_timeout.as_millis() as u64 * 2;
            let time = Duration::from_millis(1 + self.random.below(most_ms));
            self.note(|| format!("world: the workers of host {host} stall for {time:?}"));
            self.hosts[host].stalled_until = self.time.now() + time;
        } else if is_chosen(faults.cut_off) {
            let session_ms = self.scenario.pace.session_timeout.as_millis() as u64;
            let time = Duration::from_millis(1 + self.random.below(session_ms * 3));
            self.note(|| format!("world: host {host} is cut off for {time:?}"));
            self.hosts[host].cut_off_until = self.time.now() + time;
        } else if is_chosen(faults.replace) {
            let time = Duration::from_millis(1 + self.random.below(2000));
            self.note(|| format!("world: host {host} is replaced, and comes back after {time:?}"));
            self.stats.ghosts += 1;
            self.hosts[host].replace(self.time.now() + time);
        } else if is_chosen(faults.standstill) {
            let is_pause = self.random.chance(400);
            self.note(|| format!("world: host {host}: {}", if is_pause { "pause" } else { "resume" }));
            let command = || if is_pause { Command::Pause } else { Command::Resume };
            self.hosts[host].seats.iter_mut().flatten().for_each(|seat| seat.worker.command(command()));
        } else if is_chosen(faults.kick) {
            self.kick();
        } else if is_chosen(faults.rebalance) {
            let now = self.time.now();
            self.note(|| "world: the group has to join anew".to_owned());
            self.cluster.borrow_mut().group.rebalance(now);
        } else if is_chosen(faults.stop) {
            self.command(host, false);
        } else if is_chosen(faults.leave) {
            self.command(host, true);
        } else if is_chosen(faults.clock_jump) {
            let skew_ms = self.random.within(0, 4000) as i64 - 2000;
            self.hosts[host].clock.set_skew_ms(skew_ms);
        } else if is_chosen(faults.compaction) {
            self.compact();
        } else if is_chosen(faults.deploy) {
            self.deploy_anew();
        } else if is_chosen(faults.roll_out) {
            self.roll_out();
        } else if is_chosen(faults.rest) {
            return self.rest(host);
        }
        Ok(())
    }

    fn crash(&mut self, host: usize) {
        self.note(|| format!("world: host {host} crashes"));
        self.stats.crashes += 1;
        let faults = self.weather.now();
        let down_ms = *self.random.pick(&[0, 5, 50, 500, 3000]);
        self.hosts[host].down_until = self.time.now() + Duration::from_millis(self.random.below(1 + down_ms));
        self.hosts[host].crash(&mut self.random);
        self.damage_disks(host, faults.lost_disk, faults.old_disk);
    }

    /// While a host is down its disk may be lost, or come back from another time.
    fn damage_disks(&mut self, host: usize, lost_permille: u64, old_permille: u64) {
        let disks = self.hosts[host].disks.clone();
        for (key, disk) in disks.lock().expect("one thread runs a simulation").iter() {
            let mut disk = disk.lock().expect("one thread runs a simulation");
            let now = disk.clone();
            if self.random.chance(lost_permille) {
                *disk = Default::default();
            } else if self.random.chance(old_permille)
                && let Some(old) = self.hosts[host].old_disks.get(key)
            {
                *disk = old.clone();
            }
            if self.random.chance(500) {
                self.hosts[host].old_disks.insert(*key, now);
            }
        }
    }

    fn pause(&mut self, host: usize) {
        let session_ms = self.scenario.pace.session_timeout.as_millis() as u64;
        let ms = *self.random.pick(&[50, session_ms / 2, session_ms * 2, session_ms * 5]);
        let time = Duration::from_millis(1 + self.random.below(ms));
        self.note(|| format!("world: host {host} is paused for {time:?}"));
        self.stats.pauses += 1;
        self.hosts[host].paused_until = self.time.now() + time;
    }

    /// An administrator, or the broker by mistake, removes a member.
    fn kick(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        let ids = cluster.group.member_ids();
        if ids.is_empty() {
            return;
        }
        let id = self.random.pick(&ids);
        let now = cluster.now;
        cluster.note(|| format!("world: {id} is removed from the group"));
        cluster.group.leave(now, id);
    }

    fn command(&mut self, host: usize, is_leaving: bool) {
        let seat = self.random.below(self.scenario.workers as u64) as usize;
        self.note(|| format!("world: host {host} stops worker {seat}, leaving: {is_leaving}"));
        if let Some(at_work) = &mut self.hosts[host].seats[seat] {
            at_work.is_leaving = is_leaving;
            at_work.worker.command(Command::Stop);
        }
    }

    fn compact(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        let now = cluster.now;
        cluster.note(|| "world: the cleaner runs".to_owned());
        for topic in cluster.topics.iter_mut().filter(|t| matches!(t.role, Role::Changelog(_))) {
            topic.partitions.iter_mut().for_each(|log| log.compact(now, CHECKPOINT_AGE * 2));
        }
    }

    /// A host is away for so long that removals are collected behind its back, while the others go on.
    fn rest(&mut self, host: usize) -> Result<(), Violation> {
        self.note(|| format!("world: host {host} rests"));
        self.hosts[host].crash(&mut self.random);
        self.hosts[host].down_until = Duration::MAX;
        for _ in 0..200 {
            let other = self.random.below(self.hosts.len() as u64) as usize;
            let seat = self.random.below(self.scenario.workers as u64) as usize;
            self.turn(other, seat)?;
            let time = Duration::from_micros(self.random.within(1, 20_000));
            self.pass(time)?;
            if self.random.chance(50) {
                let now_ms = self.time.wall_ms();
                self.inputs.produce(&mut self.cluster.borrow_mut(), now_ms);
            }
        }
        self.compact();
        // Longer than removals are kept; who restores meanwhile must be done before they go.
        for _ in 0..50 {
            for other in 0..self.hosts.len() {
                for seat in 0..self.scenario.workers {
                    self.turn(other, seat)?;
                }
            }
            self.pass(CHECKPOINT_AGE * 2 / 45)?;
        }
        self.compact();
        self.hosts[host].down_until = self.time.now();
        Ok(())
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "no text".to_owned())
}
