//! The simulated [`Client`]: a host process' connection to the cluster, as librdkafka and the layer over it behave. What
//! runs in threads there happens here in `background`, which the world calls as time passes. Knows nothing of workers.

mod committer;
mod locating;
mod membership;
mod reading;
mod writes;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use wasmill::client::{Client, Commit, Event, Fatal, Member, Snapshot};
use wasmill::record::{Batch, Input, Offset, Partition, Position};

use crate::cluster::{Cluster, Sender};
use crate::faults::Weather;
use crate::mutants::Mutant;
use crate::random::Random;
use committer::Committer;
use locating::Locating;
use membership::{Membership, Rebalance};
use reading::Reading;

/// What a client is told at its start.
#[derive(Clone)]
pub struct Connection {
    pub cluster: Rc<RefCell<Cluster>>,
    /// `<host>.<worker>`.
    pub instance: String,
    pub inputs: u16,
    pub stores: u16,
    /// Larger sets are refused, always.
    pub set_records_max: usize,
    pub weather: Weather,
    /// Whether disks may fail, for those who may run in other threads.
    pub fails: Arc<AtomicBool>,
    pub mutant: Option<Mutant>,
}

/// The worker's end.
pub struct SimClient(Rc<RefCell<Side>>);

/// The world's end of the same client: lets its threads run.
#[derive(Clone)]
pub struct Threads(Rc<RefCell<Side>>);

struct Side {
    connection: Connection,
    random: Random,
    membership: Membership,
    committer: Committer,
    reading: Reading,
    locating: Locating,
    /// What the worker believes to own.
    given: BTreeSet<i32>,
    /// The member id that the worker was last told of.
    noticed: String,
    /// The version that must have failed too before a record of this worker is a dead letter.
    judge: Option<u64>,
    /// Cutovers that were sent, of the fault planted there: partition and revision.
    cut_over: BTreeSet<(i32, u64)>,
    /// No network: nothing is sent, nothing comes.
    is_cut_off: bool,
}

impl SimClient {
    pub fn new(connection: Connection, mut random: Random) -> (Self, Threads) {
        let side = Side {
            membership: Membership::new(connection.instance.clone(), random.fork()),
            committer: Committer::new(connection.instance.clone(), random.fork()),
            reading: Reading::new(connection.mutant),
            locating: Locating::default(),
            given: BTreeSet::new(),
            noticed: String::new(),
            judge: None,
            cut_over: BTreeSet::new(),
            is_cut_off: false,
            connection,
            random,
        };
        let side = Rc::new(RefCell::new(side));
        (Self(side.clone()), Threads(side))
    }
}

impl Threads {
    /// What the client's threads do by themselves.
    pub fn run(&self) {
        let Side { connection, membership, committer, locating, is_cut_off, .. } = &mut *self.0.borrow_mut();
        if *is_cut_off {
            return;
        }
        let mut cluster = connection.cluster.borrow_mut();
        membership.run(&mut cluster, &connection.weather);
        committer.run(&mut cluster, connection);
        locating.run(&mut cluster, connection);
    }

    pub fn cut_off(&self, is_cut_off: bool) {
        self.0.borrow_mut().is_cut_off = is_cut_off;
    }

    pub fn judged_by(&self, judge: Option<u64>) {
        self.0.borrow_mut().judge = judge;
    }

    pub fn is_committing(&self) -> bool {
        self.0.borrow().committer.is_busy()
    }

    /// The member that the worker knows itself to be; nobody while the group has another that it was not told of.
    pub fn member_id(&self) -> String {
        let side = self.0.borrow();
        let id = &side.membership.member().id;
        if *id == side.noticed { id.clone() } else { String::new() }
    }
}

impl Client for SimClient {
    fn poll(&mut self, _wait: Duration) -> Event {
        let side = &mut *self.0.borrow_mut();
        let event = side.poll();
        if !matches!(event, Event::Idle) {
            side.note(|| format!("-> {}", brief(&event)));
        }
        event
    }

    fn seal(&mut self) -> Result<Snapshot, Event> {
        let side = &mut *self.0.borrow_mut();
        if let Some(event) = side.group_event() {
            side.note(|| format!("seal -> {}", brief(&event)));
            return Err(event);
        }
        let snapshot = side.snapshot();
        side.note(|| format!("seal as {:?}", snapshot.member));
        Ok(snapshot)
    }

