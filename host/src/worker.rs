//! A worker: one thread's loop over one client and the tasks that the group gave it. Turns events into task states,
//! calls the processor, seals sets and applies their outcomes. Knows nothing of brokers or of where versions come from.

mod adoption;
mod breaker;
mod call;
mod commit;
mod crash_notes;
mod limits;
mod membership;
mod query;
mod setup;
mod status;

pub use adoption::{Adoption, Exchange, Retire, Retired};
pub use crash_notes::CrashNotes;
pub use query::{NoAnswer, StoredValue};
pub use setup::{ActiveVersion, Bounds, Command, OnError, OpenStore, Setup};
pub use status::{Counters, TaskStatus, WorkerStatus};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Event, Fatal, Member};
use crate::clock::Clock;
use crate::processor::Processor;
use crate::record::{Input, Offset, Partition};
use crate::task::{State, Task};
use adoption::{Exchanging, Previous};
use breaker::Breaker;
use limits::Limits;

/// Batches that a task may have waiting per input before its partition is left unread: enough to go on while a commit
/// runs, few enough to bound memory.
const BACKLOG_BATCHES_MAX: usize = 4;

pub struct Worker<C: Client> {
    setup: Setup,
    client: C,
    clock: Arc<dyn Clock + Sync>,
    version: ActiveVersion,
    /// Shared by all tasks. Dropped whenever effects of its calls were dropped, or a task has left.
    instance: Option<Box<dyn Processor>>,
    tasks: BTreeMap<Partition, Task>,
    /// The task called last, so that all get their turn.
    called_last: Partition,
    held: BTreeSet<(Partition, Input)>,
    /// Tasks whose committed positions are to be read, and when.
    to_locate: BTreeMap<Partition, Duration>,
    /// Running tasks whose committed sequence is being checked, for this generation.
    checking: BTreeMap<Partition, i32>,
    /// The set in commit.
    flight: Option<Flight>,
    leaving: Option<Leaving>,
    stopping: Option<Duration>,
    is_paused: bool,
    /// Why this processor does not go on before an operator acts.
    halted: Option<String>,
    last_seal: Duration,
    /// When the filling set got its first effect.
    set_began: Option<Duration>,
    limits: Limits,
    /// After a failed commit or a fault of the host: no call before this moment.
    rest_until: Duration,
    faults_in_a_row: u32,
    /// The host failed while a set was in commit: rewind once its outcome is known.
    is_rewind_due: bool,
    /// Ordered, and waiting for the filling set to be sealed.
    adopting: Option<Box<Adoption>>,
    /// The exchange of this turn, until its first call.
    exchanging: Option<Exchanging>,
    /// Judges failures of the present version, as long as it is kept.
    previous: Option<Previous>,
    breaker: Breaker,
    /// Why the present version may not be called again: it failed where the one before does not.
    condemned: Option<String>,
    retire: Option<Retire>,
    /// Where this host notes what it is about to do, so that a record that kills it is found out.
    crash_notes: Option<CrashNotes>,
    counters: Counters,
}

/// A commit on its way, under this membership.
#[derive(Debug)]
struct Flight {
    member: Member,
    /// The version that made it.
    revision: u64,
    /// Whether that version made anything in it: start offsets are nobody's.
    has_effects: bool,
    /// Input records in it.
    records: u64,
    /// The only input record in it, where there is only one: if that set is too large, the record is at fault.
    only_record: Option<OnlyRecord>,
}

#[derive(Clone, Copy, Debug)]
struct OnlyRecord {
    partition: Partition,
    input: Input,
    offset: Offset,
    /// The set holds its dead letter.
    is_buried: bool,
}

/// Partitions that the group wants back.
#[derive(Debug)]
struct Leaving {
    partitions: Vec<Partition>,
    until: Duration,
    is_sealed: bool,
}

/// What a turn led to.
#[derive(Debug, PartialEq)]
pub enum Turn {
    Go,
    Ended(End),
}

#[derive(Debug, PartialEq)]
pub enum End {
    /// As asked; `is_clean` if everything filled was committed.
    Stopped {
        is_clean: bool,
    },
    Fatal(Fatal),
}

impl<C: Client> Worker<C> {
    pub fn new(setup: Setup, client: C, clock: Arc<dyn Clock + Sync>, version: ActiveVersion) -> Self {
        let limits = Limits::new(setup.bounds.clone());
        let now = clock.monotonic();
        Self {
            setup,
            client,
            clock,
            version,
            instance: None,
            tasks: BTreeMap::new(),
            called_last: Partition(-1),
            held: BTreeSet::new(),
            to_locate: BTreeMap::new(),
            checking: BTreeMap::new(),
            flight: None,
            leaving: None,
            stopping: None,
            is_paused: false,
            halted: None,
            last_seal: now,
            set_began: None,
            limits,
            rest_until: now,
            faults_in_a_row: 0,
            is_rewind_due: false,
            adopting: None,
            exchanging: None,
            previous: None,
            breaker: Breaker::default(),
            condemned: None,
            retire: None,
            crash_notes: None,
            counters: Counters::default(),
        }
    }

