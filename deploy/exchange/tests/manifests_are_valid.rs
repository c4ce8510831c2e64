//! The manifests beside this crate: no problems, and the names that the model and the flow use.

use std::path::Path;

use exchange::topics;
use wasmill::config::{Overrides, read_manifest};
use wasmill::topology::Topology;

fn manifest(name: &str) -> Topology {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    read_manifest(&path, &Overrides::default()).unwrap_or_else(|error| panic!("{error}")).topology
}

#[test]
fn the_exchange_declares_what_the_model_looks_at() {
    let topology = manifest("wasmill.toml");
    assert_eq!(topology.application, topics::APPLICATION);
    let mut names: Vec<_> = topology.topics.keys().cloned().collect();
    names.extend(topology.processors.iter().map(|processor| topology.dead_letters(processor)));
    names.sort();
    let mut expected = topics::all();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn history_is_never_compacted_and_accounts_are_together() {
    let topology = manifest("wasmill.toml");
    let policy = |topic: &str| topology.topics[topic].settings.get("cleanup.policy").map(String::as_str);
    for topic in [topics::TRANSACTION_REQUEST, topics::TRANSACTION_SUCCESS, topics::TRANSACTION_FAILED] {
        assert_ne!(policy(topic), Some("compact"), "{topic}");
    }
    for topic in [topics::ACCOUNT, topics::EXCHANGE_RATE, topics::WALLET] {
        assert_eq!(policy(topic), Some("compact"), "{topic}");
    }
    let by_account = [
        topics::ACCOUNT_REQUEST,
        topics::ACCOUNT,
        topics::TRANSACTION_REQUEST,
        topics::TRANSACTION_SUCCESS,
        topics::TRANSACTION_FAILED,
        topics::WALLET,
    ];
    let counts: Vec<_> = by_account.iter().map(|topic| topology.topics[*topic].partitions).collect();
    assert_eq!(counts, [4; 6]);
}

#[test]
fn the_small_application_only_looks_for_fraud() {
    let topology = manifest("fraud.toml");
    let names: Vec<_> = topology.processors.iter().map(|processor| processor.name.as_str()).collect();
    assert_eq!((topology.application.as_str(), names), ("fraud", vec!["fraud"]));
}
