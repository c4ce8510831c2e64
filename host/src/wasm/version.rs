//! A version ready to make instances: linked code, its configuration and limits.

use wasmtime::component::{ComponentExportIndex, InstancePre, Linker};

use crate::processor::{ProcessError, Processor, Version};

use super::checks::{self, Problem, Problems};
use super::component::Component;
use super::document::OpenDocument;
use super::engine::Engine;
use super::guest::Guest;
use super::instance::Instance;
use super::limits::Limits;
use super::{imports, wasi};

/// Makes instances of one component with one configuration.
pub struct WasmVersion {
    pre: InstancePre<Guest>,
    exports: Exports,
    document: String,
    limits: Limits,
    engine: Engine,
}

/// Where the component's functions are, looked up once.
pub(super) struct Exports {
    pub(super) open: ComponentExportIndex,
    pub(super) process: ComponentExportIndex,
    pub(super) tick: Option<ComponentExportIndex>,
    pub(super) close: Option<ComponentExportIndex>,
}

impl WasmVersion {
    /// Links a component.
    ///
    /// # Errors
    /// What it imports cannot be given.
    pub fn new(
        engine: &Engine,
        component: &Component,
        document: &OpenDocument,
        limits: Limits,
    ) -> Result<Self, Problems> {
        let linked = link(engine, component).map_err(|error| Problem::NotValid { reason: format!("{error:#}") })?;
        let exports = Exports::of(component).ok_or(Problem::NoProcessor)?;
        Ok(Self { pre: linked, exports, document: document.to_json(), limits, engine: engine.clone() })
    }
}

impl Version for WasmVersion {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        let instance = Instance::open(&self.pre, &self.exports, &self.document, &self.limits, &self.engine)?;
        Ok(Box::new(instance))
    }
}

impl Exports {
    fn of(component: &Component) -> Option<Self> {
        let find = |interface, function| checks::export(&component.wasmtime, interface, function);
        Some(Self {
            open: find("framed", "open")?,
            process: find("framed", "process")?,
            tick: find("ticks", "tick"),
            close: find("lifecycle", "close"),
        })
    }
}

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<InstancePre<Guest>> {
    let mut linker = Linker::new(engine.wasmtime());
    wasi::add(&mut linker)?;
    imports::add(&mut linker)?;
    linker.instantiate_pre(&component.wasmtime)
}
