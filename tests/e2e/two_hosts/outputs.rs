//! What came out, against what was sent and what the cutovers say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wasmill_tests::brokers::Broker;
use wasmill_tests::reader::{Isolation, Seen, read};

use crate::stage::{KEYS, PARTITIONS};

/// A cutover: where it begins, in the order of commits.
type Cutovers = BTreeMap<(i64, u64), (u64, u64)>;

/// Every record made something once, in order, by the version that the cutovers name; no partition went back.
pub fn check(broker: &Broker, sent: usize, versions: usize) {
    let told = cutovers(broker);
    let (mut total, mut made) = (0, BTreeSet::new());
    for partition in 0..PARTITIONS {
        let cutovers = &told[&i64::from(partition)];
        never_back(partition, cutovers);
        let outputs = read(broker, "out", partition, Isolation::Committed);
        for (next, output) in outputs.iter().enumerate() {
            let (tag, count, offset, number) = fields(output);
            assert_eq!(offset, next as i64, "partition {partition}: nothing lost, nothing doubled");
            assert_eq!(count, (number / KEYS) as u64 + 1, "record {number}: state goes on across hosts and versions");
            // Versions were given tags that begin with their numbers.
            let version = owner(cutovers, offset);
            assert!(
                tag.starts_with(&version.to_string()),
                "partition {partition} offset {offset}: {tag}, not {version}"
            );
            made.insert(version);
        }
        total += outputs.len();
    }
    assert_eq!(total, sent, "0 lost, 0 doubled");
    assert_eq!(made.len(), versions, "versions {made:?} made something: too little load");
}

/// Revisions grow from each cutover to the next.
fn never_back(partition: i32, cutovers: &Cutovers) {
    let in_order: Vec<(u64, u64)> = cutovers.values().copied().collect();
    assert!(in_order.is_sorted_by_key(|(revision, _)| *revision), "partition {partition} went back: {in_order:?}");
}

/// The version that owns an offset: of two that begin at it, the later one made something there.
fn owner(cutovers: &Cutovers, offset: i64) -> u64 {
    let (_, (_, version)) = cutovers.range(..=(offset, u64::MAX)).next_back().expect("each record has an owner");
    *version
}

fn cutovers(broker: &Broker) -> BTreeMap<i64, Cutovers> {
    let mut found = BTreeMap::<i64, Cutovers>::new();
    for record in read(broker, "__wasmill_app_cutovers", 0, Isolation::Committed) {
        let cutover: Value = serde_json::from_str(&record.text()).expect("a cutover is JSON");
        let number = |name: &str| cutover[name].as_u64().expect("a number");
        let place = (number("offset") as i64, number("sequence"));
        found.entry(number("partition") as i64).or_default().insert(place, (number("revision"), number("version")));
    }
    found
}

/// One output: tag, count of its key, input offset, number of the record.
fn fields(record: &Seen) -> (String, u64, i64, usize) {
    let text = record.text();
    let parts: Vec<&str> = text.split('|').collect();
    let [tag, count, offset, number] = parts[..] else { panic!("{text} is no stamped record") };
    let parsed = (count.parse(), offset.parse(), number.parse());
    let (Ok(count), Ok(offset), Ok(number)) = parsed else { panic!("{text} is no stamped record") };
    (tag.to_owned(), count, offset, number)
}
