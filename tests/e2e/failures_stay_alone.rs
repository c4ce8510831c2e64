//! Whatever a component does wrong stays its own: one row per behaviour in one host process on one broker. The bad record
//! becomes the dead letter that it should, the good ones keep their order, the host lives on, and the neighbour's records
//! keep flowing.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use wasmill::clock::{Clock, SystemClock};
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::member::Member;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::reader::{Isolation, Seen, read, values};
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, guest, records, texts};

/// The neighbour's records take at most this long while two dozen components misbehave, on two cores that may have other
/// work. Undisturbed they take some 50 ms; one endless loop uses 300 ms of CPU time per try.
const NEIGHBOUR_LAG_MAX: Duration = Duration::from_secs(20);

/// Probes right behind the bad records, while all of them are being taken apart.
const PROBES_AT_ONCE: usize = 5;

/// One behaviour and what must come of it.
struct Row {
    name: &'static str,
    guest: &'static str,
    values: [&'static str; 4],
    outputs: Vec<&'static str>,
    /// Value and kind of each dead letter.
    letters: Vec<(&'static str, &'static str)>,
}

/// The bad record is `bad`; all others pass.
fn row(name: &'static str, kind: &'static str) -> Row {
    let (values, outputs) = (["a", "bad", "b", "c"], vec!["a", "b", "c"]);
    Row { name, guest: "guest-misbehave", values, outputs, letters: vec![("bad", kind)] }
}

/// Nothing becomes a dead letter.
fn harmless(name: &'static str, outputs: &[&'static str]) -> Row {
    Row { outputs: outputs.to_vec(), letters: Vec::new(), ..row(name, "") }
}

/// Components that no compiler would produce: they fail on every call, and are found out before any record.
const HOPELESS: [&str; 3] = ["wat-list-outside", "wat-list-endless", "wat-bad-discriminant"];

/// The version that runs goes on.
fn hopeless_components_are_refused(application: &Application) {
    for name in HOPELESS {
        let refused = application.ask(&["deploy", "neighbour", &guest(name), "--settings", "{}"]);
        assert_eq!(refused.code, Some(1), "{name}: {refused:?}");
        assert!(refused.err.contains("fails on a batch without records"), "{name}: {refused:?}");
    }
}

fn rows() -> Vec<Row> {
    let sums = Row { values: ["1", "bad", "2", "3"], outputs: vec!["1", "3", "6"], ..row("remember-and-trap", "trap") };
    vec![
        row("trap", "trap"),
        row("loop", "timeout"),
        row("eat-memory", "memory"),
        row("recurse", "trap"),
        row("flood-output", "memory"),
        row("flood-state", "contract"),
        row("undeclared-output", "contract"),
        row("undeclared-store", "contract"),
        row("broken-frames", "contract"),
        row("huge-key", "contract"),
        row("empty-key", "contract"),
        row("huge-output", "too-large"),
        row("fail", "failure:malformed"),
        row("fail-somewhere", "failure:malformed"),
        row("lie-beyond", "failure:malformed"),
        Row { values: ["a", "b", "bad", "c"], ..row("lie-first", "failure:malformed") },
        row("shout", "trap"),
        row("exit", "trap"),
        sums,
        harmless("flood-log", &["a", "b", "c"]),
        harmless("fail-in-company", &["a", "bad", "b", "c"]),
        harmless("wear-out", &["a", "bad", "b", "c"]),
    ]
}

