//! Sets go out and outcomes come back. The next set is sealed only when the outcome of the one before it was applied.

use super::{End, Flight, OnlyRecord, Worker};
use crate::client::{Client, Commit, CommitFault, Member, Outcome, Snapshot, TaskOutcome, Verdict};
use crate::processor::{FaultKind, GuestFault};
use crate::record::Partition;
use crate::task::{Halt, State, Task};

impl<C: Client> Worker<C> {
    pub(super) fn seal_if_due(&mut self, is_idle: bool) -> Option<End> {
        if self.flight.is_some() || !self.is_due(is_idle) {
            return None;
        }
        match self.client.seal() {
            Ok(snapshot) => self.seal(snapshot),
            Err(event) => return self.handle(event),
        }
        None
    }

    fn is_due(&self, is_idle: bool) -> bool {
        if !self.tasks.values().any(Task::is_dirty) {
            return false;
        }
        if self.stopping.is_some()
            || self.leaving.as_ref().is_some_and(|l| !l.is_sealed)
            || self.is_full()
            || self.adopting.is_some()
        {
            return true;
        }
        let now = self.clock.monotonic();
        let bounds = self.limits.bounds();
        let since_seal = now.saturating_sub(self.last_seal);
        // From the set's first effect: counted from the seal before, sets of slow commits would hold one call each.
        let age = self.set_began.map_or(since_seal, |began| now.saturating_sub(began));
        let is_dry = is_idle && self.tasks.values().all(|t| t.backlog() == 0);
        age >= bounds.commit_interval || is_dry && since_seal >= bounds.commit_min_interval
    }

    fn seal(&mut self, snapshot: Snapshot) {
        let chosen = self.tasks_to_seal(&snapshot.member);
        let (mut records, mut has_effects) = (0, false);
        let mut tasks = Vec::with_capacity(chosen.len());
        let only_record = self.only_record(&chosen);
        for partition in chosen {
            let identity = (self.setup.random)();
            let Some(task) = self.tasks.get_mut(&partition) else { continue };
            records += task.filled_records() as u64;
            has_effects |= task.has_effects();
            match task.seal(&self.version.name, identity) {
                Ok(commit) => tasks.push(commit),
                Err(error) => {
                    // Whatever was sealed before it must not go out alone: all of it is still ours to drop.
                    return self.host_fault(format!("partition {partition}: {error}"));
                }
            }
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.is_sealed = true;
        }
        if tasks.is_empty() {
            return;
        }
        self.last_seal = self.clock.monotonic();
        self.set_began = self.tasks.values().any(Task::is_dirty).then_some(self.last_seal);
        let (member, revision) = (snapshot.member.clone(), self.version.name.revision);
        self.flight = Some(Flight { member, revision, has_effects, records, only_record });
        self.client.start_commit(Commit { snapshot, tasks });
    }

    /// The input record of a set that holds just one.
    fn only_record(&self, chosen: &[Partition]) -> Option<OnlyRecord> {
        let mut filled = chosen.iter().filter_map(|p| self.tasks.get(p)).filter(|t| t.filled_records() > 0);
        match (filled.next(), filled.next()) {
            (Some(task), None) => task.only_filled_record().map(|(input, offset, is_buried)| OnlyRecord {
                partition: task.partition(),
                input,
                offset,
                is_buried,
            }),
            _ => None,
        }
    }

    /// Dirty tasks that this membership may commit; while partitions are leaving, only those.
    fn tasks_to_seal(&mut self, member: &Member) -> Vec<Partition> {
        let dirty: Vec<Partition> = self.tasks.values().filter(|t| t.is_dirty()).map(Task::partition).collect();
        let mut chosen = Vec::with_capacity(dirty.len());
        for partition in dirty {
            if self.leaving.is_some() && !self.is_leaving(partition) {
                continue;
            }
            let Some(task) = self.tasks.get(&partition) else { continue };
            if task.is_ours_under(member) {
                chosen.push(partition);
            } else if task.member().id != member.id {
                self.disown(partition);
            } else {
                self.check(partition, member.generation);
            }
        }
        chosen
    }

    /// The group knows us under another name now: what was given to the old one is lost. If the partition stays with
    /// us, the client assigns it anew.
    fn disown(&mut self, partition: Partition) {
        if let Some(task) = self.tasks.get_mut(&partition) {
            task.forsake();
            self.instance = None;
        }
    }

