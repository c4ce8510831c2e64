//! A broker under the bench, filled with payments. Owns where it runs and the name of its input topic.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use wasmill::kafka::Feed;
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind, Pace, kafka_jars};

use crate::workload::{Numbers, payment};

pub const PARTITIONS: i32 = 4;
pub const ACCOUNTS: u64 = 10_000;
pub const INPUT: &str = "payments";

pub struct Place {
    pub broker: Broker,
    pub admin: Admin,
}

impl Place {
    /// Starts a broker and writes the input. The inner error says why it cannot run on this machine.
    pub fn start(kind: BrokerKind, records: u64) -> anyhow::Result<Result<Self, String>> {
        if kind == BrokerKind::Kafka
            && let Err(why) = find_kafka()
        {
            return Ok(Err(why));
        }
        let broker = Broker::start_at(kind, Pace::Steady)?;
        let admin = Admin::new(&broker);
        let place = Self { broker, admin };
        place.topic(INPUT, &[]);
        fill(&place, records)?;
        Ok(Ok(place))
    }

    pub fn kind(&self) -> BrokerKind {
        self.broker.kind
    }

    pub fn topic(&self, name: &str, settings: &[(&str, &str)]) {
        self.admin.create(name, PARTITIONS, settings).expect("a fresh broker makes topics");
        self.admin.wait_for_partitions(name, PARTITIONS as usize);
    }

    /// Gives a topic's space back: runs of the bench write gigabytes.
    pub fn drop_topic(&self, name: &str) {
        self.admin.delete(name).expect("a topic that was made can be deleted");
    }

    pub fn properties(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("bootstrap.servers".to_owned(), self.broker.address())])
    }
}

fn find_kafka() -> Result<(), String> {
    let java = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !java.is_ok_and(|status| status.success()) {
        return Err("there is no `java`: install Java 17".into());
    }
    if !kafka_jars().join("complete.xml").exists() {
        return Err("its jars are not in target/kafka: `make bench` and `make test` fetch them".into());
    }
    Ok(())
}

fn fill(place: &Place, records: u64) -> anyhow::Result<()> {
    let mut feed = Feed::new(&place.properties())?;
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for index in 0..records {
        let (key, value) = payment(index, ACCOUNTS, &mut numbers);
        feed.send(INPUT, Some(key.as_bytes()), Some(value.as_bytes()), &[], None)?;
    }
    Ok(feed.flush()?)
}
