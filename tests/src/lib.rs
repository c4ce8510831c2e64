//! What the suites of this crate share: brokers as child processes, and small clients for checks over librdkafka.
//! Knows nothing of the host.

pub mod admin;
pub mod brokers;
pub mod child;
pub mod http;
pub mod member;
pub mod producer;
pub mod reader;
pub mod stamp;
pub mod until;
pub mod wasmill;
