//! A task: processor × partition, the unit of order and of state. Owns positions, stores and uncommitted effects, and
//! says what may happen next. Knows nothing of brokers, threads, other tasks or how its processor is made.

mod acceptance;
mod addressed;
mod assignment;
mod condemned;
mod dead_letter;
#[cfg(test)]
mod fixture;
mod inbox;
mod isolation;
mod sealing;
mod ticks;

pub use acceptance::{Acceptance, Fresh, Goal, Refusal, Wish, accept};
pub use assignment::{Halt, Plan, RestoreFrom, plan, processor_of};
pub use isolation::{Step, Verdict};

use std::sync::Arc;
use std::time::Duration;

use crate::client::{DeadLetter, Member, Metadata};
use crate::processor::{GuestFault, ProcessError, Processor, Scope, Table};
use crate::record::{Batch, Input, Offset, Outputs, Partition, Position};
use crate::store::{Store, StoreError};
use addressed::Addressed;
use condemned::Condemned;
use inbox::Inbox;
use isolation::Isolation;
use ticks::Ticks;

/// What all tasks of a processor have in common; checked before any task exists.
#[derive(Clone, Debug)]
pub struct TaskSetup {
    /// `<application>.<processor>`, for dead letters and messages.
    pub group: String,
    /// Topic names, in the order of the manifest.
    pub inputs: Vec<String>,
    pub output_count: usize,
    /// Store names, in the order of the manifest.
    pub stores: Vec<String>,
    pub start: Start,
    /// How long an input with nothing buffered is waited for while its known end is ahead.
    pub merge_wait: Duration,
    /// How often the component is told that time passes.
    pub tick_interval: Option<Duration>,
    /// A checkpoint older than this may have missed collected tombstones: half of the changelog's delete.retention.ms.
    pub checkpoint_age_ms_max: i64,
}

/// Where a task begins that has never run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// ```text
/// Created ─locate─► Restoring ─► Running ◄──► Suspended
///    │                  ▲           │
///    ├──► Genesis ──────┘           ▼
///    └────────────────────────►  Halted            (Closed: the worker has dropped the task)
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Waiting for its committed positions.
    Created,
    /// Has never run: its start offsets are about to be committed.
    Genesis,
    /// Reading changelogs; `left` stores are not there yet.
    Restoring {
        left: usize,
    },
    Running,
    /// Not called until `until`, by the monotonic clock; everything else goes on.
    Suspended {
        until: Duration,
        why: String,
    },
    /// Needs an operator.
    Halted {
        why: String,
    },
}

/// A position with all that was committed beside it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub metadata: Metadata,
    /// Per input.
    pub next: Vec<Offset>,
}

/// What a version calls itself in commits and dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionName {
    pub revision: u64,
    pub number: u64,
    pub digest: String,
}

pub struct Task {
    partition: Partition,
    setup: Arc<TaskSetup>,
    state: State,
    /// Who we were in the group when this task was given to us.
    member: Member,
    /// The generation under which the committed sequence was last found to be ours.
    checked_generation: i32,
    committed: Progress,
    /// Positions of the set that is being committed.
    sealed: Option<Progress>,
    /// Positions of the set that is being filled.
    next: Vec<Offset>,
    stream_time_ms: i64,
    /// What the filling set has read of tables.
    table_positions: Vec<Vec<Offset>>,
    scope: Scope,
    inbox: Inbox,
    isolation: Isolation,
    ticks: Ticks,
    /// The last call was a tick: records come first now, so that slow commits and short ticks cannot starve them.
    has_ticked_last: bool,
    dead_letters: Vec<DeadLetter>,
    /// Input records in the filling set.
    filled_records: usize,
    /// Wall time at which the ends of its topics were asked for: what is restored is not newer than that.
    asked_ms: i64,
    /// A set must be sealed even if nothing was read: genesis.
    must_commit: bool,
    /// Verdicts on the record at the front, under the `retry` policy.
    retries: u32,
    /// Records that are at fault before any call.
    condemned: Condemned,
    /// So many records are still called one by one.
    singly: usize,
    spare: Outputs,
}

