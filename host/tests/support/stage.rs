//! A worker on a client that plays a script, with a clock that is moved by hand and a component that echoes. Tests say
//! what happens and see what the worker asks for. Without stores.

#![allow(dead_code, reason = "each test binary uses a part")]

#[path = "outcome.rs"]
mod outcome;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use outcome::committed;
use wasmill::client::*;
use wasmill::clock::Clock;
use wasmill::processor::*;
use wasmill::record::*;
use wasmill::task::{Start, State, TaskSetup, VersionName};
use wasmill::worker::*;

/// What the worker asked of its client.
#[derive(Debug, PartialEq, Clone)]
pub enum Asked {
    Locate(i32),
    Fetch(Vec<(i32, i64)>),
    /// Partition, next offset, outputs, dead letters, sequence.
    Commit(Vec<(i32, i64, usize, usize, u64)>),
    Release(Vec<i32>),
}

#[derive(Default)]
pub struct Script {
    pub events: VecDeque<Event>,
    pub asked: Vec<Asked>,
    pub member: Member,
    pub sealed: Option<Commit>,
}

pub struct ScriptClient(Rc<RefCell<Script>>);

impl Client for ScriptClient {
    fn poll(&mut self, _: Duration) -> Event {
        self.0.borrow_mut().events.pop_front().unwrap_or(Event::Idle)
    }
    fn seal(&mut self) -> Result<Snapshot, Event> {
        Ok(Snapshot { member: self.0.borrow().member.clone(), handle: Box::new(()) })
    }
    fn start_commit(&mut self, commit: Commit) {
        let row = |t: &TaskCommit| {
            (t.partition.0, t.positions[0].next.0, t.outputs.len(), t.dead_letters.len(), t.metadata.sequence)
        };
        let mut script = self.0.borrow_mut();
        script.asked.push(Asked::Commit(commit.tasks.iter().map(row).collect()));
        assert!(script.sealed.replace(commit).is_none(), "one commit in flight");
    }
    fn locate(&mut self, partition: Partition) {
        self.0.borrow_mut().asked.push(Asked::Locate(partition.0));
    }
    fn restore(&mut self, _: u16, _: Partition, _: Offset, _: Offset) {
        panic!("no stores")
    }
    fn fetch(&mut self, positions: &[Position]) {
        let rows = positions.iter().map(|p| (p.partition.0, p.next.0)).collect();
        self.0.borrow_mut().asked.push(Asked::Fetch(rows));
    }
    fn hold(&mut self, _: Input, _: Partition, _: bool) {}
    fn release(&mut self, partitions: &[Partition]) {
        self.0.borrow_mut().asked.push(Asked::Release(partitions.iter().map(|p| p.0).collect()));
    }
    fn end_of(&self, _: Input, _: Partition) -> Option<Offset> {
        None
    }
    fn recycle(&mut self, _: Batch) {}
    fn leave(&mut self) {}
}

struct ManualClock(Arc<std::sync::atomic::AtomicU64>);

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst) as i64
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

thread_local! {
    /// Instances made in this test.
    pub static INSTANCES: Cell<u32> = const { Cell::new(0) };
    /// Scheduled times and missed counts of ticks.
    pub static TICKS: RefCell<Vec<(i64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// What a version of the component does.
#[derive(Clone, Copy, Default)]
pub struct Echo {
    /// Before each value that it echoes.
    pub says: &'static str,
    /// Values that it fails on, `bad` apart; `tick` stands for ticks. On the value `disk` the host fails.
    pub fails_on: &'static [&'static str],
    /// Values on which it fails the host.
    pub fails_host_on: &'static [&'static str],
}

impl Processor for Echo {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        for (i, record) in batch.records().enumerate() {
            let text = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            self.meet(&text, i)?;
            let value = format!("{}{text}", self.says);
            let (key, value) = (record.key, Some(value.as_bytes()));
            let output = NewOutput { output: 0, timestamp_ms: None, key, value, headers: Headers::default() };
            scope.outputs.push(&record, output);
        }
        Ok(())
    }

    /// Each tick puts out that it was.
    fn tick(&mut self, batch: BatchRef<'_>, missed: u64, scope: &mut Scope) -> Result<(), ProcessError> {
        let record = batch.record(0);
        self.meet("tick", 0)?;
        TICKS.with_borrow_mut(|t| t.push((record.timestamp_ms, missed)));
        let value = format!("{}tick", self.says);
        let (key, value) = (None, Some(value.as_bytes()));
        let output = NewOutput { output: 0, timestamp_ms: None, key, value, headers: Headers::default() };
        scope.outputs.push(&record, output);
        Ok(())
    }
}

impl Echo {
    fn meet(&self, text: &str, index: usize) -> Result<(), ProcessError> {
        if text == "bad" || self.fails_on.contains(&text) {
            let kind = FaultKind::Failure("bad".into());
            let index = Some(index as u32);
            return Err(GuestFault { kind, index, message: "no".into(), backtrace: None }.into());
        }
        if text == "disk" || self.fails_host_on.contains(&text) {
            return Err(ProcessError::Host("no space left".into()));
        }
        Ok(())
    }
}

