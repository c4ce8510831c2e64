//! What an operator may change of a running application: new versions, rollbacks, pauses. Checks first, then asks the
//! control thread for the change, and tells what became of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::components::Components;
use super::control::{Control, Overview, Refusal, Requests};
use super::files::ComponentFiles;
use super::fleet::Fleet;
use super::host::RunError;
use super::published::Published;
use super::ready::{self, with_spec};
use crate::clock::{Clock, SystemClock};
use crate::deployment::{Change, Deployment, VersionSpec};
use crate::digest::Digest;
use crate::topology::{self, ProcessorSettings, Topology};

/// How long all hosts together may take to prepare a version, with some room: they give up by themselves before.
const ROLLOUT_MAX: Duration = Duration::from_secs(75);

/// How long an answer waits for the workers of this host.
const ADOPTION_MAX: Duration = Duration::from_secs(5);

/// Between two looks at them.
const ADOPTION_LOOK: Duration = Duration::from_millis(2);

/// A new version, as it is asked for. What is left out stays as it is in the active version.
#[derive(Clone, Debug, Default)]
pub struct Deploy {
    /// The component's file; the active version's if there is none.
    pub component: Option<Vec<u8>>,
    pub settings: Option<serde_json::Value>,
    /// Those that change, with the keys of the manifest.
    pub limits: Option<Map<String, Value>>,
    /// With the keys of the manifest.
    pub on_error: Option<Map<String, Value>>,
    pub note: String,
    pub state_format: Option<String>,
    /// The revision that the change is based on; the current one if none is given.
    pub base: Option<u64>,
}

/// Changes deployments. Cheap to clone; used from any thread.
#[derive(Clone)]
pub struct Operator {
    topology: Arc<Topology>,
    components: Arc<Components>,
    files: Arc<ComponentFiles>,
    fleet: Arc<Fleet>,
    requests: Requests,
    overview: Arc<Published<Overview>>,
}

impl Operator {
    pub(super) fn new(
        topology: Arc<Topology>,
        components: Arc<Components>,
        files: Arc<ComponentFiles>,
        fleet: Arc<Fleet>,
        control: &Control,
    ) -> Self {
        let (requests, overview) = (control.requests(), control.overview());
        Self { topology, components, files, fleet, requests, overview }
    }

    /// Checks a new version here, hands it to all hosts, and gives the number and revision of the candidate.
    ///
    /// # Errors
    /// It cannot run here, or was based on another revision than the current one.
    pub fn deploy(&self, processor: &str, deploy: Deploy) -> Result<(u64, u64), Refusal> {
        let declared = self.declared(processor)?;
        let active = self.overview.get().catalog.deployment(processor).and_then(Deployment::active_version).cloned();
        let active = active.map(|v| v.spec);
        let present = active.as_ref().map_or_else(|| declared.clone(), |spec| with_spec(declared, spec));
        let settings = changed(present, &deploy).map_err(Refusal::Unfit)?;
        let spec = self.component(&settings, &deploy, active)?;
        let ProcessorSettings { settings, limits, on_error, state_format, .. } = settings;
        let spec = VersionSpec { settings, limits, on_error, note: deploy.note, state_format, ..spec };
        let (upload, bytes) = (spec.upload.clone(), spec.bytes);
        let asked = self.requests.ask(processor, deploy.base, Change::Candidate { spec });
        if matches!(asked, Err(Refusal::Conflict { .. })) && deploy.component.is_some() {
            self.files.forget(&upload, bytes).map_err(|e| Refusal::Unavailable(e.to_string()))?;
        }
        let revision = asked?;
        let is_folded = |o: &Overview| o.catalog.revision(processor) >= revision;
        let overview = self.overview.wait(ROLLOUT_MAX, is_folded);
        let deployment = overview.as_ref().and_then(|o| o.catalog.deployment(processor));
        let number = deployment.map_or(0, Deployment::newest_number);
        Ok((number, revision))
    }

    /// Tries out the component of a new version, and has it where all hosts find it. Other parts of the version are for the
    /// caller to fill in.
    fn component(
        &self,
        wanted: &ProcessorSettings,
        deploy: &Deploy,
        active: Option<VersionSpec>,
    ) -> Result<VersionSpec, Refusal> {
        let Self { topology, components, files, .. } = self;
        match (&deploy.component, active) {
            (Some(bytes), _) => {
                ready::try_out(topology, components, wanted, bytes).map_err(Refusal::Unfit)?;
                files.upload(bytes).map_err(Refusal::Unavailable)
            }
            (None, Some(active)) => {
                ready::try_out_known(topology, components, wanted, files, &active).map_err(Refusal::Unfit)?;
                Ok(active)
            }
            (None, None) => Err(Refusal::Unfit("nothing is deployed yet: a component is needed".into())),
        }
    }

