//! Questions about committed state, put to the worker that has the key's partition. This process only: where a partition
//! is with another host, the answer says so, and `forward` asks there.

use std::sync::Arc;

use super::fleet::Fleet;
use super::thread::WorkerThread;
use crate::record::{Partition, partition_of};
use crate::worker::{NoAnswer, StoredValue};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("no processor is called `{0}`")]
    UnknownProcessor(String),
    #[error("processor `{processor}` has no store `{store}`; it has: {known}")]
    UnknownStore { processor: String, store: String, known: String },
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl Fleet {
    /// The committed value of a key, from the worker that has its partition. Blocks until the worker's next turn.
    ///
    /// # Errors
    /// Unknown names, or no worker of this host can show the partition now.
    pub fn query(&self, processor: &str, store: &str, key: &[u8]) -> Result<StoredValue, QueryError> {
        let topology = &self.topology;
        let unknown = || QueryError::UnknownProcessor(processor.to_owned());
        let found = topology.processor(processor).ok_or_else(unknown)?;
        let index = found.stores.iter().position(|s| s.name == store).ok_or_else(|| {
            let known: Vec<&str> = found.stores.iter().map(|s| s.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let (processor, store) = (processor.to_owned(), store.to_owned());
            QueryError::UnknownStore { processor, store, known }
        })?;
        let partition = partition_of(key, topology.partitions(found));
        for worker in by_likelihood(self.workers(), processor, partition) {
            match worker.query(partition, index, key) {
                Err(NoAnswer::NotHere { .. }) => {}
                answer => return Ok(answer?),
            }
        }
        Err(NoAnswer::NotHere { partition }.into())
    }
}

/// Workers of a processor; first those that have told that they have the partition, which may be outdated.
fn by_likelihood(mut workers: Vec<Arc<WorkerThread>>, processor: &str, partition: Partition) -> Vec<Arc<WorkerThread>> {
    workers.retain(|w| w.processor == processor);
    workers.sort_by_key(|w| !w.status().tasks.iter().any(|t| t.partition == partition));
    workers
}
