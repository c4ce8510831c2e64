//! A compiled component and its identity. Knows nothing of what it will be used for.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::checks::{self, Problem, Problems};
use super::engine::Engine;
use super::limits::Limits;

/// The SHA-256 of a component's bytes: which component it is, wherever it came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

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

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
