//! Dead letters are listed, shown and sent again: each once, to the processor that could not process it and to no other,
//! whatever happens to the command meanwhile.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use wasmill::clock::{Clock, SystemClock};
use wasmill::kafka::{Replay, ReplayError, TopicRecord};
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::member::Member;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::reader::{Isolation, read, values};
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, guest, records, texts};

/// A minute ago: telling, and not so old that retention removes it.
static TIMESTAMP_MS: LazyLock<i64> = LazyLock::new(|| SystemClock::new().wall_ms() - 60_000);

/// Two processors read the same topic; one of them cannot process `bad`, before it is repaired.
fn manifest(behaviour: &str) -> String {
    let component = guest("guest-misbehave");
    format!(
        "
application = \"app\"
[topics.orders]
[topics.out-picky]
[topics.out-other]
[processors.picky]
component = \"{component}\"
inputs = [\"orders\"]
outputs = [\"out-picky\"]
settings = {{ behaviour = \"{behaviour}\" }}
[processors.other]
component = \"{component}\"
inputs = [\"orders\"]
outputs = [\"out-other\"]
settings = {{ behaviour = \"none\" }}
"
    )
}

fn send(broker: &Broker, topic: &str, values: &[&str]) {
    let producer = Producer::new(broker, &[]);
    for value in values {
        let (key, value, headers) = (Some(&b"k"[..]), Some(value.as_bytes()), &[("mine", Some(&b"kept"[..]))][..]);
        producer.send(&Sent { topic, partition: Some(0), key, value, headers, timestamp_ms: Some(*TIMESTAMP_MS) });
    }
    producer.places();
}

/// Waits until a group has read a topic to its end, markers of transactions included.
fn await_no_lag(broker: &Broker, host: &mut Child, group: &str, topic: &str, records: i64) {
    let asker = Member::outside(broker, group, &[]);
    until(&format!("{group} is at the end of {topic}"), LONG, || {
        assert!(!host.has_ended(), "the host ended:\n{}", host.last_words());
        let next = asker.committed(topic, 0, Duration::from_secs(5)).expect("an answer");
        next.filter(|(next, _)| *next >= records).map(drop)
    });
}

fn last_offset(broker: &Broker, topic: &str) -> i64 {
    read(broker, topic, 0, Isolation::Committed).last().map_or(0, |seen| seen.offset + 1)
}

fn sent(answer: &Value) -> usize {
    answer["sent"].as_array().expect("a list").len()
}

#[test]
fn each_is_sent_once_and_only_to_its_processor() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &manifest("fail"));
    let mut host = application.run();
    until("the topics are made", LONG, || application.log().contains("made topics").then_some(()));
    send(&broker, "orders", &["a", "bad", "b"]);
    records(&broker, &mut host, "app.picky.dlq", 0, 1);
    assert_eq!(texts(&broker, &mut host, "out-picky", 0, 2), ["a", "b"]);
    assert_eq!(texts(&broker, &mut host, "out-other", 0, 3), ["a", "bad", "b"]);

    let list = application.ask(&["dlq", "list", "picky", "--json"]).json();
    let [letter] = &list["dead_letters"].as_array().expect("a list")[..] else { panic!("{list}") };
    assert_eq!((&letter["kind"], &letter["sent_again"]), (&"failure:malformed".into(), &false.into()), "{list}");
    assert_eq!(
        (&letter["position"], &letter["timestamp_ms"]),
        (&"orders/0@1".into(), &(*TIMESTAMP_MS).into()),
        "{list}"
    );
    let shown = application.ask(&["dlq", "show", "picky", "0/0", "--json"]).json();
    assert_eq!(shown["dead_letters"][0]["value"]["text"], "bad", "{shown}");
    wrong_orders_say_what_is_wrong(&application);

    // The component is repaired; its dead letter is sent again, at the second try.
    application.interface(&mut host, "data");
    let repaired = application.ask(&["deploy", "picky", "--settings", r#"{"behaviour": "none"}"#]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let cut_off = a_run_that_is_cut_off(&broker);
    assert_eq!(sent(&application.ask(&["dlq", "replay", "picky", "0", "--json"]).json()), 1);
    assert!(matches!(cut_off.commit(), Err(ReplayError::Fenced { .. })), "the first run must not go on");
    assert_eq!(texts(&broker, &mut host, "out-picky", 0, 3), ["a", "b", "bad"]);
    let again = application.ask(&["dlq", "replay", "picky", "--all", "--json"]).json();
    assert_eq!((sent(&again), again["passed_over"].as_array().map(Vec::len)), (0, Some(1)), "{again}");
    let list = application.ask(&["dlq", "list", "picky", "--json"]).json();
    assert_eq!(list["dead_letters"][0]["sent_again"], true, "{list}");
    assert_eq!(sent(&application.ask(&["dlq", "replay", "picky", "0/0", "--again", "--json"]).json()), 1);
    let found = records(&broker, &mut host, "out-picky", 0, 4);
    let texts: Vec<String> = found.iter().map(|seen| seen.text()).collect();
    assert_eq!(texts, ["a", "b", "bad", "bad"]);
    let names: Vec<&str> = found[2].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mine"], "the address must not travel on");
    assert_eq!(found[2].timestamp.to_millis(), Some(*TIMESTAMP_MS));

    for group in ["app.picky", "app.other"] {
        await_no_lag(&broker, &mut host, group, "orders", last_offset(&broker, "orders"));
    }
    assert_eq!(
        values(&broker, "out-other", 0, Isolation::Committed),
        ["a", "bad", "b"],
        "it was not meant for this one"
    );
    foreign_readers_are_named(&broker, &application);
    host.stop();
}

/// What a run leaves that was killed before its commit: an open transaction with the record in it.
fn a_run_that_is_cut_off(broker: &Broker) -> Replay {
    let properties = [("bootstrap.servers".to_owned(), broker.address())].into();
    let replay = Replay::begin(&properties, "app.picky.dlq-replay").expect("it begins");
    let record = TopicRecord { value: Some(b"bad".to_vec()), timestamp_ms: *TIMESTAMP_MS, ..TopicRecord::default() };
    replay.send("orders", &record).expect("it is taken");
    replay
}

fn wrong_orders_say_what_is_wrong(application: &Application) {
    let cases: [(&[&str], &str); 6] = [
        (&["dlq", "list", "nobody"], "there is no processor `nobody` in the manifest; it has other, picky"),
        (&["dlq", "show", "picky", "0/7"], "app.picky.dlq holds no dead letter in 0/7"),
        (&["dlq", "show", "picky", "x"], "is not PARTITION, PARTITION/OFFSET or PARTITION/FIRST-LAST"),
        (&["dlq", "replay", "picky"], "required"),
        (&["dlq", "replay", "picky", "0", "--all"], "cannot be used with"),
        (&["offsets", "accept", "picky", "--to", "soon"], "neither `earliest` nor `latest` nor an offset"),
    ];
    for (words, expected) in cases {
        let answer = application.ask(words);
        assert_eq!(answer.code, Some(2), "{words:?}: {answer:?}");
        assert!(answer.err.contains(expected), "{words:?}: {answer:?}");
    }
}

fn foreign_readers_are_named(broker: &Broker, application: &Application) {
    Member::outside(broker, "audit", &[]).commit("orders", 0, 1, "").expect("a commit");
    let refused = application.ask(&["dlq", "replay", "picky", "0/0", "--again"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("read by audit") && refused.err.contains("--shared"), "{refused:?}");
    assert_eq!(sent(&application.ask(&["dlq", "replay", "picky", "0/0", "--again", "--shared", "--json"]).json()), 1);
}

/// The host's own broker: the command finds it through the host that runs in the data folder.
#[test]
fn the_broker_of_a_running_host_is_found() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, "");
    std::fs::write(application.folder().join("wasmill.toml"), manifest("fail")).expect("a folder of ours");
    let mut host = application.run();
    application.interface(&mut host, "data");
    let list = application.ask(&["dlq", "list", "picky"]);
    assert_eq!((list.code, list.out.as_str()), (Some(0), "picky has no dead letters\n"), "{list:?}");
    assert!(host.stop().success(), "{}", host.last_words());
    let list = application.ask(&["dlq", "list", "picky"]);
    assert_eq!((list.code, list.out.as_str()), (Some(0), "picky has no dead letters\n"), "{list:?}");
}

#[test]
fn a_letter_that_does_not_fit_keeps_all_but_its_value() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let text = manifest("fail").replace("behaviour = \"fail\"", "behaviour = \"fail\", on-length = 1000");
    // The topic of dead letters is there already, and takes less than the record and its headers.
    wasmill_tests::admin::Admin::new(&broker)
        .create("app.picky.dlq", 1, &[("max.message.bytes", "20000")])
        .expect("a topic is made");
    let application = Application::new(&broker, &text);
    let mut host = application.run();
    until("the topics are made", LONG, || application.log().contains("made topics").then_some(()));
    let large = "x".repeat(19_900);
    send(&broker, "orders", &["a", &large, "b"]);
    let letters = records(&broker, &mut host, "app.picky.dlq", 0, 1);
    assert_eq!(texts(&broker, &mut host, "out-picky", 0, 2), ["a", "b"]);
    let left_out = letters[0].headers.iter().find(|(name, _)| name == "__wasmill.errors.value-left-out");
    assert_eq!(left_out.and_then(|(_, value)| value.clone()), Some(b"19900".to_vec()), "{letters:?}");
    assert_eq!((letters[0].value.as_ref(), letters[0].key_text()), (None, "k".to_owned()));
    let answer = application.ask(&["dlq", "replay", "picky", "--all", "--json"]).json();
    assert_eq!(sent(&answer), 0, "{answer}");
    assert!(answer["passed_over"][0]["why"].as_str().is_some_and(|why| why.contains("orders/0@1")), "{answer}");
    host.stop();
}
