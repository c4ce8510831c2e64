//! A compiled component and its identity. Knows nothing of what it will be used for.

use super::checks::{self, Problem, Problems};
use super::engine::Engine;
use super::limits::Limits;
use crate::digest::Digest;

/// Checked and compiled code, ready to be linked.
#[derive(Clone)]
pub struct Component {
    digest: Digest,
    pub(super) wasmtime: wasmtime::component::Component,
}

impl Component {
    /// Checks and compiles bytes in this process: for tests and tools. Hosts use [`super::Cache`], which compiles in a child.
    ///
    /// # Errors
    /// Everything that keeps it from running here.
    pub fn compile(engine: &Engine, bytes: &[u8], limits: &Limits) -> Result<Self, Problems> {
        checks::check_bytes(bytes, limits)?;
        let compiled = wasmtime::component::Component::from_binary(engine.wasmtime(), bytes);
        let compiled = compiled.map_err(|error| Problem::NotValid { reason: format!("{error:#}") })?;
        Self::checked(engine, Digest::of(bytes), compiled)
    }

    /// Takes compiled code.
    pub(super) fn checked(
        engine: &Engine,
        digest: Digest,
        wasmtime: wasmtime::component::Component,
    ) -> Result<Self, Problems> {
        checks::check_types(engine, &wasmtime)?;
        Ok(Self { digest, wasmtime })
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it handles ticks.
    pub fn has_ticks(&self) -> bool {
        checks::export(&self.wasmtime, "ticks", "tick").is_some()
    }
}
