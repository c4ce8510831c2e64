//! Tasks come and go with the group. A task is ours only under the member id it was given to, and in each generation
//! only after its committed sequence was found to be ours.

use std::time::Duration;

use super::{Leaving, Worker};
use crate::client::{Client, Fault, Located, Member, Metadata};
use crate::record::{Batch, Offset, Partition, Position};
use crate::store::{Store, StoreError};
use crate::task::{Halt, Plan, State, Task};

/// Pause before committed positions are asked for again after a failure.
const LOCATE_BACKOFF: Duration = Duration::from_millis(100);

impl<C: Client> Worker<C> {
    pub(super) fn assigned(&mut self, partitions: Vec<Partition>, member: &Member) {
        for partition in partitions {
            self.drop_task(partition);
            self.create_task(partition, member.clone());
        }
    }

    fn create_task(&mut self, partition: Partition, member: Member) {
        let mut task = match self.open_stores(partition) {
            Ok(stores) => Task::new(partition, self.setup.task.clone(), member, stores),
            Err(error) => {
                let mut task = Task::new(partition, self.setup.task.clone(), member, Vec::new());
                task.halt(format!("its stores cannot be opened: {error}"));
                task
            }
        };
        if let Some(notes) = self.crash_notes.as_ref().filter(|n| n.was_unclean()) {
            // What killed the last life lies within a set, or two of them, after the committed position.
            task.step_singly(2 * self.setup.bounds.commit_records_max);
            for (input, offset, fault, stops) in notes.condemned(partition) {
                task.condemn(input, offset, fault, stops);
            }
        }
        if task.state() == &State::Created {
            self.to_locate.insert(partition, self.clock.monotonic());
        } else {
            self.counters.note_halt(format!("task {partition} halted: {:?}", task.state()));
            task.roll_back();
        }
        self.tasks.insert(partition, task);
    }

    fn open_stores(&mut self, partition: Partition) -> Result<Vec<Box<dyn Store>>, StoreError> {
        (0..self.setup.task.stores.len()).map(|store| (self.setup.open_store)(partition, store)).collect()
    }

    /// Forgets a task and everything it has not committed. The instance has seen it, so it goes too.
    fn drop_task(&mut self, partition: Partition) {
        if self.tasks.remove(&partition).is_some() {
            self.instance = None;
        }
        self.to_locate.remove(&partition);
        self.checking.remove(&partition);
        self.held.retain(|(p, _)| *p != partition);
    }

    /// Starts a task over from what is committed, under the membership it has.
    pub(super) fn recreate_task(&mut self, partition: Partition) {
        if let Some(member) = self.tasks.get(&partition).map(|t| t.member().clone()) {
            self.unhold(partition);
            self.drop_task(partition);
            self.create_task(partition, member);
        }
    }

    pub(super) fn revoked(&mut self, partitions: Vec<Partition>) {
        let until = self.clock.monotonic() + self.setup.bounds.revoke_budget;
        let leaving = self.leaving.get_or_insert(Leaving { partitions: Vec::new(), until, is_sealed: false });
        leaving.partitions.extend(partitions);
        leaving.is_sealed = false;
    }

