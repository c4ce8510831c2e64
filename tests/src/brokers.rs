//! A broker as a child process on a loopback port of its own: the embedded one, or a real Apache Kafka.
//! Owns its folder and its port, which both outlive a restart. Knows nothing of what is checked against it.

mod embedded;
pub use embedded::built;
mod kafka;
pub use kafka::jars as kafka_jars;
mod port;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use crate::child::Child;
use crate::until::until;

/// Apache Kafka needs four seconds on a quiet machine, and a busy one may be ten times slower.
const READY_LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    Embedded,
    /// The embedded one as users start it: `wasmill broker`, which a build of the whole workspace has made.
    Wasmill,
    Kafka,
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Wasmill => "wasmill",
            Self::Kafka => "kafka",
        })
    }
}

/// What the process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Ready soon.
    Quick,
    /// As fast as it can be once warm, for measurements.
    Steady,
}

pub struct Broker {
    pub kind: BrokerKind,
    pace: Pace,
    port: u16,
    /// Before the folder, so that it ends before its files go.
    child: Option<Child>,
    folder: TempDir,
    /// So far.
    kills: u32,
    /// Its last end was one, of which the cluster knows nothing yet.
    is_killed: bool,
}

impl Broker {
    /// Starts a broker in a fresh folder and waits until it serves.
    pub fn start(kind: BrokerKind) -> anyhow::Result<Self> {
        Self::start_at(kind, Pace::Quick)
    }

    pub fn start_at(kind: BrokerKind, pace: Pace) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("wasmill-{kind}-")).tempdir()?;
        let mut broker = Self { kind, pace, port: port::free(), child: None, folder, kills: 0, is_killed: false };
        if kind == BrokerKind::Kafka {
            kafka::format(broker.folder.path(), broker.port, port::free())?;
        }
        broker.resume()?;
        Ok(broker)
    }

    /// For `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder behind, for those who look into a failure.
    pub fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Starts the process again on the same folder and port after `stop` or `kill`.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        assert!(self.child.is_none(), "the broker is running");
        if std::mem::take(&mut self.is_killed) && self.kind == BrokerKind::Kafka {
            self.fence()?;
        }
        let command = match self.kind {
            BrokerKind::Embedded => embedded::command(self.folder.path(), &self.address())?,
            BrokerKind::Wasmill => embedded::program(self.folder.path(), self.port)?,
            BrokerKind::Kafka => kafka::command(self.folder.path(), self.pace),
        };
        let child = Child::start(command, self.folder.path().join("broker.log"))?;
        let child = self.child.insert(child);
        let address = format!("127.0.0.1:{}", self.port);
        until("the broker's answer", READY_LIMIT, || {
            assert!(!child.has_ended(), "the broker ended while starting:\n{}", child.last_words());
            serves(&address).then_some(())
        });
        Ok(())
    }

    /// Lets the cluster find out that the broker is gone, before it comes back.
    fn fence(&self) -> anyhow::Result<()> {
        let log = self.folder.path().join(format!("controller-{}.log", self.kills));
        let mut controller = Child::start(kafka::controller(self.folder.path())?, log.clone())?;
        until("the controller gives the killed broker up", READY_LIMIT, || {
            assert!(!controller.has_ended(), "the controller ended by itself:\n{}", controller.last_words());
            std::fs::read_to_string(&log).is_ok_and(|text| kafka::has_fenced(&text)).then_some(())
        });
        // It says so before it writes it down. It writes in order, and something every half second: what is being written
        // may be older, the next is this.
        for _ in 0..2 {
            let before = kafka::metadata_bytes(self.folder.path());
            until("the controller writes on", READY_LIMIT, || {
                (kafka::metadata_bytes(self.folder.path()) > before).then_some(())
            });
        }
        controller.stop();
        Ok(())
    }

    /// An orderly stop.
    pub fn stop(&mut self) {
        self.child.take().expect("the broker is running").stop();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.take().expect("the broker is running").kill();
        self.kills += 1;
        self.is_killed = true;
    }

    /// It stands still, connections and all, until `go_on`.
    pub fn pause(&self) {
        self.child.as_ref().expect("the broker is running").pause();
    }

    pub fn go_on(&self) {
        self.child.as_ref().expect("the broker is running").go_on();
    }

    /// What the broker printed last, for messages of failing checks.
    pub fn last_words(&self) -> String {
        self.child.as_ref().map(Child::last_words).unwrap_or_default()
    }

    /// Settings every client of a check starts from.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        // A broker that is restarted is found again quickly, and topics made a moment ago are seen.
        config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200");
        config.set("retry.backoff.ms", "20").set("retry.backoff.max.ms", "100");
        config.set("topic.metadata.refresh.fast.interval.ms", "50");
        config.set("log_level", "2");
        config
    }
}

impl Drop for Broker {
    /// What a failing check leaves behind can be looked into.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_folder();
            eprintln!("the broker's folder: {}", self.folder.path().display());
        }
    }
}

fn serves(address: &str) -> bool {
    if std::net::TcpStream::connect(address).is_err() {
        return false;
    }
    let probe: Result<BaseConsumer, _> =
        ClientConfig::new().set("bootstrap.servers", address).set("log_level", "0").create();
    let probe = probe.expect("these settings are valid");
    probe.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|metadata| !metadata.brokers().is_empty())
}