    fn start_commit(&mut self, mut commit: Commit) {
        let side = &mut *self.0.borrow_mut();
        commit.tasks.iter_mut().for_each(|task| side.look_at(task));
        let Side { connection, committer, random, .. } = side;
        let cluster = connection.cluster.borrow();
        cluster.note(|| format!("{}: commit {}", connection.instance, describe(&commit)));
        committer.start(commit, &cluster, random);
    }

    fn locate(&mut self, partition: Partition) {
        let side = &mut *self.0.borrow_mut();
        side.note(|| format!("locate {partition}"));
        let now = side.connection.cluster.borrow().now;
        side.locating.start(partition.0, now, &mut side.random);
    }

    fn restore(&mut self, store: u16, partition: Partition, from: Offset, to: Offset) {
        let side = &mut *self.0.borrow_mut();
        side.note(|| format!("restore {store} of {partition}: {from}..{to}"));
        side.reading.restore(store, partition.0, from.0, to.0);
    }

    fn fetch(&mut self, positions: &[Position]) {
        let side = &mut *self.0.borrow_mut();
        side.note(|| format!("fetch {:?}", positions.iter().map(|p| (p.partition.0, p.next.0)).collect::<Vec<_>>()));
        for position in positions {
            side.reading.fetch(position.input.0, position.partition.0, position.next.0);
        }
    }

    fn hold(&mut self, input: Input, partition: Partition, is_held: bool) {
        self.0.borrow_mut().reading.hold(input.0, partition.0, is_held);
    }

    fn release(&mut self, partitions: &[Partition]) {
        let side = &mut *self.0.borrow_mut();
        side.note(|| format!("release {partitions:?}"));
        let released: BTreeSet<i32> = partitions.iter().map(|p| p.0).collect();
        for partition in &released {
            side.given.remove(partition);
            side.reading.stop(*partition);
            side.locating.stop(*partition);
        }
        let now = side.connection.cluster.borrow().now;
        side.membership.released(&released, now);
    }

    fn end_of(&self, input: Input, partition: Partition) -> Option<Offset> {
        self.0.borrow().reading.end_of(input.0, partition.0).map(Offset)
    }

    fn recycle(&mut self, _batch: Batch) {}

    fn leave(&mut self) {
        let side = &mut *self.0.borrow_mut();
        side.note(|| "leave".to_owned());
        let Side { connection, membership, .. } = side;
        membership.leave(&mut connection.cluster.borrow_mut());
    }
}

impl Side {
    fn note(&self, line: impl FnOnce() -> String) {
        let instance = &self.connection.instance;
        self.connection.cluster.borrow().note(|| format!("{instance}: {}", line()));
    }

    /// A record becomes a dead letter only if the judge, where there is one, has failed on it too.
    fn look_at(&mut self, task: &mut wasmill::client::TaskCommit) {
        if let Some(judge) = self.judge {
            let innocent = task.dead_letters.iter().find(|letter| writes::passes(letter, judge));
            assert!(innocent.is_none(), "version {judge} passes what became a dead letter: {innocent:?}");
        }
        let is_first = self.cut_over.insert((task.partition.0, task.metadata.revision));
        if self.connection.mutant == Some(Mutant::CutoverOnce) && !is_first {
            task.cutovers.clear();
        }
    }

    fn poll(&mut self) -> Event {
        let now = self.connection.cluster.borrow().now;
        self.membership.polled(now);
        if let Some(identity) = self.membership.is_fenced().or(self.committer.is_fenced()) {
            return Event::Fatal(Fatal::Identity(identity));
        }
        let first = self.random.below(5);
        for source in (0..5).map(|i| (first + i) % 5) {
            let event = match source {
                0 => self.group_event(),
                1 => self.committer.take_outcome().map(Event::Committed),
                2 => self.locating.take_answer(),
                3 | 4 if self.is_cut_off => None,
                3 => self.reading.changelog(&self.connection, &mut self.random),
                _ => self.reading.records(&self.connection, &mut self.random),
            };
            if let Some(event) = event {
                return event;
            }
        }
        Event::Idle
    }

