//! What the interface shows: plain data, made by whoever knows. Times are milliseconds since 1970.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A whole application as one host sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ApplicationView {
    pub application: String,
    /// This host.
    pub host: String,
    /// Version of wasmill.
    pub wasmill: String,
    /// Where Kafka clients find the broker.
    pub bootstrap: String,
    /// Hosts that are alive, this one included.
    pub hosts: Vec<HostView>,
    pub processors: Vec<ProcessorView>,
    /// Why this host follows deployments no further.
    pub stuck: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    pub name: String,
    pub wasmill: String,
    pub address: Option<String>,
    /// By processor: the candidate's revision that it has ready, or refuses.
    pub prepared: BTreeMap<String, CandidateView>,
    /// By processor: the partitions that it has.
    pub tasks: BTreeMap<String, Vec<i32>>,
    /// It gives its partitions to others, and takes none until it is asked to serve.
    pub is_drained: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CandidateView {
    pub revision: u64,
    pub refusal: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProcessorView {
    pub name: String,
    /// Its consumer group: standard tools show its lag.
    pub group: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub tables: Vec<String>,
    pub stores: Vec<String>,
    pub deployment: DeploymentView,
    pub versions: Vec<VersionView>,
    /// Workers of this host.
    pub workers: Vec<WorkerView>,
    /// Why the active version cannot run on this host.
    pub refusal: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DeploymentView {
    pub revision: u64,
    /// Number of the active version.
    pub version: Option<u64>,
    /// The revision that made it active; commits carry it.
    pub active_revision: Option<u64>,
    /// Number of the version that hosts are preparing.
    pub candidate: Option<u64>,
    /// `running`, `paused` or `halted`.
    pub state: String,
    /// Why it is halted.
    pub why: Option<String>,
    /// Accepted changes, oldest first.
    pub events: Vec<EventView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct EventView {
    pub revision: u64,
    pub at_ms: i64,
    pub host: String,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct VersionView {
    pub number: u64,
    /// SHA-256 of the component.
    pub digest: String,
    pub bytes: u64,
    pub settings: serde_json::Value,
    /// With the keys of the manifest.
    pub limits: serde_json::Value,
    /// With the keys of the manifest.
    pub on_error: serde_json::Value,
    pub note: String,
    pub state_format: Option<String>,
    pub at_ms: i64,
    pub host: String,
    pub is_active: bool,
}

/// A worker of this host. Counts are since it started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct WorkerView {
    pub index: u16,
    /// The revision that it runs.
    pub revision: u64,
    pub is_on_probation: bool,
    pub halted: Option<String>,
    /// Why its version was found to be at fault.
    pub condemned: Option<String>,
    /// A newer revision that its tasks wait for.
    pub waits_for: Option<u64>,
    pub records: u64,
    pub outputs: u64,
    pub dead_letters: u64,
    pub commits: u64,
    pub commits_failed: u64,
    pub guest_faults: u64,
    pub host_faults: u64,
    pub adoptions: u64,
    /// What the latest adoption kept the worker from its next call.
    pub last_pause_us: u64,
    pub last_fault: Option<String>,
    pub tasks: Vec<TaskView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct TaskView {
    pub partition: i32,
    /// `created`, `genesis`, `restoring`, `running`, `suspended` or `halted`.
    pub state: String,
    pub why: Option<String>,
    /// By input: the first offset that is not committed.
    pub committed: BTreeMap<String, i64>,
    /// Commits of this task so far.
    pub sequence: u64,
}

/// A committed value. Bytes are `text` where they are text, else `base64`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredView {
    pub partition: i32,
    /// Commits of the task that the value follows.
    pub sequence: u64,
    /// By input: the first offset that the value does not know.
    pub position: BTreeMap<String, i64>,
    pub value: Option<BytesView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BytesView {
    Text(String),
    Base64(String),
}

impl BytesView {
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }
}

/// From `offset` on, records belong to `version`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema, Deserialize)]
pub struct CutoverView {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub revision: u64,
    pub version: u64,
    pub digest: String,
    pub host: String,
    pub at_ms: i64,
}

/// What applying a manifest would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct PlanView {
    /// Topics that would be made.
    pub topics: Vec<TopicView>,
    /// Versions that would be deployed.
    pub versions: Vec<VersionChangeView>,
    /// Differences that take effect when all hosts were stopped and are started with the manifest.
    pub all_hosts: Vec<String>,
    /// Differences that take effect on each host when it is started anew.
    pub each_host: Vec<String>,
    /// Differences that wasmill does not carry out.
    pub by_hand: Vec<String>,
}

/// A version that a manifest asks for, where another is deployed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct VersionChangeView {
    pub processor: String,
    /// The version that is active.
    pub version: u64,
    /// The current revision: the change is based on it.
    pub revision: u64,
    /// Keys of the manifest that differ from the active version.
    pub changes: Vec<String>,
    /// Whether the component has to be uploaded.
    pub is_component_new: bool,
    pub settings: serde_json::Value,
    /// With the keys of the manifest.
    pub limits: serde_json::Value,
    /// With the keys of the manifest.
    pub on_error: serde_json::Value,
    pub state_format: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopicView {
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
    /// Kafka topic settings.
    pub settings: BTreeMap<String, String>,
}
