//! Calls: which task is next, with which instance, and what follows when a call fails.

use std::sync::Arc;
use std::time::Duration;

use super::{CrashNotes, OnError, Worker};
use crate::client::Client;
use crate::processor::{LogLevel, LogLine, ProcessError, Processor, SharedTable, Table};
use crate::record::{Input, Offset, Partition};
use crate::task::{Called, Step, Task, Verdict, processor_of};

/// First pause after a fault of the host or a failed commit; doubled up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_LONGEST: Duration = Duration::from_secs(5);

/// Faults of the host in a row after which an operator has to look.
const HOST_FAULTS_MAX: u32 = 10;

impl<C: Client> Worker<C> {
    /// Whether a call may be made at all now.
    fn may_call(&self, now: Duration) -> bool {
        self.stopping.is_none()
            && !self.is_paused
            && self.halted.is_none()
            && self.condemned.is_none()
            && now >= self.rest_until
            && (self.flight.is_none() || self.setup.bounds.overlap)
            && !self.is_full()
    }

    pub(super) fn is_full(&self) -> bool {
        let (mut records, mut writes, mut bytes) = (0, 0, 0);
        for task in self.tasks.values() {
            let (w, b) = task.filled_writes();
            records += task.filled_records();
            writes += w;
            bytes += b;
        }
        self.limits.is_full(records, writes, bytes)
    }

    /// The task whose turn it is, among those that could be called now.
    pub(super) fn next_ready(&mut self, now: Duration) -> Option<Partition> {
        if !self.may_call(now) {
            return None;
        }
        let last = self.called_last;
        let after = self.tasks.range(after(last)..).map(|(p, _)| *p);
        let order: Vec<Partition> = after.chain(self.tasks.range(..=last).map(|(p, _)| *p)).collect();
        order.into_iter().find(|p| !self.is_leaving(*p) && self.is_task_ready(*p, now))
    }

    fn is_task_ready(&mut self, partition: Partition, now: Duration) -> bool {
        let (client, now_ms) = (&self.client, self.clock.wall_ms());
        let tables = newest(&self.setup.tables);
        let Some(task) = self.tasks.get_mut(&partition) else { return false };
        let is_behind = task.committed().metadata.revision > self.version.name.revision;
        if is_behind || !task.may_read(&tables) {
            return false;
        }
        task.is_tick_due(now_ms) || task.is_ready(now, |input| client.end_of(input, partition))
    }

    pub(super) fn call_next(&mut self) {
        let now = self.clock.monotonic();
        let Some(partition) = self.next_ready(now) else { return };
        self.called_last = partition;
        let mut instance = match self.take_instance() {
            Ok(instance) => instance,
            Err(fault @ ProcessError::Guest(_)) => {
                if !self.refuses_to_open(&fault) {
                    self.halt(format!("the component does not open: {fault}"));
                }
                return;
            }
            Err(ProcessError::Host(why)) => return self.host_fault(why),
        };
        self.note_exchange();
        let (now_ms, seed) = (self.clock.wall_ms(), self.version.name.revision);
        let client = &self.client;
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        if !self.setup.tables.is_empty() {
            task.lend_tables(&newest(&self.setup.tables));
        }
        let ends = |input| client.end_of(input, partition);
        let is_ready = task.is_ready(now, ends);
        let is_tick = task.is_tick_due(now_ms) && !(is_ready && task.has_ticked_last());
        let called = if is_tick {
            task.tick(instance.as_mut(), now_ms, seed)
        } else if let Some(notes) = self.crash_notes.as_mut().filter(|_| task.is_stepping_singly()) {
            noted(notes, task, now, ends, |task| task.call(instance.as_mut(), now, now_ms, seed, ends))
        } else {
            task.call(instance.as_mut(), now, now_ms, seed, ends)
        };
        self.counters.calls += 1;
        log_lines(&self.setup.task.group, partition, task.take_log());
        match called {
            Called::Failed { step: Step::Convicted(verdict) } if is_tick => self.tick_convicted(partition, &verdict),
            Called::Failed { step } => self.failed(partition, step),
            Called::HostFault(why) => self.host_fault(why),
            kept => {
                self.instance = Some(instance);
                if let Called::Kept { records, .. } = kept {
                    self.breaker.passed(records as u64, now);
                }
                self.kept(partition, kept);
            }
        }
    }

