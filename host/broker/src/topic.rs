//! Topics: their partitions, settings and the catalog of all.
//! Owns names and what a name must look like.
//! Does not know the protocol.

pub mod catalog;
pub mod settings;

pub use catalog::{Catalog, Partition, Topic};
pub use settings::TopicSettings;
