//! With `--log-format json` every line that a host writes is an object with the fields that collectors look for; without,
//! it is text, and in colours only on a terminal.

use serde_json::Value;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, guest};

/// What a component logs when it gets a bad record: three lines, and that more were dropped.
const LINES: usize = 4;

fn manifest() -> String {
    let component = guest("guest-misbehave");
    format!(
        "
application = \"app\"
[topics.orders]
partitions = 3
[processors.talker]
component = \"{component}\"
inputs = [\"orders\"]
settings = {{ behaviour = \"flood-log\" }}
[processors.talker.limits]
log-lines = 3
"
    )
}

/// Runs a host until its component has logged, and kills the broker under it meanwhile: librdkafka has its say, too.
fn log_of_a_host(environment: &[(&str, &str)]) -> String {
    let mut broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &manifest());
    let mut host = application.run_with(environment);
    application.interface(&mut host, "data");
    let (topic, partition, value) = ("orders", Some(2), Some(&b"bad"[..]));
    let producer = Producer::new(&broker, &[]);
    producer.send(&Sent { topic, partition, key: None, value, headers: &[], timestamp_ms: None });
    producer.places();
    until("the component has logged", LONG, || application.log().contains("more lines were dropped").then_some(()));
    broker.kill();
    until("librdkafka has lost the broker", LONG, || application.log().contains("librdkafka").then_some(()));
    broker.resume().expect("a broker");
    assert!(host.stop().success(), "{}", host.last_words());
    application.log()
}

#[test]
fn every_line_is_an_object_with_the_known_fields() {
    let log = log_of_a_host(&[("WASMILL_LOG_FORMAT", "json")]);
    let mut said = Vec::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(event[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {line}");
        }
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&event["level"].as_str().unwrap_or("")), "{line}");
        assert!(event["fields"].is_null(), "fields stand beside the others: {line}");
        if event["message"] == "component" {
            assert_eq!((&event["processor"], &event["partition"]), (&"talker".into(), &2.into()), "{line}");
            said.push(event["text"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(said.len(), LINES, "{log}");
    assert_eq!(said[0], "line 0");
    let running = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
    assert!(running.into_iter().any(|event| event["message"] == "running" && event["application"] == "app"), "{log}");
}

#[test]
fn text_is_without_colours_in_a_file_and_names_where_a_component_spoke() {
    let log = log_of_a_host(&[]);
    assert!(!log.contains('\u{1b}'), "{log}");
    let spoken: Vec<&str> =
        log.lines().filter(|line| line.contains("component processor=\"talker\" partition=2")).collect();
    assert_eq!(spoken.len(), LINES, "{log}");
}

#[test]
fn the_last_word_of_a_host_that_cannot_start_is_an_object_too() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &manifest().replace("inputs = [\"orders\"]", "inputs = [\"nowhere\"]"));
    let answer = application.ask(&["run", "--log-format", "json"]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    let event: Value = serde_json::from_str(&answer.err).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert!(event["why"].as_str().is_some_and(|why| why.contains("which is not declared")), "{answer:?}");
    assert_eq!(application.ask(&["run", "--log-format", "xml"]).code, Some(2));
}
