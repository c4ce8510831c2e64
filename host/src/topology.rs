//! A manifest, checked: an immutable description of topics, processors and settings, or every problem found in it.
//! Knows no running thing and does no input or output.

mod differences;
mod manifest;
mod part;
mod problem;
mod section;
mod topics;

pub use differences::{Differences, differences};
pub use manifest::parse;
pub use part::{error_policy, limits};
pub use problem::{Problem, Problems};
pub use topics::{CHANGELOG_DELETE_RETENTION_MS, ControlTopics, TopicNeed};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::digest::Digest;

/// One application, as its manifest describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    pub application: String,
    /// Properties for the Kafka client; `None` is the embedded broker.
    pub kafka: Option<BTreeMap<String, String>>,
    pub host: HostSettings,
    pub topics: BTreeMap<String, TopicSettings>,
    /// In the order of their names.
    pub processors: Vec<ProcessorSettings>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HostSettings {
    /// Name of this host in groups and transactions.
    pub id: String,
    /// Folder of state, compiled components and the embedded broker, relative to the manifest.
    pub data: String,
    /// Where the operator's interface listens; port 0 takes a free one.
    pub http: SocketAddr,
}

/// A topic of the application. Topics that are missing at start are made with these.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    pub partitions: i32,
    pub replication: i32,
    /// Kafka topic settings, such as `cleanup.policy`.
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProcessorSettings {
    pub name: String,
    /// Path of the component file, relative to the manifest.
    pub component: String,
    pub inputs: Vec<InputSettings>,
    pub outputs: Vec<String>,
    pub tables: Vec<String>,
    pub stores: Vec<StoreSettings>,
    /// Threads on each host.
    pub workers: u16,
    pub on_error: ErrorPolicy,
    /// How often the component is told that time passes, if it wants to know.
    pub tick_interval: Duration,
    /// How long an input with nothing to read is waited for before records of the others go first.
    pub merge_wait: Duration,
    pub commit: CommitSettings,
    pub limits: LimitSettings,
    /// Handed to the component as it is, as JSON.
    pub settings: serde_json::Value,
    /// How the component lays out its state: across different ones nothing rolls back by itself.
    pub state_format: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct InputSettings {
    pub topic: String,
    pub starts_at_end: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    pub name: String,
    pub kind: StoreKind,
    /// Whether keys can be read in order.
    pub scans: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Memory,
    Disk,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorPolicy {
    DeadLetter,
    Retry { times: u32, backoff: Duration },
    Halt,
}

impl ErrorPolicy {
    /// With the keys of the manifest.
    pub fn to_manifest(&self) -> serde_json::Value {
        match self {
            Self::DeadLetter => json!({ "on-error": "dead-letter" }),
            Self::Retry { times, backoff } => {
                let backoff_ms = u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX);
                json!({ "on-error": "retry", "retry-times": times, "retry-backoff-ms": backoff_ms })
            }
            Self::Halt => json!({ "on-error": "halt" }),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct CommitSettings {
    pub interval_ms: u64,
    pub records_max: usize,
    pub bytes_max: usize,
}

/// What one instance may use. Written with the keys of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LimitSettings {
    pub memory_mib: u64,
    /// CPU time of a call, before its records are counted.
    pub call_ms: u64,
    /// CPU time per record of a call, added to `call_ms`.
    pub record_us: u64,
    /// Bytes that one call may return.
    pub output_mib: u64,
    /// Lines that one call may log.
    pub log_lines: u32,
    /// Whether calls are watched for time. A trusted component runs some percent faster without.
    #[serde(rename = "timed")]
    pub is_timed: bool,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { memory_mib: 256, call_ms: 1_000, record_us: 1_000, output_mib: 16, log_lines: 1_000, is_timed: true }
    }
}

impl LimitSettings {
    /// With the keys of the manifest.
    pub fn to_manifest(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain data")
    }
}

impl Topology {
    /// A short name for everything in it that all hosts of an application must agree on. Topics that nobody uses are not
    /// part of it.
    pub fn fingerprint(&self) -> String {
        let shape = |p: &ProcessorSettings| {
            let inputs: Vec<_> = p.inputs.iter().map(|i| json!([i.topic, i.starts_at_end])).collect();
            let stores: Vec<_> = p.stores.iter().map(|s| json!([s.name, s.kind == StoreKind::Disk, s.scans])).collect();
            let times = [p.tick_interval.as_millis() as u64, p.merge_wait.as_millis() as u64];
            json!([p.name, inputs, p.outputs, p.tables, stores, times])
        };
        let used = self.used_topics();
        let used = self.topics.iter().filter(|(name, _)| used.contains(name.as_str()));
        let topics: Vec<_> = used.map(|(name, t)| json!([name, t.partitions])).collect();
        let processors: Vec<_> = self.processors.iter().map(shape).collect();
        // Written out, so that a new version of wasmill gives the same name to the same topology.
        let whole = json!([self.application, topics, processors]).to_string();
        let mut name = Digest::of(whole.as_bytes()).to_string();
        name.truncate(16);
        name
    }

    /// Topics that processors read or write.
    pub fn used_topics(&self) -> BTreeSet<&str> {
        fn of(processor: &ProcessorSettings) -> impl Iterator<Item = &String> {
            let ProcessorSettings { inputs, outputs, tables, .. } = processor;
            inputs.iter().map(|i| &i.topic).chain(outputs).chain(tables)
        }
        self.processors.iter().flat_map(of).map(String::as_str).collect()
    }

    pub fn processor(&self, name: &str) -> Option<&ProcessorSettings> {
        self.processors.iter().find(|p| p.name == name)
    }

    /// Consumer group of a processor.
    pub fn group(&self, processor: &ProcessorSettings) -> String {
        format!("{}.{}", self.application, processor.name)
    }

    /// Topic of the dead letters of a processor.
    pub fn dead_letters(&self, processor: &ProcessorSettings) -> String {
        format!("{}.dlq", self.group(processor))
    }

    /// Changelog topic of a store.
    pub fn changelog(&self, processor: &ProcessorSettings, store: &StoreSettings) -> String {
        format!("{}.{}.changelog", self.group(processor), store.name)
    }

    /// Number of partitions, and so of tasks, of a processor.
    pub fn partitions(&self, processor: &ProcessorSettings) -> i32 {
        processor.inputs.first().and_then(|i| self.topics.get(&i.topic)).map_or(1, |t| t.partitions)
    }
}
