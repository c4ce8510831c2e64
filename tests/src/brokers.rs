//! A broker as a child process on a loopback port of its own: the embedded one, or a real Apache Kafka.
//! Owns its folder and its port, which both outlive a restart. Knows nothing of what is checked against it.

mod embedded;
mod kafka;
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
    Kafka,
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
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
}

impl Broker {
    /// Starts a broker in a fresh folder and waits until it serves.
    pub fn start(kind: BrokerKind) -> anyhow::Result<Self> {
        Self::start_at(kind, Pace::Quick)
    }

    pub fn start_at(kind: BrokerKind, pace: Pace) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("wasmill-{kind}-")).tempdir()?;
        let mut broker = Self { kind, pace, port: port::free(), child: None, folder };
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

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Starts the process again on the same folder and port after `stop` or `kill`.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        assert!(self.child.is_none(), "the broker is running");
        let command = match self.kind {
            BrokerKind::Embedded => embedded::command(self.folder.path(), &self.address())?,
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

    /// An orderly stop.
    pub fn stop(&mut self) {
        self.child.take().expect("the broker is running").stop();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.take().expect("the broker is running").kill();
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

fn serves(address: &str) -> bool {
    if std::net::TcpStream::connect(address).is_err() {
        return false;
    }
    let probe: Result<BaseConsumer, _> =
        ClientConfig::new().set("bootstrap.servers", address).set("log_level", "0").create();
    let probe = probe.expect("these settings are valid");
    probe.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|metadata| !metadata.brokers().is_empty())
}
