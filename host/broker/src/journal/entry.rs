//! What the journal can say. One entry is one durable fact.
//! Stored as JSON, so that a person can read it; a change of meaning is a new format number of the file.
//! Does not know how entries add up (`journal::image`).

use serde::{Deserialize, Serialize};

use super::image::Image;
use crate::topic::settings::Overrides;

#[derive(Debug, Serialize, Deserialize)]
pub enum Entry {
    /// All that was said before; the first entry of a rewritten journal.
    Image(Box<Image>),
    Cluster {
        id: String,
    },
    /// A topic as it is from now on: new, or with more partitions or other settings.
    Topic {
        name: String,
        id: u64,
        partitions: i32,
        overrides: Overrides,
    },
    TopicDeleted {
        name: String,
    },
    Offsets {
        group: String,
        offsets: Vec<Committed>,
    },
    Group {
        group: String,
        membership: Membership,
    },
    GroupDeleted {
        group: String,
    },
    /// Producer ids below this may have been given out.
    ProducerIds {
        next: i64,
    },
    Producer {
        id: String,
        producer_id: i64,
        epoch: i16,
        last: Option<(i64, i16)>,
        timeout_ms: i32,
    },
    Partitions {
        id: String,
        partitions: Vec<(String, i32)>,
        now_ms: i64,
    },
    TransactionGroup {
        id: String,
        group: String,
        now_ms: i64,
    },
    TransactionOffsets {
        id: String,
        group: String,
        offsets: Vec<Committed>,
    },
    /// The outcome is decided; markers and offsets follow, after a crash too.
    Prepared {
        id: String,
        outcome: Outcome,
        epoch: i16,
    },
    Done {
        id: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Commit,
    Abort,
}

/// A committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// A group as its members last agreed on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub members: Vec<MemberImage>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberImage {
    pub id: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<(String, Vec<u8>)>,
    pub assignment: Vec<u8>,
}
