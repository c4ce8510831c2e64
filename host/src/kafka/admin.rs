//! Topics: made where they are missing, and compared with what is wanted. Blocking, for the start of a host and for tools.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

use super::handle::Properties;
use crate::topology::TopicNeed;

/// How long the broker may take for each answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at what a broker knows.
const PAUSE: Duration = Duration::from_millis(20);

/// What keeps topics from being as they should be.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    #[error("cannot ask {bootstrap} for its topics: {error}")]
    Unreachable { bootstrap: String, error: String },
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

/// Blocking calls to a cluster's administration.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    bootstrap: String,
}

impl Admin {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(properties: &BTreeMap<String, String>) -> Result<Self, TopicsError> {
        let bootstrap = properties.get("bootstrap.servers").cloned().unwrap_or_default();
        let config = client_config(properties);
        let unreachable = |error: rdkafka::error::KafkaError| TopicsError::Unreachable {
            bootstrap: bootstrap.clone(),
            error: error.to_string(),
        };
        let client = AdminClient::from_config(&config).map_err(unreachable)?;
        Ok(Self { client, bootstrap })
    }

    /// Makes what is missing and checks what is there.
    ///
    /// # Errors
    /// Every topic that is not as it should be.
    pub fn ensure(&self, needs: &[TopicNeed]) -> Result<Vec<String>, TopicsError> {
        let counts = self.partition_counts()?;
        let mut problems = Vec::new();
        let (present, missing): (Vec<_>, Vec<_>) = needs.iter().partition(|n| counts.contains_key(&n.name));
        for need in &present {
            let count = counts[&need.name];
            if count != need.partitions {
                problems.push(format!(
                    "topic {} has {count} partitions, the manifest says {}: change the manifest, or make a new topic",
                    need.name, need.partitions
                ));
            }
        }
        problems.extend(self.check_settings(&present)?);
        let made = self.create(&missing, &mut problems)?;
        if !problems.is_empty() {
            return Err(TopicsError::Wrong(problems));
        }
        self.wait_for_leaders(&made)?;
        Ok(made)
    }

    /// A broker learns of a new topic a moment after the controller has made it; until then it tells no partitions.
    fn wait_for_leaders(&self, made: &[String]) -> Result<(), TopicsError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let metadata = self.client.inner().fetch_metadata(None, PATIENCE).map_err(|e| self.unreachable(e))?;
            let leads = |p: &MetadataPartition| p.error().is_none() && p.leader() >= 0;
            let is_led = |t: &MetadataTopic| !t.partitions().is_empty() && t.partitions().iter().all(leads);
            let led: Vec<&str> = metadata.topics().iter().filter(|t| is_led(t)).map(MetadataTopic::name).collect();
            let Some(topic) = made.iter().find(|name| !led.contains(&name.as_str())) else { return Ok(()) };
            if Instant::now() > until {
                let text = format!("topic {topic} was made, but has no leader yet: is every broker of the cluster up?");
                return Err(TopicsError::Wrong(vec![text]));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The names of all topics.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn topics(&self) -> Result<Vec<String>, TopicsError> {
        Ok(self.partition_counts()?.into_keys().collect())
    }

    /// Forgets a group with its offsets; one that is not there is as good as forgotten.
    ///
    /// # Errors
    /// The group has members, or the broker refuses.
    pub fn delete_group(&self, group: &str) -> Result<(), TopicsError> {
        let results = block_on(self.client.delete_groups(&[group], &options())).map_err(|e| self.unreachable(e))?;
        for (name, code) in results.into_iter().filter_map(Result::err) {
            match code {
                RDKafkaErrorCode::GroupIdNotFound => {}
                RDKafkaErrorCode::NonEmptyGroup => {
                    let text = format!("group {name} has members: stop the hosts that run this processor first");
                    return Err(TopicsError::Wrong(vec![text]));
                }
                code => return Err(TopicsError::Wrong(vec![format!("group {name} cannot be deleted: {code}")])),
            }
        }
        Ok(())
    }

    /// Deletes topics with all that is in them, and waits until they are gone.
    ///
    /// # Errors
    /// Every topic that the broker does not delete.
    pub fn delete_topics(&self, names: &[String]) -> Result<(), TopicsError> {
        let there = self.partition_counts()?;
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|n| there.contains_key(*n)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let results = block_on(self.client.delete_topics(&names, &options())).map_err(|e| self.unreachable(e))?;
        let text = |(name, error)| format!("topic {name} cannot be deleted: {error}");
        let problems: Vec<String> = results.into_iter().filter_map(Result::err).map(text).collect();
        if !problems.is_empty() {
            return Err(TopicsError::Wrong(problems));
        }
        let until = Instant::now() + PATIENCE;
        while self.partition_counts()?.keys().any(|n| names.contains(&n.as_str())) {
            if Instant::now() > until {
                let text = format!("topics {} are still there after {PATIENCE:?}", names.join(", "));
                return Err(TopicsError::Wrong(vec![text]));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn partition_counts(&self) -> Result<BTreeMap<String, i32>, TopicsError> {
        let metadata = self.client.inner().fetch_metadata(None, PATIENCE).map_err(|e| self.unreachable(e))?;
        Ok(metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len() as i32)).collect())
    }

    fn create(&self, missing: &[&TopicNeed], problems: &mut Vec<String>) -> Result<Vec<String>, TopicsError> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let topics: Vec<NewTopic<'_>> = missing.iter().map(|n| new_topic(n)).collect();
        let results = block_on(self.client.create_topics(&topics, &options())).map_err(|e| self.unreachable(e))?;
        let mut made = Vec::new();
        for result in results {
            match result {
                Ok(name) => made.push(name),
                // Another host was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => problems.push(format!("topic {name} cannot be made: {error}")),
            }
        }
        Ok(made)
    }

    /// Settings that keep state or the promise: a changelog that is not compacted grows for ever, one that is deleted
    /// from loses state.
    fn check_settings(&self, present: &[&TopicNeed]) -> Result<Vec<String>, TopicsError> {
        if present.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<ResourceSpecifier<'_>> = present.iter().map(|n| ResourceSpecifier::Topic(&n.name)).collect();
        let found = block_on(self.client.describe_configs(&names, &options())).map_err(|e| self.unreachable(e))?;
        let mut problems = Vec::new();
        for (need, found) in present.iter().zip(found) {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(topic = need.name, %error, "the settings of a topic cannot be read, and are not checked");
                    continue;
                }
            };
            let Some(wanted) = need.settings.get("cleanup.policy") else { continue };
            let has = found.entry_map().get("cleanup.policy").and_then(|e| e.value.clone()).unwrap_or_default();
            if has != *wanted {
                problems.push(format!("topic {} has cleanup.policy={has}, but needs {wanted}: alter it", need.name));
            }
        }
        Ok(problems)
    }

    fn unreachable(&self, error: rdkafka::error::KafkaError) -> TopicsError {
        TopicsError::Unreachable { bootstrap: self.bootstrap.clone(), error: error.to_string() }
    }
}

fn new_topic(need: &TopicNeed) -> NewTopic<'_> {
    let topic = NewTopic::new(&need.name, need.partitions, TopicReplication::Fixed(need.replication));
    need.settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

pub(super) fn client_config(properties: &Properties) -> rdkafka::ClientConfig {
    let mut config = rdkafka::ClientConfig::new();
    properties.iter().for_each(|(key, value)| {
        config.set(key, value);
    });
    config
}

/// librdkafka's own threads complete these futures: parking this thread is all that waiting takes.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}
