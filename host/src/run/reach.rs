//! How a command reaches an application's Kafka: the one of the manifest or `--bootstrap`, or the embedded broker: that of
//! the host which runs in the data folder, else one that the command starts there itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wasmill_broker::Broker;

use super::folder::{DataFolder, FolderError};
use super::host::{RunError, connect};
use crate::config;
use crate::remote::{self, Address};
use crate::topology::{ProcessorSettings, Topology};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What was asked cannot be; nothing was done.
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Failed(String),
}

/// An open way to Kafka, for as long as it is kept.
pub(super) struct Reach {
    pub kafka: BTreeMap<String, String>,
    broker: Option<Broker>,
    /// Last: given up when the broker has ended.
    _folder: Option<DataFolder>,
}

impl Reach {
    pub fn open(topology: &Topology) -> Result<Self, CommandError> {
        if let Some(kafka) = &topology.kafka {
            return Ok(Self { kafka: kafka.clone(), broker: None, _folder: None });
        }
        let data = PathBuf::from(&topology.host.data);
        let folder = match DataFolder::open(&data, &topology.host.id) {
            Ok(folder) => folder,
            Err(error @ FolderError::InUse { .. }) => {
                let hint = "; or reach the embedded broker of a running host with `--bootstrap`: its address is in the host's log";
                let told = Address::find(None, &data, config::token()).and_then(|host| remote::bootstrap(&host));
                let address = told.map_err(|why| CommandError::Wrong(format!("{error}{hint} ({why})")))?;
                let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), address)]);
                return Ok(Self { kafka, broker: None, _folder: None });
            }
            Err(error) => return Err(CommandError::Wrong(error.to_string())),
        };
        let (broker, kafka) = connect(topology, &folder).map_err(|error: RunError| failed(&error))?;
        Ok(Self { kafka, broker, _folder: Some(folder) })
    }
}

impl Reach {
    /// The broker was started for this command: no host of it is running.
    pub fn owns_broker(&self) -> bool {
        self.broker.is_some()
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.stop();
        }
    }
}

pub(super) fn failed(error: &dyn std::fmt::Display) -> CommandError {
    CommandError::Failed(error.to_string())
}

/// The processor of this name.
pub(super) fn processor<'a>(topology: &'a Topology, name: &str) -> Result<&'a ProcessorSettings, CommandError> {
    topology.processor(name).ok_or_else(|| {
        let known: Vec<&str> = topology.processors.iter().map(|p| p.name.as_str()).collect();
        CommandError::Wrong(format!("there is no processor `{name}` in the manifest; it has {}", known.join(", ")))
    })
}
