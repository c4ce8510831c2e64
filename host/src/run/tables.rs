//! The tables of an application: one reader per topic, shared by all workers of the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::TableReader;
use crate::processor::SharedTable;
use crate::topology::Topology;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TablesError(String);

pub(super) struct TableReaders {
    readers: BTreeMap<String, TableReader>,
}

impl TableReaders {
    /// Starts a reader for every topic that some processor declares as a table. Workers wait for the copies themselves.
    ///
    /// # Errors
    /// A topic cannot be read.
    pub fn start(kafka: &BTreeMap<String, String>, topology: &Topology) -> Result<Self, TablesError> {
        let topics: BTreeSet<&String> = topology.processors.iter().flat_map(|p| &p.tables).collect();
        let reader = |topic: &String| TableReader::start(kafka, topic).map(|r| (topic.clone(), r)).map_err(TablesError);
        Ok(Self { readers: topics.into_iter().map(reader).collect::<Result<_, _>>()? })
    }

    /// The table of a topic that the topology declares as one.
    pub fn table(&self, topic: &str) -> SharedTable {
        self.readers[topic].table()
    }
}
