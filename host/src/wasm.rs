//! Components as processors: the only door to wasmtime. Owns engines, compiled code and its cache, instances, and what a
//! component may import. Knows nothing of topics, offsets, deployments or of whose thread it runs on.

mod cache;
mod capture;
mod checks;
pub mod compile;
mod component;
mod document;
mod engine;
mod fault;
mod frames;
mod guest;
mod imports;
mod instance;
mod limits;
mod system;
mod version;
mod wasi;

pub use cache::{Cache, CacheError, Compiler};
pub use checks::{Problem, Problems};
pub use compile::{CompileError, CompileLimits};
pub use component::Component;
pub use document::{OpenDocument, StoreName};
pub use engine::{Engine, EngineOptions};
pub use limits::Limits;
pub use version::WasmVersion;
