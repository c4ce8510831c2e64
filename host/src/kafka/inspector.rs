//! What an operator's commands ask of the cluster about one processor, and what they may change: committed positions and
//! the first records of changelogs. Blocking, for tools; the engine does not use it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::admin::client_config;
use super::cutovers::Cutovers;
use super::handle::{ClientError, Handle, Kind, check_code};
use super::list::{self, List};
use super::locator::{Reader, Topics};
use super::settings::{KafkaSettings, SettingsError};
use crate::client::Located;
use crate::record::{Partition, Position};

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{doing}: {error}")]
    Client { doing: String, error: ClientError },
    #[error("members of group {group} cannot be told: {error}")]
    Group { group: String, error: rdkafka::error::KafkaError },
    #[error("group {group} has members: stop the hosts that run this processor first")]
    HasMembers { group: String },
}

/// Looks at one processor's positions and changelogs from outside of its group.
pub struct Inspector {
    reader: Reader,
    group: String,
    user: BTreeMap<String, String>,
}

impl Inspector {
    /// # Errors
    /// A setting that cannot be.
    pub fn open(settings: &KafkaSettings) -> Result<Self, InspectError> {
        let properties = settings.properties()?;
        let mut uncommitted = properties.reader.clone();
        uncommitted.insert("isolation.level".into(), "read_uncommitted".into());
        let open = |properties| {
            let failed = |error| InspectError::Client { doing: "open a reader".into(), error };
            Handle::new(Kind::Consumer, properties, 0).map(Arc::new).map_err(failed)
        };
        let topics = Topics {
            inputs: settings.inputs.iter().map(|t| list::name(t)).collect(),
            changelogs: settings.changelogs.iter().map(|t| list::name(t)).collect(),
        };
        let cutovers = settings.cutovers.clone().map(|topic| Cutovers::new(topic, settings));
        let reader = Reader { handle: open(&properties.reader)?, uncommitted: open(&uncommitted)?, topics, cutovers };
        Ok(Self { reader, group: settings.group(), user: settings.user.clone() })
    }

    /// What is known of a task.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn locate(&self, partition: Partition) -> Result<Located, InspectError> {
        let failed = |error| InspectError::Client { doing: format!("partition {partition}"), error };
        self.reader.locate(partition).map_err(failed)
    }

    /// Members of the processor's group.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn members(&self) -> Result<usize, InspectError> {
        let failed = |error| InspectError::Group { group: self.group.clone(), error };
        let consumer = BaseConsumer::from_config(&client_config(&self.user)).map_err(failed)?;
        let groups = consumer.fetch_group_list(Some(&self.group), PATIENCE).map_err(failed)?;
        Ok(groups.groups().iter().filter(|g| g.name() == self.group).map(|g| g.members().len()).sum())
    }

    /// Commits positions, each with its text, all or none. The broker refuses while the group has members.
    ///
    /// # Errors
    /// The group has members, or the broker does not take the offsets.
    pub fn commit(&self, positions: &[(Position, String)]) -> Result<(), InspectError> {
        let mut offsets = List::new();
        for (position, metadata) in positions {
            let topic = &self.reader.topics.inputs[usize::from(position.input.0)];
            offsets.add_commit(topic, position.partition.0, position.next.0, metadata);
        }
        // SAFETY: handle and list are valid through the call.
        let code = unsafe { sys::rd_kafka_commit(self.reader.handle.raw(), offsets.raw(), 0) };
        if [Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS].contains(&code) {
            return Err(InspectError::HasMembers { group: self.group.clone() });
        }
        let failed = |error| InspectError::Client { doing: format!("offsets of group {}", self.group), error };
        check_code(code, "commit").map_err(failed)?;
        match offsets.elements().iter().find(|e| e.error != 0) {
            None => Ok(()),
            Some(element) => {
                let text = format!("commit of {}/{}: error {}", element.topic, element.partition, element.error);
                Err(failed(ClientError::of_code(Code::RD_KAFKA_RESP_ERR__FAIL, &text)))
            }
        }
    }
}