fn section(name: &str, guest_name: &str, behaviour: &str, more: &str) -> String {
    let component = guest(guest_name);
    let is_ours = guest_name == "guest-misbehave";
    let settings = if is_ours { format!("settings = {{ behaviour = \"{behaviour}\" }}") } else { String::new() };
    format!(
        "
[topics.in-{name}]
partitions = 2
[topics.out-{name}]
partitions = 2
[processors.{name}]
component = \"{component}\"
inputs = [\"in-{name}\"]
outputs = [\"out-{name}\"]
{settings}
{more}
[processors.{name}.stores.totals]
[processors.{name}.limits]
memory-mib = 32
call-ms = 300
record-us = 0
log-lines = 100
"
    )
}

fn manifest() -> String {
    let mut text = "application = \"alone\"\n".to_owned();
    rows().iter().for_each(|r| text.push_str(&section(r.name, r.guest, r.name, "")));
    text.push_str(&section("neighbour", "guest-misbehave", "none", ""));
    let retry = "on-error = \"retry\"\nretry-times = 2\nretry-backoff-ms = 1000";
    text.push_str(&section("retry", "guest-misbehave", "fail", retry));
    text.push_str(&section("halt", "guest-misbehave", "fail", "on-error = \"halt\""));
    text
}

/// A key that Java's partitioner sends to this partition of two.
fn key(partition: i32) -> String {
    let mut keys = (0..).map(|i| format!("k{i}"));
    keys.find(|k| wasmill::record::partition_of(k.as_bytes(), 2).0 == partition).expect("half of all keys")
}

/// A minute ago: telling, and not so old that retention removes it.
static TIMESTAMP_MS: LazyLock<i64> = LazyLock::new(|| SystemClock::new().wall_ms() - 60_000);

fn send(producer: &Producer, topic: &str, partition: i32, values: &[&str]) {
    let key = key(partition);
    for value in values {
        producer.send(&Sent {
            topic,
            partition: Some(partition),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[("mine", Some(b"kept"))],
            timestamp_ms: Some(*TIMESTAMP_MS),
        });
    }
    producer.places();
}

struct Stage {
    broker: Broker,
    producer: Producer,
    host: Child,
    pid: u32,
    probes: usize,
    slowest: Duration,
}

impl Stage {
    /// A record of the neighbour's must come out in time, whatever the others do.
    fn probe(&mut self) {
        self.probes += 1;
        let text = format!("probe {}", self.probes);
        let start = Instant::now();
        send(&self.producer, "in-neighbour", 0, &[&text]);
        let found = texts(&self.broker, &mut self.host, "out-neighbour", 0, self.probes);
        assert_eq!(found.last(), Some(&text));
        self.slowest = self.slowest.max(start.elapsed());
        assert!(self.slowest < NEIGHBOUR_LAG_MAX, "the neighbour's record took {:?}", start.elapsed());
        assert!(!self.host.has_ended() && self.host.pid() == self.pid, "the host died:\n{}", self.host.last_words());
    }

    /// Waits for what must come of a row, probing the neighbour meanwhile.
    fn await_row(&mut self, row: &Row) {
        let (out, letters) = (format!("out-{}", row.name), format!("alone.{}.dlq", row.name));
        let start = Instant::now();
        loop {
            let outputs = values(&self.broker, &out, 0, Isolation::Committed);
            let found = read(&self.broker, &letters, 0, Isolation::Committed);
            if outputs.len() >= row.outputs.len() && found.len() >= row.letters.len() {
                assert_eq!(outputs, row.outputs, "{}", row.name);
                return check_letters(row, &found);
            }
            let words = || self.host.last_words();
            assert!(start.elapsed() < LONG, "{}: {outputs:?}, {} letters\n{}", row.name, found.len(), words());
            self.probe();
        }
    }
}

fn check_letters(row: &Row, found: &[Seen]) {
    let expected: Vec<(String, String)> = row.letters.iter().map(|(v, k)| ((*v).into(), (*k).into())).collect();
    let told: Vec<(String, String)> = found.iter().map(|l| (l.text(), header(l, "__wasmill.errors.kind"))).collect();
    assert_eq!(told, expected, "{}", row.name);
    for letter in found {
        let offset = row.values.iter().position(|v| *v == letter.text()).expect("a value that was sent");
        let (name, input) = (row.name, format!("in-{}", row.name));
        let told = |name: &str| header(letter, name);
        assert_eq!((letter.key_text(), letter.timestamp.to_millis()), (key(0), Some(*TIMESTAMP_MS)), "{name}");
        assert_eq!(told("mine"), "kept", "{name}");
        assert_eq!(told("__streams.errors.exception"), told("__wasmill.errors.kind"), "{name}");
        assert_eq!(told("__streams.errors.message"), told("__wasmill.errors.message"), "{name}");
        assert_eq!((told("__streams.errors.topic"), told("__streams.errors.partition")), (input.clone(), "0".into()));
        assert_eq!(told("__streams.errors.offset"), offset.to_string(), "{name}");
        assert_eq!(told("__wasmill.errors.position"), format!("{input}/0@{offset}"), "{name}");
        assert_eq!(told("__wasmill.errors.processor"), format!("alone.{name}"));
        assert!(!told("__wasmill.errors.message").is_empty(), "{name}");
        assert_eq!(told("__wasmill.errors.digest").len(), 64, "{name}");
    }
}

fn header(seen: &Seen, name: &str) -> String {
    let found = seen.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.clone());
    String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()
}

#[test]
fn each_failure_stays_its_processor_s_own() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &manifest());
    let host = application.run();
    let (pid, producer) = (host.pid(), Producer::new(&broker, &[]));
    let mut stage = Stage { broker, producer, host, pid, probes: 0, slowest: Duration::ZERO };
    let admin = Admin::new(&stage.broker);
    until("all topics are made", LONG, || {
        assert!(!stage.host.has_ended(), "the host ended:\n{}", stage.host.last_words());
        admin.topics().contains(&"in-wear-out".to_owned()).then_some(())
    });
    // How long a start takes is not the question here.
    send(&stage.producer, "in-neighbour", 0, &["first"]);
    records(&stage.broker, &mut stage.host, "out-neighbour", 0, 1);
    stage.probes = 1;
    stage.probe();
    // The first record alone, so that the bad one meets an instance that has worked before.
    for row in rows() {
        send(&stage.producer, &format!("in-{}", row.name), 0, &row.values[..1]);
    }
    for row in rows() {
        let topic =
            if row.outputs.is_empty() { format!("alone.{}.dlq", row.name) } else { format!("out-{}", row.name) };
        records(&stage.broker, &mut stage.host, &topic, 0, 1);
    }
    for row in rows() {
        send(&stage.producer, &format!("in-{}", row.name), 0, &row.values[1..]);
    }
    (0..PROBES_AT_ONCE).for_each(|_| stage.probe());
    rows().iter().for_each(|row| stage.await_row(row));
    hopeless_components_are_refused(&application);
    stage.probe();
    let log = application.log();
    assert!(log.contains("more lines were dropped"), "the flooded log was not cut");
    retries_leave_other_partitions_alone(&mut stage);
    halts_keep_everything(&mut stage, &application);
    println!("{} probes, the slowest took {:?}", stage.probes, stage.slowest);
}

