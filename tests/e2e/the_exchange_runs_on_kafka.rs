//! `make demo KAFKA=host:port` on an Apache Kafka of our own, and what it says where there is no broker.

use std::process::{Command, Output};

use wasmill_tests::brokers::{Broker, BrokerKind, built};

/// Runs the demonstration from the repository's root, as `make demo` does.
fn demo(broker: &str, words: &[&str]) -> Output {
    let mut command = Command::new(built("exchange").expect("the workspace is built"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(["run", "--broker", broker]).args(words).output().expect("the exchange starts")
}

#[test]
fn every_invariant_holds_and_the_exit_code_says_so() {
    let broker = Broker::start(BrokerKind::Kafka).expect("the broker starts");
    let ended = demo(&broker.address(), &["--records", "20000"]);
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}\n{out}\n{err}", ended.status);
    assert!(out.contains("\n0 lost, 0 doubled, money conserved, 0 violations"), "{out}");
    assert!(out.contains("  done  "), "it has come to its end: {out}");
    assert!(!out.contains('\u{1b}'), "no terminal, so plain lines: {out}");
}

#[test]
fn without_a_broker_it_fails_and_says_what_to_do() {
    let ended = demo("127.0.0.1:9", &[]);
    let err = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{err}");
    assert!(err.contains("127.0.0.1:9"), "{err}");
}
