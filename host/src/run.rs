//! Builds everything from a topology and holds the order of start and stop. The one place that sees all parts.

mod folder;
mod thread;

pub use folder::{DataFolder, FolderError};
pub use thread::{Ended, WorkerThread};
