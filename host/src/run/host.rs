//! A running host: broker, topics, deployments, components, workers, in the order in which they depend on each other;
//! and the stop, in the opposite order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmill_broker::{Broker, BrokerConfig};

use super::components::{ComponentProblem, Components};
use super::control::{Control, Overview, Parts};
use super::files::ComponentFiles;
use super::fleet::Fleet;
use super::folder::{DataFolder, FolderError};
use super::forward::Forwarder;
use super::interface::Interface;
use super::operator::Operator;
use super::plan;
use super::published::Published;
use super::query::QueryError;
use super::ready::Preparer;
use super::tables::TablesError;
use super::wiring;
use crate::api::{ApiError, Listener, Server};
use crate::config::{self, Manifest};
use crate::deployment::Catalog;
use crate::kafka::{Admin, Appender, ControlReader, FeedError, Tail, TopicsError};
use crate::topology::{ProcessorSettings, Topology};
use crate::worker::{StoredValue, WorkerStatus};

/// Why a host does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the embedded broker: {0}")]
    Broker(#[from] wasmill_broker::BrokerError),
    #[error(transparent)]
    Topics(#[from] TopicsError),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error("{}", .0.join("\n"))]
    Manifest(Vec<String>),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Components(Vec<ComponentProblem>),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0}")]
    Engine(String),
    #[error("deployments: {0}")]
    Control(String),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("processor `{processor}` cannot start: {why}")]
    NotDeployed { processor: String, why: String },
    #[error("state of processor `{processor}`: {why}")]
    State { processor: String, why: String },
    #[error("the system: {0}")]
    System(#[from] std::io::Error),
    #[error("worker {index} of processor `{processor}` ended: {why}")]
    Worker { processor: String, index: u16, why: String },
}

impl RunError {
    /// Whether nothing had begun to run: what is wrong is in the manifest, the components or the folder.
    pub fn is_before_start(&self) -> bool {
        !matches!(self, Self::Worker { .. } | Self::System(_))
    }
}

/// How long a processor may take from the start of its host to the start of its workers: the preparation of its version
/// here and on other hosts.
const START_MAX: Duration = Duration::from_secs(90);

/// Everything that runs for one manifest in this process.
pub struct Host {
    topology: Arc<Topology>,
    fleet: Arc<Fleet>,
    control: Control,
    operator: Operator,
    kafka: BTreeMap<String, String>,
    bootstrap: String,
    /// Other hosts of this application ask for the same one.
    token: Option<String>,
    broker: Option<Broker>,
    /// Last: its lock is given up when everything else is gone.
    _folder: DataFolder,
}

impl Host {
    /// Starts everything; workers have joined their groups or are about to.
    ///
    /// # Errors
    /// Whatever keeps the whole from running. Nothing is left running then.
    pub fn start(manifest: &Manifest) -> Result<Self, RunError> {
        let topology = Arc::new(manifest.topology.clone());
        wiring::check(&topology).map_err(RunError::Manifest)?;
        let folder = DataFolder::open(&PathBuf::from(&topology.host.data), &topology.host.id)?;
        let program = config::this_program()?;
        let components = Components::open(&manifest.base, &folder.cache(), &program).map_err(RunError::Engine)?;
        let components = Arc::new(components);
        let (broker, kafka) = connect(&topology, &folder)?;
        let made = Admin::new(&kafka)?.ensure(&topology.topic_needs())?;
        if !made.is_empty() {
            tracing::info!(topics = made.join(", "), "made topics");
        }
        let fleet = Arc::new(Fleet::new(topology.clone(), kafka.clone(), &folder)?);
        let files = Arc::new(ComponentFiles {
            folder: folder.cache(),
            topic: topology.control_topics().components,
            tail: Tail::new(&kafka)?,
            appender: Arc::new(Appender::new(&kafka)?),
        });
        let control = start_control(&topology, &kafka, &components, &files, &fleet)?;
        let operator = Operator::new(topology.clone(), components, files, fleet.clone(), &control);
        let bootstrap = kafka.get("bootstrap.servers").cloned().unwrap_or_default();
        let token = manifest.token.clone();
        let host = Self { topology, fleet, control, operator, kafka, bootstrap, token, broker, _folder: folder };
        host.deploy_first_versions()?;
        host.await_workers()?;
        Ok(host)
    }

    /// Processors that nothing was ever deployed for begin with the component that the manifest names.
    fn deploy_first_versions(&self) -> Result<(), RunError> {
        let overview = self.overview();
        let catalog = &overview.get().catalog;
        self.check_other_hosts()?;
        let is_new = |p: &&ProcessorSettings| catalog.deployment(&p.name).is_none_or(|d| d.active.is_none());
        let new: Vec<&ProcessorSettings> = self.topology.processors.iter().filter(is_new).collect();
        self.operator.deploy_first(&new)?;
        for processor in self.topology.processors.iter().filter(|p| !is_new(p)) {
            self.warn_of_other_version(processor, catalog);
        }
        Ok(())
    }

    /// Hosts of one application run the same topology, or partitions would be shared out wrongly.
    fn check_other_hosts(&self) -> Result<(), RunError> {
        let overview = self.overview().get();
        let ours = self.topology.fingerprint();
        let other = overview.hosts.iter().find(|(name, h)| **name != self.topology.host.id && h.topology != ours);
        let Some((name, _)) = other else { return Ok(()) };
        let text = format!(
            "host {name} runs another manifest of application `{}`: stop it, or start it with this manifest too",
            self.topology.application
        );
        Err(RunError::Control(text))
    }

