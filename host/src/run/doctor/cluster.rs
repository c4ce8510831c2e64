//! Whether topics are as the manifest wants them, and whether their copies keep what was acknowledged.

use std::collections::BTreeMap;

use super::finding::Finding;
use crate::kafka::{Cluster, FoundTopic, Settings};
use crate::topology::TopicNeed;

const ABOUT: &str = "topics";

/// Topics as they should be, and as they are.
pub(super) struct Topics {
    pub needs: Vec<TopicNeed>,
    pub cluster: Cluster,
    /// Of the topics that are there.
    pub settings: BTreeMap<String, Settings>,
    /// Of a broker: what new topics get.
    pub broker: Settings,
}

impl Topics {
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.presence()];
        for need in &self.needs {
            let found = self.cluster.topics.get(&need.name);
            findings.extend(found.and_then(|found| partitions(need, *found)));
            findings.extend(self.settings.get(&need.name).map(|has| settings(need, has)).unwrap_or_default());
        }
        findings.extend(self.replication());
        findings.extend(self.durability());
        findings
    }

    fn presence(&self) -> Finding {
        let is_there = |need: &&TopicNeed| self.cluster.topics.contains_key(&need.name);
        let missing: Vec<&str> = self.needs.iter().filter(|n| !is_there(n)).map(|n| n.name.as_str()).collect();
        let there = self.needs.len() - missing.len();
        if missing.is_empty() {
            return Finding::ok(ABOUT, format!("all {there} are there"));
        }
        let text =
            format!("{there} are there; the next start of a host makes {}: {}", missing.len(), missing.join(", "));
        Finding::ok(ABOUT, text)
    }

    /// How many copies a topic has, or will have.
    fn copies(&self, need: &TopicNeed) -> i32 {
        self.cluster.topics.get(&need.name).map_or(need.replication, |found| found.replication)
    }

    fn replication(&self) -> Vec<Finding> {
        let brokers = self.cluster.brokers.len();
        let named = |is_meant: &dyn Fn(&TopicNeed) -> bool| -> Vec<&str> {
            self.needs.iter().filter(|need| is_meant(need)).map(|need| need.name.as_str()).collect()
        };
        let mut findings = Vec::new();
        let is_missing = |need: &TopicNeed| !self.cluster.topics.contains_key(&need.name);
        let beyond = named(&|need| is_missing(need) && usize::try_from(need.replication).is_ok_and(|r| r > brokers));
        if !beyond.is_empty() {
            let text = format!("more copies are wanted than there are brokers ({brokers}): {}", beyond.join(", "));
            let advice = "set `replication` of the topics to what the cluster can hold: they cannot be made";
            findings.push(Finding::problem(ABOUT, text, advice));
        }
        let single = named(&|need| brokers > 1 && self.copies(need) == 1);
        if !single.is_empty() {
            let text = format!("one copy only, on {brokers} brokers: {}", single.join(", "));
            let advice = "set `replication = 3` for new topics, and add copies to those that are there \
                          (kafka-reassign-partitions): with one, a broker that is lost takes records along";
            findings.push(Finding::warning(ABOUT, text, advice));
        }
        findings
    }

    /// What the broker may forget although it has acknowledged it.
    fn durability(&self) -> Vec<Finding> {
        let setting = |need: &TopicNeed, name: &str| {
            let of_topic = self.settings.get(&need.name).unwrap_or(&need.settings).get(name);
            of_topic.or(self.broker.get(name)).cloned().unwrap_or_default()
        };
        let named = |is_meant: &dyn Fn(&TopicNeed, i32, i32) -> bool| -> Vec<&str> {
            let is_meant = |need: &&TopicNeed| {
                is_meant(need, self.copies(need), setting(need, "min.insync.replicas").parse().unwrap_or(0))
            };
            self.needs.iter().filter(is_meant).map(|need| need.name.as_str()).collect()
        };
        let mut findings = Vec::new();
        let stuck = named(&|_, copies, insync| copies > 0 && insync > copies);
        if !stuck.is_empty() {
            let text = format!("min.insync.replicas is higher than the number of copies: {}", stuck.join(", "));
            let advice = "lower min.insync.replicas or add copies: nothing can be written as it is";
            findings.push(Finding::problem(ABOUT, text, advice));
        }
        let weak = named(&|_, copies, insync| copies > 2 && insync == 1);
        if !weak.is_empty() {
            let text = format!("min.insync.replicas is 1, whatever the number of copies: {}", weak.join(", "));
            let advice = "set it to 2 for three copies: what one broker alone has acknowledged is lost with it";
            findings.push(Finding::warning(ABOUT, text, advice));
        }
        let unclean = named(&|need, copies, _| copies > 1 && setting(need, "unclean.leader.election.enable") == "true");
        if !unclean.is_empty() {
            let text = format!("unclean.leader.election.enable is true: {}", unclean.join(", "));
            let advice =
                "set it to false: a copy that is behind may become the leader, and acknowledged records are gone";
            findings.push(Finding::warning(ABOUT, text, advice));
        }
        findings
    }
}