/// What a call led to.
#[derive(Debug)]
pub enum Called {
    /// Nothing was ready.
    Nothing,
    /// Effects were kept. Carries a used-up batch, for reuse.
    Kept { records: usize, spent: Option<Batch> },
    /// The component failed: its instance must be replaced before the next call.
    Failed { step: Step },
    /// The host failed: drop everything and try again later.
    HostFault(String),
}

impl Task {
    pub fn new(partition: Partition, setup: Arc<TaskSetup>, member: Member, stores: Vec<Box<dyn Store>>) -> Self {
        let inputs = setup.inputs.len();
        let output_count = setup.output_count;
        let ticks = Ticks::new(setup.tick_interval);
        Self {
            partition,
            checked_generation: member.generation,
            member,
            state: State::Created,
            committed: Progress::default(),
            sealed: None,
            next: Vec::new(),
            stream_time_ms: 0,
            table_positions: Vec::new(),
            scope: Scope { stores, output_count, ..Scope::default() },
            inbox: Inbox::new(inputs, setup.merge_wait),
            isolation: Isolation::default(),
            ticks,
            has_ticked_last: false,
            dead_letters: Vec::new(),
            filled_records: 0,
            asked_ms: 0,
            must_commit: false,
            retries: 0,
            condemned: Condemned::default(),
            singly: 0,
            spare: Outputs::default(),
            setup,
        }
    }

