//! Versions change while records flow, on both brokers: every record is made by one version, none is lost, none doubled,
//! and state goes on. Bad versions are refused, or taken back by themselves. The host runs in this process.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use wasmill::config::{Overrides, read_manifest};
use wasmill::kafka::{Feed, Tail, TopicRecord};
use wasmill::run::{Deploy, Host, Refusal};
use wasmill::wasm::compile::child_main;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::stamp;
use wasmill_tests::until::until;
use wasmill_tests::wasmill::guest;

const PARTITIONS: i32 = 4;
const KEYS: usize = 100;
const SWAPS: u64 = 100;

/// Records sent while versions change: bounds the run, not the load.
const RECORDS_MAX: usize = 2_000_000;

const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    // The host compiles components in a child process of its own program, which here is this suite.
    if let Some(code) = child_main(std::env::args_os()) {
        return code;
    }
    let trials = [BrokerKind::Embedded, BrokerKind::Kafka].into_iter().flat_map(|kind| {
        let trial = |name: &str, check: fn(BrokerKind) -> Result<(), Failed>| {
            Trial::test(format!("{kind}::{name}"), move || check(kind))
        };
        [trial("swap_under_load", swap_under_load), trial("a_version_that_fails_is_taken_back", bad_versions)]
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn swap_under_load(kind: BrokerKind) -> Result<(), Failed> {
    let broker = Broker::start(kind)?;
    let host = start(&broker)?;
    let kafka = properties(&broker);
    let is_done = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let feeder = scope.spawn(|| feed_until(&kafka, &is_done));
        for tag in 2..=SWAPS + 1 {
            let deploy = Deploy { settings: Some(serde_json::json!({ "tag": tag.to_string() })), ..Deploy::default() };
            let (number, _) = host.operator().deploy("stamp", deploy).expect("a good version is taken");
            assert_eq!(number, tag);
            host.operator().await_rollout("stamp", number).expect("a good version is rolled out");
        }
        is_done.store(true, Ordering::Relaxed);
        feeder.join().expect("the feeder does not panic")
    });
    await_committed(&host, sent);
    let adoptions: u64 = host.statuses().iter().map(|(_, _, s)| s.counters.adoptions).sum();
    let revision = host.statuses().first().map(|(_, _, s)| s.revision);
    host.stop()?;
    assert_eq!((adoptions, revision), (SWAPS, Some(2 + 2 * SWAPS)));
    let tail = Tail::new(&kafka)?;
    let outputs = tail.read_all("out")?;
    let cutovers = tail.read_all("__wasmill_swap_cutovers")?;
    check_outputs(&outputs, sent);
    check_versions(&outputs, &cutovers);
    Ok(())
}

fn start(broker: &Broker) -> anyhow::Result<Host> {
    let manifest = broker.folder().join("wasmill.toml");
    let kafka = format!("[kafka]\n\"bootstrap.servers\" = \"{}\"\n", broker.address());
    let text = stamp::manifest("swap", &guest("guest-stamp"), PARTITIONS, "") + &kafka;
    std::fs::write(&manifest, text)?;
    let data = Some(broker.folder().join("host"));
    Ok(Host::start(&read_manifest(&manifest, &Overrides { data, ..Overrides::default() })?)?)
}

fn properties(broker: &Broker) -> BTreeMap<String, String> {
    BTreeMap::from([("bootstrap.servers".to_owned(), broker.address())])
}

fn feed_until(kafka: &BTreeMap<String, String>, is_done: &AtomicBool) -> usize {
    let mut feed = Feed::new(kafka).expect("a producer");
    let mut sent = 0;
    while !is_done.load(Ordering::Relaxed) && sent < RECORDS_MAX {
        send(&mut feed, sent, "");
        sent += 1;
    }
    feed.flush().expect("everything is delivered");
    sent
}

fn send(feed: &mut Feed, number: usize, note: &str) {
    let (key, value) = (format!("key-{}", number % KEYS), format!("{number}{note}"));
    feed.send("in", Some(key.as_bytes()), Some(value.as_bytes()), &[], None).expect("the broker takes records");
}

fn await_committed(host: &Host, sent: usize) {
    until("everything committed", PATIENCE, || {
        let statuses = host.statuses();
        let tasks = statuses.iter().flat_map(|(_, _, status)| &status.tasks);
        let committed: i64 = tasks.flat_map(|t| &t.committed).map(|next| next.0).sum();
        (committed == sent as i64).then_some(())
    });
}

