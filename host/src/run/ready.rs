//! A version that is ready to work on this host: its component compiled and linked, its settings in place of the
//! manifest's.

use std::sync::Arc;

use crate::deployment::{Version, VersionSpec};
use crate::digest::Digest;
use crate::processor::{ProcessError, Processor, Scope, SharedTable, Version as _};
use crate::record::{BatchBuilder, Input, Partition};
use crate::store::{MemoryStore, Store};
use crate::topology::{ProcessorSettings, Topology};
use crate::wasm::WasmVersion;

use super::components::{ComponentProblem, Components, Prepared};
use super::files::ComponentFiles;

/// A compiled version with everything that its instances are made with.
pub(super) struct Ready {
    pub number: u64,
    /// The manifest's, with the version's settings, limits and error policy.
    pub processor: ProcessorSettings,
    pub prepared: Prepared,
}

/// Makes versions ready. Used on a thread of its own: compiling takes from a tenth of a second to many.
pub(super) struct Preparer {
    pub topology: Arc<Topology>,
    pub components: Arc<Components>,
    pub files: Arc<ComponentFiles>,
}

impl Preparer {
    /// Fetches, compiles, links, opens and warms a version.
    ///
    /// # Errors
    /// Everything that keeps it from running here.
    pub fn prepare(&self, processor: &str, version: &Version) -> Result<Ready, String> {
        let declared = self.topology.processor(processor);
        let declared = declared.ok_or_else(|| format!("this host's manifest has no processor `{processor}`"))?;
        let settings = with_spec(declared, &version.spec);
        let prepared = try_out_known(&self.topology, &self.components, &settings, &self.files, &version.spec)?;
        Ok(Ready { number: version.number, processor: settings, prepared })
    }
}

/// Compiles a component for a processor, opens it and calls it without records: whatever keeps it from running here is
/// known before anything changes.
///
/// # Errors
/// Why it does not run here.
pub(super) fn try_out(
    topology: &Topology,
    components: &Components,
    processor: &ProcessorSettings,
    bytes: &[u8],
) -> Result<Prepared, String> {
    opened(topology, processor, components.prepare_bytes(processor, bytes)?)
}

/// The same for a component that some version has already.
///
/// # Errors
/// It cannot be fetched, or why it does not run here.
pub(super) fn try_out_known(
    topology: &Topology,
    components: &Components,
    processor: &ProcessorSettings,
    files: &ComponentFiles,
    spec: &VersionSpec,
) -> Result<Prepared, String> {
    let prepared = components.prepare_known(processor, &spec.digest, || files.fetch(spec))?;
    opened(topology, processor, prepared)
}

fn opened(topology: &Topology, processor: &ProcessorSettings, prepared: Prepared) -> Result<Prepared, String> {
    let ready = Ready { number: 0, processor: processor.clone(), prepared };
    ready.instance(topology, &[])?;
    Ok(ready.prepared)
}

/// Tries out the components that a manifest names, in the order of its processors.
///
/// # Errors
/// Every component that cannot be used.
pub(super) fn try_out_all(
    topology: &Topology,
    components: &Components,
) -> Result<Vec<Prepared>, Vec<ComponentProblem>> {
    let (mut prepared, mut problems) = (Vec::new(), Vec::new());
    for processor in &topology.processors {
        let bytes = components.read(processor);
        match bytes.and_then(|bytes| try_out(topology, components, processor, &bytes)) {
            Ok(component) => prepared.push(component),
            Err(why) => problems.push(components.problem(processor, why)),
        }
    }
    if problems.is_empty() { Ok(prepared) } else { Err(problems) }
}

impl Ready {
    pub fn digest(&self) -> Digest {
        self.prepared.component.digest()
    }

    /// Makes what one worker runs: a version, and an instance of it that was opened and warmed.
    ///
    /// # Errors
    /// The component refuses to open, or fails on a batch without records.
    pub fn instance(
        &self,
        topology: &Topology,
        tables: &[SharedTable],
    ) -> Result<(WasmVersion, Box<dyn Processor>), String> {
        let mut version = self.prepared.version(topology, &self.processor);
        let mut instance = version.instance().map_err(|e| told("the component does not open", &e))?;
        self.warm(instance.as_mut(), tables).map_err(|e| told("the component fails on a batch without records", &e))?;
        Ok((version, instance))
    }

    /// One call without records: code and memory are touched, so that the first real call is as fast as the next. The
    /// stores it sees are empty, and whatever it writes is dropped.
    fn warm(&self, instance: &mut dyn Processor, given: &[SharedTable]) -> Result<(), ProcessError> {
        let stores =
            self.processor.stores.iter().map(|s| Box::new(MemoryStore::new(s.scans)) as Box<dyn Store>).collect();
        let tables = self.processor.tables.iter().enumerate();
        let mut scope = Scope {
            stores,
            tables: tables.map(|(i, _)| given.get(i).map(|t| t.load_full()).unwrap_or_default()).collect(),
            output_count: self.processor.outputs.len(),
            ..Scope::default()
        };
        let batch = BatchBuilder::new(Input(0), Partition(0), None).build();
        instance.process(batch.whole(), &mut scope)
    }
}

fn told(what: &str, error: &ProcessError) -> String {
    match error {
        ProcessError::Guest(fault) => format!("{what}: {}", fault.message),
        ProcessError::Host(why) => format!("{what}: {why}"),
    }
}

/// The manifest's processor, with what a version has instead.
pub(super) fn with_spec(declared: &ProcessorSettings, spec: &VersionSpec) -> ProcessorSettings {
    ProcessorSettings {
        settings: spec.settings.clone(),
        limits: spec.limits.clone(),
        on_error: spec.on_error.clone(),
        state_format: spec.state_format.clone(),
        ..declared.clone()
    }
}