    pub(super) fn lost(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.drop_task(*partition);
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.partitions.retain(|p| !partitions.contains(p));
        }
        self.client.release(partitions);
    }

    pub(super) fn is_leaving(&self, partition: Partition) -> bool {
        self.leaving.as_ref().is_some_and(|l| l.partitions.contains(&partition))
    }

    /// Ends a revoke: after one last commit of the leaving part, or without it once the budget is spent.
    pub(super) fn leave_if_ready(&mut self) {
        let Some(leaving) = &self.leaving else { return };
        let is_late = self.clock.monotonic() >= leaving.until;
        let is_dirty = leaving.partitions.iter().any(|p| self.tasks.get(p).is_some_and(Task::is_dirty));
        let is_done = self.flight.is_none() && (leaving.is_sealed || !is_dirty);
        if !is_done && !is_late {
            return;
        }
        let partitions = self.leaving.take().map(|l| l.partitions).unwrap_or_default();
        for partition in &partitions {
            self.drop_task(*partition);
        }
        self.client.release(&partitions);
    }

    pub(super) fn locate_due(&mut self, now: Duration) {
        let due: Vec<_> = self.to_locate.iter().filter(|(_, at)| **at <= now).map(|(p, _)| *p).collect();
        let now_ms = self.clock.wall_ms();
        for partition in due {
            self.to_locate.remove(&partition);
            self.tasks
                .get_mut(&partition)
                .filter(|t| t.state() == &State::Created)
                .into_iter()
                .for_each(|t| t.asked(now_ms));
            self.client.locate(partition);
        }
    }

    /// Has the committed sequence of a kept task read, before it may be sealed in a new generation.
    pub(super) fn check(&mut self, partition: Partition, generation: i32) {
        if self.checking.insert(partition, generation) != Some(generation) {
            self.to_locate.insert(partition, self.clock.monotonic());
        }
    }

    pub(super) fn located(&mut self, partition: Partition, found: Result<Located, Fault>) {
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        match found {
            Err(fault) => {
                self.counters.note_fault(fault.0);
                self.to_locate.insert(partition, self.clock.monotonic() + LOCATE_BACKOFF);
            }
            Ok(located) if task.state() == &State::Created => self.assign(partition, &located),
            Ok(located) if task.state() == &State::Genesis && has_nothing_of_ours(&located) => {
                if let Some(generation) = self.checking.remove(&partition) {
                    task.checked(generation);
                }
            }
            Ok(located) => {
                let Some(generation) = self.checking.remove(&partition) else { return };
                if is_ours(&located, &task.committed().metadata) {
                    task.checked(generation);
                } else {
                    self.recreate_task(partition);
                }
            }
        }
    }

    fn assign(&mut self, partition: Partition, located: &Located) {
        let now_ms = self.clock.wall_ms();
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        match task.assign(located, now_ms) {
            Ok(Plan::Genesis { .. }) => {}
            Ok(Plan::Restore { stores, .. }) => {
                let offsets: i64 = stores.iter().map(|s| (s.to.0 - s.from.0).max(0)).sum();
                tracing::info!(group = self.setup.task.group, %partition, offsets, "restoring");
                for (store, from) in stores.iter().enumerate() {
                    self.client.restore(store as u16, partition, from.from, from.to);
                }
                self.fetch_if_running(partition);
            }
            Ok(Plan::Halt(halt)) => {
                let why = halt.explain(&self.setup.task.group);
                self.counters.note_halt(format!("task {partition} halted: {why}"));
            }
            Err(error) => self.halt_task(partition, format!("its stores cannot be prepared: {error}")),
        }
    }

    pub(super) fn take_changelog(&mut self, batch: Batch) {
        let partition = batch.partition();
        let restored = self.tasks.get_mut(&partition).map(|t| t.restore(&batch));
        if let Some(Err(error)) = restored {
            self.halt_task(partition, format!("its state cannot be restored: {error}"));
        }
        self.client.recycle(batch);
    }

    pub(super) fn restored(&mut self, store: u16, partition: Partition, to: Offset) {
        let now_ms = self.clock.wall_ms();
        if self.tasks.get(&partition).is_some_and(|t| t.is_restored_too_late(now_ms)) {
            return self.rebuild(partition, "restoring took longer than removals are kept");
        }
        let restored = self.tasks.get_mut(&partition).map(|t| t.restored(store, to));
        match restored {
            Some(Ok(())) => self.fetch_if_running(partition),
            Some(Err(error)) => self.halt_task(partition, format!("its state cannot be restored: {error}")),
            None => {}
        }
    }

    /// Starts reading where the task stands.
    pub(super) fn fetch_if_running(&mut self, partition: Partition) {
        if let Some(task) = self.tasks.get(&partition)
            && matches!(task.state(), State::Running | State::Suspended { .. })
        {
            self.client.fetch(&task.fetch_positions());
        }
    }

    pub(super) fn out_of_range(&mut self, position: Position, first: Offset, end: Offset) {
        let topic = self.setup.task.inputs[usize::from(position.input.0)].clone();
        let (partition, expected) = (position.partition, position.next);
        let halt = if expected < first {
            Halt::InputRemoved { topic, partition, expected, first }
        } else {
            Halt::InputTruncated { topic, partition, expected, end }
        };
        self.halt_task(partition, halt.explain(&self.setup.task.group));
    }

    pub(super) fn halt_task(&mut self, partition: Partition, why: String) {
        self.counters.note_halt(format!("task {partition} halted: {why}"));
        if let Some(task) = self.tasks.get_mut(&partition) {
            task.halt(why);
            self.instance = None;
        }
    }
}

/// Whether no input carries any metadata of ours: what a task that never ran must find.
fn has_nothing_of_ours(located: &Located) -> bool {
    located.inputs.iter().all(|input| {
        let found = input.committed.as_ref().map(|c| c.metadata.parse::<Metadata>());
        !matches!(found, Some(Ok(_)))
    })
}

/// Whether the committed metadata of every input is that of our last commit.
fn is_ours(located: &Located, ours: &Metadata) -> bool {
    located.inputs.iter().all(|input| {
        let found = input.committed.as_ref().and_then(|c| c.metadata.parse::<Metadata>().ok());
        found.is_some_and(|m| m.is_same_commit(ours))
    })
}