fn partitions(need: &TopicNeed, found: FoundTopic) -> Option<Finding> {
    let (TopicNeed { name, partitions, .. }, has) = (need, found.partitions);
    (has != *partitions).then(|| {
        let text = format!("{name} has {has} partitions, the manifest says {partitions}");
        let advice = "set `partitions` to what is there, or use a new topic: keys would meet the tasks of others, so hosts \
                      refuse to start, and halt if it changes while they run";
        Finding::problem(ABOUT, text, advice)
    })
}

/// Settings that were changed, or that were others when somebody else made the topic.
fn settings(need: &TopicNeed, has: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, wanted) in &need.settings {
        let Some(found) = has.get(key).filter(|found| !is_as_good(key, found, wanted)) else { continue };
        let text = format!("{} has {key}={found}, and should have {wanted}", need.name);
        let is_kept = need.name.starts_with("__wasmill_") || key == "cleanup.policy";
        findings.push(if is_kept {
            let advice = format!("alter it to {wanted}: it keeps state, or what is deployed, from being lost");
            Finding::problem(ABOUT, text, advice)
        } else {
            let advice = format!(
                "alter it to {wanted}, or say in the manifest what you want: it only counts when a topic is made"
            );
            Finding::warning(ABOUT, text, advice)
        });
    }
    findings
}

/// More of what keeps records is no harm.
fn is_as_good(key: &str, found: &str, wanted: &str) -> bool {
    if found == wanted {
        return true;
    }
    let grows =
        ["delete.retention.ms", "max.message.bytes", "retention.ms", "retention.bytes", "min.compaction.lag.ms"];
    // -1 is for ever.
    let number = |text: &str| text.parse::<i64>().ok().map(|n| if n < 0 { i64::MAX } else { n });
    grows.contains(&key) && matches!((number(found), number(wanted)), (Some(found), Some(wanted)) if found >= wanted)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn need(name: &str, replication: i32, settings: &[(&str, &str)]) -> TopicNeed {
        TopicNeed { name: name.into(), partitions: 4, replication, settings: map(settings) }
    }

    /// One needed topic; there it has `partitions` and `copies`, if it is there.
    fn judged(
        need: TopicNeed,
        there: Option<(i32, i32)>,
        brokers: i32,
        settings: &[(&str, &str)],
    ) -> Vec<(Level, String)> {
        let found = there.map(|(partitions, replication)| (need.name.clone(), FoundTopic { partitions, replication }));
        let settings = found.iter().map(|(name, _)| (name.clone(), map(settings))).collect();
        let cluster =
            Cluster { brokers: (0..brokers).collect(), topics: found.into_iter().collect(), ..Cluster::default() };
        let topics = Topics { needs: vec![need], cluster, settings, broker: map(&[("min.insync.replicas", "1")]) };
        topics.judge().into_iter().map(|f| (f.level, f.text)).collect()
    }

    #[test]
    fn what_differs_is_found_and_what_does_not_is_quiet() {
        use Level::{Problem, Warning};
        let plain = |replication| need("t", replication, &[]);
        let changelog = || need("c.changelog", 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "100")]);
        let log = || need("__wasmill_a_deployments", 1, &[("retention.ms", "-1")]);
        type Case = (Vec<(Level, String)>, &'static [(Level, &'static str)]);
        let cases: [Case; 13] = [
            (judged(plain(1), Some((4, 1)), 1, &[]), &[]),
            (judged(plain(1), None, 1, &[]), &[]),
            (judged(plain(1), Some((3, 1)), 1, &[]), &[(Problem, "t has 3 partitions, the manifest says 4")]),
            (judged(plain(3), None, 2, &[]), &[(Problem, "than there are brokers (2): t"), (Warning, "min.insync")]),
            (judged(plain(2), None, 2, &[]), &[]),
            (judged(plain(3), Some((4, 1)), 3, &[]), &[(Warning, "one copy only, on 3 brokers: t")]),
            (judged(plain(1), Some((4, 2)), 2, &[("unclean.leader.election.enable", "true")]), &[(Warning, "unclean")]),
            (
                judged(plain(1), Some((4, 1)), 1, &[("min.insync.replicas", "2")]),
                &[(Problem, "higher than the number")],
            ),
            (
                judged(changelog(), Some((4, 1)), 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "200")]),
                &[],
            ),
            (
                judged(changelog(), Some((4, 1)), 1, &[("cleanup.policy", "delete"), ("delete.retention.ms", "99")]),
                &[(Problem, "cleanup.policy=delete"), (Warning, "delete.retention.ms=99, and should have 100")],
            ),
            (judged(log(), Some((4, 1)), 1, &[("retention.ms", "604800000")]), &[(Problem, "retention.ms=604800000")]),
            (judged(log(), Some((4, 1)), 1, &[("retention.ms", "-1")]), &[]),
            (judged(log(), Some((4, 1)), 1, &[]), &[]),
        ];
        for (index, (found, expected)) in cases.into_iter().enumerate() {
            let bad: Vec<_> = found.iter().filter(|(level, _)| *level != Level::Ok).collect();
            assert_eq!(bad.len(), expected.len(), "{index}: {found:?}");
            for ((level, text), (expected_level, says)) in bad.iter().zip(expected) {
                assert!(level == expected_level && text.contains(says), "{index}: {text} is not {says}");
            }
        }
    }
}