    pub fn partition(&self) -> Partition {
        self.partition
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn member(&self) -> &Member {
        &self.member
    }

    pub fn committed(&self) -> &Progress {
        &self.committed
    }

    pub fn is_in_flight(&self) -> bool {
        self.sealed.is_some()
    }

    /// Stops the task until an operator acts. Its place in the group is kept.
    pub fn halt(&mut self, why: String) {
        self.roll_back();
        self.state = State::Halted { why };
    }

    /// Lets the task rest until `until`; what it has filled stays.
    pub fn suspend(&mut self, until: Duration, why: String) {
        if matches!(self.state, State::Running | State::Suspended { .. }) {
            self.state = State::Suspended { until, why };
        }
    }

    /// Ends a suspension that is due.
    pub fn wake(&mut self, now: Duration) {
        if matches!(self.state, State::Suspended { until, .. } if until <= now) {
            self.state = State::Running;
        }
    }

    /// Takes over a batch to be processed.
    pub fn offer(&mut self, batch: Batch) {
        if matches!(self.state, State::Running | State::Suspended { .. }) {
            let input = usize::from(batch.input().0);
            let expected = self.inbox.tail(input).unwrap_or(self.next[input]);
            assert!(batch.first() >= expected, "a batch of {} starts before {expected}", self.partition);
            self.inbox.push(batch);
        }
    }

    /// Batches waiting to be processed.
    pub fn backlog(&self) -> usize {
        self.inbox.batches()
    }

    /// Whether a call could be made now. `ends` gives the known end of an input.
    pub fn is_ready(&mut self, now: Duration, ends: impl Fn(Input) -> Option<Offset>) -> bool {
        self.state == State::Running && (!self.isolation.is_empty() || self.inbox.has_run(now, &self.next, ends))
    }

    /// Calls the processor with the records that are next.
    pub fn call(
        &mut self,
        processor: &mut dyn Processor,
        now: Duration,
        now_ms: i64,
        seed: u64,
        ends: impl Fn(Input) -> Option<Offset>,
    ) -> Called {
        if self.next_record(now, ends).is_none() {
            return Called::Nothing;
        }
        let segment = self.isolation.front();
        let batch = self.inbox.head(segment.input).part(segment.from, segment.to);
        let first = batch.record(0);
        if let Some(verdict) = self.condemned.verdict(segment.input, Offset(first.offset)) {
            return Called::Failed { step: Step::Convicted(verdict) };
        }
        let opened;
        let batch = match addressed::open(batch, &self.setup.group) {
            Addressed::All => batch,
            Addressed::Us(record) => {
                opened = record;
                opened.whole()
            }
            Addressed::Another => {
                let next = Offset(first.offset + 1);
                return self.advance(segment.input, 1, next);
            }
        };
        let call_seed = seed ^ (first.offset as u64).rotate_left(17) ^ (self.partition.0 as u64);
        self.scope.now_ms = now_ms;
        self.scope.seed = call_seed;
        self.has_ticked_last = false;
        let mark = self.scope.outputs.mark();
        let called = processor.process(batch, &mut self.scope);
        let last = batch.record(batch.len() - 1);
        let (records, next) = (batch.len(), Offset(last.offset + 1));
        let newest_ms = batch.newest_ms();
        match called {
            Ok(()) => {
                self.scope.stores.iter_mut().for_each(|s| s.end_call(true));
                self.stream_time_ms = self.stream_time_ms.max(newest_ms.min(now_ms + STREAM_TIME_LEAD_MS_MAX));
                self.advance(segment.input, records, next)
            }
            Err(error) => {
                self.scope.outputs.cut_back(mark);
                self.scope.stores.iter_mut().for_each(|s| s.end_call(false));
                match error {
                    ProcessError::Guest(fault) => Called::Failed { step: self.isolation.failed(fault) },
                    ProcessError::Host(why) => Called::HostFault(why),
                }
            }
        }
    }

    /// The record that the next call begins with. Fixes the run of records that the call gets.
    pub fn next_record(&mut self, now: Duration, ends: impl Fn(Input) -> Option<Offset>) -> Option<(Input, Offset)> {
        if self.isolation.is_empty() {
            let run = self.inbox.next_run(now, &self.next, ends)?;
            let to = if self.singly > 0 { run.from + 1 } else { run.to };
            let to = self.condemned.cut(self.inbox.head(run.input), run.from, to);
            self.isolation.begin(run.input, run.from, to);
        }
        let segment = self.isolation.front();
        let offset = self.inbox.head(segment.input).record(segment.from).offset;
        Some((segment.input, Offset(offset)))
    }

    /// The record at the front of the present run.
    pub fn front_record(&self) -> Option<(Input, Offset)> {
        let (input, from) = self.isolation.first()?;
        Some((input, Offset(self.inbox.head(input).record(from).offset)))
    }

    /// Has the next `records` called one by one.
    pub fn step_singly(&mut self, records: usize) {
        self.singly = self.singly.max(records);
    }

    pub fn is_stepping_singly(&self) -> bool {
        self.singly > 0
    }

    /// Takes a record for one that is at fault, without calling it any more.
    pub fn condemn(&mut self, input: Input, offset: Offset, fault: GuestFault, attempts: u32) {
        self.condemned.add(input, offset, Verdict { fault, attempts });
    }

    /// Has a record's dead letter, which did not fit, written without its value; false if it was already.
    pub fn leave_value_out(&mut self, input: Input, offset: Offset) -> bool {
        self.condemned.leave_value_out(input, offset)
    }

    /// Whether these copies may be read: complete, and not behind what earlier commits have read.
    pub fn may_read(&self, tables: &[Arc<Table>]) -> bool {
        let committed = &self.committed.metadata.tables;
        let is_reached = |(i, table): (usize, &Arc<Table>)| {
            let least = committed.get(i).map_or(&[][..], Vec::as_slice);
            table.is_complete && least.iter().zip(&table.positions).all(|(least, at)| at >= least)
        };
        tables.iter().enumerate().all(is_reached)
    }

    /// Gives the copies that the next call reads; they do not change during it.
    pub fn lend_tables(&mut self, tables: &[Arc<Table>]) {
        self.scope.tables = tables.to_vec();
        self.table_positions = tables.iter().map(|t| t.positions.clone()).collect();
    }

    fn prepare_scope(&mut self, now_ms: i64, seed: u64) {
        self.scope.now_ms = now_ms;
        self.scope.seed = seed;
    }

    /// Passes the record that was found to be at fault, leaving a dead letter in its place.
    pub fn bury(&mut self, verdict: &Verdict, version: &VersionName) -> Called {
        let segment = self.isolation.front();
        let record = self.inbox.head(segment.input).record(segment.from);
        let topic = &self.setup.inputs[usize::from(segment.input.0)];
        let mut letter = dead_letter::dead_letter(&record, topic, self.partition, &self.setup.group, version, verdict);
        if self.condemned.is_bare(segment.input, Offset(record.offset)) {
            letter.leave_value_out();
        }
        let next = Offset(record.offset + 1);
        self.dead_letters.push(letter);
        self.advance(segment.input, 1, next)
    }

    /// Counts the verdicts on the record now at the front; gives how many came before.
    pub fn retried(&mut self) -> u32 {
        self.retries += 1;
        self.retries - 1
    }

    /// Lets another version try the record that was found to be at fault. Whatever it does is dropped.
    ///
    /// # Errors
    /// It fails as well.
    pub fn attempt(&mut self, processor: &mut dyn Processor, now_ms: i64) -> Result<(), ProcessError> {
        let segment = self.isolation.front();
        let batch = self.inbox.head(segment.input).part(segment.from, segment.from + 1);
        let opened;
        let batch = match addressed::open(batch, &self.setup.group) {
            Addressed::Us(record) => {
                opened = record;
                opened.whole()
            }
            Addressed::All | Addressed::Another => batch,
        };
        self.scope.now_ms = now_ms;
        let mark = self.scope.outputs.mark();
        let tried = processor.process(batch, &mut self.scope);
        self.scope.outputs.cut_back(mark);
        self.scope.stores.iter_mut().for_each(|s| s.end_call(false));
        tried
    }

    /// Failures of another version count no longer, and are not waited for.
    pub fn forget_suspicions(&mut self) {
        self.isolation.forget_suspicion();
        self.ticks.forget_failures();
        self.condemned.forget_sizes();
        self.retries = 0;
        self.wake(Duration::MAX);
    }

    /// Gives the task up until the group assigns it anew.
    pub fn forsake(&mut self) {
        self.roll_back();
        self.state = State::Created;
    }

    /// Empties the stores, checkpoints included.
    pub fn wipe(&mut self) -> Result<(), StoreError> {
        self.scope.stores.iter_mut().try_for_each(|s| s.wipe())
    }

    /// Whether local storage failed under one of the stores.
    pub fn is_damaged(&self) -> bool {
        self.scope.stores.iter().any(|s| s.is_damaged())
    }

    /// Lines logged by calls since the last time.
    pub fn take_log(&mut self) -> Vec<crate::processor::LogLine> {
        std::mem::take(&mut self.scope.log)
    }

    fn advance(&mut self, input: Input, records: usize, next: Offset) -> Called {
        self.next[usize::from(input.0)] = next;
        self.filled_records += records;
        self.retries = 0;
        self.singly = self.singly.saturating_sub(records);
        let spent = self.isolation.passed(records).and_then(|to| self.inbox.consumed(input, to));
        Called::Kept { records, spent }
    }

    /// Drops all uncommitted effects and everything buffered: the task stands where it was last committed.
    pub fn roll_back(&mut self) {
        self.scope.stores.iter_mut().for_each(|s| {
            s.end_call(false);
            s.roll_back();
        });
        self.sealed = None;
        self.must_commit = self.state == State::Genesis;
        self.drop_filling_effects();
        self.inbox.clear();
        self.isolation.clear();
        self.next.clone_from(&self.committed.next);
        self.stream_time_ms = self.committed.metadata.stream_time_ms;
        self.table_positions.clone_from(&self.committed.metadata.tables);
        self.ticks.roll_back();
    }

    fn drop_filling_effects(&mut self) {
        self.scope.outputs.clear();
        self.dead_letters.clear();
        self.filled_records = 0;
    }

    /// Where reading starts: the committed positions.
    pub fn fetch_positions(&self) -> Vec<Position> {
        self.positions_of(&self.committed.next)
    }

    fn positions_of(&self, next: &[Offset]) -> Vec<Position> {
        let partition = self.partition;
        next.iter().enumerate().map(|(i, next)| Position { input: Input(i as u16), partition, next: *next }).collect()
    }

    /// Whether commits under `member` may include this task: the same id, and the sequence checked in its generation.
    pub fn is_ours_under(&self, member: &Member) -> bool {
        !member.id.is_empty() && self.member.id == member.id && self.checked_generation == member.generation
    }

    /// Notes that the committed sequence was found to be ours in this generation.
    pub fn checked(&mut self, generation: i32) {
        self.checked_generation = generation;
    }

    /// The committed value of a key.
    pub fn query(&mut self, store: usize, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.scope.stores[store].committed(key)
    }
}

/// How far record timestamps may drive stream time past the wall clock: one minute of skew between machines.
const STREAM_TIME_LEAD_MS_MAX: i64 = 60_000;

/// A fault and the number of times in a row that one record, alone and on a fresh instance, led to it.
#[derive(Clone, Debug)]
struct Suspicion {
    fault: GuestFault,
    times: u32,
}
