//! All topics of the broker, by name.
//! Owns partitions' logs and the rule for names.
//! Changes come from `api::topics` after they are in the journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use super::settings::{Overrides, TopicSettings};
use crate::error::BrokerError;
use crate::log::PartitionLog;
use crate::sync::{lock, read, write};

/// A partition is its log behind a lock.
pub type Partition = Mutex<PartitionLog>;

/// An immutable picture of a topic; a change of the topic makes a new one that shares the partitions.
#[derive(Debug)]
pub struct Topic {
    pub id: u64,
    pub overrides: Overrides,
    pub partitions: Vec<Arc<Partition>>,
}

#[derive(Debug)]
pub struct Catalog {
    folder: PathBuf,
    sync: bool,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// Held while topics are created, changed or removed, so that checks and changes are one step.
    pub changing: Mutex<()>,
}

impl Catalog {
    pub fn new(folder: PathBuf, sync: bool) -> Self {
        Self { folder, sync, topics: RwLock::default(), changing: Mutex::new(()) }
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        read(&self.topics).get(name).cloned()
    }

    pub fn partition(&self, name: &str, index: i32) -> Option<Arc<Partition>> {
        let topics = read(&self.topics);
        topics.get(name)?.partitions.get(usize::try_from(index).ok()?).cloned()
    }

    pub fn all(&self) -> Vec<(String, Arc<Topic>)> {
        read(&self.topics).iter().map(|(name, topic)| (name.clone(), topic.clone())).collect()
    }

    /// Where a topic's partitions are kept. The id keeps a topic apart from an earlier one of the same name.
    pub fn topic_folder(&self, name: &str, id: u64) -> PathBuf {
        self.folder.join(format!("{name}.{id}"))
    }

    /// Opens partitions `existing.len()..count` and publishes the topic, replacing what was known of it.
    pub fn publish(&self, name: &str, id: u64, count: i32, overrides: &Overrides) -> Result<(), BrokerError> {
        let mut partitions = self.topic(name).map_or_else(Vec::new, |topic| topic.partitions.clone());
        let settings = Arc::new(TopicSettings::new(overrides));
        for partition in &partitions {
            lock(partition).settings = settings.clone();
        }
        let folder = self.topic_folder(name, id);
        for index in partitions.len()..count.max(0) as usize {
            let log = PartitionLog::open(&folder.join(index.to_string()), settings.clone(), self.sync)?;
            partitions.push(Arc::new(Mutex::new(log)));
        }
        let topic = Topic { id, overrides: overrides.clone(), partitions };
        write(&self.topics).insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    /// Takes the topic out; its logs answer nothing from now on.
    pub fn withdraw(&self, name: &str) -> Option<Arc<Topic>> {
        let topic = write(&self.topics).remove(name)?;
        for partition in &topic.partitions {
            lock(partition).close();
        }
        Some(topic)
    }

    /// A topic whose name would collide with this one in metric names, where `.` and `_` are the same.
    pub fn colliding(&self, name: &str) -> Option<String> {
        let flat = |name: &str| name.replace('.', "_");
        read(&self.topics).keys().find(|known| *known != name && flat(known) == flat(name)).cloned()
    }
}

/// Letters, digits, `.`, `_`, `-`; at most 249 bytes, so that a name is also a folder's name.
pub fn is_valid_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(is_legal)
}
