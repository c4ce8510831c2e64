//! wasmill runs WebAssembly components as exactly-once stream processors on Kafka. See `host/ARCHITECTURE.md`.

pub mod api;
pub mod client;
pub mod clock;
pub mod config;
pub mod deployment;
pub mod digest;
pub mod kafka;
pub mod processor;
pub mod record;
pub mod remote;
pub mod run;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod topology;
pub mod wasm;
pub mod worker;
