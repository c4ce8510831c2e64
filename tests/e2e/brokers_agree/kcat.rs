//! kcat, an older librdkafka in another program, can look in.

use std::io::Write;
use std::process::{Command, Stdio};

use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;

use crate::check::{Check, tool};

pub const CHECKS: &[Check] = &[
    tool("kcat_lists_topics", "kcat", kcat_lists_topics),
    tool("kcat_produces_and_consumes", "kcat", kcat_produces_and_consumes),
    tool("kcat_joins_a_group", "kcat", kcat_joins_a_group),
    tool("kcat_asks_for_offsets_by_time", "kcat", kcat_asks_for_offsets_by_time),
];

fn kcat(broker: &Broker, words: &[&str], input: &str) -> String {
    // Some of its ways to wait have no end.
    let mut command = Command::new("timeout");
    command.args(["60", "kcat", "-b", &broker.address()]).args(words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat was found before");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("kcat reads");
    let output = child.wait_with_output().expect("kcat can be waited for");
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(60).collect();
    assert!(output.status.success(), "kcat {words:?}: {}, newest line first\n{}", output.status, last.join("\n"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kcat_lists_topics(broker: &Broker) {
    let topic = Admin::new(broker).topic("kcat", 3, &[]);
    let listing = kcat(broker, &["-L"], "");
    assert!(listing.contains(&format!("topic \"{topic}\" with 3 partitions")), "{listing}");
    assert!(listing.contains(&broker.address()), "{listing}");
}

fn kcat_produces_and_consumes(broker: &Broker) {
    let topic = Admin::new(broker).topic("kcat", 1, &[]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        kcat(broker, &["-P", "-t", &topic, "-K", ":", "-z", codec, "-H", "h=1"], &format!("a:{codec}\nb:{codec}\n"));
    }
    let read = kcat(broker, &["-C", "-t", &topic, "-e", "-q", "-f", "%o %k %s %h\\n"], "");
    let expected: Vec<String> = ["none", "gzip", "snappy", "lz4", "zstd"]
        .iter()
        .flat_map(|codec| [("a", codec), ("b", codec)])
        .enumerate()
        .map(|(at, (key, codec))| format!("{at} {key} {codec} h=1"))
        .collect();
    assert_eq!(read.lines().collect::<Vec<_>>(), expected);
}

fn kcat_joins_a_group(broker: &Broker) {
    let topic = Admin::new(broker).topic("kcat", 2, &[]);
    kcat(broker, &["-P", "-t", &topic, "-p", "1"], "x\ny\n");
    let group = fresh("kcat-group");
    let words = [
        "-G",
        &group,
        &topic,
        "-e",
        "-q",
        "-X",
        "auto.offset.reset=earliest",
        "-X",
        "debug=cgrp,metadata,topic,broker,protocol",
    ];
    assert_eq!(kcat(broker, &words, ""), "x\ny\n");
}

fn kcat_asks_for_offsets_by_time(broker: &Broker) {
    let topic = Admin::new(broker).topic("kcat", 1, &[]);
    kcat(broker, &["-P", "-t", &topic], "x\ny\n");
    for (time, expected) in [("-1", "2"), ("-2", "0"), ("1000", "0")] {
        let answer = kcat(broker, &["-Q", "-t", &format!("{topic}:0:{time}")], "");
        assert_eq!(answer.trim(), format!("{topic} [0] offset {expected}"));
    }
}
