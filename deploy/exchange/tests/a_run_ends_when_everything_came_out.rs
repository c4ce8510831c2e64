//! The drive over a cluster in memory: it waits for what must come, gives up on what never does, and tells which it was.

#[path = "support/services.rs"]
mod services;

use std::cell::Cell;
use std::time::Duration;

use exchange::cluster::Cluster;
use exchange::display::Display;
use exchange::drive::{DriveSettings, drive};
use exchange::flow::FlowSettings;
use exchange::model::{Kind, Report};
use exchange::record::{Message, Record};
use exchange::topics;
use services::Services;

/// Hands out what the services did in small pieces, and may lose one record.
#[derive(Default)]
struct InMemory {
    services: Services,
    told: usize,
    /// The first record of this topic after the opening never comes out.
    loses: Option<&'static str>,
}

const PIECE: usize = 700;

impl Cluster for InMemory {
    fn send(&mut self, messages: &[Message]) -> anyhow::Result<()> {
        for message in messages {
            let before = self.services.records.len();
            self.services.send(message.clone());
            let made =
                self.services.records[before..].iter().position(|record| Some(record.topic.as_str()) == self.loses);
            if let Some(at) = made {
                self.services.records.remove(before + at);
                self.loses = None;
            }
        }
        Ok(())
    }

    fn tail(&mut self, _wait: Duration) -> anyhow::Result<Vec<Record>> {
        let end = (self.told + PIECE).min(self.services.records.len());
        let records = self.services.records[self.told..end].to_vec();
        self.told = end;
        Ok(records)
    }

    fn read_all(&mut self, topics: &[String]) -> anyhow::Result<Vec<Record>> {
        Ok(self.services.records.iter().filter(|record| topics.contains(&record.topic)).cloned().collect())
    }
}

const RECORDS: u64 = 3_000;

fn run(cluster: &mut InMemory, seed: u64) -> anyhow::Result<Report> {
    run_while(cluster, seed, || false)
}

fn run_while(cluster: &mut InMemory, seed: u64, needs_more: impl Fn() -> bool) -> anyhow::Result<Report> {
    let settings = DriveSettings {
        flow: FlowSettings { seed, accounts: 20 },
        records: RECORDS,
        records_per_second: 0,
        patience: Duration::from_millis(300),
    };
    drive(cluster, &settings, &mut Display::new(), needs_more)
}

#[test]
fn a_run_is_clean_and_so_is_another_one_on_the_same_topics() {
    let mut cluster = InMemory::default();
    for seed in [5, 6] {
        let report = run(&mut cluster, seed).expect("the cluster works");
        assert!(report.is_clean(), "{report}");
    }
    let requests = cluster.services.records.iter().filter(|record| record.topic == topics::TRANSACTION_REQUEST);
    assert!(requests.count() > 4_000);
}

#[test]
fn the_flow_goes_on_while_somebody_waits_for_what_it_does() {
    let (mut cluster, looks) = (InMemory::default(), Cell::new(0));
    let needs_more = || {
        looks.set(looks.get() + 1);
        looks.get() < 10
    };
    let report = run_while(&mut cluster, 5, needs_more).expect("the cluster works");
    assert!(report.is_clean(), "{report}");
    assert_eq!(looks.get(), 10, "asked once there are enough records, and until nobody waits");
    let fed = |record: &&Record| topics::FED.iter().any(|(topic, _)| record.topic == *topic);
    assert!(cluster.services.records.iter().filter(fed).count() as u64 > RECORDS + 9 * 200);
}

#[test]
fn what_never_comes_out_is_told() {
    let cases = [
        (topics::TRANSACTION_SUCCESS, Kind::Lost),
        (topics::TRANSACTION_FAILED, Kind::Lost),
        (topics::FRAUDULENT_PAYMENTS, Kind::MissingFraud),
        ("exchange.transaction.dlq", Kind::MissingDeadLetter),
    ];
    for (topic, kind) in cases {
        let mut cluster = InMemory { loses: Some(topic), ..InMemory::default() };
        let report = run(&mut cluster, 5).expect("the cluster works");
        assert!(report.count(kind) > 0, "{topic}\n{report}");
    }
}

#[test]
fn an_exchange_that_does_not_open_is_an_error() {
    let mut cluster = InMemory { loses: Some(topics::ACCOUNT), ..InMemory::default() };
    let error = run(&mut cluster, 5).expect_err("an account is missing");
    assert!(error.to_string().contains("19 of 20 accounts"), "{error}");
}
