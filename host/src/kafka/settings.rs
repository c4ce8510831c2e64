//! Settings of a worker's Kafka clients: ours with their reasons, the user's on top, except those that keep the promise.

use std::collections::BTreeMap;
use std::time::Duration;

use super::handle::Properties;

/// What a worker's client is, and what it reads and writes.
#[derive(Clone, Debug, Default)]
pub struct KafkaSettings {
    /// librdkafka properties from the manifest, `bootstrap.servers` among them.
    pub user: BTreeMap<String, String>,
    pub application: String,
    pub processor: String,
    pub host: String,
    pub worker: u16,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub changelogs: Vec<String>,
    pub dead_letters: Option<String>,
    /// Where the first commit of a revision names its first offsets.
    pub cutovers: Option<String>,
    /// What the topic of dead letters takes; `None` is Kafka's default.
    pub dead_letter_bytes_max: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("`{0}` in [kafka] is wasmill's own to set, because exactly-once depends on it: remove it")]
    Ours(String),
    #[error("`transaction.timeout.ms` in [kafka] must be a number of milliseconds from 1000, not `{0}`")]
    Timeout(String),
}

/// Properties of each handle.
pub(super) struct AllProperties {
    pub member: Properties,
    pub fetcher: Properties,
    pub reader: Properties,
    pub producer: Properties,
    pub transaction_timeout: Duration,
}

/// Names that a user may not set: identity, positions, isolation, idempotence, partitioning.
const OURS: [&str; 14] = [
    "group.id",
    "group.instance.id",
    "group.protocol",
    "transactional.id",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "isolation.level",
    "partitioner",
    "partition.assignment.strategy",
    "socket.max.fails",
    "delivery.report.only.error",
];

/// What tells our members of a group from others, unless the user names all of ours.
const CLIENT_ID: &str = "wasmill";

/// The `client.id` of an application's hosts.
pub fn client_id(user: &Properties) -> &str {
    user.get("client.id").map_or(CLIENT_ID, String::as_str)
}

/// For every handle. One failed request closes its connection, so that the counter of closed sockets sees it; idle
/// connections are left open, so that the counter sees nothing else.
const COMMON: [(&str, &str); 5] = [
    ("socket.max.fails", "1"),
    ("connections.max.idle.ms", "0"),
    ("client.id", CLIENT_ID),
    ("client.software.name", "wasmill"),
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// Every consumer: we decide where to start, and nothing is committed behind our back. Committed positions are asked
/// for again within 100 ms of a decision.
const CONSUMER: [(&str, &str); 6] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("group.protocol", "classic"),
    ("check.crcs", "true"),
    ("retry.backoff.max.ms", "100"),
];

/// The member reads nothing; as read_uncommitted it also tells high watermarks. A restart within the session moves
/// nothing.
const MEMBER: [(&str, &str); 4] = [
    ("isolation.level", "read_uncommitted"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "1000"),
    ("max.poll.interval.ms", "300000"),
];

/// `fetch.queue.backoff.ms` defaults to a second, which halves throughput; the queue's bounds count per partition. Smaller
/// bounds (1,500 messages, fetches of 128 KiB), so that less memory goes cold in between, and larger fetches made no
/// difference to the CPU of a record that could be told from noise.
const FETCHER: [(&str, &str); 6] = [
    ("isolation.level", "read_committed"),
    ("fetch.wait.max.ms", "50"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.error.backoff.ms", "50"),
];

const READER: [(&str, &str); 2] = [("isolation.level", "read_committed"), ("fetch.wait.max.ms", "10")];

/// `linger.ms`: a commit hands over everything at once and then flushes, so waiting only fills batches. The queue is
/// larger than any set. Outputs are compressed by the user's choice.
const PRODUCER: [(&str, &str); 8] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("linger.ms", "5"),
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.messages", "2000000"),
    ("queue.buffering.max.kbytes", "2097151"),
    ("batch.num.messages", "10000"),
    ("transaction.timeout.ms", "10000"),
];

/// What a user's property is for, where librdkafka would complain about it on the other kind of handle.
const PRODUCER_ONLY: [&str; 8] = [
    "acks",
    "linger.ms",
    "compression.type",
    "compression.codec",
    "transaction.timeout.ms",
    "batch.num.messages",
    "batch.size",
    "message.timeout.ms",
];

impl KafkaSettings {
    pub fn bootstrap(&self) -> &str {
        self.user.get("bootstrap.servers").map_or("", String::as_str)
    }

    /// The largest dead letter: what its topic takes and, where the user bounds the producer, what that sends.
    pub(super) fn dead_letter_bytes(&self) -> usize {
        let topic = self.dead_letter_bytes_max.unwrap_or(MESSAGE_BYTES_DEFAULT);
        let user = self.user.get("message.max.bytes").and_then(|bytes| bytes.parse().ok());
        user.map_or(topic, |user: usize| topic.min(user))
    }