    fn take_instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        match self.instance.take() {
            Some(instance) if !instance.is_bloated() => Ok(instance),
            _ => {
                self.counters.instances += 1;
                self.version.version.instance()
            }
        }
    }

    fn kept(&mut self, partition: Partition, called: Called) {
        let Called::Kept { records, spent } = called else { return };
        self.counters.records += records as u64;
        let now = self.clock.monotonic();
        self.set_began.get_or_insert(now);
        if let Some(batch) = spent {
            self.client.recycle(batch);
        }
        if self.tasks.get(&partition).is_some_and(|t| t.backlog() <= 1) {
            self.unhold(partition);
        }
    }

    fn failed(&mut self, partition: Partition, step: Step) {
        self.counters.guest_faults += 1;
        let Step::Convicted(verdict) = step else { return };
        if self.is_on_probation() && self.is_judged(partition, &verdict, false) {
            return;
        }
        let on_error = self.setup.on_error.clone();
        match on_error {
            OnError::DeadLetter => self.bury(partition, &verdict),
            OnError::Retry { times, backoff } => self.retry(partition, &verdict, times, backoff),
            OnError::Halt => self.halt_at(partition, &verdict),
        }
    }

    /// Asks the version before whose fault it is. True if the policy does not apply: the version was condemned, or the
    /// host failed over the question.
    fn is_judged(&mut self, partition: Partition, verdict: &Verdict, is_tick: bool) -> bool {
        match self.passes_before(partition, verdict, is_tick) {
            Ok(true) => self.condemn(partition, verdict),
            Ok(false) => return false,
            Err(why) => self.host_fault(why),
        }
        true
    }

    /// Stops the processor before the record that is at fault.
    fn halt_at(&mut self, partition: Partition, verdict: &Verdict) {
        let record = self.tasks.get(&partition).and_then(Task::front_record);
        let (input, Offset(offset)) = record.unwrap_or((Input(0), Offset(0)));
        let topic = &self.setup.task.inputs[usize::from(input.0)];
        let processor = processor_of(&self.setup.task.group);
        let why = format!(
            "{topic}/{partition}@{offset}: {}. Nothing of it was kept: deploy a repaired version; or \
             stop the host and pass the record: `wasmill offsets accept {processor} --partition {partition} --input {topic} \
             --to {}`",
            verdict.fault,
            offset + 1
        );
        self.halt(why);
    }

    fn tick_convicted(&mut self, partition: Partition, verdict: &Verdict) {
        self.counters.guest_faults += 1;
        if self.is_on_probation() && self.is_judged(partition, verdict, true) {
            return;
        }
        let now_ms = self.clock.wall_ms();
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        match &self.setup.on_error {
            OnError::Retry { times, backoff } => {
                let tried = task.retried();
                if tried < *times {
                    let until = self.clock.monotonic() + pause(*backoff, tried);
                    return task.suspend(until, verdict.fault.to_string());
                }
            }
            OnError::Halt => {
                self.halt(format!("tick of partition {partition}: {}", verdict.fault));
                return;
            }
            OnError::DeadLetter => {}
        }
        task.bury_tick(verdict, &self.version.name, now_ms);
        self.counters.dead_letters += 1;
    }

    fn bury(&mut self, partition: Partition, verdict: &Verdict) {
        let now = self.clock.monotonic();
        if self.breaker.failed(now) {
            return self.break_off(partition, verdict);
        }
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        let called = task.bury(verdict, &self.version.name);
        self.counters.dead_letters += 1;
        self.kept(partition, called);
    }

    /// Too many of the latest records failed: the version's fault if the one before passes this record, else the data's.
    fn break_off(&mut self, partition: Partition, verdict: &Verdict) {
        if self.is_judged(partition, verdict, false) {
            return;
        }
        let (failures, records) = self.breaker.counts();
        let why = format!(
            "{failures} of the last {records} records failed, the latest in partition {partition}: {}. No version before \
             this one passes it: look at the input, then resume",
            verdict.fault
        );
        self.counters.note_fault(why.clone());
        self.halt(why);
    }

    fn retry(&mut self, partition: Partition, verdict: &Verdict, times: u32, backoff: Duration) {
        let now = self.clock.monotonic();
        let Some(task) = self.tasks.get_mut(&partition) else { return };
        let tried = task.retried();
        if tried >= times {
            return self.bury(partition, verdict);
        }
        task.suspend(now + pause(backoff, tried), verdict.fault.to_string());
    }

    /// Drops everything uncommitted and rests: trouble of our own must not look like the component's.
    pub(super) fn host_fault(&mut self, why: String) {
        self.counters.host_faults += 1;
        self.counters.note_fault(why.clone());
        self.rest();
        if self.faults_in_a_row >= HOST_FAULTS_MAX {
            self.halt(why);
        }
        self.drop_filling();
    }

    /// Drops what is being filled. The set in commit is complete and sound: its outcome is awaited first.
    pub(super) fn drop_filling(&mut self) {
        if self.flight.is_none() {
            self.rewind_all();
        } else {
            self.is_rewind_due = true;
        }
    }

    /// Nothing is called until an operator resumes.
    pub(super) fn halt(&mut self, why: String) {
        self.counters.halts += 1;
        self.counters.note_halt(why.clone());
        self.halted = Some(why);
    }

    /// No call for a while: longer with each failure in a row.
    pub(super) fn rest(&mut self) {
        let doubled = BACKOFF_FIRST * 2u32.saturating_pow(self.faults_in_a_row.min(16));
        self.faults_in_a_row += 1;
        self.rest_until = self.clock.monotonic() + doubled.min(BACKOFF_LONGEST);
    }

    /// All tasks go back to where they were last committed, and the instance, which has seen more, goes.
    pub(super) fn rewind_all(&mut self) {
        self.instance = None;
        self.set_began = None;
        let partitions: Vec<_> = self.tasks.keys().copied().collect();
        for partition in partitions {
            if self.tasks.get(&partition).is_some_and(Task::is_damaged) {
                self.rebuild(partition, "local storage failed");
                continue;
            }
            self.tasks.get_mut(&partition).into_iter().for_each(Task::roll_back);
            self.unhold(partition);
            self.fetch_if_running(partition);
        }
    }
}

