//! The connection to a real application: the host in this process, its embedded broker or another one, records in and out.
//! The only file here that knows the host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wasmill::config::{Overrides, read_manifest};
use wasmill::kafka::{Feed, Follow, Tail, TopicRecord};
use wasmill::run::Host;

use crate::cluster::Cluster;
use crate::display::Display;
use crate::drive::{DriveSettings, drive};
use crate::model::Report;
use crate::record::{Message, Record};
use crate::topics;

/// What is run, and where.
#[derive(Clone, Debug)]
pub struct RunSettings {
    pub manifest: PathBuf,
    /// `None` is the embedded broker.
    pub broker: Option<String>,
    pub data: PathBuf,
    pub drive: DriveSettings,
}

/// The exchange on a host in this process.
struct Hosted {
    host: Host,
    feed: Feed,
    follow: Follow,
    tail: Tail,
}

/// Starts the exchange, runs the flow through it, stops it, and gives the verdict.
///
/// # Errors
/// The host does not start or does not stop in order, or a worker ended.
pub fn run(settings: &RunSettings) -> anyhow::Result<Report> {
    let data = Some(settings.data.clone());
    let overrides = Overrides { bootstrap: settings.broker.clone(), data, ..Overrides::default() };
    let host = Host::start(&read_manifest(&settings.manifest, &overrides)?)?;
    println!("exchange on {}", host.bootstrap());
    let mut hosted = Hosted::new(host)?;
    let report = drive(&mut hosted, &settings.drive, &mut Display::new());
    hosted.host.stop()?;
    report
}

impl Hosted {
    fn new(host: Host) -> anyhow::Result<Self> {
        let properties = host
            .topology()
            .kafka
            .clone()
            .unwrap_or_else(|| BTreeMap::from([("bootstrap.servers".to_owned(), host.bootstrap().to_owned())]));
        let (feed, tail) = (Feed::new(&properties)?, Tail::new(&properties)?);
        let follow = Follow::new(&properties, &topics::all())?;
        Ok(Self { host, feed, follow, tail })
    }
}

impl Cluster for Hosted {
    fn send(&mut self, messages: &[Message]) -> anyhow::Result<()> {
        for Message { topic, key, value, timestamp_ms } in messages {
            self.feed.send(topic, key.as_deref(), value.as_deref(), &[], Some(*timestamp_ms))?;
        }
        Ok(())
    }

    fn tail(&mut self, wait: Duration) -> anyhow::Result<Vec<Record>> {
        if let Some(failure) = self.host.failure() {
            return Err(failure.into());
        }
        Ok(self.follow.poll(wait)?.into_iter().map(|(topic, found)| record(topic, found)).collect())
    }

    fn read_all(&mut self, topics: &[String]) -> anyhow::Result<Vec<Record>> {
        self.feed.flush()?;
        let mut records = Vec::new();
        for topic in topics {
            records.extend(self.tail.read_all(topic)?.into_iter().map(|found| record(topic.clone(), found)));
        }
        Ok(records)
    }
}

/// A record as the model looks at it.
pub fn record(topic: String, found: TopicRecord) -> Record {
    let TopicRecord { partition, offset, timestamp_ms, key, value, headers } = found;
    Record { topic, partition, offset, key, value, headers, timestamp_ms }
}
