//! Questions to a worker: they see the last commit with its position, never what is being filled or is in commit. And
//! what a worker does when the storage below a task fails. On a client that plays a script.

#[path = "support/failing_store.rs"]
mod failing_store;
#[path = "support/outcome.rs"]
mod outcome;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use failing_store::{FailingStore, Handle};
use wasmill::client::*;
use wasmill::clock::Clock;
use wasmill::processor::*;
use wasmill::record::*;
use wasmill::store::{DiskStores, MemoryStore, Store, changelog};
use wasmill::task::{Start, TaskSetup, VersionName};
use wasmill::worker::*;

const P: Partition = Partition(5);

#[derive(Default)]
struct Script {
    events: VecDeque<Event>,
    located: u32,
    restored: u32,
    sealed: Option<Commit>,
}

struct ScriptClient(Rc<RefCell<Script>>);

impl Client for ScriptClient {
    fn poll(&mut self, _: Duration) -> Event {
        self.0.borrow_mut().events.pop_front().unwrap_or(Event::Idle)
    }
    fn seal(&mut self) -> Result<Snapshot, Event> {
        Ok(Snapshot { member: member(), handle: Box::new(()) })
    }
    fn start_commit(&mut self, commit: Commit) {
        assert!(self.0.borrow_mut().sealed.replace(commit).is_none(), "one commit in flight");
    }
    fn locate(&mut self, _: Partition) {
        self.0.borrow_mut().located += 1;
    }
    fn restore(&mut self, _: u16, _: Partition, _: Offset, _: Offset) {
        self.0.borrow_mut().restored += 1;
    }
    fn fetch(&mut self, _: &[Position]) {}
    fn hold(&mut self, _: Input, _: Partition, _: bool) {}
    fn release(&mut self, _: &[Partition]) {}
    fn end_of(&self, _: Input, _: Partition) -> Option<Offset> {
        None
    }
    fn recycle(&mut self, _: Batch) {}
    fn leave(&mut self) {}
}

struct ManualClock(Arc<AtomicI64>);

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)
    }
}

/// Keeps the newest value of each key.
struct Latest;

impl Processor for Latest {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        for record in batch.records() {
            let key = record.key.expect("keyed");
            scope.stores[0].get(key).map_err(|error| ProcessError::Host(error.to_string()))?;
            scope.stores[0].put(key, record.value).expect("a good key");
        }
        Ok(())
    }
}

struct LatestVersion;

impl Version for LatestVersion {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        Ok(Box::new(Latest))
    }
}

fn member() -> Member {
    Member { id: "m1".into(), generation: 1 }
}

struct Stage {
    worker: Worker<ScriptClient>,
    script: Rc<RefCell<Script>>,
    now_ms: Arc<AtomicI64>,
}

impl Stage {
    fn new(open_store: OpenStore) -> Self {
        let script = Rc::new(RefCell::new(Script::default()));
        let now_ms = Arc::new(AtomicI64::new(1000));
        let task = TaskSetup {
            group: "app.latest".into(),
            inputs: vec!["in".into()],
            output_count: 0,
            stores: vec!["s".into()],
            start: Start::Earliest,
            merge_wait: Duration::ZERO,
            tick_interval: None,
            checkpoint_age_ms_max: 1_000_000,
        };
        let setup = Setup {
            task: Arc::new(task),
            bounds: Bounds { overlap: true, ..Bounds::default() },
            on_error: OnError::DeadLetter,
            tables: Vec::new(),
            open_store,
            random: Box::new(|| 4),
        };
        let name = VersionName { revision: 1, number: 1, digest: "d".into() };
        let version = ActiveVersion { name, version: Box::new(LatestVersion) };
        let clock = Arc::new(ManualClock(now_ms.clone()));
        Self { worker: Worker::new(setup, ScriptClient(script.clone()), clock, version), script, now_ms }
    }

    /// With its partition running at offset 10, sequence 3.
    fn running(open_store: OpenStore) -> Self {
        let mut stage = Self::new(open_store);
        stage.play(Event::Assigned { partitions: vec![P], member: member() });
        stage.locate();
        stage.play(Event::Restored { store: 0, partition: P, to: Offset(60) });
        stage
    }

    fn locate(&mut self) {
        let marks = vec![ChangelogMark { identity: 7, next: Offset(50) }];
        let metadata = Metadata { sequence: 3, nonce: 5, revision: 1, changelogs: marks, ..Metadata::default() };
        let committed = Some(Committed { next: Offset(10), metadata: metadata.to_string() });
        let inputs = vec![LocatedInput { input: Input(0), committed, first: Offset(0), end: Offset(1000) }];
        let first_record = Some(changelog::identity_record(7));
        let changelogs = vec![LocatedChangelog { first: Offset(0), end: Offset(60), first_record }];
        let found = Box::new(Ok(Located { inputs, changelogs, has_cutover: true }));
        self.play(Event::Located { partition: P, found });
    }

    fn play(&mut self, event: Event) {
        self.script.borrow_mut().events.push_back(event);
        self.pass(0);
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        (0..8).for_each(|_| assert_eq!(self.worker.turn(Duration::ZERO), Turn::Go));
    }