/// Makes a call with a note of its record standing in a file, in case the host does not survive it.
fn noted(
    notes: &mut CrashNotes,
    task: &mut Task,
    now: Duration,
    ends: impl Fn(Input) -> Option<Offset>,
    call: impl FnOnce(&mut Task) -> Called,
) -> Called {
    let Some((input, offset)) = task.next_record(now, ends) else { return Called::Nothing };
    if let Err(error) = notes.entering(task.partition(), input, offset) {
        return Called::HostFault(format!("the crash notes cannot be written: {error}"));
    }
    let called = call(task);
    match notes.left() {
        Ok(()) => called,
        Err(error) => Called::HostFault(format!("the crash notes cannot be written: {error}")),
    }
}

fn newest(tables: &[SharedTable]) -> Vec<Arc<Table>> {
    tables.iter().map(|t| t.load_full()).collect()
}

fn after(partition: Partition) -> Partition {
    Partition(partition.0 + 1)
}

fn log_lines(processor: &str, partition: Partition, lines: Vec<LogLine>) {
    for LogLine { level, text } in lines {
        match level {
            LogLevel::Debug => tracing::debug!(processor, %partition, text, "component"),
            LogLevel::Info => tracing::info!(processor, %partition, text, "component"),
            LogLevel::Warn => tracing::warn!(processor, %partition, text, "component"),
            LogLevel::Error => tracing::error!(processor, %partition, text, "component"),
        }
    }
}

/// Pauses between tries double up to this, unless the first is longer.
const PAUSE_MAX: Duration = Duration::from_secs(300);

fn pause(backoff: Duration, tried: u32) -> Duration {
    backoff.saturating_mul(2u32.saturating_pow(tried)).min(PAUSE_MAX.max(backoff))
}
