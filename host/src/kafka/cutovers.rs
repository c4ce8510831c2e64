//! The cutovers topic: from which offset on each revision owns the records of a partition. Key
//! `<processor>/<topic>/<partition>/<first offset>/<sequence>`, value JSON. Written in the transaction that it tells of.

use super::feed::{FeedError, Tail, TopicRecord};
use super::settings::KafkaSettings;
use crate::client::{Cutover, TaskCommit};

/// What keys of a processor begin with.
fn prefix(processor: &str) -> String {
    format!("{processor}/")
}

impl Tail {
    /// The cutovers of a processor, from the topic of cutovers.
    ///
    /// # Errors
    /// As for [`Self::read_all`].
    pub fn cutovers(&self, topic: &str, processor: &str) -> Result<Vec<TopicRecord>, FeedError> {
        let prefix = prefix(processor);
        let mut records = self.read_all(topic)?;
        records.retain(|r| r.key.as_deref().is_some_and(|key| key.starts_with(prefix.as_bytes())));
        Ok(records)
    }
}

/// Where cutovers of one processor are written.
#[derive(Clone, Debug)]
pub(super) struct Cutovers {
    pub topic: String,
    processor: String,
    inputs: Vec<String>,
    host: String,
}

impl Cutovers {
    pub fn new(topic: String, settings: &KafkaSettings) -> Self {
        Self {
            topic,
            processor: settings.processor.clone(),
            inputs: settings.inputs.clone(),
            host: settings.host.clone(),
        }
    }

    /// What keys of a partition begin with.
    pub fn prefix(&self, topic: &str, partition: i32) -> String {
        format!("{}{topic}/{partition}/", prefix(&self.processor))
    }

    /// Key and value of one cutover of a commit.
    pub fn record(&self, task: &TaskCommit, cutover: &Cutover, now_ms: i64) -> (String, String) {
        let position = &cutover.position;
        let topic = &self.inputs[usize::from(position.input.0)];
        let prefix = self.prefix(topic, position.partition.0);
        let key = format!("{prefix}{}/{}", position.next, task.metadata.sequence);
        let value = serde_json::json!({
            "format": 1,
            "processor": self.processor,
            "topic": topic,
            "partition": position.partition.0,
            "offset": position.next.0,
            "sequence": task.metadata.sequence,
            "revision": cutover.revision,
            "version": cutover.version,
            "digest": cutover.digest,
            "host": self.host,
            "at_ms": now_ms,
        });
        (key, value.to_string())
    }
}