    /// Keeps notes of what is being processed, and heeds those of the last life.
    #[must_use]
    pub fn with_crash_notes(mut self, notes: CrashNotes) -> Self {
        self.crash_notes = Some(notes);
        self
    }

    /// One turn: serves the client for at most `wait`, makes at most one call, commits what is due.
    pub fn turn(&mut self, wait: Duration) -> Turn {
        let now = self.clock.monotonic();
        self.tasks.values_mut().for_each(|t| t.wake(now));
        self.locate_due(now);
        let has_work = self.may_adopt() || self.next_ready(now).is_some();
        let wait = if has_work { Duration::ZERO } else { wait.min(self.until_due(now)) };
        let event = self.client.poll(wait);
        let is_idle = matches!(event, Event::Idle);
        if let Some(end) = self.handle(event) {
            return Turn::Ended(end);
        }
        // Between fetching and calling: to fetch a batch takes ten times as long as the exchange.
        self.adopt_if_ready();
        self.call_next();
        // Where no call was due, the exchange kept none waiting.
        self.note_exchange();
        if let Some(end) = self.seal_if_due(is_idle) {
            return Turn::Ended(end);
        }
        self.settle(now);
        self.leave_if_ready();
        let turn = self.end_if_stopped();
        if let (Turn::Ended(_), Some(notes)) = (&turn, &self.crash_notes) {
            notes.end();
        }
        turn
    }

    /// Takes an order from the control side.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::Stop => {
                let until = self.clock.monotonic() + self.setup.bounds.stop_budget;
                self.stopping.get_or_insert(until);
            }
            Command::Pause => self.is_paused = true,
            Command::Resume => {
                self.is_paused = false;
                self.halted = None;
                self.breaker.clear();
            }
            Command::Adopt(adoption) => self.order_adoption(adoption),
        }
    }

    /// Tells the group that this member will not come back, so that others take over at once.
    pub fn leave_group(&mut self) {
        self.client.leave();
    }

    pub fn client(&self) -> &C {
        &self.client
    }

    fn handle(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Idle => {}
            Event::Records(batch) => self.take_records(batch),
            Event::Committed(outcome) => self.apply_outcome(outcome),
            Event::Assigned { partitions, member } => self.assigned(partitions, &member),
            Event::Revoked { partitions, .. } => self.revoked(partitions),
            Event::Lost { partitions } => self.lost(&partitions),
            Event::Located { partition, found } => self.located(partition, *found),
            Event::Changelog(batch) => self.take_changelog(batch),
            Event::Restored { store, partition, to } => self.restored(store, partition, to),
            Event::OutOfRange { position, first, end } => self.out_of_range(position, first, end),
            Event::Degraded(fault) => self.counters.note_fault(fault.0),
            Event::Fatal(fatal) => return Some(End::Fatal(fatal)),
        }
        None
    }

    fn take_records(&mut self, batch: crate::record::Batch) {
        let (partition, input) = (batch.partition(), batch.input());
        match self.tasks.get_mut(&partition) {
            Some(task) if matches!(task.state(), State::Running | State::Suspended { .. }) => {
                task.offer(batch);
                if task.backlog() >= BACKLOG_BATCHES_MAX && self.held.insert((partition, input)) {
                    self.client.hold(input, partition, true);
                }
            }
            _ => self.client.recycle(batch),
        }
    }

    /// Reads a partition again once its task has room.
    fn unhold(&mut self, partition: Partition) {
        let inputs = self.setup.task.inputs.len() as u16;
        for input in (0..inputs).map(Input) {
            if self.held.remove(&(partition, input)) {
                self.client.hold(input, partition, false);
            }
        }
    }

    /// How long nothing of our own is due.
    fn until_due(&self, now: Duration) -> Duration {
        let mut due = now + LONGEST_WAIT;
        if self.rest_until > now {
            due = due.min(self.rest_until);
        }
        let is_sealable = |t: &Task| t.is_dirty() && !self.checking.contains_key(&t.partition());
        if self.flight.is_none() && self.tasks.values().any(is_sealable) {
            let after = if self.adopting.is_some() { Duration::ZERO } else { self.limits.bounds().commit_min_interval };
            due = due.min(self.last_seal + after);
        }
        let wakes = self.tasks.values().filter_map(|t| match t.state() {
            State::Suspended { until, .. } => Some(*until),
            _ => None,
        });
        let stops = self.stopping.iter().chain(self.leaving.iter().map(|l| &l.until)).copied();
        let all = wakes.chain(stops).chain(self.to_locate.values().copied());
        all.fold(due, Duration::min).saturating_sub(now)
    }

    fn end_if_stopped(&mut self) -> Turn {
        let Some(until) = self.stopping else { return Turn::Go };
        let is_dirty = self.tasks.values().any(Task::is_dirty);
        if self.flight.is_none() && !is_dirty {
            return Turn::Ended(End::Stopped { is_clean: true });
        }
        if self.clock.monotonic() >= until {
            return Turn::Ended(End::Stopped { is_clean: false });
        }
        Turn::Go
    }
}

/// Longest poll when nothing of ours is due: wakes the loop for commands.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
