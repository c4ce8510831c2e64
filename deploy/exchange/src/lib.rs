//! The currency exchange as a demonstration: a flow of realistic requests, a model that checks every result from the
//! topics alone, and a display. Knows nothing of how records are processed, nor of the components' code.

pub mod cluster;
pub mod display;
pub mod drive;
pub mod flow;
pub mod model;
pub mod progress;
pub mod record;
pub mod run;
pub mod topics;
pub mod versions;
