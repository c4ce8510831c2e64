//! The topics that an application needs: those it declares, and those that the host keeps beside them.

use std::collections::BTreeMap;

use super::Topology;

/// A topic that must be there before any worker starts, and how it is made if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNeed {
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
    pub settings: BTreeMap<String, String>,
}

/// Names of the topics by which the hosts of an application agree. All have one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlTopics {
    /// The log whose fold is what is deployed.
    pub deployments: String,
    /// Component files, in chunks.
    pub components: String,
    /// What each host tells of itself.
    pub hosts: String,
    /// From which offset on each revision owns the records.
    pub cutovers: String,
}

/// Tombstones of changelogs are kept this long, so that a host that was away for half of it can still trust its
/// checkpoint.
pub const CHANGELOG_DELETE_RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// What a dead letter may be larger than its record: headers that say what happened.
const DEAD_LETTER_EXTRA_BYTES: i64 = 64 * 1024;

/// Kafka's default for `max.message.bytes`.
const MESSAGE_BYTES_DEFAULT: i64 = 1_048_588;

impl Topology {
    /// All topics needed, by name.
    pub fn topic_needs(&self) -> Vec<TopicNeed> {
        let declared = self.topics.iter().map(|(name, t)| TopicNeed {
            name: name.clone(),
            partitions: t.partitions,
            replication: t.replication,
            settings: t.settings.clone(),
        });
        let mut needs: Vec<TopicNeed> = declared.collect();
        for processor in &self.processors {
            let partitions = self.partitions(processor);
            let replication = self.replication(processor);
            for store in &processor.stores {
                let name = self.changelog(processor, store);
                needs.push(TopicNeed { name, partitions, replication, settings: changelog_settings() });
            }
            let settings =
                BTreeMap::from([("max.message.bytes".to_owned(), self.dead_letter_bytes(processor).to_string())]);
            needs.push(TopicNeed { name: self.dead_letters(processor), partitions, replication, settings });
        }
        needs.extend(self.control_needs());
        needs
    }

    /// Topics by which hosts agree. The log of deployments is kept for ever; of the others, the newest of each key.
    fn control_needs(&self) -> impl Iterator<Item = TopicNeed> + use<> {
        let replication = self.processors.iter().map(|p| self.replication(p)).max().unwrap_or(1);
        let forever = BTreeMap::from([
            ("cleanup.policy".to_owned(), "delete".to_owned()),
            ("retention.ms".to_owned(), "-1".to_owned()),
            ("retention.bytes".to_owned(), "-1".to_owned()),
        ]);
        let newest = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let names = self.control_topics();
        let topics = [
            (names.deployments, forever),
            (names.components, newest.clone()),
            (names.hosts, newest.clone()),
            (names.cutovers, newest),
        ];
        topics.into_iter().map(move |(name, settings)| TopicNeed { name, partitions: 1, replication, settings })
    }

    /// Names of the topics by which hosts agree.
    pub fn control_topics(&self) -> ControlTopics {
        let name = |what: &str| format!("__wasmill_{}_{what}", self.application);
        ControlTopics {
            deployments: name("deployments"),
            components: name("components"),
            hosts: name("hosts"),
            cutovers: name("cutovers"),
        }
    }

    fn replication(&self, processor: &super::ProcessorSettings) -> i32 {
        processor.inputs.iter().filter_map(|i| self.topics.get(&i.topic)).map(|t| t.replication).max().unwrap_or(1)
    }

    /// Largest record that a processor's topic of dead letters takes.
    pub fn dead_letter_bytes(&self, processor: &super::ProcessorSettings) -> i64 {
        let bytes = |topic: &super::TopicSettings| topic.settings.get("max.message.bytes").and_then(|b| b.parse().ok());
        let largest = processor.inputs.iter().filter_map(|i| self.topics.get(&i.topic)).filter_map(bytes).max();
        largest.unwrap_or(MESSAGE_BYTES_DEFAULT) + DEAD_LETTER_EXTRA_BYTES
    }
}

fn changelog_settings() -> BTreeMap<String, String> {
    let retention = CHANGELOG_DELETE_RETENTION_MS.to_string();
    BTreeMap::from([("cleanup.policy".into(), "compact".into()), ("delete.retention.ms".into(), retention)])
}

#[cfg(test)]
mod tests {
    #[test]
    fn stores_bring_changelogs_and_processors_bring_dead_letters() {
        let source = r#"
application = "a"
[topics.in]
partitions = 3
replication = 2
settings = { "max.message.bytes" = 1000 }
[processors.p]
component = "p.wasm"
inputs = ["in"]
[processors.p.stores.s]
"#;
        let needs = super::super::parse("m", source).expect("no problems").topic_needs();
        let names: Vec<_> = needs.iter().map(|n| (n.name.as_str(), n.partitions, n.replication)).collect();
        assert_eq!(names[..3], [("in", 3, 2), ("a.p.s.changelog", 3, 2), ("a.p.dlq", 3, 2)]);
        let control = ["deployments", "components", "hosts", "cutovers"].map(|n| format!("__wasmill_a_{n}"));
        assert!(names[3..].iter().map(|(name, ..)| *name).eq(control.iter().map(String::as_str)));
        assert_eq!(needs[1].settings["cleanup.policy"], "compact");
        assert_eq!(needs[2].settings["max.message.bytes"], "66536");
    }
}
