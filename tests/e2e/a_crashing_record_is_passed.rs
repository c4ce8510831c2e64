//! A record that kills the host does not kill it for ever: after the third stop at it, it becomes a dead letter, and what
//! stands around it is processed once, in order.

use std::path::Path;
use std::process::Command;

use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::producer::Producer;
use wasmill_tests::reader::{Isolation, read, values};
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::build;

/// The first stop finds nobody taking notes; the three after it are at a noted record.
const STOPS: usize = 4;

const RECORDS: usize = 3_000;
const CRASH_AT: usize = 2_000;

#[test]
fn the_third_noted_stop_at_a_record_makes_it_a_dead_letter() {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let admin = Admin::new(&broker);
    let (input, output) = (admin.topic("in", 1, &[]), admin.topic("out", 1, &[]));
    let letters = format!("{input}.copy.dlq");
    admin.create(&letters, 1, &[]).expect("a topic is made");
    let producer = Producer::new(&broker, &[("linger.ms", "20")]);
    let value = |i: usize| if i == CRASH_AT { "crash".to_owned() } else { i.to_string() };
    (0..RECORDS).for_each(|i| producer.put(&input, 0, "k", &value(i)));
    producer.places();
    let notes = broker.folder().join("notes/copy.0");
    let mut stops = 0;
    let (letter, mut host) = loop {
        let mut host = start(&broker, &input, &output, &notes);
        let letter = until("the host dies, or the dead letter is there", LONG, || {
            match read(&broker, &letters, 0, Isolation::Committed).into_iter().next() {
                None if host.has_ended() => Some(None),
                None => None,
                letter => Some(letter),
            }
        });
        if let Some(letter) = letter {
            break (letter, host);
        }
        stops += 1;
        assert!(stops <= STOPS, "it dies again and again:\n{}", host.last_words());
    };
    assert_eq!(stops, STOPS);
    let header = |name: &str| {
        let found = letter.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.clone());
        String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()
    };
    assert_eq!((letter.text(), header("__wasmill.errors.kind")), ("crash".into(), "host-crash".into()));
    assert_eq!(header("__wasmill.errors.attempts"), "3");
    assert_eq!(header("__wasmill.errors.position"), format!("{input}/0@{CRASH_AT}"));
    let expected: Vec<String> = (0..RECORDS).filter(|i| *i != CRASH_AT).map(value).collect();
    let found = until("all others are copied", LONG, || {
        assert!(!host.has_ended(), "the host ended:\n{}", host.last_words());
        Some(values(&broker, &output, 0, Isolation::Committed)).filter(|v| v.len() >= expected.len())
    });
    assert!(found == expected, "{} records, first difference at {:?}", found.len(), {
        found.iter().zip(&expected).position(|(f, e)| f != e)
    });
}

fn start(broker: &Broker, input: &str, output: &str, notes: &Path) -> Child {
    let mut command = Command::new(build().join("copy_host"));
    command.args([&broker.address(), input, "host", input, output]).arg(notes);
    Child::start(command, broker.folder().join("host.log")).expect("a host starts")
}