/// One output: tag, count of its key, input offset, number of the record.
fn fields(record: &TopicRecord) -> (u64, u64, i64, usize) {
    let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    let parts: Vec<&str> = text.split('|').collect();
    let [tag, count, offset, number] = parts.as_slice() else { panic!("{text} is no stamped record") };
    let number = number.trim_end_matches(|c: char| !c.is_ascii_digit());
    (
        tag.parse().expect("a tag"),
        count.parse().expect("a count"),
        offset.parse().expect("an offset"),
        number.parse().expect("a number"),
    )
}

/// Every record once, in the order of its partition, and counted without a gap.
fn check_outputs(outputs: &[TopicRecord], sent: usize) {
    assert_eq!(outputs.len(), sent, "0 lost, 0 doubled");
    let mut next_offsets = BTreeMap::<i32, i64>::new();
    for record in outputs {
        let (_, count, offset, number) = fields(record);
        let next = next_offsets.entry(record.partition).or_default();
        assert_eq!(offset, *next, "partition {}", record.partition);
        *next += 1;
        assert_eq!(count, (number / KEYS) as u64 + 1, "record {number}: state goes on across versions");
    }
}

/// Each record was made by the version that the cutovers name for its offset.
fn check_versions(outputs: &[TopicRecord], cutovers: &[TopicRecord]) {
    let mut owners = BTreeMap::<i64, BTreeMap<i64, (u64, u64)>>::new();
    for record in cutovers {
        let cutover: serde_json::Value =
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("a cutover is JSON");
        let number = |name: &str| cutover[name].as_i64().expect("a number");
        let owner = owners.entry(number("partition")).or_default().entry(number("offset")).or_default();
        // Of two that begin at one offset, the later one made something there.
        *owner = (*owner).max((number("sequence") as u64, number("version") as u64));
    }
    let mut versions = std::collections::BTreeSet::new();
    for record in outputs {
        let (tag, _, offset, _) = fields(record);
        let owner = owners[&i64::from(record.partition)].range(..=offset).next_back().map(|(_, (_, version))| *version);
        assert_eq!(Some(tag), owner, "partition {} offset {offset}", record.partition);
        versions.insert(tag);
    }
    assert!(versions.len() > 10, "only {} versions made something: too little load", versions.len());
}

fn bad_versions(kind: BrokerKind) -> Result<(), Failed> {
    let broker = Broker::start(kind)?;
    let host = start(&broker)?;
    let operator = host.operator();
    let deploy = |settings: serde_json::Value, base: Option<u64>| {
        operator.deploy("stamp", Deploy { settings: Some(settings), base, ..Deploy::default() })
    };
    let mut feed = Feed::new(&properties(&broker))?;
    (0..200).for_each(|i| send(&mut feed, i, ""));
    feed.flush()?;
    await_committed(&host, 200);

    let refused =
        deploy(serde_json::json!({ "tag": "2", "refusal": "not today" }), None).expect_err("it does not open");
    assert!(refused.to_string().contains("not today"), "{refused}");

    let stale = deploy(serde_json::json!({ "tag": "3" }), Some(1)).expect_err("based on an old revision");
    assert!(matches!(stale, Refusal::Conflict { current: 2, .. }), "{stale:?}");
    let unknown = operator.deploy("other", Deploy::default()).expect_err("no such processor");
    assert_eq!(unknown, Refusal::UnknownProcessor("other".into()));
    let garbage = Deploy { component: Some(b"hello".to_vec()), ..Deploy::default() };
    let unfit = operator.deploy("stamp", garbage).expect_err("no component");
    assert!(unfit.to_string().contains("not a WebAssembly file but text"), "{unfit}");

    // The record's fault, under both versions: a dead letter, and the new version stays.
    let (number, _) = deploy(serde_json::json!({ "tag": "2", "fails_on": "x" }), None)?;
    operator.await_rollout("stamp", number)?;
    // The version's fault: the one before passes the record.
    (200..400).for_each(|i| send(&mut feed, i, if i == 300 { "x" } else { "" }));
    feed.flush()?;
    await_committed(&host, 400);
    let overview = host.overview();
    let overview = overview
        .wait(PATIENCE, |o| o.catalog.deployment("stamp").and_then(|d| d.active).is_some_and(|a| a.number == 1))
        .ok_or("no rollback")?;
    let events = &overview.catalog.deployment("stamp").ok_or("deployed")?.events;
    let last = events.last().ok_or("an event")?;
    assert!(last.text.starts_with("rolled back from version 2 to 1, by itself: partition"), "{last:?}");
    host.stop()?;
    let tail = Tail::new(&properties(&broker))?;
    check_outputs(&tail.read_all("out")?, 400);
    assert_eq!(tail.read_all("swap.stamp.dlq")?, [], "what the version before passes is no dead letter");
    Ok(())
}
