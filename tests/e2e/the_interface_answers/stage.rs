//! One host with one processor, which stamps records and counts them by key.

use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::http::Interface;
use wasmill_tests::producer::{Producer, Sent};
use wasmill_tests::stamp;
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, guest};

/// Each gets the same number of records.
const KEYS: usize = 8;

pub struct Stage {
    pub host: Child,
    pub ask: Interface,
    pub application: Application,
    /// The component's file.
    pub component: Vec<u8>,
    pub broker: Broker,
}

pub fn application() -> (Broker, Application) {
    let broker = Broker::start(BrokerKind::Embedded).expect("a broker");
    let application = Application::new(&broker, &stamp::manifest("app", &guest("guest-stamp"), 2, ""));
    (broker, application)
}

impl Stage {
    pub fn new(token: Option<&str>) -> Self {
        let (broker, application) = application();
        let environment: Vec<(&str, &str)> = token.map(|t| ("WASMILL_TOKEN", t)).into_iter().collect();
        let mut host = application.run_with(&environment);
        let ask = Interface::new(application.interface(&mut host, "data"));
        let component = std::fs::read(guest("guest-stamp")).expect("a built component");
        Self { host, ask, application, component, broker }
    }

    /// Records that the processor has committed.
    fn committed(&self) -> i64 {
        let tasks = self.ask.get("/v1/processors/stamp/tasks").json();
        let tasks = tasks.as_array().cloned().unwrap_or_default();
        tasks.iter().filter_map(|task| task["committed"]["in"].as_i64()).sum()
    }

    /// Sends records and waits until the running version has processed them.
    pub fn process(&self, count: usize) {
        let key = |number: usize| format!("key-{}", number % KEYS);
        self.process_these((0..count).map(|number| (key(number), "value".to_owned())));
    }

    /// The same of records with these keys and values.
    pub fn process_these(&self, records: impl ExactSizeIterator<Item = (String, String)>) {
        let producer = Producer::new(&self.broker, &[("partitioner", "murmur2_random")]);
        let (before, count) = (self.committed(), records.len());
        for (key, value) in records {
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            producer.send(&Sent { topic: "in", partition: None, key, value, headers: &[], timestamp_ms: None });
        }
        producer.places();
        until("records are processed", LONG, || (self.committed() == before + count as i64).then_some(()));
    }
}
