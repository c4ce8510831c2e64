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
        needs
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
        assert_eq!(names, [("in", 3, 2), ("a.p.s.changelog", 3, 2), ("a.p.dlq", 3, 2)]);
        assert_eq!(needs[1].settings["cleanup.policy"], "compact");
        assert_eq!(needs[2].settings["max.message.bytes"], "66536");
    }
}
