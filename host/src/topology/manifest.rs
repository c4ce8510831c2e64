//! The keys of `wasmill.toml`, their defaults, and the rules between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::section::{Report, Section};
use super::{
    CommitSettings, ErrorPolicy, HostSettings, InputSettings, LimitSettings, Problems, ProcessorSettings, StoreKind,
    StoreSettings, TopicSettings, Topology,
};
use crate::record::BATCH_RECORDS_MAX;

/// Reads a manifest; `file` is its name in messages.
///
/// # Errors
/// Every problem found, in the order of their places.
pub fn parse(file: &str, source: &str) -> Result<Topology, Problems> {
    let report = Report { source, problems: Default::default() };
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let at = error.span().map_or(0, |s| s.start);
        report.add(at, error.message().to_owned());
    }
    let root = Section::new(&report, String::new(), 0, document.get_ref());
    let topology = read(&root);
    root.finish();
    check(&topology, &report);
    let mut problems = report.problems.into_inner();
    if problems.is_empty() {
        return Ok(topology);
    }
    problems.sort_by_key(|p| (p.line, p.column));
    problems.dedup();
    Err(Problems { file: file.to_owned(), problems })
}

fn read(root: &Section<'_, '_>) -> Topology {
    let application = root.required_text("application", "a name for the whole, such as \"exchange\"");
    if !application.is_empty() {
        check_id(root.report(), root.place_of("application"), "application", &application);
    }
    let topics = root.sections("topics").into_iter().map(|(name, s)| read_topic(name, s)).collect();
    let processors = root.sections("processors").into_iter().map(|(name, s)| read_processor(name, s)).collect();
    Topology {
        application,
        kafka: root.section("kafka").map(read_kafka),
        host: read_host(root.section("host")),
        topics,
        processors,
    }
}

fn read_kafka(section: Section<'_, '_>) -> BTreeMap<String, String> {
    let properties = section.properties();
    if !properties.contains_key("bootstrap.servers") {
        let text =
            "`kafka` needs \"bootstrap.servers\" = \"host:port\"; leave the whole table out for the embedded broker";
        section.report().add(section.place(), text.to_owned());
    }
    properties
}

fn read_host(section: Option<Section<'_, '_>>) -> HostSettings {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let Some(section) = section else { return HostSettings { id: "host".into(), data: "data".into(), http: local } };
    let id = section.text("id").unwrap_or_else(|| "host".into());
    check_id(section.report(), section.place_of("id"), "host.id", &id);
    let data = section.text("data").unwrap_or_else(|| "data".into());
    let http = section.text("http").map_or(Ok(local), |text| text.parse());
    if http.is_err() {
        let at = section.place_of("http");
        section.refuse(at..at, "http", "an address with a port, such as \"127.0.0.1:8090\"");
    }
    section.finish();
    HostSettings { id, data, http: http.unwrap_or(local) }
}

fn read_topic(name: String, section: Section<'_, '_>) -> (String, TopicSettings) {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 249 || !name.chars().all(is_legal) || name == "." || name == ".." {
        let text =
            format!("topic name `{name}` is not one Kafka takes: letters, digits, `.`, `_` and `-`, at most 249");
        section.report().add(section.place(), text);
    }
    let topic = TopicSettings {
        partitions: section.number("partitions", 1..10_001, 1) as i32,
        replication: section.number("replication", 1..101, 1) as i32,
        settings: section.section("settings").map(|s| s.properties()).unwrap_or_default(),
    };
    section.finish();
    (name, topic)
}

fn read_processor(name: String, section: Section<'_, '_>) -> ProcessorSettings {
    check_id(section.report(), section.place(), "a processor's name", &name);
    let processor = ProcessorSettings {
        component: section.required_text("component", "the path of a component file"),
        inputs: read_inputs(&section),
        outputs: section.texts("outputs").into_iter().map(|(t, _)| t).collect(),
        tables: section.texts("tables").into_iter().map(|(t, _)| t).collect(),
        stores: section.sections("stores").into_iter().map(|(name, s)| read_store(name, s)).collect(),
        workers: section.number("workers", 1..65, 1) as u16,
        on_error: read_policy(&section),
        tick_interval: Duration::from_millis(section.number("tick-ms", 10..86_400_001, 1_000)),
        merge_wait: Duration::from_millis(section.number("merge-wait-ms", 0..60_001, 100)),
        commit: read_commit(section.section("commit")),
        limits: section
            .section("limits")
            .map_or_else(LimitSettings::default, |s| read_limits(s, &LimitSettings::default())),
        settings: section.json("settings"),
        state_format: section.text("state-format"),
        name,
    };
    if processor.inputs.is_empty() {
        let text = format!("processor `{}` has no inputs: name at least one topic", processor.name);
        section.report().add(section.place(), text);
    }
    section.finish();
    processor
}

