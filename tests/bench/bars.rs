//! The bars, where each comes from, and what is known of the distance to the prototype. All figures are CPU nanoseconds
//! of the engine's process per input record; the broker is a process of its own.
//!
//! # Nanoseconds and Kafka Streams
//!
//! 1,700 and 1,300 ns were set on a machine where warm Kafka Streams took 5,100: three and four times as much. Machines are
//! not alike, and cores shared with strangers not from one hour to the next: in one where a payment took 450 ns to parse
//! instead of 214, the native logic alone missed 1,300. So the multiples are the bars: `streams.rs` runs Streams in turns
//! with the components. Nanoseconds are told beside what was set, and beside what the machine takes to parse a payment.
//!
//! # Distance to the prototype of `reference/hotpath.md`
//!
//! Over librdkafka the prototype took 928 ns natively and 1,028 in a component with its extractor, 1,118 and 1,441 with
//! serde_json. What a nanosecond figure says depends on the hour: cores that are shared with strangers were seen half as
//! fast for minutes. So both ran in turns, native with the extractor, three million records, medians of six: the prototype
//! took 1,090 ns, the engine here 1,242. By thread, what differs is work that the prototype leaves out:
//!
//! * committer, 286 ns instead of 153: outputs carry their input's timestamp and may have headers, so each goes through
//!   `rd_kafka_produceva` (two readings of the clock, 45 ns, a read lock and a look-up of the partition a record) instead of
//!   `rd_kafka_produce_batch`, which knows neither; and delivery is reported for every record, so that a set commits only if
//!   all of it arrived. The reports of outputs are counted, not walked.
//! * worker, 503 ns instead of 381: records are copied into a batch that is kept until its call is over, because a failed
//!   call is repeated in parts (native logic reads there, too); every frame, packed list and key is checked; changes pass
//!   through the layer of the running call; the SDK's extractor reads members of any kind. Asking librdkafka for the headers
//!   of a record that has none cost another 60 to 80 ns: `kafka/fetcher.rs` looks at one byte instead.
//! * librdkafka's consumer thread, 251 instead of 287, and its producer's, 184 instead of 262: records end in the
//!   committer's thread here.
//!
//! jemalloc is in both figures. Its settings (`dirty_decay_ms`, `oversize_threshold`, huge pages) made no difference that
//! could be told from noise.

use crate::workload::Logic;

/// A row: the same logic in a component and in native Rust, in the same engine on the same client layer.
pub struct Work {
    pub name: &'static str,
    pub logic: Logic,
    pub component: &'static str,
    /// Native over component.
    pub ratio_least: f64,
    /// Component minus native.
    pub difference_ns_most: Option<f64>,
    /// Set where a payment took `yardstick::REFERENCE_NS` to parse; told, and no bar.
    pub component_ns_set: Option<f64>,
    /// Warm Kafka Streams over component: what the nanoseconds mean on any machine.
    pub streams_ratio_least: Option<f64>,
}

/// Warm Kafka Streams on the same workload, best of its settings, on the machine where the bars in nanoseconds were set.
pub const KAFKA_STREAMS_NS: f64 = 5_100.0;

pub const WORKS: [Work; 3] = [
    Work {
        name: "copy",
        logic: Logic::Copy,
        component: "guest-identity",
        ratio_least: 0.9,
        difference_ns_most: Some(100.0),
        component_ns_set: None,
        streams_ratio_least: None,
    },
    Work {
        name: "balance, serde_json",
        logic: Logic::Balance(crate::payment::Parser::Serde),
        component: "guest-balance",
        ratio_least: 0.75,
        difference_ns_most: None,
        component_ns_set: Some(1_700.0),
        streams_ratio_least: Some(KAFKA_STREAMS_NS / 1_700.0),
    },
    Work {
        name: "balance, extractor",
        logic: Logic::Balance(crate::payment::Parser::Extractor),
        component: "guest-balance",
        ratio_least: 0.85,
        difference_ns_most: None,
        component_ns_set: Some(1_300.0),
        streams_ratio_least: Some(KAFKA_STREAMS_NS / 1_300.0),
    },
];
