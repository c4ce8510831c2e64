//! What a cluster tells of itself, for `wasmill doctor`: brokers, versions of its protocol, settings, topics, members of
//! groups. Asks only; the one thing it begins is a transaction of an identity that the caller names.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::admin::{block_on, client_config};
use super::groups::assigned;
use super::handle::Properties;

/// How long the broker may take for each answer: whoever asks is looking for trouble, and waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// By name.
pub type Settings = BTreeMap<String, String>;

#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error("[kafka]: {0}")]
    Settings(Box<KafkaError>),
    #[error("{doing}: {error}{}", why(last))]
    Kafka { doing: String, error: Box<KafkaError>, last: Option<String> },
}

/// What librdkafka last said of a connection.
fn why(last: &Option<String>) -> String {
    last.as_ref().map_or_else(String::new, |last| format!(" ({last})"))
}

/// A cluster as it is.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Numbers of its brokers.
    pub brokers: Vec<i32>,
    pub topics: BTreeMap<String, FoundTopic>,
    /// By key of a request: the highest version that every broker serves which was asked.
    pub versions: BTreeMap<i16, i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTopic {
    pub partitions: i32,
    /// Of the partition that has the fewest copies.
    pub replication: i32,
}

/// A member of a group, whoever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub id: String,
    pub client_id: String,
    pub address: String,
    /// Partitions by topic.
    pub assigned: Vec<(String, Vec<i32>)>,
}

/// Asks a cluster.
pub struct Survey {
    /// A producer, because it can be polled, and only then tells what its library logs. It produces nothing.
    asker: BaseProducer<Listener>,
    admin: AdminClient<DefaultClientContext>,
    bootstrap: String,
}

impl Survey {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn open(properties: &Properties) -> Result<Self, SurveyError> {
        let mut config = client_config(properties);
        let admin = AdminClient::from_config(&config).map_err(refused)?;
        // The library asks each broker for its versions, and tells them nowhere else.
        config.set("debug", "feature").set_log_level(RDKafkaLogLevel::Debug);
        let asker = BaseProducer::from_config_and_context(&config, Listener::default()).map_err(refused)?;
        let bootstrap = properties.get("bootstrap.servers").cloned().unwrap_or_default();
        Ok(Self { asker, admin, bootstrap })
    }

    /// # Errors
    /// No broker answers.
    pub fn cluster(&self) -> Result<Cluster, SurveyError> {
        let found = self.asker.client().fetch_metadata(None, PATIENCE);
        let metadata = found.map_err(|e| self.failed(format!("no broker answers at {}", self.bootstrap), e))?;
        let topic = |t: &MetadataTopic| {
            let copies = t.partitions().iter().map(|p| p.replicas().len() as i32);
            let found = FoundTopic { partitions: t.partitions().len() as i32, replication: copies.min().unwrap_or(0) };
            (t.name().to_owned(), found)
        };
        Ok(Cluster {
            brokers: metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect(),
            topics: metadata.topics().iter().filter(|t| t.error().is_none()).map(topic).collect(),
            versions: self.listen().versions.clone(),
        })
    }

    /// Settings of topics, those that are not told left out.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn topic_settings(&self, names: &[&str]) -> Result<BTreeMap<String, Settings>, SurveyError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wanted: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let found = block_on(self.admin.describe_configs(&wanted, &options()));
        let found = found.map_err(|e| self.failed("settings of topics".to_owned(), e))?;
        let told = names.iter().zip(found).filter_map(|(name, found)| Some(((*name).to_owned(), found.ok()?)));
        Ok(told.map(|(name, found)| (name, settings_of(found))).collect())
    }

    /// Settings of a broker; none if it does not tell them to us.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn broker_settings(&self, broker: i32) -> Result<Settings, SurveyError> {
        let found = block_on(self.admin.describe_configs([&ResourceSpecifier::Broker(broker)], &options()));
        let found = found.map_err(|e| self.failed(format!("settings of broker {broker}"), e))?;
        Ok(found.into_iter().next().and_then(Result::ok).map(settings_of).unwrap_or_default())
    }

    /// # Errors
    /// The broker does not answer.
    pub fn members(&self, group: &str) -> Result<Vec<GroupMember>, SurveyError> {
        let groups = self.asker.client().fetch_group_list(Some(group), PATIENCE);
        let groups = groups.map_err(|e| self.failed(format!("members of group {group}"), e))?;
        let members = groups.groups().iter().filter(|g| g.name() == group).flat_map(|g| g.members());
        let member = |m: &rdkafka::groups::GroupMemberInfo| GroupMember {
            id: m.id().to_owned(),
            client_id: m.client_id().to_owned(),
            address: m.client_host().to_owned(),
            assigned: m.assignment().map(assigned).unwrap_or_default(),
        };
        Ok(members.map(member).collect())
    }

    /// Takes everything that the library has logged so far.
    fn listen(&self) -> MutexGuard<'_, Heard> {
        let listener: &Listener = self.asker.client().context();
        loop {
            let before = listener.heard().lines;
            // Takes one line.
            self.asker.poll(Duration::ZERO);
            let heard = listener.heard();
            if heard.lines == before {
                return heard;
            }
        }
    }

    fn failed(&self, doing: String, error: KafkaError) -> SurveyError {
        SurveyError::Kafka { doing, error: Box::new(error), last: self.listen().trouble.clone() }
    }
}

