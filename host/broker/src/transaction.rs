//! Transactions: which producer holds a transactional id, what its transaction touches, how it ends.
//! Owns fencing by epoch and the way prepare → markers → done, protocol version 1 as librdkafka speaks it.
//! Does not know groups' members; it tells groups the outcome.

pub mod coordinator;
pub mod ending;

pub use coordinator::{Identity, Transactions};
