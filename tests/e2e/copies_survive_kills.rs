//! A copied topic survives kill -9 of its host: every record once, in order, on both brokers.
//! Owns a broker per kind; the host is a child process that is killed at moments that depend on its own progress.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::member::Member;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::reader::{Isolation, values};
use wasmill_tests::until::until;

const PARTITIONS: i32 = 4;
const RECORDS_PER_PARTITION: usize = 30_000;

/// Kills, spread evenly over the records.
const KILLS: i64 = 4;

/// Two take-overs with their transaction time-outs, on a machine that builds something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let trial = |kind: BrokerKind| {
        Trial::test(format!("{kind}::a_copied_topic_survives_kills_of_its_host"), move || survive(kind))
    };
    let trials = [BrokerKind::Embedded, BrokerKind::Kafka].map(trial);
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

fn survive(kind: BrokerKind) -> Result<(), Failed> {
    let broker = Broker::start(kind)?;
    let admin = Admin::new(&broker);
    let input = admin.topic("in", PARTITIONS, &[]);
    let output = admin.topic("out", PARTITIONS, &[]);
    fill(&broker, &input);
    let total = i64::from(PARTITIONS) * RECORDS_PER_PARTITION as i64;
    let group = format!("{input}.copy");
    let asker = Member::outside(&broker, &group, &[]);
    let progress = || -> i64 {
        let next =
            |p| asker.committed(&input, p, Duration::from_millis(500)).ok().flatten().map_or(0, |(next, _)| next);
        (0..PARTITIONS).map(next).sum()
    };
    let mut kills = 0;
    for kill in 1..=KILLS {
        let mut host = start(&broker, &input, &output)?;
        let goal = total * kill / (KILLS + 1);
        let reached = until(&format!("{goal} records committed"), PATIENCE, || {
            assert!(!host.has_ended(), "the host ended by itself:\n{}", host.last_words());
            Some(progress()).filter(|at| *at >= goal)
        });
        host.kill();
        kills += i32::from(reached < total);
    }
    assert!(kills > 0, "no kill fell before the end: give it more records");
    let mut host = start(&broker, &input, &output)?;
    until("everything committed", PATIENCE, || {
        assert!(!host.has_ended(), "the host ended by itself:\n{}", host.last_words());
        Some(()).filter(|()| progress() >= total)
    });
    host.kill();
    for partition in 0..PARTITIONS {
        let expected = values(&broker, &input, partition, Isolation::Committed);
        let found = values(&broker, &output, partition, Isolation::Committed);
        assert_eq!(expected.len(), RECORDS_PER_PARTITION);
        if found != expected {
            let at = found.iter().zip(&expected).position(|(f, e)| f != e);
            let (found, expected) = (found.len(), expected.len());
            return Err(format!("partition {partition}: {found} of {expected}, first difference at {at:?}").into());
        }
    }
    Ok(())
}

/// Keys are chosen so that Java's partitioner sends them where they are read: the copy keeps partitions.
fn fill(broker: &Broker, input: &str) {
    let producer = Producer::new(broker, &[("linger.ms", "20"), ("queue.buffering.max.messages", "1000000")]);
    for partition in 0..PARTITIONS {
        let keys = (0..).map(|i| format!("key-{i}"));
        let here = |key: &String| wasmill::record::partition_of(key.as_bytes(), PARTITIONS).0 == partition;
        let keys: Vec<String> = keys.filter(here).take(100).collect();
        for i in 0..RECORDS_PER_PARTITION {
            let value = format!("value {i} of {partition}");
            let key = keys[i % keys.len()].as_bytes();
            producer.send(&Sent {
                topic: input,
                partition: Some(partition),
                key: Some(key),
                value: Some(value.as_bytes()),
                ..Sent::default()
            });
        }
    }
    producer.delivered().into_iter().for_each(|d| {
        d.expect("every record is delivered");
    });
}

fn start(broker: &Broker, input: &str, output: &str) -> anyhow::Result<Child> {
    let suite = std::env::current_exe()?;
    let build: PathBuf = suite.ancestors().nth(2).expect("a suite lies in target/<profile>/deps").into();
    let mut command = Command::new(build.join("copy_host"));
    command.args([&broker.address(), input, "host", input, output]);
    Child::start(command, broker.folder().join("host.log"))
}
