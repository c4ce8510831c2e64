//! Every setting of the broker with the reason for its default.
//! Owns values only. Settings of a topic live in `topic::settings`.
//! Knows nothing of how a value is used.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// How a broker is started. `BrokerConfig::new(folder)` is right for development and one machine.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where everything is kept; created if absent; used by one broker at a time.
    pub folder: PathBuf,
    /// Where to listen. Port 0 takes a free port; `Broker::address` tells which.
    pub address: SocketAddr,
    /// What clients are told to connect to, when that is not where we listen (a proxy in front). `None`: our address.
    pub advertised_address: Option<SocketAddr>,
    /// Sync files before an answer that promises durability. Off: a crash of the process loses nothing, a power cut
    /// may; on: neither loses anything, and a commit costs tens of milliseconds on common disks.
    pub fsync: bool,
    /// Whether asking for the metadata of a missing topic creates it. Off, because a typing error should be an error.
    pub auto_create_topics: bool,
    /// Partitions of a topic created without a count.
    pub default_partitions: i32,
    /// Connections beyond this many are closed at once. 1,000: each is a thread, and one host needs a few dozen.
    pub connections_max: usize,
}

impl BrokerConfig {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertised_address: None,
            fsync: false,
            auto_create_topics: false,
            default_partitions: 1,
            connections_max: 1_000,
        }
    }
}

/// The id of the only node. 1, as in Apache Kafka's examples: tools print it.
pub const NODE_ID: i32 = 1;

/// Largest frame accepted. 128 MiB: far above `max.message.bytes` times the partitions of a real request, and a bound
/// on what one connection can make us hold.
pub const FRAME_BYTES_MAX: usize = 128 << 20;

/// Largest frame of a request that carries no records. 8 MiB: a thousand topics with all their settings fit, and
/// decoding it cannot take more than a small multiple of it.
pub const CONTROL_FRAME_BYTES_MAX: usize = 8 << 20;

/// Most record bytes in one Fetch answer, whatever the client asks for (a first batch larger than this still goes out
/// alone). 55 MiB is Apache Kafka's `fetch.max.bytes`.
pub const FETCH_BYTES_MAX: usize = 55 << 20;

/// Session time-outs accepted from group members. 1 s to 30 min: below one second a busy machine kicks live members;
/// Apache Kafka's own floor of 6 s makes tests slow.
pub const SESSION_TIMEOUT_MIN_MS: i32 = 1_000;
pub const SESSION_TIMEOUT_MAX_MS: i32 = 1_800_000;

/// Longest transaction time-out a producer may ask for (Apache Kafka's `transaction.max.timeout.ms`).
pub const TRANSACTION_TIMEOUT_MAX_MS: i32 = 900_000;

/// Longest metadata string of a committed offset (Apache Kafka's `offset.metadata.max.bytes`).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;

/// Most partitions of one topic. Each costs a folder, a file and an index; 10,000 is a mistake on one machine already.
pub const PARTITIONS_MAX: i32 = 10_000;

/// How often time-outs of groups and transactions are looked at.
pub const TIMER_INTERVAL_MS: u64 = 50;

/// How often retention, compaction and checkpoints are looked at.
pub const CLEANER_INTERVAL_MS: u64 = 500;

/// A partition is checkpointed after this many new bytes, so that a start after a crash scans at most that much of it
/// (about 0.1 s), or when it was written to and this much time has passed.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;
pub const CHECKPOINT_INTERVAL_MS: i64 = 60_000;

/// The journal is rewritten when it exceeds this size and four times its size after the last rewrite.
pub const JOURNAL_REWRITE_BYTES: u64 = 8 << 20;

/// State of an idempotent producer that has been silent this long is forgotten (Apache Kafka's
/// `producer.id.expiration.ms`).
pub const PRODUCER_EXPIRATION_MS: i64 = 86_400_000;
