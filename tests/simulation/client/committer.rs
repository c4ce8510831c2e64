//! The committer thread and its transactional producer: one step of the commit protocol at a time, so that anything can
//! happen between two. Decides unknown outcomes, and when a producer is worn out, with the host's own rules.

use std::collections::BTreeMap;
use std::time::Duration;

use wasmill::client::{
    Commit, CommitFault, Committed, Metadata, Outcome, TaskCommit, TaskOutcome, Verdict, Wear, verdict,
};
use wasmill::record::Offset;

use super::{Connection, writes};
use crate::cluster::{
    Cluster, GroupError, Late, NewEntry, OffsetText, OffsetsError, Place, Producer, Role, Sender, TxError,
};
use crate::faults::Faults;
use crate::mutants::Mutant;
use crate::random::Random;

pub struct Committer {
    transactional_id: String,
    producer: Option<Live>,
    wear: Wear,
    /// When the last transaction ended.
    ended: Duration,
    job: Option<Job>,
    outcome: Option<Outcome>,
    due: Duration,
    fencings: u32,
    random: Random,
}

/// A handle and what it calls itself in commit metadata.
struct Live {
    producer: Producer,
    nonce: u64,
}

struct Job {
    tasks: Vec<TaskCommit>,
    sender: Sender,
    writes: Vec<(Place, Vec<NewEntry>)>,
    ends: BTreeMap<Place, i64>,
    metadata: Vec<Metadata>,
    began: Duration,
    sockets_closed: u64,
    is_extended: bool,
    step: Step,
    cause: Option<CommitFault>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Begin,
    Add(usize),
    Produce(usize),
    AddOffsets,
    Offsets,
    End,
    Abort,
    Resolve,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq)]
enum Passage {
    Answered,
    /// Executed, but the answer never came: the client asks again.
    AnswerLost,
    /// Held on the network: the client asks again, and this copy arrives later.
    HeldBack,
}

/// How a step ended.
enum Done {
    Next(Step),
    /// The same again, after this pause.
    Again(Duration),
    Abort(CommitFault),
    Fatal(CommitFault),
    Finished(Vec<Verdict>),
}

/// librdkafka's pause after CONCURRENT_TRANSACTIONS.
const CONCURRENT_PAUSE: Duration = Duration::from_millis(20);
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Fencings by somebody else after which this identity is taken to be in use twice.
const FENCINGS_MAX: u32 = 3;

impl Committer {
    pub fn new(transactional_id: String, random: Random) -> Self {
        Self {
            transactional_id,
            producer: None,
            wear: Wear::default(),
            ended: Duration::ZERO,
            job: None,
            outcome: None,
            due: Duration::ZERO,
            fencings: 0,
            random,
        }
    }

    pub fn is_busy(&self) -> bool {
        self.job.is_some() || self.outcome.is_some()
    }

    pub fn is_fenced(&self) -> Option<String> {
        (self.fencings >= FENCINGS_MAX).then(|| self.transactional_id.clone())
    }

    pub fn take_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    pub fn start(&mut self, commit: Commit, cluster: &Cluster, random: &mut Random) {
        assert!(!self.is_busy(), "one commit is out at a time");
        let Commit { snapshot, tasks } = commit;
        let sender = *snapshot.handle.downcast::<Sender>().expect("our own snapshot comes back");
        self.job = Some(Job {
            writes: writes::writes(&tasks, cluster, random),
            metadata: tasks.iter().map(|t| t.metadata.clone()).collect(),
            tasks,
            sender,
            ends: BTreeMap::new(),
            began: cluster.now,
            sockets_closed: 0,
            is_extended: false,
            step: Step::Begin,
            cause: None,
        });
        self.due = self.due.max(cluster.now);
    }

    /// Takes the steps that are due. Without a commit: makes sure that a predecessor's transaction is ended.
    pub fn run(&mut self, cluster: &mut Cluster, connection: &Connection) {
        let faults = connection.weather.now();
        for _ in 0..STEPS_AT_ONCE {
            if self.due > cluster.now {
                return;
            }
            match self.job.take() {
                Some(job) => self.advance(job, cluster, connection, &faults),
                None if self.producer.is_none() => self.ensure_producer(cluster),
                None => return,
            }
        }
    }

    fn ensure_producer(&mut self, cluster: &mut Cluster) {
        match cluster.init_producer(&self.transactional_id) {
            Ok(producer) => {
                self.producer = Some(Live { producer, nonce: self.random.next() });
                self.wear = Wear::default();
                self.ended = cluster.now;
            }
            Err(_) => self.due = cluster.now + CONCURRENT_PAUSE,
        }
    }

