//! Builds everything from a topology and holds the order of start and stop. The one place that sees all parts.

mod components;
mod folder;
mod thread;

pub use components::{ComponentProblem, Components, Prepared, tick_interval};
pub use folder::{DataFolder, FolderError};
pub use thread::{Ended, WorkerThread};