fn read_inputs(section: &Section<'_, '_>) -> Vec<InputSettings> {
    let mut inputs = Vec::new();
    for item in section.list("inputs") {
        match item.get_ref() {
            DeValue::String(topic) => inputs.push(InputSettings { topic: topic.to_string(), starts_at_end: false }),
            DeValue::Table(table) => {
                let input = Section::new(section.report(), "inputs".into(), item.span().start, table);
                inputs.push(read_input(input));
            }
            _ => section.refuse(item.span(), "inputs", "a list of topics, or of { topic = \"…\", start = \"latest\" }"),
        }
    }
    inputs
}

fn read_input(section: Section<'_, '_>) -> InputSettings {
    let topic = section.required_text("topic", "the name of a topic");
    let start = section.text("start").unwrap_or_else(|| "earliest".into());
    if !["earliest", "latest"].contains(&start.as_str()) {
        let at = section.place_of("start");
        section.refuse(at..at, "start", "\"earliest\" or \"latest\"");
    }
    section.finish();
    InputSettings { topic, starts_at_end: start == "latest" }
}

fn read_store(name: String, section: Section<'_, '_>) -> StoreSettings {
    check_id(section.report(), section.place(), "a store's name", &name);
    let kind = section.text("kind").unwrap_or_else(|| "memory".into());
    let scans = section.flag("scans", false);
    if !["memory", "disk"].contains(&kind.as_str()) {
        let at = section.place_of("kind");
        section.refuse(at..at, "kind", "\"memory\" or \"disk\"");
    }
    section.finish();
    StoreSettings { name, kind: if kind == "disk" { StoreKind::Disk } else { StoreKind::Memory }, scans }
}

pub(super) fn read_policy(section: &Section<'_, '_>) -> ErrorPolicy {
    let policy = section.text("on-error").unwrap_or_else(|| "dead-letter".into());
    let times = section.number("retry-times", 1..1001, 5) as u32;
    let backoff = Duration::from_millis(section.number("retry-backoff-ms", 1..3_600_001, 100));
    match policy.as_str() {
        "dead-letter" => ErrorPolicy::DeadLetter,
        "retry" => ErrorPolicy::Retry { times, backoff },
        "halt" => ErrorPolicy::Halt,
        _ => {
            let at = section.place_of("on-error");
            section.refuse(at..at, "on-error", "\"dead-letter\", \"retry\" or \"halt\"");
            ErrorPolicy::DeadLetter
        }
    }
}

fn read_commit(section: Option<Section<'_, '_>>) -> CommitSettings {
    let Some(section) = section else {
        return CommitSettings { interval_ms: 50, records_max: 5_000, bytes_max: 16 << 20 };
    };
    let commit = CommitSettings {
        interval_ms: section.number("interval-ms", 1..60_001, 50),
        records_max: section.number("records-max", 1..10_000_001, 5_000) as usize,
        bytes_max: section.number("bytes-max", 1024..(1 << 30) + 1, 16 << 20) as usize,
    };
    section.finish();
    commit
}

pub(super) fn read_limits(section: Section<'_, '_>, default: &LimitSettings) -> LimitSettings {
    let limits = LimitSettings {
        memory_mib: section.number("memory-mib", 1..4097, default.memory_mib),
        call_ms: section.number("call-ms", 1..30_001, default.call_ms),
        record_us: section.number("record-us", 0..1_000_001, default.record_us),
        output_mib: section.number("output-mib", 1..257, default.output_mib),
        log_lines: section.number("log-lines", 0..100_001, u64::from(default.log_lines)) as u32,
        is_timed: section.flag("timed", default.is_timed),
    };
    section.finish();
    limits
}

/// The longest call: less than half of Kafka's `max.poll.interval.ms`, so that a call that is used up and repeated costs no
/// place in the group.
const CALL_MS_MAX: u64 = 120_000;

/// The rules between keys.
fn check(topology: &Topology, report: &Report<'_>) {
    let at = |needle: &str| report.source.find(needle).unwrap_or(0);
    for processor in &topology.processors {
        let place = at(&format!("processors.{}", processor.name));
        let topics = processor.inputs.iter().map(|i| &i.topic).chain(&processor.outputs).chain(&processor.tables);
        for topic in topics.collect::<BTreeSet<_>>() {
            if !topology.topics.contains_key(topic) {
                let text = format!(
                    "processor `{}` uses topic `{topic}`, which is not declared: add [topics.{topic}]",
                    processor.name
                );
                report.add(place, text);
            }
        }
        let counts: BTreeSet<i32> =
            processor.inputs.iter().filter_map(|i| topology.topics.get(&i.topic)).map(|t| t.partitions).collect();
        if counts.len() > 1 {
            let text = format!(
                "inputs of processor `{}` have different numbers of partitions ({counts:?}): records of one key would meet \
                 different tasks. Give all of them the same `partitions`",
                processor.name
            );
            report.add(place, text);
        }
        let LimitSettings { call_ms, record_us, .. } = processor.limits;
        if call_ms + record_us * BATCH_RECORDS_MAX as u64 / 1_000 > CALL_MS_MAX {
            let text = format!(
                "limits of processor `{}`: `call-ms` and 1,000 times `record-us` are more than {CALL_MS_MAX} ms, in which the \
                 host must get to its next poll",
                processor.name
            );
            report.add(place, text);
        }
        if processor.inputs.windows(2).any(|w| w[0].starts_at_end != w[1].starts_at_end) {
            report.add(place, format!("inputs of processor `{}` must all have the same `start`", processor.name));
        }
    }
}

