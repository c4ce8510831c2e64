//! A running host: broker, topics, components, workers, in the order in which they depend on each other; and the stop,
//! in the opposite order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmill_broker::{Broker, BrokerConfig};

use super::components::{ComponentProblem, Components, Prepared, tick_interval};
use super::folder::{DataFolder, FolderError};
use super::stores::Stores;
use super::tables::{TableReaders, TablesError};
use super::thread::{Ended, WorkerThread};
use crate::clock::SystemClock;
use crate::config::{self, Manifest};
use crate::kafka::{Admin, KafkaClient, KafkaSettings, TopicsError};
use crate::processor::SharedTable;
use crate::task::{Start, TaskSetup, VersionName};
use crate::topology::{CHANGELOG_DELETE_RETENTION_MS, ErrorPolicy, ProcessorSettings, Topology};
use crate::worker::{ActiveVersion, Bounds, Command, CrashNotes, End, OnError, Setup, Worker, WorkerStatus};

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
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Components(Vec<ComponentProblem>),
    #[error("{0}")]
    Engine(String),
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

/// Everything that runs for one manifest in this process.
pub struct Host {
    topology: Topology,
    workers: Vec<WorkerThread>,
    tables: TableReaders,
    bootstrap: String,
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
        let topology = manifest.topology.clone();
        let folder = DataFolder::open(&PathBuf::from(&topology.host.data), &topology.host.id)?;
        let components =
            Components::open(&manifest.base, &folder.cache(), &config::this_program()?).map_err(RunError::Engine)?;
        let prepared = components.prepare(&topology).map_err(RunError::Components)?;
        let (broker, kafka) = connect(&topology, &folder)?;
        let made = Admin::new(&kafka)?.ensure(&topology.topic_needs())?;
        if !made.is_empty() {
            tracing::info!(topics = made.join(", "), "made topics");
        }
        let tables = TableReaders::start(&kafka, &topology)?;
        let bootstrap = kafka.get("bootstrap.servers").cloned().unwrap_or_default();
        let workers = Vec::new();
        let mut host = Self { topology, workers, tables, bootstrap, broker, _folder: folder };
        for (i, prepared) in prepared.iter().enumerate() {
            host.start_processor(i, prepared, &components, &kafka)?;
        }
        Ok(host)
    }

    fn start_processor(
        &mut self,
        index: usize,
        prepared: &Prepared,
        components: &Components,
        kafka: &BTreeMap<String, String>,
    ) -> Result<(), RunError> {
        let processor = self.topology.processors[index].clone();
        let tables: Vec<SharedTable> = processor.tables.iter().map(|t| self.tables.table(t)).collect();
        let stores = Stores::open(&self._folder.state(&processor.name), &processor)
            .map_err(|why| RunError::State { processor: processor.name.clone(), why })?;
        for worker in 0..processor.workers {
            let settings = kafka_settings(&self.topology, &processor, kafka, worker);
            let version = components.version(&self.topology, &processor, prepared).map_err(RunError::Engine)?;
            let name = VersionName { revision: 1, number: 1, digest: prepared.component.digest().to_string() };
            let setup = Setup {
                task: Arc::new(task_setup(&self.topology, &processor, tick_interval(&processor, prepared))),
                bounds: bounds(&processor),
                on_error: on_error(&processor.on_error),
                open_store: stores.opener(),
                tables: tables.clone(),
                random: Box::new(crate::kafka::random),
            };
            let notes = CrashNotes::open(&self._folder.crash_notes(&processor.name, worker))?;
            let empty = WorkerStatus::new(name.revision);
            let make = move || {
                let client = KafkaClient::connect(&settings).map_err(|e| e.to_string())?;
                let active = ActiveVersion { name, version: Box::new(version) };
                Ok(Worker::new(setup, client, Arc::new(SystemClock::new()), active).with_crash_notes(notes))
            };
            self.workers.push(WorkerThread::start(&processor.name, worker, empty, make)?);
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

    pub fn workers(&self) -> &[WorkerThread] {
        &self.workers
    }

    /// The first worker that has ended by itself, as an error.
    pub fn failure(&mut self) -> Option<RunError> {
        let ended = self.workers.iter_mut().find(|w| w.has_ended())?;
        let why = ended.join().map_or_else(|| "it had ended before".to_owned(), |e| why(&e));
        Some(RunError::Worker { processor: ended.processor.clone(), index: ended.index, why })
    }

    /// Commits what is filled, leaves the groups' places for a restart, and stops.
    ///
    /// # Errors
    /// The first worker that did not end as asked.
    pub fn stop(mut self) -> Result<(), RunError> {
        for worker in &self.workers {
            worker.command(Command::Stop);
        }
        let mut failed = None;
        for worker in &mut self.workers {
            let Some(ended) = worker.join() else { continue };
            if !matches!(ended, Ended::Worker(End::Stopped { is_clean: true })) {
                let (processor, index, why) = (worker.processor.clone(), worker.index, why(&ended));
                failed.get_or_insert(RunError::Worker { processor, index, why });
            }
        }
        drop(self.tables);
        if let Some(broker) = self.broker.take() {
            broker.stop();
        }
        failed.map_or(Ok(()), Err)
    }
}

fn why(ended: &Ended) -> String {
    match ended {
        Ended::Worker(End::Stopped { is_clean: true }) => "stopped".into(),
        Ended::Worker(End::Stopped { is_clean: false }) => {
            "stopped before its last set was committed; the next start processes it again".into()
        }
        Ended::Worker(End::Fatal(fatal)) => fatal.to_string(),
        Ended::Panicked(text) => format!("a bug of wasmill: {text}"),
        Ended::NotStarted(text) => text.clone(),
    }
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

pub(super) fn kafka_settings(
    topology: &Topology,
    processor: &ProcessorSettings,
    kafka: &BTreeMap<String, String>,
    worker: u16,
) -> KafkaSettings {
    KafkaSettings {
        user: kafka.clone(),
        application: topology.application.clone(),
        processor: processor.name.clone(),
        host: topology.host.id.clone(),
        worker,
        inputs: processor.inputs.iter().map(|i| i.topic.clone()).collect(),
        outputs: processor.outputs.clone(),
        changelogs: processor.stores.iter().map(|s| topology.changelog(processor, s)).collect(),
        dead_letters: Some(topology.dead_letters(processor)),
        dead_letter_bytes_max: usize::try_from(topology.dead_letter_bytes(processor)).ok(),
    }
}

pub(super) fn task_setup(
    topology: &Topology,
    processor: &ProcessorSettings,
    tick_interval: Option<Duration>,
) -> TaskSetup {
    let starts_at_end = processor.inputs.first().is_some_and(|i| i.starts_at_end);
    TaskSetup {
        group: topology.group(processor),
        inputs: processor.inputs.iter().map(|i| i.topic.clone()).collect(),
        output_count: processor.outputs.len(),
        stores: processor.stores.iter().map(|s| s.name.clone()).collect(),
        start: if starts_at_end { Start::Latest } else { Start::Earliest },
        merge_wait: processor.merge_wait,
        tick_interval,
        checkpoint_age_ms_max: CHANGELOG_DELETE_RETENTION_MS / 2,
    }
}

fn bounds(processor: &ProcessorSettings) -> Bounds {
    Bounds {
        commit_interval: Duration::from_millis(processor.commit.interval_ms),
        commit_records_max: processor.commit.records_max,
        commit_bytes_max: processor.commit.bytes_max,
        ..Bounds::default()
    }
}

fn on_error(policy: &ErrorPolicy) -> OnError {
    match policy {
        ErrorPolicy::DeadLetter => OnError::DeadLetter,
        ErrorPolicy::Retry { times, backoff } => OnError::Retry { times: *times, backoff: *backoff },
        ErrorPolicy::Halt => OnError::Halt,
    }
}