/// Does what every worker does first: becomes a transactional producer, here one of a name of its own.
///
/// # Errors
/// The cluster does not let it.
pub fn try_transactions(properties: &Properties, identity: &str, timeout_ms: &str) -> Result<(), SurveyError> {
    let mut config = client_config(properties);
    config.set("transactional.id", identity).set("transaction.timeout.ms", timeout_ms);
    let producer = BaseProducer::from_config(&config).map_err(refused)?;
    let doing = format!("transactional id {identity}");
    let failed = |error| SurveyError::Kafka { doing, error: Box::new(error), last: None };
    producer.init_transactions(PATIENCE).map_err(failed)
}

fn refused(error: KafkaError) -> SurveyError {
    SurveyError::Settings(Box::new(error))
}

fn settings_of(found: ConfigResource) -> Settings {
    found.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

/// Takes from the log of librdkafka what its interface does not tell.
#[derive(Default)]
struct Listener {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    lines: u64,
    versions: BTreeMap<i16, i16>,
    trouble: Option<String>,
}

impl Listener {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // What was heard is whole after each line.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, line: &str) {
        let mut heard = self.heard();
        heard.lines += 1;
        match facility {
            "APIVERSION" => {
                if let Some((key, version)) = version_of(line) {
                    let lowest = heard.versions.entry(key).or_insert(version);
                    *lowest = version.min(*lowest);
                }
            }
            "FAIL" => heard.trouble = Some(trouble_of(line).to_owned()),
            _ => {}
        }
    }

    fn error(&self, _: KafkaError, _: &str) {
        // What matters of it is logged as well.
        self.heard().lines += 1;
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// `…: ApiKey JoinGroup (11) Versions 0..9`, of librdkafka 2.12: key and highest version.
fn version_of(line: &str) -> Option<(i16, i16)> {
    let (_, rest) = line.split_once("ApiKey ")?;
    let (_, rest) = rest.split_once('(')?;
    let (key, rest) = rest.split_once(") Versions ")?;
    let (_, highest) = rest.split_once("..")?;
    Some((key.parse().ok()?, highest.trim().parse().ok()?))
}

/// Without the thread and the client's name, which stand in front.
fn trouble_of(line: &str) -> &str {
    line.split_once("]: ").map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_library_are_understood() {
        let cases = [
            (
                "[thrd:127.0.0.1:9/bootstrap]: 127.0.0.1:9/bootstrap:   ApiKey JoinGroup (11) Versions 0..9",
                Some((11, 9)),
            ),
            ("ApiKey Unknown-99? (99) Versions 0..0", Some((99, 0))),
            ("Broker API support:", None),
            ("ApiKey JoinGroup (x) Versions 0..9", None),
            ("ApiKey JoinGroup (11) Versions 9", None),
        ];
        for (line, expected) in cases {
            assert_eq!(version_of(line), expected, "{line}");
        }
        let listener = Listener::default();
        for highest in [9, 5, 7] {
            listener.log(RDKafkaLogLevel::Debug, "APIVERSION", &format!("ApiKey X (11) Versions 0..{highest}"));
        }
        assert_eq!(listener.heard().versions, BTreeMap::from([(11, 5)]), "the weakest broker counts");
        assert_eq!(trouble_of("[thrd:a]: a: Connect failed"), "a: Connect failed");
    }
}