fn retries_leave_other_partitions_alone(stage: &mut Stage) {
    let start = Instant::now();
    send(&stage.producer, "in-retry", 0, &["a", "bad", "b"]);
    send(&stage.producer, "in-retry", 1, &["x"]);
    let mut other_came_first = false;
    let letter = until("the retried record's dead letter", LONG, || {
        let letters = read(&stage.broker, "alone.retry.dlq", 0, Isolation::Committed);
        let other = values(&stage.broker, "out-retry", 1, Isolation::Committed);
        other_came_first |= letters.is_empty() && other == ["x"];
        letters.into_iter().next()
    });
    // Two retries, after one second and after two more.
    assert!(start.elapsed() >= Duration::from_secs(3), "given up after {:?}", start.elapsed());
    assert!(other_came_first, "the other partition waited");
    assert_eq!((letter.text(), header(&letter, "__wasmill.errors.kind")), ("bad".into(), "failure:malformed".into()));
    assert_eq!(texts(&stage.broker, &mut stage.host, "out-retry", 0, 2), ["a", "b"]);
    stage.probe();
}

fn halts_keep_everything(stage: &mut Stage, application: &Application) {
    send(&stage.producer, "in-halt", 0, &["a", "bad", "b"]);
    let command = "`wasmill offsets accept halt --partition 0 --input in-halt --to 2`";
    until("the halt is told, with the command", LONG, || application.log().contains(command).then_some(()));
    let asker = Member::outside(&stage.broker, "alone.halt", &[]);
    let next = || asker.committed("in-halt", 0, Duration::from_secs(5)).expect("an answer").map(|(next, _)| next);
    until("what came before the bad record is committed", LONG, || (next() == Some(1)).then_some(()));
    stage.probe();
    assert_eq!(values(&stage.broker, "out-halt", 0, Isolation::Committed), ["a"]);
    assert_eq!(read(&stage.broker, "alone.halt.dlq", 0, Isolation::Committed), []);
    assert_eq!(next(), Some(1), "it stays before the bad record");

    let order = ["offsets", "accept", "halt", "--partition", "0", "--input", "in-halt", "--to", "2"];
    let refused = application.ask(&order);
    assert_eq!(refused.code, Some(2), "a running host must not be overruled: {refused:?}");
    assert!(refused.err.contains("stop the hosts"), "{refused:?}");
    stage.host.stop();
    until("the stopped host's place is given up and the offset taken", LONG, || {
        let answer = application.ask(&order);
        assert!(answer.code == Some(0) || answer.err.contains("members"), "{answer:?}");
        (answer.code == Some(0)).then_some(())
    });
    stage.host = application.run();
    // A halt outlives its host: it ends with an operator's word.
    application.interface(&mut stage.host, "data");
    let resumed = application.ask(&["resume", "halt"]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert_eq!(texts(&stage.broker, &mut stage.host, "out-halt", 0, 2), ["a", "b"]);
}
