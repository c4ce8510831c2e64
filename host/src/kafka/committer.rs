//! The committer: a thread that owns the transactional producer of a worker, takes one commit at a time and says what
//! became of it. The table of outcomes is here: which error means abort, which means a new producer and reading what is
//! committed. Shares nothing with the worker.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka_sys::rd_kafka_resp_err_t as Code;

use super::cutovers::Cutovers;
use super::handle::{ClientError, Handle, Properties};
use super::list::List;
use super::locator::committed;
use super::member::GroupMetadata;
use super::producer::{Outgoing, Producer};
use crate::client::{Commit, CommitFault, Fatal, Outcome, TaskCommit, TaskOutcome, Verdict, Wear, verdict};
use crate::clock::{Clock, SystemClock};
use crate::record::{Headers, Offset};

/// Everything the committer needs to know of the processor.
pub(super) struct Plan {
    pub properties: Properties,
    pub identity: String,
    pub inputs: Vec<CString>,
    pub outputs: Vec<String>,
    pub changelogs: Vec<String>,
    pub dead_letters: Option<String>,
    pub cutovers: Option<Cutovers>,
    /// What the topic of dead letters, and the producer, take.
    pub dead_letter_bytes_max: usize,
    /// `transaction.timeout.ms`.
    pub timeout: Duration,
}

pub(super) struct Committer {
    plan: Plan,
    /// Asks for committed positions.
    reader: Arc<Handle>,
    producer: Option<Producer>,
    /// Of the present producer: random, so that two producers of the same id never look alike.
    nonce: u64,
    /// What the present producer went through in its last transaction, and when that ended.
    wear: Wear,
    last_used: Instant,
    fencings: VecDeque<Instant>,
}

/// Another producer fenced ours this often within [`FENCING_WINDOW`]: somebody else runs under our identity.
const FENCINGS_MAX: usize = 3;
const FENCING_WINDOW: Duration = Duration::from_secs(600);

/// Between attempts to reach a broker that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How a step failed, which decides what follows.
enum Failed {
    /// The transaction can be aborted.
    Abort(ClientError),
    /// Nobody knows: a new producer, then read what is committed.
    Resolve(ClientError),
}

impl Committer {
    pub fn new(plan: Plan, reader: Arc<Handle>) -> Self {
        let (wear, last_used) = (Wear::default(), Instant::now());
        Self { plan, reader, producer: None, nonce: 0, wear, last_used, fencings: VecDeque::new() }
    }

    /// Makes the producer, which ends the open transaction of a predecessor.
    pub fn prepare(&mut self) -> Result<(), ClientError> {
        self.producer = None;
        let topic = self.plan.inputs.first().map(|t| t.to_string_lossy().into_owned());
        self.producer = Some(Producer::new(&self.plan.properties, topic.as_deref(), Duration::from_secs(30))?);
        self.nonce = random();
        self.wear = Wear::default();
        self.last_used = Instant::now();
        Ok(())
    }

    /// Commits, and says what became of it.
    ///
    /// # Errors
    /// Our identity is used by somebody else.
    pub fn commit(&mut self, mut commit: Commit) -> Result<Outcome, Fatal> {
        if (Wear { rested: self.last_used.elapsed(), ..self.wear }).must_recycle() {
            self.producer = None;
        }
        if self.producer.is_none()
            && let Err(error) = self.prepare()
        {
            return Ok(outcome(commit.tasks, Verdict::NotCommitted, Some(cause(&error))));
        }
        let begun = Instant::now();
        self.wear = Wear::default();
        let closed = self.closed_sockets();
        let written = self.write(&mut commit, begun + self.plan.timeout);
        let result = match written {
            // A pause may have outlived the transaction: believe what is committed, not what we were told.
            Ok(()) if begun.elapsed() > self.plan.timeout / 2 => {
                let error = ClientError::of_code(Code::RD_KAFKA_RESP_ERR__TIMED_OUT, "the commit took too long");
                self.resolve(commit.tasks, &error)
            }
            Ok(()) => Ok(outcome(commit.tasks, Verdict::Committed, None)),
            Err(Failed::Abort(error)) => self.abort(commit.tasks, error, begun),
            Err(Failed::Resolve(error)) => self.resolve(commit.tasks, &error),
        };
        // Counted to the very end: an abort, too, may leave a copy of itself on a closed connection.
        self.wear.sockets_closed = self.closed_sockets().abs_diff(closed);
        self.wear.took = begun.elapsed();
        self.last_used = Instant::now();
        result
    }

    fn closed_sockets(&self) -> u64 {
        self.producer.as_ref().map_or(0, Producer::closed_sockets)
    }