    /// `<application>.<processor>`.
    pub fn group(&self) -> String {
        format!("{}.{}", self.application, self.processor)
    }

    /// Stable across restarts, so that a new life ends the old one's transaction at once.
    pub fn transactional_id(&self) -> String {
        format!("{}.{}.{}", self.group(), self.host, self.worker)
    }

    /// Stable across restarts, so that a restart moves nothing.
    pub fn instance_id(&self) -> String {
        format!("{}.{}", self.host, self.worker)
    }

    /// # Errors
    /// The user set what is ours to set, or what cannot be.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.properties().map(drop)
    }

    /// # Errors
    /// The user set what is ours to set.
    pub(super) fn properties(&self) -> Result<AllProperties, SettingsError> {
        if let Some(name) = self.user.keys().find(|k| OURS.contains(&k.as_str())) {
            return Err(SettingsError::Ours(name.clone()));
        }
        let timeout = self.user.get("transaction.timeout.ms").map_or("10000", String::as_str);
        let timeout_ms: u64 =
            timeout.parse().ok().filter(|t| *t >= 1000).ok_or_else(|| SettingsError::Timeout(timeout.to_owned()))?;
        let strategy = if self.inputs.len() > 1 { "range" } else { "cooperative-sticky" };
        let mut member = self.consumer(&MEMBER);
        member.insert("group.instance.id".into(), self.instance_id());
        member.insert("partition.assignment.strategy".into(), strategy.into());
        Ok(AllProperties {
            member,
            fetcher: self.consumer(&FETCHER),
            reader: self.consumer(&READER),
            producer: self.producer(timeout_ms),
            transaction_timeout: Duration::from_millis(timeout_ms),
        })
    }

    fn consumer(&self, own: &[(&str, &str)]) -> Properties {
        let mut properties = owned(COMMON.iter().chain(&CONSUMER).chain(own));
        let user = self.user.iter().filter(|(k, _)| !PRODUCER_ONLY.contains(&k.as_str()));
        properties.extend(user.map(|(k, v)| (k.clone(), v.clone())));
        properties.insert("group.id".into(), self.group());
        properties
    }

    fn producer(&self, timeout_ms: u64) -> Properties {
        let mut properties = owned(COMMON.iter().chain(&PRODUCER));
        // A message that times out before its transaction does is a failed delivery that we see.
        properties.insert("message.timeout.ms".into(), (timeout_ms / 2).to_string());
        let is_consumers = |key: &str| CONSUMER_PREFIXES.iter().any(|p| key.starts_with(p));
        // A dead letter is a record and its headers: the default of 1,000,000 would refuse what the topic takes.
        properties.insert("message.max.bytes".into(), self.dead_letter_bytes().max(MESSAGE_BYTES_DEFAULT).to_string());
        let user = self.user.iter().filter(|(k, _)| !is_consumers(k));
        properties.extend(user.map(|(k, v)| (k.clone(), v.clone())));
        properties.insert("transactional.id".into(), self.transactional_id());
        properties
    }
}

/// Kafka's default for `max.message.bytes` of a topic.
const MESSAGE_BYTES_DEFAULT: usize = 1_048_588;

/// Names of consumer properties begin with these.
const CONSUMER_PREFIXES: [&str; 6] = ["fetch.", "queued.", "session.", "heartbeat.", "max.poll.", "check.crcs"];

fn owned<'a>(pairs: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Properties {
    pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(user: &[(&str, &str)]) -> KafkaSettings {
        let mut user = owned(user.iter());
        user.insert("bootstrap.servers".into(), "127.0.0.1:1".into());
        KafkaSettings {
            user,
            application: "a".into(),
            processor: "p".into(),
            host: "h".into(),
            worker: 2,
            inputs: vec!["in".into()],
            ..KafkaSettings::default()
        }
    }

    fn properties(settings: &KafkaSettings) -> AllProperties {
        settings.properties().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn users_may_tune_but_not_break() {
        let refused = settings(&[("isolation.level", "read_uncommitted")]).properties().err();
        assert_eq!(refused, Some(SettingsError::Ours("isolation.level".into())));
        assert_eq!(
            settings(&[("transaction.timeout.ms", "soon")]).properties().err(),
            Some(SettingsError::Timeout("soon".into()))
        );
        let all = properties(&settings(&[("linger.ms", "1"), ("session.timeout.ms", "6000")]));
        assert_eq!(all.producer["linger.ms"], "1");
        assert!(!all.producer.contains_key("session.timeout.ms"));
        assert_eq!(all.member["session.timeout.ms"], "6000");
        assert_eq!(all.producer["transactional.id"], "a.p.h.2");
        assert_eq!(all.member["group.instance.id"], "h.2");
    }

    #[test]
    fn co_partitioned_inputs_are_assigned_by_range() {
        let mut two = settings(&[]);
        two.inputs.push("other".into());
        let all = properties(&two);
        assert_eq!(all.member["partition.assignment.strategy"], "range");
    }
}
