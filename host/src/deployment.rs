//! Which version of each processor is wanted: a fold over a log in Kafka, on which every host comes to the same answer
//! without a leader. Pure: records in, decisions out. It says "adopt this"; workers decide when.

mod catalog;
mod change;
mod hosts;
mod rollout;
mod state;
mod upload;

pub use catalog::{Catalog, Folded};
pub use change::{Change, FORMAT, Intent, IntentError, Version, VersionSpec};
pub use hosts::{HostRecord, Hosts, Preparation};
pub use rollout::{Action, Rollout};
pub use state::{Active, Candidate, Deployment, Event, Running};
pub use upload::{CHUNK_BYTES, Chunk, Uploads, chunks, keys};