    fn advance(&mut self, mut job: Job, cluster: &mut Cluster, connection: &Connection, faults: &Faults) {
        let step = job.step;
        let done = self.step(&mut job, cluster, connection, faults);
        let pace_us = if self.random.chance(faults.slow_permille) { 2_000_000 } else { 400 };
        self.due = cluster.now + Duration::from_micros(self.random.below(pace_us));
        match done {
            Done::Next(next) => job.step = next,
            Done::Again(pause) => self.due = cluster.now + pause,
            Done::Abort(cause) => {
                cluster.note(|| format!("{}: abort at {step:?}: {cause}", self.transactional_id));
                job.cause = Some(cause);
                job.step = Step::Abort;
            }
            Done::Fatal(cause) => {
                cluster.note(|| format!("{}: fatal at {step:?}: {cause}", self.transactional_id));
                job.cause = Some(job.cause.unwrap_or(cause));
                let is_repeated = connection.mutant == Some(Mutant::RepeatUnknown);
                job.step = if is_repeated { Step::Begin } else { Step::Resolve };
                self.producer = None;
            }
            Done::Finished(mut verdicts) => {
                if connection.mutant == Some(Mutant::BelieveCommit) {
                    verdicts.fill(Verdict::Committed);
                }
                self.finish(job, verdicts, cluster.now);
                return;
            }
        }
        self.job = Some(job);
    }

    fn finish(&mut self, job: Job, verdicts: Vec<Verdict>, now: Duration) {
        self.wear.sockets_closed += job.sockets_closed;
        self.wear.took = now.saturating_sub(job.began);
        self.ended = now;
        let tasks = job.tasks.into_iter().zip(job.metadata).zip(verdicts);
        let outcome = |((spent, metadata), verdict): ((TaskCommit, Metadata), Verdict)| TaskOutcome {
            partition: spent.partition,
            verdict,
            metadata,
            spent,
        };
        self.outcome = Some(Outcome { tasks: tasks.map(outcome).collect(), cause: job.cause });
    }

    fn step(&mut self, job: &mut Job, cluster: &mut Cluster, connection: &Connection, faults: &Faults) -> Done {
        let is_working = !matches!(job.step, Step::Begin | Step::Resolve | Step::Abort);
        let records: usize = job.writes.iter().map(|(_, records)| records.len()).sum();
        if is_working && records > connection.set_records_max {
            return Done::Abort(CommitFault::TooLarge(format!("a set of {records} records")));
        }
        if is_working && self.random.chance(faults.abort_permille) {
            return Done::Abort(self.some_fault());
        }
        if is_working && self.random.chance(faults.fatal_permille) {
            if job.step == Step::End && self.random.chance(500) {
                // The request got through; only its answer did not.
                let _ = self.producer.as_ref().map(|live| cluster.end_transaction(&live.producer, true));
            }
            return Done::Fatal(CommitFault::Other("the producer died".into()));
        }
        match job.step {
            Step::Begin => self.begin(job, cluster, connection),
            Step::Resolve => self.resolve(job, cluster, connection),
            step => {
                let Some(Live { producer, nonce }) = &self.producer else { return Done::Next(Step::Resolve) };
                let (producer, nonce) = (producer.clone(), *nonce);
                match step {
                    Step::Add(i) => self.add(job, i, &producer, cluster, faults),
                    Step::Produce(i) => self.produce(job, i, &producer, cluster, connection, faults),
                    Step::AddOffsets => self.add_offsets(job, &producer, nonce, cluster, faults),
                    Step::Offsets => self.offsets(job, &producer, cluster, connection, faults),
                    Step::End => self.end(job, &producer, cluster, faults),
                    _ => self.abort(job, &producer, cluster, faults),
                }
            }
        }
    }

    fn begin(&mut self, job: &mut Job, cluster: &mut Cluster, connection: &Connection) -> Done {
        self.wear.rested = cluster.now.saturating_sub(self.ended);
        if self.wear.must_recycle() && connection.mutant != Some(Mutant::KeepProducer) {
            self.producer = None;
        }
        if self.producer.is_none() {
            self.ensure_producer(cluster);
            if self.producer.is_none() {
                return Done::Again(CONCURRENT_PAUSE);
            }
        }
        self.wear = Wear::default();
        job.began = cluster.now;
        Done::Next(Step::Add(0))
    }

