//! A broker in a process of its own is killed (SIGKILL) while a producer commits, and started again on its folder.
//! Owns the check that what was acknowledged is there, whole, once, and that clients go on by themselves.
//! The process is the example `serve`, which cargo builds before tests.

#[path = "support/clients.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::*;

fn serve(folder: &Path, port: u16) -> (Child, String) {
    let mut path: PathBuf = std::env::current_exe().expect("a test has a path");
    path.pop(); // deps
    path.pop();
    let mut child = Command::new(path.join("examples").join("serve"))
        .arg(folder)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the example is built");
    let mut address = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut address).expect("it prints its address");
    assert!(!address.is_empty(), "the broker did not start");
    (child, address.trim().to_owned())
}

/// Each transaction writes its number to both partitions and commits it as an offset: all three or none are there.
#[test]
fn transactions_survive_kills_whole_and_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (child, servers) = serve(folder.path(), 0);
    let port = servers.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    create_topic(&servers, "t", 2, &[]);
    let is_done = AtomicBool::new(false);
    let killer = |mut child: Child| {
        let mut kills = 0;
        let mut next = Instant::now() + Duration::from_millis(150);
        while !is_done.load(Ordering::Acquire) {
            if Instant::now() < next {
                thread::park_timeout(Duration::from_millis(5));
                continue;
            }
            child.kill().expect("killed");
            child.wait().expect("gone");
            kills += 1;
            child = serve(folder.path(), port).0;
            next = Instant::now() + Duration::from_millis(150 + 37 * kills % 200);
        }
        (child, kills)
    };
    let (mut child, kills, committed_last) = thread::scope(|scope| {
        let killing = scope.spawn(|| killer(child));
        let committed_last = commit_numbers(&servers, Duration::from_secs(6));
        is_done.store(true, Ordering::Release);
        let (child, kills) = killing.join().expect("the killer ends");
        (child, kills, committed_last)
    });
    assert!(kills >= 5, "only {kills} kills");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in read_all(&servers, "t", 2, "read_committed") {
        *counts.entry(value).or_default() += 1;
    }
    assert_eq!(counts.len(), committed_last as usize, "every committed number is there, and no other");
    assert!(counts.values().all(|count| *count == 2), "each number is in both partitions, once");
    let (offset, _) = committed(&servers, "g", "t", "read_committed", 10 * SECOND).expect("an offset");
    assert_eq!(offset, Offset::Offset(committed_last));
    child.kill().expect("killed");
    child.wait().expect("gone");
}

/// Commits 1, 2, 3, … for a while; returns the last number. A failed transaction is tried again under the same number
/// unless the committed offset says that it went through.
fn commit_numbers(servers: &str, time: Duration) -> i64 {
    let end = Instant::now() + time;
    let mut producer = transactional(servers, "tx");
    let mut number = 1;
    loop {
        if commit_number(servers, &producer, number).is_err() {
            drop(producer);
            producer = transactional(servers, "tx");
            let mut found = None;
            wait_until("the committed offset", || {
                found = committed(servers, "g", "t", "read_committed", SECOND).ok();
                found.is_some()
            });
            if found.expect("just found").0 != Offset::Offset(number) {
                continue;
            }
        }
        if Instant::now() > end {
            return number;
        }
        number += 1;
    }
}

fn commit_number(
    servers: &str,
    producer: &rdkafka::producer::BaseProducer,
    number: i64,
) -> Result<(), rdkafka::error::KafkaError> {
    producer.begin_transaction()?;
    let value = number.to_string();
    for partition in 0..2 {
        let record = BaseRecord::<(), _>::to("t").payload(&value).partition(partition);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(10 * SECOND)?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("t", 0, Offset::Offset(number))?;
    let consumer: rdkafka::consumer::BaseConsumer = client(servers).set("group.id", "g").create()?;
    let metadata = consumer.group_metadata().expect("a group id gives metadata");
    producer.send_offsets_to_transaction(&offsets, &metadata, 10 * SECOND)?;
    producer.commit_transaction(10 * SECOND)
}