    /// The manifest names the first version only: what is deployed goes on, and whoever changed the manifest is told.
    fn warn_of_other_version(&self, processor: &ProcessorSettings, catalog: &Catalog) {
        let Some(version) = catalog.deployment(&processor.name).and_then(|d| d.active_version()) else { return };
        let digest = self.operator.digest_of_file(processor);
        let changes = plan::changes(&version.spec, processor, digest.as_deref());
        if !changes.is_empty() {
            let (processor, version, differs) = (&processor.name, version.number, changes.join(", "));
            let text = "what is deployed differs from the manifest, and goes on: `wasmill plan` shows how, `wasmill apply` deploys it";
            tracing::warn!(processor, version, differs, text);
        }
    }

    /// Waits until every processor has workers, or one of them cannot.
    fn await_workers(&self) -> Result<(), RunError> {
        let overview = self.overview();
        for processor in &self.topology.processors {
            let name = &processor.name;
            let is_decided = |o: &Overview| o.adopted.contains_key(name) || failure_to_start(o, name).is_some();
            let failed = |why: String| RunError::NotDeployed { processor: name.clone(), why };
            match overview.wait(START_MAX, is_decided) {
                None => return Err(failed(format!("it was not ready within {} s", START_MAX.as_secs()))),
                Some(o) if o.adopted.contains_key(name) => {}
                Some(o) => return Err(failed(failure_to_start(&o, name).unwrap_or_default())),
            }
        }
        Ok(())
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where Kafka clients find the broker.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// What is deployed, where, and how far this host is with it.
    pub fn overview(&self) -> Arc<Published<Overview>> {
        self.control.overview()
    }

    /// Serves the operator's interface, and tells other hosts where.
    ///
    /// # Errors
    /// The machine gives no thread.
    pub fn serve(&self, listener: Listener) -> Result<Server, ApiError> {
        let interface = Interface {
            topology: self.topology.clone(),
            kafka: self.kafka.clone(),
            fleet: self.fleet.clone(),
            overview: self.overview(),
            operator: self.operator.clone(),
            forwarder: Forwarder::new(self.token.clone()),
        };
        let server = Server::start(listener, interface.api())?;
        if server.address().ip().is_unspecified() {
            let text =
                "questions about keys are not forwarded to this host: give `[host] http` an address that others reach";
            tracing::warn!(address = %server.address(), "{text}");
        } else {
            self.control.set_address(server.address().to_string());
        }
        Ok(server)
    }

    /// Changes of what is deployed.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The committed value of a key, from the worker that has its partition.
    ///
    /// # Errors
    /// Unknown names, or no worker of this host can show the partition now.
    pub fn query(&self, processor: &str, store: &str, key: &[u8]) -> Result<StoredValue, QueryError> {
        self.fleet.query(processor, store, key)
    }

    /// Processor, number and latest status of every worker.
    pub fn statuses(&self) -> Vec<(String, u16, Arc<WorkerStatus>)> {
        self.fleet.statuses()
    }

    /// Shows the workers, also to other threads.
    pub fn observer(&self) -> Observer {
        Observer { fleet: self.fleet.clone() }
    }

    /// The first worker that has ended by itself, as an error.
    pub fn failure(&self) -> Option<RunError> {
        self.fleet.failure()
    }

    /// Commits what is filled, leaves the groups' places for a restart, and stops.
    ///
    /// # Errors
    /// The first worker that did not end as asked.
    pub fn stop(mut self) -> Result<(), RunError> {
        self.control.stop();
        let stopped = self.fleet.stop();
        drop(self.fleet);
        if let Some(broker) = self.broker.take() {
            broker.stop();
        }
        stopped
    }
}

/// Looks at the workers of a host, from any thread.
#[derive(Clone)]
pub struct Observer {
    fleet: Arc<Fleet>,
}

impl Observer {
    /// Processor, number and latest status of every worker.
    pub fn statuses(&self) -> Vec<(String, u16, Arc<WorkerStatus>)> {
        self.fleet.statuses()
    }
}

/// Why a processor will not get workers: its version cannot run here, or its first one was withdrawn.
fn failure_to_start(overview: &Overview, processor: &str) -> Option<String> {
    if let Some(why) = overview.refusals.get(processor).or(overview.stuck.as_ref()) {
        return Some(why.clone());
    }
    let deployment = overview.catalog.deployment(processor)?;
    let is_withdrawn = deployment.active.is_none() && deployment.candidate.is_none();
    is_withdrawn.then(|| deployment.events.last().map(|e| e.text.clone()).unwrap_or_default())
}

fn start_control(
    topology: &Arc<Topology>,
    kafka: &BTreeMap<String, String>,
    components: &Arc<Components>,
    files: &Arc<ComponentFiles>,
    fleet: &Arc<Fleet>,
) -> Result<Control, RunError> {
    let topics = topology.control_topics();
    let read = [topics.deployments.clone(), topics.hosts.clone()];
    let parts = Parts {
        host: topology.host.id.clone(),
        topology: topology.fingerprint(),
        topics,
        reader: ControlReader::open(kafka, &read)?,
        files: files.clone(),
        fleet: fleet.clone(),
    };
    let preparer = Preparer { topology: topology.clone(), components: components.clone(), files: files.clone() };
    Control::start(parts, preparer)
}

/// The manifest's Kafka, or the embedded broker in the data folder.
pub(super) fn connect(
    topology: &Topology,
    folder: &DataFolder,
) -> Result<(Option<Broker>, BTreeMap<String, String>), RunError> {
    if let Some(kafka) = &topology.kafka {
        return Ok((None, kafka.clone()));
    }
    let broker = Broker::start(BrokerConfig::new(folder.broker()))?;
    let address = broker.address().to_string();
    tracing::info!(address, "embedded broker: any Kafka client on this machine can look in");
    Ok((Some(broker), BTreeMap::from([("bootstrap.servers".to_owned(), address)])))
}