    fn add(&mut self, job: &mut Job, i: usize, producer: &Producer, cluster: &mut Cluster, faults: &Faults) -> Done {
        let Some((place, _)) = job.writes.get(i) else { return Done::Next(Step::AddOffsets) };
        let passage = self.passage(job.sockets_closed, faults);
        if passage == Passage::HeldBack {
            let at = self.later(cluster.now);
            cluster.hold_back(Late::AddPartition { at, producer: producer.clone(), place: *place });
            return reconnect(job);
        }
        match cluster.add_partition(producer, *place) {
            Ok(()) => {
                job.is_extended = true;
                if passage == Passage::AnswerLost { reconnect(job) } else { Done::Next(Step::Produce(i)) }
            }
            Err(error) => self.refused(error, job, cluster),
        }
    }

    /// Produces and waits for the delivery, as a flush does.
    fn produce(
        &mut self,
        job: &mut Job,
        i: usize,
        producer: &Producer,
        cluster: &mut Cluster,
        connection: &Connection,
        faults: &Faults,
    ) -> Done {
        let (place, records) = &job.writes[i];
        if self.random.chance(faults.undelivered_permille) {
            if connection.mutant != Some(Mutant::SkipFlush) {
                return Done::Abort(CommitFault::Timeout("a record was not delivered".into()));
            }
            job.ends.insert(*place, cluster.log(*place).end());
            return Done::Next(Step::Add(i + 1));
        }
        if self.passage(job.sockets_closed, faults) != Passage::Answered {
            // Repeats of a batch carry its sequence number: the broker takes one.
            job.sockets_closed += 1;
        }
        match cluster.produce(producer, *place, records) {
            Ok(end) => {
                job.ends.insert(*place, end);
                Done::Next(Step::Add(i + 1))
            }
            Err(TxError::InvalidState) => {
                self.wear.is_suspect = true;
                Done::Abort(CommitFault::Other("INVALID_TXN_STATE".into()))
            }
            Err(error) => self.refused(error, job, cluster),
        }
    }

    fn add_offsets(
        &mut self,
        job: &mut Job,
        producer: &Producer,
        nonce: u64,
        cluster: &mut Cluster,
        _faults: &Faults,
    ) -> Done {
        match cluster.add_offsets(producer) {
            Ok(()) => {
                job.is_extended = true;
                job.fill_in(nonce, cluster);
                Done::Next(Step::Offsets)
            }
            Err(error) => self.refused(error, job, cluster),
        }
    }

    fn offsets(
        &mut self,
        job: &mut Job,
        producer: &Producer,
        cluster: &mut Cluster,
        connection: &Connection,
        faults: &Faults,
    ) -> Done {
        let mut offsets = job.offsets(cluster);
        if connection.mutant == Some(Mutant::MovedOnly) {
            offsets.retain(|place, o| cluster.committed_offset(*place).is_none_or(|c| c.next != o.next));
        }
        let passage = self.passage(job.sockets_closed, faults);
        if passage == Passage::HeldBack {
            let (at, producer, sender) = (self.later(cluster.now), producer.clone(), job.sender.clone());
            cluster.hold_back(Late::Offsets { at, producer, sender, offsets });
            return reconnect(job);
        }
        match cluster.commit_offsets(producer, &job.sender, &offsets) {
            Ok(()) if passage == Passage::AnswerLost => reconnect(job),
            Ok(()) => Done::Next(Step::End),
            Err(OffsetsError::Transaction(error)) => self.refused(error, job, cluster),
            Err(OffsetsError::Group(GroupError::IllegalGeneration | GroupError::RebalanceInProgress)) => {
                Done::Abort(CommitFault::IllegalGeneration)
            }
            Err(OffsetsError::Group(error)) => Done::Abort(CommitFault::FencedByGroup(format!("{error:?}"))),
        }
    }

    fn end(&mut self, job: &mut Job, producer: &Producer, cluster: &mut Cluster, faults: &Faults) -> Done {
        let passage = self.passage(job.sockets_closed, faults);
        if passage == Passage::HeldBack {
            let at = self.later(cluster.now);
            cluster.hold_back(Late::End { at, producer: producer.clone(), is_commit: true });
            return reconnect(job);
        }
        match cluster.end_transaction(producer, true) {
            Ok(()) if passage == Passage::AnswerLost => reconnect(job),
            Ok(()) => {
                self.fencings = 0;
                let took = cluster.now.saturating_sub(job.began);
                if took > cluster.pace.transaction_timeout / 2 {
                    return Done::Next(Step::Resolve);
                }
                Done::Finished(vec![Verdict::Committed; job.tasks.len()])
            }
            Err(error) => self.refused(error, job, cluster),
        }
    }