    /// The next event of the group. A member id that changed without a word is noticed here, but not at once.
    fn group_event(&mut self) -> Option<Event> {
        let member = self.membership.member().clone();
        let is_noticed = self.connection.mutant != Some(Mutant::HideLoss);
        if member.id != self.noticed && (self.given.is_empty() || self.random.chance(300)) {
            self.noticed.clone_from(&member.id);
            let partitions = std::mem::take(&mut self.given);
            if !partitions.is_empty() && is_noticed {
                return Some(Event::Lost { partitions: named(&partitions) });
            }
            self.given = partitions;
        }
        match self.membership.take_event() {
            Some(Rebalance::Assign(list)) => return self.assign(&list),
            Some(Rebalance::Revoke(list)) => return self.unassign(list, false),
            Some(Rebalance::Lost(list)) => return self.unassign(list, true),
            None => {}
        }
        let kept: BTreeSet<i32> = self.membership.steady_share()?.difference(&self.given).copied().collect();
        if kept.is_empty() || member.id != self.noticed { None } else { self.assign(&kept) }
    }

    fn assign(&mut self, partitions: &BTreeSet<i32>) -> Option<Event> {
        let member = self.membership.member().clone();
        if member.id != self.noticed && !self.given.is_empty() {
            // Told of later, under the new id, once the loss of the rest was told.
            return None;
        }
        self.noticed.clone_from(&member.id);
        self.given.extend(partitions);
        Some(Event::Assigned { partitions: named(partitions), member: self.shown(member) })
    }

    /// The planted fault in the checks of membership: the worker always sees the same member.
    fn shown(&self, member: Member) -> Member {
        if self.connection.mutant == Some(Mutant::SkipMemberCheck) {
            return Member { id: self.connection.instance.clone(), generation: 1 };
        }
        member
    }

    /// What the worker was not given, or has lost already, is let go at once.
    fn unassign(&mut self, list: BTreeSet<i32>, is_lost: bool) -> Option<Event> {
        let unknown: BTreeSet<i32> = list.difference(&self.given).copied().collect();
        let now = self.connection.cluster.borrow().now;
        self.membership.released(&unknown, now);
        let partitions = named(&list.intersection(&self.given).copied().collect());
        if partitions.is_empty() {
            return None;
        }
        if !is_lost {
            return Some(Event::Revoked { partitions, member: self.membership.member().clone() });
        }
        if self.connection.mutant == Some(Mutant::HideLoss) {
            self.membership.released(&list, now);
            return None;
        }
        self.given.retain(|p| !list.contains(p));
        Some(Event::Lost { partitions })
    }

    fn snapshot(&self) -> Snapshot {
        let Member { id, generation } = self.membership.member().clone();
        let instance = Some(self.connection.instance.clone());
        let mut sender = Sender { member: id.clone(), generation, instance };
        if self.connection.mutant == Some(Mutant::Generationless) {
            sender = Sender { member: String::new(), generation: -1, instance: None };
        }
        Snapshot { member: self.shown(Member { id, generation }), handle: Box::new(sender) }
    }
}

fn named(partitions: &BTreeSet<i32>) -> Vec<Partition> {
    partitions.iter().copied().map(Partition).collect()
}

fn describe(commit: &Commit) -> String {
    let task = |t: &wasmill::client::TaskCommit| {
        let next: Vec<i64> = t.positions.iter().map(|p| p.next.0).collect();
        format!("{} #{} to {next:?}, {} outputs", t.partition, t.metadata.sequence, t.outputs.len())
    };
    commit.tasks.iter().map(task).collect::<Vec<_>>().join("; ")
}

fn brief(event: &Event) -> String {
    match event {
        Event::Records(b) => format!("records {}/{} {}..{}", b.input().0, b.partition(), b.first(), b.next()),
        Event::Changelog(b) => format!("changelog {}/{} {}..{}", b.input().0, b.partition(), b.first(), b.next()),
        Event::Committed(outcome) => {
            let verdicts: Vec<_> = outcome.tasks.iter().map(|t| (t.partition.0, t.verdict)).collect();
            format!("committed {verdicts:?} {:?}", outcome.cause)
        }
        other => format!("{other:?}"),
    }
}
