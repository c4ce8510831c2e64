//! The exchange under test: a broker and a host as processes, the flow that goes in, and what is seen to come out.
//! Owns them, and the counting. Knows nothing of rounds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exchange::flow::{Flow, FlowSettings, PAIRS};
use exchange::progress::Progress;
use exchange::run::record;
use exchange::topics;
use wasmill::kafka::{Feed, Follow, Tail};
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};

use crate::host::Host;

const ACCOUNTS: u32 = 200;

/// Records handed over between two looks.
const CHUNK: u64 = 100;

const LOOK: Duration = Duration::from_millis(10);

/// Without anything new for so long, what is missing is lost. More than a session, a transaction's time-out and the
/// restart of a killed Apache Kafka together, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Stage {
    pub host: Host,
    pub broker: Broker,
    flow: Flow,
    feed: Feed,
    follow: Follow,
    properties: BTreeMap<String, String>,
    pub progress: Progress,
    /// Records sent, by topic.
    pub sent: BTreeMap<&'static str, u64>,
}

impl Stage {
    pub fn start(kind: BrokerKind, seed: u64) -> anyhow::Result<Self> {
        let broker = Broker::start(kind)?;
        let folder = broker.folder().join("host");
        std::fs::create_dir(&folder)?;
        let mut host = Host::new(folder, broker.address());
        host.start()?;
        let pairs = [("bootstrap.servers", broker.address()), ("log_level", "0".into())];
        let properties = pairs.map(|(key, value)| (key.to_owned(), value)).into();
        let admin = Admin::new(&broker);
        for topic in topics::all() {
            let start = Instant::now();
            while admin.leaders(&topic).is_err() {
                host.check()?;
                anyhow::ensure!(start.elapsed() < PATIENCE, "the host does not make {topic}");
                std::thread::sleep(LOOK);
            }
        }
        let (feed, follow) = (Feed::new(&properties)?, Follow::new(&properties, &topics::all())?);
        let flow = Flow::new(FlowSettings { seed, accounts: ACCOUNTS });
        let (progress, sent) = (Progress::default(), BTreeMap::new());
        Ok(Self { host, broker, flow, feed, follow, properties, progress, sent })
    }

    pub fn kind(&self) -> BrokerKind {
        self.broker.kind
    }

    /// Accounts and first rates; requests before them would fail with reason.
    pub fn open(&mut self) -> anyhow::Result<()> {
        for message in self.flow.opening(now_ms()) {
            self.hand_over(&message)?;
        }
        self.wait("the exchange opens", |it| it.progress.is_open(ACCOUNTS as usize, PAIRS))
    }

    /// Sends records of the flow and takes in what comes out meanwhile.
    pub fn send(&mut self, records: u64) -> anyhow::Result<()> {
        for sent in 0..records {
            let message = self.flow.message(now_ms());
            self.hand_over(&message)?;
            if sent % CHUNK == CHUNK - 1 {
                self.look(Duration::ZERO)?;
            }
        }
        Ok(())
    }

    /// Records that ask for a result.
    pub fn requests_sent(&self) -> u64 {
        self.flow.expected.requests
    }

    fn hand_over(&mut self, message: &exchange::record::Message) -> anyhow::Result<()> {
        let exchange::record::Message { topic, key, value, timestamp_ms } = message;
        self.feed.send(topic, key.as_deref(), value.as_deref(), &[], Some(*timestamp_ms))?;
        *self.sent.entry(topic).or_default() += 1;
        Ok(())
    }

    /// Takes in what is committed and not seen yet; gives whether there was anything.
    pub fn look(&mut self, wait: Duration) -> anyhow::Result<bool> {
        self.host.check()?;
        let found = self.follow.poll(wait)?;
        let is_new = !found.is_empty();
        found.into_iter().for_each(|(topic, found)| self.progress.take(&record(topic, found)));
        Ok(is_new)
    }

    /// Until the condition holds.
    ///
    /// # Errors
    /// Nothing new came for as long as the patience lasts, or the host ended.
    pub fn wait(&mut self, what: &str, is_met: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let mut last_new = Instant::now();
        while !is_met(self) {
            if self.look(LOOK)? {
                last_new = Instant::now();
            }
            anyhow::ensure!(last_new.elapsed() < PATIENCE, "nothing new for {PATIENCE:?}: {what}");
        }
        Ok(())
    }

    /// All that is committed now.
    pub fn read_all(&mut self) -> anyhow::Result<Vec<exchange::record::Record>> {
        self.feed.flush()?;
        let tail = Tail::new(&self.properties)?;
        let mut records = Vec::new();
        for topic in topics::all() {
            records.extend(tail.read_all(&topic)?.into_iter().map(|found| record(topic.clone(), found)));
        }
        Ok(records)
    }

    /// Leaves all files behind, and says where.
    pub fn keep(&mut self) -> PathBuf {
        self.broker.keep_folder();
        self.broker.folder().to_owned()
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