    /// Waits until a candidate was promoted or withdrawn, and, for a while, until the workers of this host run it; gives the
    /// revision of the version's activation.
    ///
    /// # Errors
    /// Why it was withdrawn.
    pub fn await_rollout(&self, processor: &str, number: u64) -> Result<u64, Refusal> {
        let is_decided = |o: &Overview| {
            o.catalog.deployment(processor).is_some_and(|d| d.candidate.is_none_or(|c| c.number != number))
        };
        let late = || Refusal::Unavailable(format!("version {number} is still being prepared"));
        let overview = self.overview.wait(ROLLOUT_MAX, is_decided).ok_or_else(late)?;
        let Some(deployment) = overview.catalog.deployment(processor) else { return Err(late()) };
        if let Some(revision) = deployment.activation_of(number) {
            self.await_adoption(processor, revision);
            return Ok(revision);
        }
        let event = deployment.events.iter().rev().find(|e| e.text.contains("was withdrawn"));
        Err(Refusal::Unfit(event.map_or_else(|| "the version was withdrawn".into(), |e| e.text.clone())))
    }

    /// Makes another version active again; gives the new revision.
    ///
    /// # Errors
    /// There is no such version, or somebody else was faster.
    pub fn roll_back(&self, processor: &str, to: Option<u64>, why: &str, base: Option<u64>) -> Result<u64, Refusal> {
        self.declared(processor)?;
        let change = Change::Rollback { to, why: why.to_owned(), is_automatic: false };
        let revision = self.requests.ask(processor, base, change)?;
        self.await_adoption(processor, revision);
        Ok(revision)
    }

    /// Whoever asked for a version expects the next record to be its own. A worker adopts right after a seal; one that is
    /// busy for longer is not waited for.
    fn await_adoption(&self, processor: &str, revision: u64) {
        let clock = SystemClock::new();
        while !self.fleet.has_adopted(processor, revision) && clock.monotonic() < ADOPTION_MAX {
            std::thread::sleep(ADOPTION_LOOK);
        }
    }

    /// Stops calling a processor on all hosts; its place is kept.
    ///
    /// # Errors
    /// It is paused already, or somebody else was faster.
    pub fn pause(&self, processor: &str, base: Option<u64>) -> Result<u64, Refusal> {
        self.declared(processor)?;
        self.requests.ask(processor, base, Change::Pause)
    }

    /// Goes on after a pause or a halt.
    ///
    /// # Errors
    /// It runs already, or somebody else was faster.
    pub fn resume(&self, processor: &str, base: Option<u64>) -> Result<u64, Refusal> {
        self.declared(processor)?;
        self.requests.ask(processor, base, Change::Resume)
    }

    /// The first versions of processors, from the files that the manifest names: all of them are checked before any is
    /// deployed.
    ///
    /// # Errors
    /// Every component that cannot run here; or the broker does not take them.
    pub(super) fn deploy_first(&self, processors: &[&ProcessorSettings]) -> Result<(), RunError> {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for processor in processors {
            let read = self.components.read(processor);
            let tried =
                |bytes: Vec<u8>| ready::try_out(&self.topology, &self.components, processor, &bytes).map(|_| bytes);
            match read.and_then(tried) {
                Ok(bytes) => files.push((processor, bytes)),
                Err(why) => problems.push(self.components.problem(processor, why)),
            }
        }
        if !problems.is_empty() {
            return Err(RunError::Components(problems));
        }
        for (processor, bytes) in files {
            self.deploy_first_one(processor, &bytes)
                .map_err(|e| RunError::NotDeployed { processor: processor.name.clone(), why: e.to_string() })?;
        }
        Ok(())
    }

    fn deploy_first_one(&self, processor: &ProcessorSettings, bytes: &[u8]) -> Result<(), Refusal> {
        if self.overview.get().catalog.deployment(&processor.name).is_some_and(|d| d.candidate.is_some()) {
            return Ok(());
        }
        let ProcessorSettings { settings, limits, on_error, state_format, .. } = processor.clone();
        let note = "first version, from the manifest".to_owned();
        let uploaded = self.files.upload(bytes).map_err(Refusal::Unavailable)?;
        let spec = VersionSpec { settings, limits, on_error, note, state_format, ..uploaded };
        let base = Some(self.overview.get().catalog.revision(&processor.name));
        match self.requests.ask(&processor.name, base, Change::Candidate { spec }) {
            // Another host was faster with its first version: ours follows.
            Ok(_) | Err(Refusal::Conflict { .. }) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Digest of the component file that the manifest names, where it can be read.
    pub(super) fn digest_of_file(&self, processor: &ProcessorSettings) -> Option<String> {
        self.components.read(processor).ok().map(|bytes| Digest::of(&bytes).to_string())
    }

    fn declared(&self, processor: &str) -> Result<&ProcessorSettings, Refusal> {
        self.topology.processor(processor).ok_or_else(|| Refusal::UnknownProcessor(processor.to_owned()))
    }
}

/// A version with what a deployment changes of it.
fn changed(present: ProcessorSettings, deploy: &Deploy) -> Result<ProcessorSettings, String> {
    let limits = deploy.limits.as_ref().map(|changes| topology::limits(changes, &present.limits)).transpose()?;
    let on_error = deploy.on_error.as_ref().map(topology::error_policy).transpose()?;
    Ok(ProcessorSettings {
        settings: deploy.settings.clone().unwrap_or(present.settings),
        limits: limits.unwrap_or(present.limits),
        on_error: on_error.unwrap_or(present.on_error),
        state_format: deploy.state_format.clone().or(present.state_format),
        ..present
    })
}