    fn abort(&mut self, job: &mut Job, producer: &Producer, cluster: &mut Cluster, faults: &Faults) -> Done {
        if job.is_extended {
            let passage = self.passage(job.sockets_closed, faults);
            if passage == Passage::HeldBack {
                let at = self.later(cluster.now);
                cluster.hold_back(Late::End { at, producer: producer.clone(), is_commit: false });
                return reconnect(job);
            }
            match cluster.end_transaction(producer, false) {
                Ok(()) if passage == Passage::AnswerLost => return reconnect(job),
                Ok(()) => {}
                Err(error) => return self.refused(error, job, cluster),
            }
        }
        Done::Finished(vec![Verdict::NotCommitted; job.tasks.len()])
    }

    /// A new life ends what the old one left open; then the committed texts tell.
    fn resolve(&mut self, job: &mut Job, cluster: &mut Cluster, connection: &Connection) -> Done {
        if self.producer.is_none() {
            self.ensure_producer(cluster);
        }
        if self.producer.is_none() {
            return Done::Again(CONCURRENT_PAUSE);
        }
        let offsets = job.offsets(cluster);
        if offsets.keys().any(|place| cluster.has_pending_offset(*place)) {
            return Done::Again(Duration::from_millis(5));
        }
        let is_by_offsets = connection.mutant == Some(Mutant::DecideByOffsets);
        let verdicts = job.tasks.iter().zip(&job.metadata);
        let verdicts = verdicts.map(|(task, ours)| {
            let places = task
                .positions
                .iter()
                .map(|p| Place { topic: cluster.topic(Role::Input(p.input.0)), partition: p.partition.0 });
            if is_by_offsets {
                let found: Vec<Option<i64>> =
                    places.map(|place| cluster.committed_offset(place).map(|o| o.next)).collect();
                let is_there = found.iter().zip(&task.positions).all(|(next, p)| *next == Some(p.next.0));
                return if is_there { Verdict::Committed } else { Verdict::NotCommitted };
            }
            let committed = |place| {
                let offset = cluster.committed_offset(place)?;
                Some(Committed { next: Offset(offset.next), metadata: offset.metadata.clone() })
            };
            verdict(ours, &places.map(committed).collect::<Vec<_>>())
        });
        Done::Finished(verdicts.collect())
    }

    fn refused(&mut self, error: TxError, job: &Job, cluster: &Cluster) -> Done {
        match error {
            TxError::Concurrent => Done::Again(CONCURRENT_PAUSE),
            TxError::InvalidState => {
                self.wear.is_suspect = true;
                Done::Fatal(CommitFault::Other("INVALID_TXN_STATE".into()))
            }
            TxError::Fenced => {
                let is_explained = cluster.now.saturating_sub(job.began) > cluster.pace.transaction_timeout;
                self.fencings += u32::from(!is_explained);
                Done::Fatal(CommitFault::FencedByProducer(self.transactional_id.clone()))
            }
        }
    }

    fn some_fault(&mut self) -> CommitFault {
        let text = || "injected".to_owned();
        // Too large is never bad luck: a set of one record that is too large condemns the record.
        match self.random.below(4) {
            0 | 1 => CommitFault::Timeout(text()),
            2 => CommitFault::IllegalGeneration,
            _ => CommitFault::Other(text()),
        }
    }

    fn passage(&mut self, cuts: u64, faults: &Faults) -> Passage {
        if cuts > CUTS_MAX || !self.random.chance(faults.cut_permille) {
            return Passage::Answered;
        }
        if self.random.chance(faults.held_permille) { Passage::HeldBack } else { Passage::AnswerLost }
    }

    /// When a copy that was held back arrives: mostly soon, in the midst of what follows.
    fn later(&mut self, now: Duration) -> Duration {
        let max_ms = *self.random.pick(&[120, 250, 250, 3000]);
        now + Duration::from_micros(self.random.below(max_ms * 1000))
    }
}

/// Cuts of one commit: bounds its time.
const CUTS_MAX: u64 = 4;

/// A bound, not a pace: steps take time.
const STEPS_AT_ONCE: usize = 64;

fn reconnect(job: &mut Job) -> Done {
    job.sockets_closed += 1;
    Done::Again(RECONNECT_PAUSE)
}

impl Job {
    /// What is known only after the records were delivered.
    fn fill_in(&mut self, nonce: u64, cluster: &Cluster) {
        for (task, metadata) in self.tasks.iter().zip(&mut self.metadata) {
            metadata.nonce = nonce;
            for (store, mark) in metadata.changelogs.iter_mut().enumerate() {
                if let Some(end) = self.ends.get(&writes::changelog_of(cluster, store, task.partition.0)) {
                    mark.next = Offset(*end);
                }
            }
        }
    }

    fn offsets(&self, cluster: &Cluster) -> BTreeMap<Place, OffsetText> {
        let texts: Vec<String> = self.metadata.iter().map(ToString::to_string).collect();
        writes::offsets(&self.tasks, &texts, cluster)
    }
}
