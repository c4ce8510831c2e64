//! Components of a topology, compiled and linked: every problem of every component at once, before anything runs.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::topology::{LimitSettings, ProcessorSettings, Topology};
use crate::wasm::compile::CompileLimits;
use crate::wasm::{Cache, Compiler, Component, Engine, EngineOptions, Limits, OpenDocument, StoreName, WasmVersion};

/// The share of its memory limit at which an instance is replaced: some languages only grow.
const RECYCLE_PERCENT: u64 = 75;

/// Where components come from and how they are compiled.
pub struct Components {
    /// Component paths of a manifest are relative to this.
    pub base: PathBuf,
    /// Watches the time of calls.
    timed: Cache,
    /// Does not: for processors that their manifest trusts.
    untimed: Cache,
    /// Latest last: most versions differ from the one before in settings only.
    recent: Mutex<VecDeque<Recent>>,
}

/// Compiled components that are kept at hand. Versions at work keep their own.
const RECENT_MAX: usize = 8;

struct Recent {
    digest: String,
    is_timed: bool,
    prepared: Prepared,
}

/// One processor's component, ready to make versions for its workers.
#[derive(Clone)]
pub struct Prepared {
    pub component: Component,
    pub bytes: usize,
}

impl std::fmt::Display for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = self.component.digest().to_string();
        write!(f, "{} of {} bytes", &digest[..12], self.bytes)
    }
}

/// A component that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("processor `{processor}`, component {path}: {why}")]
pub struct ComponentProblem {
    pub processor: String,
    pub path: PathBuf,
    pub why: String,
}

impl Components {
    /// `program` is this program: it becomes the compiler's child process.
    ///
    /// # Errors
    /// This machine cannot run components, or the cache's folder cannot be used.
    pub fn open(base: &Path, cache: &Path, program: &Path) -> Result<Self, String> {
        Self::with(base, program, |engine, compiler| Cache::open(cache, engine, compiler).map_err(|e| e.to_string()))
    }

    /// As [`Self::open`], in a folder that is there and that another process may be working in.
    ///
    /// # Errors
    /// This machine cannot run components.
    pub fn beside(base: &Path, cache: &Path, program: &Path) -> Result<Self, String> {
        Self::with(base, program, |engine, compiler| Ok(Cache::over(cache.to_owned(), engine, compiler)))
    }

    fn with(
        base: &Path,
        program: &Path,
        open: impl Fn(Engine, Compiler) -> Result<Cache, String>,
    ) -> Result<Self, String> {
        let engine = |epochs| Engine::new(EngineOptions { epochs, ..EngineOptions::default() });
        let compiler = Compiler::Child { program: program.to_owned(), limits: CompileLimits::default() };
        let open = |epochs| open(engine(epochs)?, compiler.clone());
        Ok(Self { base: base.to_owned(), timed: open(true)?, untimed: open(false)?, recent: Mutex::default() })
    }

    /// The component file that the manifest names.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, processor: &ProcessorSettings) -> Result<Vec<u8>, String> {
        let path = self.base.join(&processor.component);
        std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    }

    /// What is told of the component file that the manifest names.
    pub fn problem(&self, processor: &ProcessorSettings, why: String) -> ComponentProblem {
        ComponentProblem { processor: processor.name.clone(), path: self.base.join(&processor.component), why }
    }

    /// Compiles and checks a component under the limits of a processor.
    ///
    /// # Errors
    /// Everything that keeps it from running here.
    pub fn prepare_bytes(&self, processor: &ProcessorSettings, bytes: &[u8]) -> Result<Prepared, String> {
        let cache = if processor.limits.is_timed { &self.timed } else { &self.untimed };
        let compiled = cache.component(bytes, &limits_of(&processor.limits));
        let component = compiled.map_err(|error| error.to_string())?;
        let prepared = Prepared { component, bytes: bytes.len() };
        let mut recent = self.recent();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        let (digest, is_timed) = (prepared.component.digest().to_string(), processor.limits.is_timed);
        recent.push_back(Recent { digest, is_timed, prepared: prepared.clone() });
        Ok(prepared)
    }

    /// As [`Self::prepare_bytes`], of a component that may be at hand already; else `fetch` gets its bytes.
    ///
    /// # Errors
    /// It cannot be fetched, or does not run here.
    pub fn prepare_known(
        &self,
        processor: &ProcessorSettings,
        digest: &str,
        fetch: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Prepared, String> {
        let is_it = |r: &&Recent| r.digest == digest && r.is_timed == processor.limits.is_timed;
        let found = self.recent().iter().find(is_it).map(|r| r.prepared.clone());
        found.map_or_else(|| self.prepare_bytes(processor, &fetch()?), Ok)
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prepared {
    /// A version of its own for one worker.
    pub fn version(&self, topology: &Topology, processor: &ProcessorSettings) -> WasmVersion {
        WasmVersion::new(&self.component, &document_of(topology, processor), limits_of(&processor.limits))
    }
}

fn document_of(topology: &Topology, processor: &ProcessorSettings) -> OpenDocument {
    OpenDocument {
        application: topology.application.clone(),
        processor: processor.name.clone(),
        settings: processor.settings.clone(),
        inputs: processor.inputs.iter().map(|i| i.topic.clone()).collect(),
        outputs: processor.outputs.clone(),
        stores: processor.stores.iter().map(|s| StoreName { name: s.name.clone(), scans: s.scans }).collect(),
        tables: processor.tables.clone(),
    }
}

fn limits_of(limits: &LimitSettings) -> Limits {
    let memory_bytes = limits.memory_mib << 20;
    Limits {
        memory_bytes_max: memory_bytes as usize,
        memory_bytes_recycle: (memory_bytes / 100 * RECYCLE_PERCENT) as usize,
        call_cpu_ms: limits.call_ms,
        record_cpu_us: limits.record_us,
        output_bytes_max: (limits.output_mib << 20) as usize,
        log_lines_max: limits.log_lines as usize,
        ..Limits::default()
    }
}

/// How often a component is told that time passes; `None` if it does not want to know.
pub fn tick_interval(processor: &ProcessorSettings, prepared: &Prepared) -> Option<Duration> {
    prepared.component.has_ticks().then_some(processor.tick_interval)
}
