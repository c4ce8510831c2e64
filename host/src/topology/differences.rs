//! What another manifest asks for that the one at work does not, by what it takes to get there. Versions (component,
//! settings, limits, error policy) are not compared here: what is deployed decides about them.

use std::collections::{BTreeMap, BTreeSet};

use super::{ProcessorSettings, TopicSettings, Topology};

/// One line each, for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Take effect when all hosts were stopped and are started with the new manifest.
    pub all_hosts: Vec<String>,
    /// Take effect on each host when it is started anew; one after the other will do.
    pub each_host: Vec<String>,
    /// Not done by wasmill.
    pub by_hand: Vec<String>,
}

/// Compares the manifest at work with a wanted one of the same application. What hosts have for themselves (`[host]`, the
/// broker's address) is not compared.
pub fn differences(at_work: &Topology, wanted: &Topology) -> Differences {
    let mut found = Differences::default();
    let names: BTreeSet<&str> = at_work.processors.iter().chain(&wanted.processors).map(|p| p.name.as_str()).collect();
    for name in names {
        match (at_work.processor(name), wanted.processor(name)) {
            (Some(old), Some(new)) => compare_processors(old, new, &mut found),
            (None, _) => found.all_hosts.push(format!("processor `{name}` is new")),
            (Some(_), None) => {
                found
                    .all_hosts
                    .push(format!("processor `{name}` is gone; its group and its topics stay where they are"));
            }
        }
    }
    for (name, old) in &at_work.topics {
        compare_topics(name, old, wanted.topics.get(name), &mut found);
    }
    if properties(at_work) != properties(wanted) {
        found.each_host.push("`kafka`: properties of the Kafka client change".to_owned());
    }
    found
}

fn compare_processors(old: &ProcessorSettings, new: &ProcessorSettings, found: &mut Differences) {
    let shape = [
        ("inputs", old.inputs != new.inputs),
        ("outputs", old.outputs != new.outputs),
        ("tables", old.tables != new.tables),
        ("stores", old.stores != new.stores),
        ("tick-ms", old.tick_interval != new.tick_interval),
        ("merge-wait-ms", old.merge_wait != new.merge_wait),
    ];
    let own = [("workers", old.workers != new.workers), ("commit", old.commit != new.commit)];
    for (keys, lines) in [(&shape[..], &mut found.all_hosts), (&own[..], &mut found.each_host)] {
        let differ: Vec<&str> = keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect();
        if !differ.is_empty() {
            lines.push(format!("processor `{}`: {} change", new.name, differ.join(", ")));
        }
    }
}

fn compare_topics(name: &str, old: &TopicSettings, new: Option<&TopicSettings>, found: &mut Differences) {
    let Some(new) = new else {
        return found.by_hand.push(format!("topic `{name}` is not declared any more; it is not deleted"));
    };
    if old.partitions != new.partitions {
        found.by_hand.push(format!(
            "topic `{name}` has partitions = {}, not {}: keys would meet other tasks than their state; make a new topic",
            old.partitions, new.partitions
        ));
    }
    if (old.replication, &old.settings) != (new.replication, &new.settings) {
        found
            .by_hand
            .push(format!("topic `{name}`: replication and settings of a topic that is there are altered in Kafka"));
    }
}

/// Those that do not say where the broker is.
fn properties(topology: &Topology) -> BTreeMap<&String, &String> {
    topology.kafka.iter().flatten().filter(|(key, _)| *key != "bootstrap.servers").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_WORK: &str = r#"
application = "a"
[topics.in]
partitions = 2
[topics.out]
[processors.p]
component = "p.wasm"
inputs = ["in"]
outputs = ["out"]
"#;

    fn found(replace: &str, by: &str) -> Differences {
        let parse = |source: &str| super::super::parse("m", source).expect("no problems");
        differences(&parse(AT_WORK), &parse(&AT_WORK.replace(replace, by)))
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn each_difference_is_told_by_what_it_takes() {
        let all = |text: &str| Differences { all_hosts: lines(&[text]), ..Differences::default() };
        let each = |text: &str| Differences { each_host: lines(&[text]), ..Differences::default() };
        let hand = |text: &str| Differences { by_hand: lines(&[text]), ..Differences::default() };
        let another = "[processors.q]\ncomponent = \"q.wasm\"\ninputs = [\"in\"]\n[processors.p]";
        let cases = [
            ("p.wasm", "other.wasm", Differences::default()),
            ("[topics.out]", "[topics.out]\n[topics.more]", Differences::default()),
            ("[processors.p]", "[host]\nid = \"b\"\n[processors.p]", Differences::default()),
            ("[topics.out]", "[kafka]\n\"bootstrap.servers\" = \"x:1\"\n[topics.out]", Differences::default()),
            ("outputs = [\"out\"]", "", all("processor `p`: outputs change")),
            ("[processors.p]", another, all("processor `q` is new")),
            (
                "p.wasm\"",
                "p.wasm\"\nworkers = 2\ntables = [\"out\"]\nmerge-wait-ms = 5",
                Differences {
                    all_hosts: lines(&["processor `p`: tables, merge-wait-ms change"]),
                    each_host: lines(&["processor `p`: workers change"]),
                    ..Differences::default()
                },
            ),
            ("p.wasm\"", "p.wasm\"\ncommit = { interval-ms = 7 }", each("processor `p`: commit change")),
            (
                "[topics.out]",
                "[kafka]\n\"bootstrap.servers\" = \"x:1\"\n\"session.timeout.ms\" = 6000\n[topics.out]",
                each("`kafka`: properties of the Kafka client change"),
            ),
            (
                "partitions = 2",
                "partitions = 3",
                hand(
                    "topic `in` has partitions = 2, not 3: keys would meet other tasks than their state; make a new topic",
                ),
            ),
            (
                "[topics.out]",
                "[topics.out]\nreplication = 3",
                hand("topic `out`: replication and settings of a topic that is there are altered in Kafka"),
            ),
        ];
        for (replace, by, expected) in cases {
            assert_eq!(found(replace, by), expected, "{replace} -> {by}");
        }
        let renamed = found("[processors.p]", "[processors.r]");
        let gone = "processor `p` is gone; its group and its topics stay where they are";
        assert_eq!(renamed.all_hosts, lines(&[gone, "processor `r` is new"]));
    }
}