    fn write(&mut self, commit: &mut Commit, deadline: Instant) -> Result<(), Failed> {
        let Some(producer) = &mut self.producer else { unreachable!("made before a commit") };
        let letters = commit.tasks.iter_mut().flat_map(|t| &mut t.dead_letters);
        letters.for_each(|letter| letter.fit(self.plan.dead_letter_bytes_max));
        producer.begin().map_err(Failed::Resolve)?;
        let stores = self.plan.changelogs.len();
        let now_ms = SystemClock::new().wall_ms();
        let cutovers = cutovers(&self.plan, &commit.tasks, now_ms);
        let written = write_cutovers(&self.plan, producer, &cutovers, now_ms, deadline);
        written.map_err(|error| Failed::of_write(producer.reason(error)))?;
        for (index, task) in commit.tasks.iter().enumerate() {
            let written = write_task(&self.plan, producer, task, 1 + index * stores, deadline);
            written.map_err(|error| Failed::of_write(producer.reason(error)))?;
        }
        producer.flush(deadline).map_err(|error| Failed::of_write(producer.reason(error)))?;
        for (index, task) in commit.tasks.iter_mut().enumerate() {
            task.metadata.nonce = self.nonce;
            for (store, mark) in task.metadata.changelogs.iter_mut().enumerate() {
                if let Some(last) = producer.delivered(1 + index * stores + store) {
                    mark.next = Offset(last + 1);
                }
            }
        }
        let offsets = offsets(&self.plan.inputs, &commit.tasks).map_err(Failed::Abort)?;
        let Some(group) = commit.snapshot.handle.downcast_ref::<GroupMetadata>() else {
            unreachable!("snapshots come from our own membership")
        };
        let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        retried(deadline, || send(producer, &offsets, group, left())).map_err(Failed::of)?;
        retried(deadline, || producer.commit(left())).map_err(Failed::of)
    }

    fn abort(&mut self, tasks: Vec<TaskCommit>, error: ClientError, begun: Instant) -> Result<Outcome, Fatal> {
        let Some(producer) = &mut self.producer else { return self.resolve(tasks, &error) };
        match producer.abort(begun + self.plan.timeout * 2) {
            Ok(()) => {
                let is_too_large = matches!(cause(&error), CommitFault::TooLarge(_));
                self.wear.is_suspect = is_too_large || is_state_lost(&error);
                Ok(outcome(tasks, Verdict::NotCommitted, Some(cause(&error))))
            }
            Err(worse) => {
                tracing::warn!(%error, %worse, "a transaction could not be aborted");
                self.resolve(tasks, &error)
            }
        }
    }

    /// A new producer finishes whatever the old one left; then what is committed tells what became of it.
    fn resolve(&mut self, tasks: Vec<TaskCommit>, error: &ClientError) -> Result<Outcome, Fatal> {
        tracing::warn!(%error, "the outcome of a commit is unknown: reading what is committed");
        if matches!(cause(error), CommitFault::FencedByProducer(_)) {
            self.note_fencing()?;
        }
        while let Err(error) = self.prepare() {
            tracing::warn!(%error, "no producer yet");
            std::thread::sleep(RETRY_PAUSE);
        }
        let mut outcomes = Vec::with_capacity(tasks.len());
        for task in tasks {
            let found = loop {
                match committed(&self.reader, &self.plan.inputs, task.partition) {
                    Ok(found) => break found,
                    Err(error) => tracing::warn!(%error, "committed positions cannot be read yet"),
                }
                std::thread::sleep(RETRY_PAUSE);
            };
            outcomes.push(task_outcome(verdict(&task.metadata, &found), task));
        }
        Ok(Outcome { tasks: outcomes, cause: Some(cause(error)) })
    }

    fn note_fencing(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        self.fencings.retain(|at| now.duration_since(*at) < FENCING_WINDOW);
        self.fencings.push_back(now);
        if self.fencings.len() >= FENCINGS_MAX {
            return Err(Fatal::Identity(self.plan.identity.clone()));
        }
        Ok(())
    }
}

impl Failed {
    /// A failure before anything was decided: the transaction can be aborted unless the producer is dead.
    fn of_write(error: ClientError) -> Self {
        if error.is_fatal || is_fenced(&error) { Self::Resolve(error) } else { Self::Abort(error) }
    }

    /// A failure of a deciding call, by what librdkafka says may be done.
    fn of(error: ClientError) -> Self {
        if error.is_abortable && !error.is_fatal && !is_fenced(&error) {
            Self::Abort(error)
        } else {
            Self::Resolve(error)
        }
    }
}

/// Keys and values of the cutovers in a commit: they stay in place until the flush is over.
fn cutovers(plan: &Plan, tasks: &[TaskCommit], now_ms: i64) -> Vec<(String, String)> {
    let Some(cutovers) = &plan.cutovers else { return Vec::new() };
    tasks.iter().flat_map(|t| t.cutovers.iter().map(|c| cutovers.record(t, c, now_ms))).collect()
}

