//! What the interface asks of the host, and how it is answered: plain data, so that it knows nothing of who does it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::letters::{DeadLettersView, LettersWanted, ReplayView};
use super::view::{CutoverView, HostView, PlanView, StoredView, TopicView};

/// Marks a request that another host has forwarded: it is not forwarded again.
pub const FORWARDED: &str = "wasmill-forwarded";

/// Something to be done, or looked up where only a worker knows.
#[derive(Clone, Debug)]
pub enum Order {
    /// A new version: a component, settings, limits, an error policy, or some of them.
    Deploy {
        processor: String,
        component: Option<Vec<u8>>,
        settings: Option<Value>,
        /// Those that change, with the keys of the manifest.
        limits: Option<Map<String, Value>>,
        /// With the keys of the manifest.
        on_error: Option<Map<String, Value>>,
        note: String,
        state_format: Option<String>,
        base: Option<u64>,
        /// Whether the answer waits until every host has it ready, or one refused.
        is_awaited: bool,
    },
    /// Another kept version becomes active; the one before it if there is no number.
    RollBack {
        processor: String,
        to: Option<u64>,
        why: String,
        base: Option<u64>,
    },
    Pause {
        processor: String,
        base: Option<u64>,
    },
    Resume {
        processor: String,
        base: Option<u64>,
    },
    /// The committed value of a key.
    Stored {
        processor: String,
        store: String,
        key: Vec<u8>,
        /// Another host asks: it is answered here or nowhere.
        is_forwarded: bool,
    },
    /// Where revisions took over, newest last.
    Cutovers {
        processor: String,
    },
    /// Records that could not be processed.
    DeadLetters {
        processor: String,
        wanted: LettersWanted,
    },
    /// A host gives its partitions away and takes none, or serves again.
    Drain {
        host: String,
        is_drained: bool,
        /// Another host asks: it is done here or nowhere.
        is_forwarded: bool,
    },
    /// Dead letters are sent to their inputs again.
    Replay {
        processor: String,
        /// All if none is named.
        places: Vec<String>,
        again: bool,
        shared: bool,
    },
    /// What applying a manifest would change.
    Plan {
        manifest: String,
        /// By processor: SHA-256 of the component that the manifest names.
        components: BTreeMap<String, String>,
    },
    /// Makes a topic that is not there.
    EnsureTopic(TopicView),
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Changed {
        revision: u64,
        version: Option<u64>,
        is_active: bool,
    },
    Stored(StoredView),
    Cutovers(Vec<CutoverView>),
    DeadLetters(DeadLettersView),
    Replayed(ReplayView),
    Host(HostView),
    Plan(PlanView),
    /// Whether the topic was made; else it was there.
    Ensured {
        is_made: bool,
    },
}

/// Why an order was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// What was asked for does not read as it should.
    Malformed(String),
    /// There is no such thing.
    Unknown(String),
    /// Somebody else was faster, or it does not fit the present state.
    Conflict { current: u64, why: String },
    /// What was handed in is not acceptable.
    Unfit(String),
    /// Not now: the broker or a task is not able to.
    Unavailable(String),
}
