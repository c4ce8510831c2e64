//! What somebody does to topics and offsets from outside, at the end of a run: whatever a task's state depends on is taken
//! away, and the task must halt and say so, while the others go on. Never may it go on with less.

use std::time::Duration;

use wasmill::client::Metadata;
use wasmill::task::State;

use super::World;
use crate::cluster::{OffsetText, Place, Role};
use crate::oracle::Violation;

#[derive(Clone, Copy, Debug)]
enum Damage {
    OffsetsExpired,
    OffsetsOfOneInputExpired,
    OffsetsReset,
    TextsOfTwoCommits,
    InputRemoved,
    InputTruncated,
    ChangelogRecreated,
    ChangelogTruncated,
    ChangelogBeheaded,
}

const ALL: &[Damage] = &[
    Damage::OffsetsExpired,
    Damage::OffsetsOfOneInputExpired,
    Damage::OffsetsReset,
    Damage::TextsOfTwoCommits,
    Damage::InputRemoved,
    Damage::InputTruncated,
    Damage::ChangelogRecreated,
    Damage::ChangelogTruncated,
    Damage::ChangelogBeheaded,
];

/// Virtual time within which everybody must have found out.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

impl World {
    /// Takes something away from one task, and judges what follows.
    pub(super) fn damage_from_outside(&mut self) -> Result<(), Violation> {
        let partition = self.random.below(self.scenario.partitions as u64) as i32;
        let damage = *self.random.pick(ALL);
        let before = self.oracle.task(partition).committed.as_ref().map(|m| m.sequence);
        for host in 0..self.hosts.len() {
            self.hosts[host].crash(&mut self.random);
            self.hosts[host].down_until = Duration::MAX;
        }
        // Requests of the dead that are still on their way, and what they left open.
        self.pass(LEFTOVERS_END)?;
        if !self.damage(damage, partition) {
            return Ok(());
        }
        self.note(|| format!("world: {damage:?} on partition {partition}"));
        self.damaged = Some(partition);
        self.stats.damages += 1;
        // A log that was cut and then grew again cannot be told from one that was not.
        let but = if matches!(damage, Damage::InputTruncated) { partition } else { -1 };
        self.inputs.produce_beside(but, &mut self.cluster.borrow_mut(), self.time.wall_ms());
        self.await_halt(partition).map_err(|violation| format!("{damage:?} on partition {partition}: {violation}"))?;
        let after = self.oracle.task(partition).committed.as_ref().map(|m| m.sequence);
        if before != after {
            return Err(format!("{damage:?} on partition {partition}: commit {after:?} follows {before:?}"));
        }
        Ok(())
    }

    /// Until the owner of the damaged task has halted it and all other input is processed.
    fn await_halt(&mut self, partition: i32) -> Result<(), Violation> {
        let until = self.time.now() + FOUND_WITHIN;
        self.hosts.iter_mut().for_each(|host| host.down_until = Duration::ZERO);
        while self.time.now() < until {
            for host in 0..self.hosts.len() {
                self.start(host);
                for seat in 0..self.scenario.workers {
                    self.turn(host, seat)?;
                }
            }
            let pause = Duration::from_micros(self.random.within(100, 4000));
            self.pass(pause)?;
            let is_behind = self.oracle.behind_but(partition, &self.cluster.borrow()).is_some();
            if !is_behind && self.is_halted(partition) && self.is_at_rest() {
                return Ok(());
            }
        }
        let behind = self.oracle.behind_but(partition, &self.cluster.borrow());
        let hosts: Vec<String> = self.hosts.iter().map(super::host::Host::describe).collect();
        Err(format!("not halted, or the others stand still ({behind:?}): {}", hosts.join("; ")))
    }

    fn is_halted(&self, partition: i32) -> bool {
        let tasks = self.hosts.iter().flat_map(|h| h.seats.iter().flatten()).flat_map(|s| s.worker.status().tasks);
        tasks.filter(|t| t.partition.0 == partition).any(|t| matches!(t.state, State::Halted { .. }))
    }

    /// Whether there was something to damage in this way.
    fn damage(&mut self, damage: Damage, partition: i32) -> bool {
        let cluster = &mut *self.cluster.borrow_mut();
        let inputs = self.scenario.inputs;
        let input = self.random.below(u64::from(inputs)) as u16;
        let store = self.random.below(u64::from(self.scenario.stores)) as u16;
        let input_at = |cluster: &crate::cluster::Cluster, input| {
            let topic = cluster.topic(Role::Input(input));
            Place { topic, partition }
        };
        let place = input_at(cluster, input);
        let changelog = Place { topic: cluster.topic(Role::Changelog(store)), partition };
        let Some(committed) = cluster.committed_offset(place).cloned() else { return false };
        match damage {
            Damage::OffsetsExpired => {
                (0..inputs).for_each(|i| cluster.set_offset(input_at(cluster, i), None));
            }
            Damage::OffsetsOfOneInputExpired if inputs > 1 => cluster.set_offset(place, None),
            Damage::OffsetsReset => {
                let reset = OffsetText { next: 0, metadata: String::new() };
                (0..inputs).for_each(|i| cluster.set_offset(input_at(cluster, i), Some(reset.clone())));
            }
            Damage::TextsOfTwoCommits if inputs > 1 => {
                let Ok(mut metadata) = committed.metadata.parse::<Metadata>() else { return false };
                metadata.nonce ^= 1;
                let text = OffsetText { next: committed.next, metadata: metadata.to_string() };
                cluster.set_offset(place, Some(text));
            }
            Damage::InputRemoved => {
                let record = crate::cluster::NewEntry::default();
                cluster.log_mut(place).append(&[record.clone(), record], 0);
                let end = cluster.log(place).end();
                cluster.log_mut(place).remove_before(end);
            }
            Damage::InputTruncated if committed.next > 0 => cluster.log_mut(place).truncate(committed.next - 1),
            Damage::ChangelogRecreated => *cluster.log_mut(changelog) = crate::cluster::Log::default(),
            Damage::ChangelogTruncated => {
                let Ok(metadata) = committed.metadata.parse::<Metadata>() else { return false };
                let next = metadata.changelogs[usize::from(store)].next.0;
                cluster.log_mut(changelog).truncate(next - 1);
            }
            Damage::ChangelogBeheaded => {
                let log = cluster.log_mut(changelog);
                let first = log.committed(0, log.stable_end()).next().map(|e| e.offset);
                let Some(first) = first else { return false };
                log.remove_before(first + 1);
            }
            _ => return false,
        }
        true
    }
}

/// Longer than any request is held back, any transaction stays open, any marker is late.
const LEFTOVERS_END: Duration = Duration::from_secs(10);
