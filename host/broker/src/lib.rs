//! The embedded broker: one node, file-backed, speaking Kafka's protocol on a loopback port.
//! It owns its data folder, its listener and everything the protocol promises to clients of a single broker.
//! It does not know wasmill: any Kafka client may use it, and the host uses it only through a Kafka client.

mod api;
mod broker;
mod clock;
mod config;
mod error;
mod group;
mod journal;
mod log;
mod sealed;
mod server;
mod sync;
mod topic;
mod transaction;
mod upkeep;
mod wire;

pub use broker::Broker;
pub use config::BrokerConfig;
pub use error::BrokerError;