fn write_cutovers(
    plan: &Plan,
    producer: &mut Producer,
    records: &[(String, String)],
    timestamp_ms: i64,
    deadline: Instant,
) -> Result<(), ClientError> {
    let Some(cutovers) = plan.cutovers.as_ref().filter(|_| !records.is_empty()) else { return Ok(()) };
    let topic = producer.topic(&cutovers.topic)?;
    records.iter().try_for_each(|(key, value)| {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let record = Outgoing { key, value, timestamp_ms, headers: Headers::default() };
        producer.write(topic, &record, deadline)
    })
}

fn write_task(
    plan: &Plan,
    producer: &mut Producer,
    task: &TaskCommit,
    first_tag: usize,
    deadline: Instant,
) -> Result<(), ClientError> {
    for (store, changes) in task.changes.iter().enumerate().filter(|(_, c)| !c.entries.is_empty()) {
        producer.write_changes(&plan.changelogs[store], task.partition.0, first_tag + store, changes, deadline)?;
    }
    let mut topics = vec![None; plan.outputs.len()];
    for output in task.outputs.iter() {
        let index = usize::from(output.output);
        let topic = match topics[index] {
            Some(topic) => topic,
            None => *topics[index].insert(producer.topic(&plan.outputs[index])?),
        };
        let record = Outgoing {
            key: output.key,
            value: output.value,
            timestamp_ms: output.timestamp_ms,
            headers: output.headers,
        };
        producer.write(topic, &record, deadline)?;
    }
    for letter in &task.dead_letters {
        let Some(topic) = &plan.dead_letters else { continue };
        let topic = producer.topic(topic)?;
        let record = Outgoing {
            key: letter.key.as_deref(),
            value: letter.value.as_deref(),
            timestamp_ms: letter.timestamp_ms,
            headers: Headers(&letter.headers),
        };
        producer.write(topic, &record, deadline)?;
    }
    Ok(())
}

fn offsets(inputs: &[CString], tasks: &[TaskCommit]) -> Result<List, ClientError> {
    let mut list = List::new();
    for task in tasks {
        let text = task
            .metadata
            .encode()
            .map_err(|e| ClientError::of_code(Code::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, &e.to_string()))?;
        for position in &task.positions {
            list.add_commit(&inputs[usize::from(position.input.0)], position.partition.0, position.next.0, &text);
        }
    }
    Ok(list)
}

#[allow(unsafe_code)]
fn send(producer: &Producer, offsets: &List, group: &GroupMetadata, wait: Duration) -> Result<(), ClientError> {
    // SAFETY: the group metadata is alive: it is borrowed.
    unsafe { producer.send_offsets(offsets, group.raw(), wait) }
}

/// The same call again while librdkafka says that this is right.
fn retried(deadline: Instant, mut call: impl FnMut() -> Result<(), ClientError>) -> Result<(), ClientError> {
    loop {
        match call() {
            Err(error) if error.is_retriable && !error.is_abortable && Instant::now() < deadline => {}
            done => return done,
        }
    }
}

/// The broker has forgotten the transaction or the producer.
fn is_state_lost(error: &ClientError) -> bool {
    error.is(Code::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE) || error.is(Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING)
}

/// Somebody else has our id, whatever librdkafka thinks of the answer: it takes PRODUCER_FENCED for abortable where it
/// knows only the older INVALID_PRODUCER_EPOCH.
fn is_fenced(error: &ClientError) -> bool {
    matches!(cause(error), CommitFault::FencedByProducer(_))
}

/// What a client error means for those who commit.
fn cause(error: &ClientError) -> CommitFault {
    let text = error.to_string();
    let is_one_of = |codes: &[Code]| codes.iter().any(|c| error.is(*c));
    if is_one_of(&[Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION]) {
        CommitFault::IllegalGeneration
    } else if is_one_of(&[
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
        Code::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH,
    ]) {
        CommitFault::FencedByGroup(text)
    } else if is_one_of(&[
        Code::RD_KAFKA_RESP_ERR__FENCED,
        Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    ]) {
        CommitFault::FencedByProducer(text)
    } else if is_one_of(&[
        Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        Code::RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
        Code::RD_KAFKA_RESP_ERR_INVALID_RECORD,
    ]) {
        CommitFault::TooLarge(text)
    } else if is_one_of(&[Code::RD_KAFKA_RESP_ERR__TIMED_OUT, Code::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT]) {
        CommitFault::Timeout(text)
    } else {
        CommitFault::Other(text)
    }
}

fn outcome(tasks: Vec<TaskCommit>, verdict: Verdict, cause: Option<CommitFault>) -> Outcome {
    Outcome { tasks: tasks.into_iter().map(|t| task_outcome(verdict, t)).collect(), cause }
}

fn task_outcome(verdict: Verdict, spent: TaskCommit) -> TaskOutcome {
    TaskOutcome { partition: spent.partition, verdict, metadata: spent.metadata.clone(), spent }
}

/// A number nobody else has: from the kernel's random source by way of the standard library's hasher keys.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