    fn record(&mut self, offset: i64, value: &str) {
        let mut builder = BatchBuilder::new(Input(0), P, None);
        let (key, value, headers) = (Some(&b"k"[..]), Some(value.as_bytes()), Headers::default());
        builder.push(&Record { offset, timestamp_ms: 1, key, value, headers });
        self.play(Event::Records(builder.build()));
    }

    fn answer(&mut self, verdict: Verdict) {
        let commit = self.script.borrow_mut().sealed.take().expect("a commit in flight");
        self.play(outcome::committed(commit, verdict, None));
    }

    fn is_in_commit(&self) -> bool {
        self.script.borrow().sealed.is_some()
    }

    /// What a question is told: value, position, sequence.
    fn ask(&mut self) -> Result<(Option<String>, i64, u64), NoAnswer> {
        let told = self.worker.query(P, 0, b"k")?;
        let value = told.value.map(|value| String::from_utf8(value).expect("text"));
        Ok((value, told.next[0].0, told.sequence))
    }
}

fn committed(value: &str, next: i64, sequence: u64) -> Result<(Option<String>, i64, u64), NoAnswer> {
    Ok(((!value.is_empty()).then(|| value.to_owned()), next, sequence))
}

fn sees_commits_only(open_store: OpenStore) {
    let mut stage = Stage::new(open_store);
    assert_eq!(stage.ask(), Err(NoAnswer::NotHere { partition: P }));
    stage.play(Event::Assigned { partitions: vec![P], member: member() });
    assert_eq!(stage.ask(), Err(NoAnswer::Moving { partition: P }), "its positions are not known");
    stage.locate();
    assert_eq!(stage.ask(), Err(NoAnswer::Moving { partition: P }), "its store is not restored");
    stage.play(Event::Restored { store: 0, partition: P, to: Offset(60) });
    assert_eq!(stage.ask(), committed("", 10, 3));
    stage.record(10, "one");
    assert!(!stage.is_in_commit());
    assert_eq!(stage.ask(), committed("", 10, 3), "one is being filled");
    stage.pass(100);
    assert!(stage.is_in_commit());
    assert_eq!(stage.ask(), committed("", 10, 3), "one is in commit");
    stage.record(11, "two");
    assert_eq!(stage.ask(), committed("", 10, 3), "one is in commit, two is being filled");
    stage.answer(Verdict::Committed);
    assert_eq!(stage.ask(), committed("one", 11, 4), "one is committed, two is being filled");
    stage.pass(100);
    assert!(stage.is_in_commit());
    stage.answer(Verdict::NotCommitted);
    assert_eq!(stage.ask(), committed("one", 11, 4), "two was dropped");
    stage.play(Event::Revoked { partitions: vec![P], member: member() });
    assert_eq!(stage.ask(), Err(NoAnswer::NotHere { partition: P }));
}

#[test]
fn questions_see_commits_only() {
    sees_commits_only(Box::new(|_, _| Ok(Box::new(MemoryStore::new(false)))));
    let folder = tempfile::tempdir().expect("a folder");
    let stores = DiskStores::open(folder.path(), &["s"]).expect("a usable folder");
    sees_commits_only(Box::new(move |partition, _| Ok(Box::new(stores.store("s", partition, false)?))));
}

fn failing(handle: &Handle) -> OpenStore {
    let handle = handle.clone();
    Box::new(move |_, _| Ok(Box::new(FailingStore::new(handle.clone())) as Box<dyn Store>))
}

#[test]
fn a_task_whose_storage_fails_is_restored() {
    let handle = Handle::default();
    let mut stage = Stage::running(failing(&handle));
    let wiped_before = handle.wiped.load(Ordering::SeqCst);
    handle.fails.store(true, Ordering::SeqCst);
    stage.record(10, "one");
    handle.fails.store(false, Ordering::SeqCst);
    assert_eq!(handle.wiped.load(Ordering::SeqCst), wiped_before + 1, "what the disk holds is not trusted any more");
    assert_eq!(stage.script.borrow().located, 2, "the task starts over from what is committed");
    stage.locate();
    assert_eq!(stage.script.borrow().restored, 2);
    stage.play(Event::Restored { store: 0, partition: P, to: Offset(60) });
    stage.pass(10_000);
    stage.record(10, "one");
    stage.pass(100);
    stage.answer(Verdict::Committed);
    assert_eq!(stage.ask(), committed("one", 11, 4));
}

/// What is committed is final only once the outcome is known.
#[test]
fn a_task_with_a_commit_under_way_is_restored_after_it() {
    let handle = Handle::default();
    let mut stage = Stage::running(failing(&handle));
    stage.record(10, "one");
    stage.pass(100);
    assert!(stage.is_in_commit());
    handle.fails.store(true, Ordering::SeqCst);
    assert!(matches!(stage.ask(), Err(NoAnswer::Storage(_))), "a question may be the first to meet it");
    assert_eq!(stage.script.borrow().located, 1, "not while the commit is under way");
    handle.fails.store(false, Ordering::SeqCst);
    stage.answer(Verdict::Committed);
    assert_eq!(stage.script.borrow().located, 2);
    assert_eq!(stage.ask(), Err(NoAnswer::Moving { partition: P }));
}
