//! The connection to a real application: the host in this process, its embedded broker or another one, records in and out.
//! The only file here that knows the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
use crate::versions::{PROCESSOR, Script};

/// What is run, and where.
#[derive(Clone, Debug)]
pub struct RunSettings {
    pub manifest: PathBuf,
    /// `None` is the embedded broker.
    pub broker: Option<String>,
    pub data: PathBuf,
    pub drive: DriveSettings,
    /// Whether versions of `transaction` change while records flow.
    pub has_swaps: bool,
}

/// The exchange on a host in this process.
struct Hosted {
    host: Host,
    feed: Feed,
    follow: Follow,
    tail: Tail,
    /// Records sent, for the operator's script.
    sent: Arc<AtomicU64>,
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
    let report = if settings.has_swaps {
        with_swaps(&mut hosted, settings)
    } else {
        drive(&mut hosted, &settings.drive, &mut Display::new(), || false)
    };
    hosted.host.stop()?;
    report
}

/// The flow on this thread, the operator on another.
fn with_swaps(hosted: &mut Hosted, settings: &RunSettings) -> anyhow::Result<Report> {
    let (notes, told) = std::sync::mpsc::channel();
    let components = settings.manifest.parent().unwrap_or(Path::new(".")).join(COMPONENTS);
    let script = Script::new(&hosted.host, &components, hosted.sent.clone(), settings.drive.records, notes)?;
    std::thread::scope(|scope| {
        let operator = scope.spawn(move || script.play());
        let mut display = Display::with_notes(told);
        let report = drive(hosted, &settings.drive, &mut display, || !operator.is_finished());
        if report.is_err() {
            // The operator waits for records that will never be sent.
            hosted.sent.store(u64::MAX / 100, Ordering::Relaxed);
        }
        let played = operator.join().map_err(|_| anyhow::anyhow!("the operator's script panicked"))?;
        display.tell();
        let report = report?;
        played?;
        println!("\n{}", cutovers(hosted, PROCESSOR)?);
        Ok(report)
    })
}

/// Which version made which requests' results, a line for each partition.
fn cutovers(hosted: &Hosted, processor: &str) -> anyhow::Result<String> {
    let mut lines = BTreeMap::<i64, BTreeMap<(i64, i64), i64>>::new();
    let topic = hosted.host.topology().control_topics().cutovers;
    for record in hosted.tail.cutovers(&topic, processor)? {
        let cutover: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
        let number = |name: &str| cutover[name].as_i64().unwrap_or_default();
        if cutover["topic"] == topics::TRANSACTION_REQUEST {
            let place = (number("offset"), number("sequence"));
            lines.entry(number("partition")).or_default().insert(place, number("version"));
        }
    }
    let line = |(partition, owners): (&i64, &BTreeMap<(i64, i64), i64>)| {
        let owners: Vec<String> = owners.iter().map(|((from, _), v)| format!("version {v} from {from}")).collect();
        format!("{}/{partition}: {}", topics::TRANSACTION_REQUEST, owners.join(", "))
    };
    Ok(lines.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Where `make demo` builds components, from the manifest's folder.
const COMPONENTS: &str = "../../target/wasm32-wasip2/guest";

impl Hosted {
    fn new(host: Host) -> anyhow::Result<Self> {
        let properties = host
            .topology()
            .kafka
            .clone()
            .unwrap_or_else(|| BTreeMap::from([("bootstrap.servers".to_owned(), host.bootstrap().to_owned())]));
        let (feed, tail) = (Feed::new(&properties)?, Tail::new(&properties)?);
        let follow = Follow::new(&properties, &topics::all())?;
        Ok(Self { host, feed, follow, tail, sent: Arc::default() })
    }
}

impl Cluster for Hosted {
    fn send(&mut self, messages: &[Message]) -> anyhow::Result<()> {
        for Message { topic, key, value, timestamp_ms } in messages {
            self.feed.send(topic, key.as_deref(), value.as_deref(), &[], Some(*timestamp_ms))?;
        }
        self.sent.fetch_add(messages.len() as u64, Ordering::Relaxed);
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
