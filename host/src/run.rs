//! Builds everything from a topology and holds the order of start and stop. The one place that sees all parts.

mod components;
mod control;
mod dlq;
mod doctor;
mod drain;
mod files;
mod fleet;
mod folder;
mod forward;
mod host;
mod interface;
mod offsets;
mod operator;
mod patience;
mod plan;
mod published;
mod query;
mod reach;
mod ready;
mod signal;
mod stores;
mod tables;
mod thread;
mod wiring;

pub use components::{ComponentProblem, Components, Prepared, tick_interval};
pub use control::{Overview, Refusal};
pub use dlq::{DlqCommand, dlq};
pub use doctor::{Diagnosis, Finding, Level, doctor};
pub use folder::{DataFolder, FolderError};
pub use host::{Host, Observer, RunError};
pub use offsets::{OffsetsCommand, offsets};
pub use operator::{Deploy, Operator};
pub use published::Published;
pub use query::QueryError;
pub use reach::CommandError;
pub use tables::TablesError;
pub use thread::{Ended, WorkerThread};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wasmill_broker::{Broker, BrokerConfig};

use crate::api::{ApiSettings, Listener};
use crate::config::{self, Manifest};
use crate::remote;
use crate::topology::ProcessorSettings;
use signal::StopSignal;

/// How often a running host looks whether it should stop, or whether a worker did.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// What `wasmill broker` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerOptions {
    /// Where topics are kept; made if it is not there.
    #[arg(long, default_value = "broker-data")]
    pub folder: PathBuf,
    /// Port on the loopback address; 0 takes a free one.
    #[arg(long, default_value_t = 9092)]
    pub port: u16,
    /// Sync files before every answer that promises durability: survives power cuts, and is slower.
    #[arg(long)]
    pub fsync: bool,
    /// Make topics that clients ask for.
    #[arg(long)]
    pub auto_create_topics: bool,
}

/// Runs a manifest until SIGTERM or Ctrl-C.
///
/// # Errors
/// It cannot start, or a worker ended.
pub fn run(manifest: &Manifest) -> Result<(), RunError> {
    let stop = StopSignal::listen()?;
    let listener = Listener::bind(ApiSettings { address: manifest.topology.host.http, token: manifest.token.clone() })?;
    let host = Host::start(manifest)?;
    let server = host.serve(listener)?;
    let address = server.address().to_string();
    let _published = remote::publish(Path::new(&manifest.topology.host.data), &address)?;
    tracing::info!(interface = format!("http://{address}"), "the operator's interface");
    tracing::info!(application = host.topology().application, bootstrap = host.bootstrap(), "running");
    while !stop.wait(WATCH_INTERVAL) {
        if let Some(failure) = host.failure() {
            let stopped = host.stop();
            if let Err(error) = stopped {
                tracing::warn!(%error, "while stopping");
            }
            return Err(failure);
        }
    }
    tracing::info!("stopping");
    host.stop()
}

/// Checks a manifest's components and says what would run.
///
/// # Errors
/// Every component that cannot be used.
pub fn check(manifest: &Manifest) -> Result<String, RunError> {
    let topology = &manifest.topology;
    let cache = PathBuf::from(&topology.host.data).join("cache");
    let program = config::this_program()?;
    let components = Components::open(&manifest.base, &cache, &program).map_err(RunError::Engine)?;
    wiring::check(topology).map_err(RunError::Manifest)?;
    let prepared = ready::try_out_all(topology, &components).map_err(RunError::Components)?;
    let line = |(processor, prepared): (&ProcessorSettings, &Prepared)| {
        let (name, partitions) = (&processor.name, topology.partitions(processor));
        format!("  {name}: component {prepared}, {partitions} tasks")
    };
    let lines: Vec<String> = topology.processors.iter().zip(&prepared).map(line).collect();
    Ok(format!("{}: no problems\n{}", topology.application, lines.join("\n")))
}

/// Runs the embedded broker alone until SIGTERM or Ctrl-C.
///
/// # Errors
/// The folder or the port cannot be used.
pub fn run_broker(options: &BrokerOptions) -> Result<(), RunError> {
    let stop = StopSignal::listen()?;
    let broker = Broker::start(BrokerConfig {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
        fsync: options.fsync,
        auto_create_topics: options.auto_create_topics,
        ..BrokerConfig::new(&options.folder)
    })?;
    println!("listening on {}", broker.address());
    while !stop.wait(WATCH_INTERVAL) {}
    broker.stop();
    Ok(())
}