    pub(super) fn apply_outcome(&mut self, outcome: Outcome) {
        let Some(flight) = self.flight.take() else { return };
        let is_committed = outcome.tasks.iter().all(|t| t.verdict == Verdict::Committed);
        if let Some(cause) = &outcome.cause {
            self.counters.note_fault(format!("commit: {cause}"));
        }
        let mut must_rewind = std::mem::take(&mut self.is_rewind_due);
        for task in outcome.tasks {
            must_rewind |= task.verdict == Verdict::NotCommitted;
            self.apply_to_task(task);
        }
        if is_committed {
            self.counters.commits += 1;
            self.note_committed(&flight);
            self.limits.recover();
            self.faults_in_a_row = 0;
        } else {
            self.counters.commits_failed += 1;
            self.react(outcome.cause, &flight);
        }
        if must_rewind {
            self.rewind_all();
        }
    }

    fn apply_to_task(&mut self, outcome: TaskOutcome) {
        let TaskOutcome { partition, verdict, metadata, spent } = outcome;
        let now_ms = self.clock.wall_ms();
        let Some(task) = self.tasks.get_mut(&partition).filter(|t| t.is_in_flight()) else { return };
        match verdict {
            Verdict::Committed => {
                let was_genesis = task.state() == &State::Genesis;
                let outputs = spent.outputs.len() as u64;
                task.reuse(spent);
                self.counters.outputs += outputs;
                match task.committed_as(metadata, now_ms) {
                    Ok(()) if was_genesis => self.fetch_if_running(partition),
                    Ok(()) => {}
                    Err(error) => self.rebuild(partition, &error.to_string()),
                }
            }
            Verdict::NotCommitted if task.state() == &State::Genesis => self.recreate_task(partition),
            Verdict::NotCommitted => task.reuse(spent),
            Verdict::Foreign => self.recreate_task(partition),
            Verdict::Torn => {
                let found = vec![(metadata.sequence, metadata.nonce)];
                let halt = Halt::Torn { partition, found };
                self.halt_task(partition, halt.explain(&self.setup.task.group));
            }
        }
    }

    /// The local store is not what was committed: empty it and read its changelog. With no set in commit, since what the
    /// new task finds committed must be final.
    pub(super) fn rebuild(&mut self, partition: Partition, why: &str) {
        self.counters.note_fault(format!("partition {partition}: {why}; its state is restored from the changelog"));
        if let Some(task) = self.tasks.get_mut(&partition)
            && let Err(error) = task.wipe()
        {
            return self.halt_task(partition, format!("its stores cannot be emptied: {error}"));
        }
        self.recreate_task(partition);
    }

    /// Sets get smaller until the record is found whose effects do not fit; that one is at fault. A dead letter that
    /// does not fit goes without its value.
    fn too_large(&mut self, why: String, flight: &Flight) {
        self.limits.isolate();
        // What a version before has made says nothing about the present one, which makes it anew.
        let only_record = flight.only_record.filter(|_| flight.revision == self.version.name.revision);
        let Some(OnlyRecord { partition, input, offset, is_buried }) = only_record else {
            let records = self.limits.bounds().commit_records_max;
            return self.tasks.values_mut().for_each(|t| t.step_singly(records));
        };
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        if !is_buried {
            let fault = GuestFault { kind: FaultKind::TooLarge, index: None, message: why, backtrace: None };
            task.condemn(input, offset, fault, 1);
        } else if !task.leave_value_out(input, offset) {
            let way_out = "raise max.message.bytes of the topic of dead letters and start the host again";
            self.halt_task(
                partition,
                format!("the dead letter of offset {offset} does not fit, even without value: {way_out}"),
            );
        }
    }

    fn react(&mut self, cause: Option<CommitFault>, flight: &Flight) {
        match cause {
            Some(CommitFault::TooLarge(why)) => self.too_large(why, flight),
            Some(CommitFault::Timeout(_)) => self.limits.halve(),
            Some(CommitFault::FencedByGroup(_)) => {
                let fenced: Vec<_> =
                    self.tasks.values().filter(|t| t.member().id == flight.member.id).map(Task::partition).collect();
                fenced.into_iter().for_each(|p| self.disown(p));
            }
            Some(CommitFault::IllegalGeneration) => {
                let generation = flight.member.generation;
                tracing::debug!(generation, "the group moved on during a commit");
            }
            Some(CommitFault::FencedByProducer(_) | CommitFault::Other(_)) | None => self.rest(),
        }
    }
}