pub struct EchoVersion {
    pub echo: Echo,
    /// How often it opens before it does not any more.
    pub opens: u32,
}

impl EchoVersion {
    pub fn of(echo: Echo) -> Self {
        Self { echo, opens: u32::MAX }
    }
}

impl Version for EchoVersion {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        if self.opens == 0 {
            let kind = FaultKind::Trap;
            return Err(GuestFault { kind, index: None, message: "closed".into(), backtrace: None }.into());
        }
        self.opens -= 1;
        INSTANCES.set(INSTANCES.get() + 1);
        Ok(Box::new(self.echo))
    }
}

pub struct Stage {
    pub worker: Worker<ScriptClient>,
    pub script: Rc<RefCell<Script>>,
    pub now_ms: Arc<std::sync::atomic::AtomicU64>,
}

pub fn member(id: &str, generation: i32) -> Member {
    Member { id: id.into(), generation }
}

pub fn located(next: i64, sequence: u64) -> Located {
    let metadata = Metadata { sequence, nonce: 5, revision: 1, ..Metadata::default() }.to_string();
    let committed = Some(Committed { next: Offset(next), metadata });
    let input = LocatedInput { input: Input(0), committed, first: Offset(0), end: Offset(1000) };
    Located { inputs: vec![input], changelogs: Vec::new(), has_cutover: false }
}

pub fn batch(partition: i32, first: i64, values: &[&str]) -> Event {
    let mut builder = BatchBuilder::new(Input(0), Partition(partition), None);
    for (i, value) in values.iter().enumerate() {
        let headers = Headers::default();
        let value = Some(value.as_bytes());
        builder.push(&Record { offset: first + i as i64, timestamp_ms: 1, key: None, value, headers });
    }
    Event::Records(builder.build())
}

impl Stage {
    pub fn new(on_error: OnError, overlap: bool) -> Self {
        Self::edited(on_error, |setup| setup.bounds.overlap = overlap)
    }

    pub fn edited(on_error: OnError, edit: impl FnOnce(&mut Setup)) -> Self {
        INSTANCES.set(0);
        let script = Rc::new(RefCell::new(Script { member: member("m1", 1), ..Script::default() }));
        let now_ms = Arc::new(std::sync::atomic::AtomicU64::new(1000));
        let task = TaskSetup {
            group: "app.echo".into(),
            inputs: vec!["in".into()],
            output_count: 1,
            stores: Vec::new(),
            start: Start::Earliest,
            merge_wait: Duration::ZERO,
            tick_interval: None,
            checkpoint_age_ms_max: 1000,
        };
        let mut setup = Setup {
            task: Arc::new(task),
            bounds: Bounds::default(),
            on_error,
            tables: Vec::new(),
            open_store: Box::new(|_, _| unreachable!("no stores")),
            random: Box::new(|| 4),
        };
        edit(&mut setup);
        let name = VersionName { revision: 1, number: 1, digest: "d".into() };
        let version = ActiveVersion { name, version: Box::new(EchoVersion::of(Echo::default())) };
        let clock = Arc::new(ManualClock(now_ms.clone()));
        Self { worker: Worker::new(setup, ScriptClient(script.clone()), clock, version), script, now_ms }
    }

    /// With partitions assigned and running at offset 10, sequence 3.
    pub fn running(on_error: OnError, overlap: bool, partitions: &[i32]) -> Self {
        Self::new(on_error, overlap).run(partitions)
    }

    pub fn bounded(partitions: &[i32], bounds: Bounds) -> Self {
        Self::edited(OnError::DeadLetter, |setup| setup.bounds = bounds).run(partitions)
    }

    pub fn run(self, partitions: &[i32]) -> Self {
        let mut stage = self;
        let all = partitions.iter().map(|p| Partition(*p)).collect();
        stage.play(Event::Assigned { partitions: all, member: member("m1", 1) });
        for p in partitions {
            stage.play(Event::Located { partition: Partition(*p), found: Box::new(Ok(located(10, 3))) });
        }
        stage.script.borrow_mut().asked.clear();
        stage
    }

    /// Lets the worker handle one event and then settle.
    pub fn play(&mut self, event: Event) {
        self.script.borrow_mut().events.push_back(event);
        self.settle();
    }

    pub fn settle(&mut self) {
        for _ in 0..8 {
            assert_eq!(self.worker.turn(Duration::ZERO), Turn::Go);
        }
    }

    /// Lets time pass, so that what is filled is sealed.
    pub fn pass(&mut self, ms: u64) {
        self.now_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
        self.settle();
    }

    pub fn answer(&mut self, verdict: Verdict, cause: Option<CommitFault>) {
        let commit = self.script.borrow_mut().sealed.take().expect("a commit in flight");
        self.play(committed(commit, verdict, cause));
    }

    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.script.borrow_mut().asked)
    }

    pub fn state(&self, partition: i32) -> State {
        let status = self.worker.status();
        let task = status.tasks.iter().find(|t| t.partition == Partition(partition));
        task.map(|t| t.state.clone()).expect("a task")
    }
}