/// Ids are joined with dots into topic, group and transaction names, so they hold none themselves.
fn check_id(report: &Report<'_>, at: usize, what: &str, id: &str) {
    let mut chars = id.chars();
    let is_first_legal = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !is_first_legal || !chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') || id.len() > 64 {
        report.add(
            at,
            format!("{what} `{id}` must be small letters, digits and `-`, at most 64, not beginning with `-`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
application = "exchange"

[topics.payments]
partitions = 4

[topics.fraudulent-payments]
partitions = 4
settings = { "retention.ms" = 1000 }

[processors.fraud]
component = "fraud.wasm"
inputs = ["payments"]
outputs = ["fraudulent-payments"]
settings = { threshold = 0.8 }

[processors.fraud.stores.seen]
scans = true
"#;

    #[test]
    fn a_good_manifest_is_read_with_its_defaults() {
        let topology = parse("wasmill.toml", GOOD).expect("no problems");
        let fraud = &topology.processors[0];
        assert_eq!(topology.kafka, None);
        assert_eq!(topology.topics["fraudulent-payments"].settings["retention.ms"], "1000");
        assert_eq!(fraud.settings, serde_json::json!({ "threshold": 0.8 }));
        assert_eq!((fraud.stores[0].scans, fraud.stores[0].kind), (true, StoreKind::Memory));
        assert_eq!((fraud.commit.interval_ms, fraud.workers), (50, 1));
        assert_eq!(topology.changelog(fraud, &fraud.stores[0]), "exchange.fraud.seen.changelog");
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let bad = GOOD
            .replace("application = \"exchange\"", "aplication = \"exchange\"")
            .replace("[topics.payments]\npartitions = 4", "[topics.payments]\npartitions = 3")
            .replace("outputs = [\"fraudulent-payments\"]", "outputs = [\"nowhere\", 7]\nworkers = 1000")
            .replace("scans = true", "scan = true");
        let problems = parse("wasmill.toml", &bad).expect_err("problems");
        let expected = "\
wasmill.toml: 6 problems
  wasmill.toml:1:1: `application` is missing: a name for the whole, such as \"exchange\"
  wasmill.toml:2:1: unknown key `aplication`; did you mean `application`?
  wasmill.toml:11:2: processor `fraud` uses topic `nowhere`, which is not declared: add [topics.nowhere]
  wasmill.toml:14:23: `processors.fraud.outputs` must be a list of texts
  wasmill.toml:15:11: `processors.fraud.workers` must be a whole number from 1 to 64
  wasmill.toml:19:1: unknown key `processors.fraud.stores.seen.scan`; did you mean `scans`?
";
        assert_eq!(problems.to_string(), expected);
    }

    #[test]
    fn rules_between_keys_are_checked() {
        let two_inputs = GOOD.replace(
            "inputs = [\"payments\"]",
            "inputs = [\"payments\", { topic = \"fraudulent-payments\", start = \"latest\" }]",
        );
        let cases = [
            (GOOD.replace("exchange", "Ex.change"), "small letters"),
            (GOOD.replace("fraud]", "fr_aud]"), "small letters"),
            (GOOD.replace("[\"payments\"]", "[]"), "has no inputs"),
            (two_inputs.clone(), "the same `start`"),
            (format!("{GOOD}\n[processors.fraud.limits]\nrecord-us = 200_000"), "more than 120000 ms"),
            (two_inputs.replacen("partitions = 4", "partitions = 5", 1), "different numbers of partitions"),
            (format!("{GOOD}\n[kafka]\n"), "bootstrap.servers"),
            (GOOD.replace("component = \"fraud.wasm\"", "component = 7"), "must be a text"),
            (format!("{GOOD}\n[x"), "unclosed"),
        ];
        for (source, expected) in cases {
            let problems = parse("w", &source).expect_err(expected).to_string();
            assert!(problems.contains(expected), "{expected}: {problems}");
        }
    }
}
