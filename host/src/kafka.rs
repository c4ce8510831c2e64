//! `Client` over librdkafka: the only door to it. Four handles with one duty each: a member of the group that reads
//! nothing, a fetcher at positions of our choosing, a reader of committed positions, and a transactional producer.
//! Knows nothing of tasks, processors or stores.

mod admin;
mod committer;
mod control;
mod cutovers;
mod feed;
mod fetcher;
mod follow;
mod groups;
mod handle;
mod inspector;
mod list;
mod locator;
mod member;
mod producer;
mod replay;
mod settings;
mod survey;
mod table_reader;
mod trouble;
mod waiting;
mod wake;

pub use admin::{Admin, TopicsError};
pub use committer::random;
pub use control::{Appender, ControlReader};
pub use feed::{Feed, FeedError, Tail, TopicRecord};
pub use follow::Follow;
pub use groups::groups_reading;
pub use handle::ClientError;
pub use inspector::{InspectError, Inspector};
pub use replay::{Replay, ReplayError};
pub use settings::{KafkaSettings, SettingsError, client_id};
pub use survey::{Cluster, FoundTopic, GroupMember, Settings, Survey, SurveyError, try_transactions};
pub use table_reader::TableReader;
pub use wake::Wake;

use std::collections::BTreeMap;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::client::{Client, Commit, Event, Fatal, Fault, Outcome, Snapshot};
use crate::record::{Batch, Input, Offset, Partition, Position};
use committer::{Committer, Plan};
use cutovers::Cutovers;
use fetcher::{Fetcher, Found, Purpose};
use handle::{Handle, Kind};
use locator::{Locator, Reader, Topics};
use member::Membership;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{doing}: {error}; is {bootstrap} a Kafka broker that this machine reaches?")]
    Client { doing: &'static str, bootstrap: String, error: ClientError },
    #[error("the system gives no thread or descriptor: {0}")]
    System(#[from] std::io::Error),
}

/// A worker's connection to Kafka.
pub struct KafkaClient {
    membership: Membership,
    fetcher: Fetcher,
    locator: Locator,
    commits: Option<Sender<Commit>>,
    outcomes: Receiver<Result<Outcome, Fatal>>,
    committer: Option<JoinHandle<()>>,
    wake: Wake,
    topics: Topics,
    positions: BTreeMap<(Input, Partition), i64>,
    ready: std::collections::VecDeque<Event>,
}

impl KafkaClient {
    /// Connects, ends what a predecessor of the same name left open, and joins the group.
    ///
    /// # Errors
    /// A setting that cannot be, or a broker that does not answer.
    pub fn connect(settings: &KafkaSettings) -> Result<Self, ConnectError> {
        let properties = settings.properties()?;
        let failed = |doing| {
            let bootstrap = settings.bootstrap().to_owned();
            move |error| ConnectError::Client { doing, bootstrap, error }
        };
        let wake = Wake::new()?;
        let name = |topic: &String| list::name(topic);
        let topics = Topics {
            inputs: settings.inputs.iter().map(name).collect(),
            changelogs: settings.changelogs.iter().map(name).collect(),
        };
        let cutovers = settings.cutovers.clone().map(|topic| Cutovers::new(topic, settings));
        let reader = Handle::new(Kind::Consumer, &properties.reader, 0).map_err(failed("open a reader"))?;
        let reader = Arc::new(reader);
        let plan = Plan {
            properties: properties.producer,
            identity: settings.transactional_id(),
            inputs: topics.inputs.clone(),
            outputs: settings.outputs.clone(),
            changelogs: settings.changelogs.clone(),
            dead_letters: settings.dead_letters.clone(),
            cutovers: cutovers.clone(),
            dead_letter_bytes_max: settings.dead_letter_bytes(),
            timeout: properties.transaction_timeout,
        };
        let mut committer = Committer::new(plan, reader.clone());
        committer.prepare().map_err(failed("open a transactional producer"))?;
        let fetcher = Fetcher::new(&properties.fetcher, &wake).map_err(failed("open a consumer"))?;
        let instance = settings.instance_id();
        let membership = Membership::join(&properties.member, &settings.inputs, &instance, &wake)
            .map_err(failed("join the group"))?;
        let uncommitted = membership.handle();
        let locator =
            Locator::start(Reader { handle: reader, uncommitted, topics: topics.clone(), cutovers }, wake.clone())?;
        let (commits, wanted) = crossbeam_channel::bounded(1);
        let (done, outcomes) = crossbeam_channel::bounded(1);
        let committer = start_committer(committer, wanted, done, wake.clone())?;
        Ok(Self {
            membership,
            fetcher,
            locator,
            commits: Some(commits),
            outcomes,
            committer: Some(committer),
            wake,
            topics,
            positions: BTreeMap::new(),
            ready: std::collections::VecDeque::new(),
        })
    }

    /// Looks everywhere once.
    fn look(&mut self) -> Option<Event> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        match self.outcomes.try_recv() {
            Ok(Ok(outcome)) => return Some(Event::Committed(outcome)),
            Ok(Err(fatal)) => return Some(Event::Fatal(fatal)),
            Err(_) => {}
        }
        if let Some(event) = self.membership.poll() {
            return Some(event);
        }
        if let Some((partition, found)) = self.locator.answer() {
            return Some(Event::Located { partition, found: Box::new(found) });
        }
        let found = self.fetcher.poll()?;
        Some(self.event_of(found))
    }

    fn event_of(&mut self, found: Found) -> Event {
        match found {
            Found::Batch { batch, is_changelog: true } => Event::Changelog(batch),
            Found::Batch { batch, is_changelog: false } => Event::Records(batch),
            Found::Ended { store, partition, to } => Event::Restored { store, partition, to: Offset(to) },
            Found::Error(error) => Event::Degraded(Fault(error.to_string())),
            Found::Gone { input, partition, position } => self.gone(input, partition, position),
        }
    }

    fn gone(&mut self, input: Input, partition: Partition, position: i64) -> Event {
        let topic = self.topics.inputs[usize::from(input.0)].to_string_lossy().into_owned();
        match self.membership.handle().watermarks(&topic, partition.0, WATERMARK_WAIT_MS) {
            Ok((first, end)) => {
                let position = Position { input, partition, next: Offset(position) };
                Event::OutOfRange { position, first: Offset(first), end: Offset(end) }
            }
            Err(error) => Event::Degraded(Fault(error.to_string())),
        }
    }

    fn note(&mut self, result: Result<(), ClientError>) {
        if let Err(error) = result {
            self.ready.push_back(Event::Degraded(Fault(error.to_string())));
        }
    }
}

