//! How a command reaches an application's Kafka: the one of the manifest or `--bootstrap`, or the embedded broker, which
//! it starts itself on the data folder of a host that is not running.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wasmill_broker::Broker;

use super::folder::{DataFolder, FolderError};
use super::host::{RunError, connect};
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
        let folder = DataFolder::open(&PathBuf::from(&topology.host.data), &topology.host.id).map_err(|error| {
            let hint = match &error {
                FolderError::InUse { .. } => {
                    "; or reach the embedded broker of a running host with `--bootstrap`: its address is in the host's log"
                }
                _ => "",
            };
            CommandError::Wrong(format!("{error}{hint}"))
        })?;
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
