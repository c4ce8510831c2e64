//! A component made ready for instances, and its identity. Knows nothing of what it will be used for.

use wasmtime::component::{ComponentExportIndex, InstancePre, Linker};

use super::checks::{self, Problem, Problems};
use super::engine::Engine;
use super::guest::Guest;
use super::limits::Limits;
use super::{imports, wasi};
use crate::digest::Digest;

/// Checked, compiled and linked code. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    digest: Digest,
    /// Linked once, not by each version and worker: a linker knows hundreds of functions by name, and filling one takes
    /// longer than making an instance.
    pub(super) linked: InstancePre<Guest>,
    pub(super) exports: Exports,
    /// That the code was compiled for.
    pub(super) engine: Engine,
}

/// Where the component's functions are, looked up once.
#[derive(Clone, Copy)]
pub(super) struct Exports {
    pub(super) open: ComponentExportIndex,
    pub(super) process: ComponentExportIndex,
    pub(super) tick: Option<ComponentExportIndex>,
    pub(super) close: Option<ComponentExportIndex>,
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
        Self::linked(engine, Digest::of(bytes), &compiled)
    }

    /// Checks compiled code, and links it.
    pub(super) fn linked(
        engine: &Engine,
        digest: Digest,
        compiled: &wasmtime::component::Component,
    ) -> Result<Self, Problems> {
        checks::check_types(engine, compiled)?;
        let exports = Exports::of(compiled).ok_or(Problem::NoProcessor)?;
        let linked = link(engine, compiled).map_err(|error| Problem::NotValid { reason: format!("{error:#}") })?;
        Ok(Self { digest, linked, exports, engine: engine.clone() })
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it handles ticks.
    pub fn has_ticks(&self) -> bool {
        self.exports.tick.is_some()
    }
}

impl Exports {
    fn of(compiled: &wasmtime::component::Component) -> Option<Self> {
        let find = |interface, function| checks::export(compiled, interface, function);
        Some(Self {
            open: find("framed", "open")?,
            process: find("framed", "process")?,
            tick: find("ticks", "tick"),
            close: find("lifecycle", "close"),
        })
    }
}

fn link(engine: &Engine, compiled: &wasmtime::component::Component) -> wasmtime::Result<InstancePre<Guest>> {
    let mut linker = Linker::new(engine.wasmtime());
    wasi::add(&mut linker)?;
    imports::add(&mut linker)?;
    linker.instantiate_pre(compiled)
}