/// For a task that is about to halt anyway.
const WATERMARK_WAIT_MS: i32 = 5_000;

fn start_committer(
    mut committer: Committer,
    wanted: Receiver<Commit>,
    done: Sender<Result<Outcome, Fatal>>,
    wake: Wake,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("committer".into()).spawn(move || {
        for commit in wanted {
            if done.send(committer.commit(commit)).is_err() {
                return;
            }
            wake.wake();
        }
    })
}

impl Client for KafkaClient {
    fn poll(&mut self, wait: Duration) -> Event {
        let until = Instant::now() + wait;
        loop {
            if let Some(event) = self.look() {
                return event;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Idle;
            }
            self.wake.wait(left);
        }
    }

    fn seal(&mut self) -> Result<Snapshot, Event> {
        self.membership.seal()
    }

    fn start_commit(&mut self, commit: Commit) {
        let Some(commits) = &self.commits else { return };
        if commits.try_send(commit).is_err() {
            let text = "the committer has ended: see the log".to_owned();
            self.ready.push_back(Event::Fatal(Fatal::Unusable(text)));
        }
    }

    fn locate(&mut self, partition: Partition) {
        self.locator.ask(partition);
    }

    fn restore(&mut self, store: u16, partition: Partition, from: Offset, to: Offset) {
        let topic = self.topics.changelogs[usize::from(store)].clone();
        let started = self.fetcher.start(Purpose::Changelog(store, partition), &topic, from.0, Some(to.0));
        self.note(started);
    }

    fn fetch(&mut self, positions: &[Position]) {
        for position in positions {
            let topic = self.topics.inputs[usize::from(position.input.0)].clone();
            self.positions.insert((position.input, position.partition), position.next.0);
            let purpose = Purpose::Input(position.input, position.partition);
            let started = self.fetcher.start(purpose, &topic, position.next.0, None);
            self.note(started);
        }
    }

    fn hold(&mut self, input: Input, partition: Partition, is_held: bool) {
        self.fetcher.hold(input, partition, is_held);
    }

    fn release(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            let stopped = self.fetcher.stop_partition(*partition);
            self.note(stopped);
        }
        self.membership.release();
    }

    fn end_of(&self, input: Input, partition: Partition) -> Option<Offset> {
        self.fetcher.end_of(input, partition).map(Offset)
    }

    fn recycle(&mut self, batch: Batch) {
        self.fetcher.recycle(batch);
    }

    fn leave(&mut self) {
        self.membership.leave();
    }
}

impl Drop for KafkaClient {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}
