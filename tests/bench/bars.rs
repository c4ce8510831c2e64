//! The bars, where each comes from, and what is known of the distance to the prototype. All figures are CPU nanoseconds
//! of the engine's process per input record; the broker is a process of its own.
//!
//! # Distance to the prototype of `reference/hotpath.md`
//! To be written from the measurements below.

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
    pub component_ns_most: Option<f64>,
}

/// Warm Kafka Streams on the same workload, best of its settings, on a machine like ours: what 1.7 us stands for.
pub const KAFKA_STREAMS_NS: f64 = 5_100.0;

pub const WORKS: [Work; 3] = [
    Work {
        name: "copy",
        logic: Logic::Copy,
        component: "guest_identity.wasm",
        ratio_least: 0.9,
        difference_ns_most: Some(100.0),
        component_ns_most: None,
    },
    Work {
        name: "balance, serde_json",
        logic: Logic::Balance(crate::workload::Parser::Serde),
        component: "guest_balance.wasm",
        ratio_least: 0.75,
        difference_ns_most: None,
        component_ns_most: Some(1_700.0),
    },
    Work {
        name: "balance, extractor",
        logic: Logic::Balance(crate::workload::Parser::Extractor),
        component: "guest_balance.wasm",
        ratio_least: 0.85,
        difference_ns_most: None,
        component_ns_most: Some(1_300.0),
    },
];
