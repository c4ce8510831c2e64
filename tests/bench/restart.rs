//! How long a killed host is away: from kill -9 of its process to the first record committed by the next one, with a
//! million keys in its store. A store in memory is restored from its changelog, one on disk goes on from what it holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use wasmill::kafka::Feed;
use wasmill::record::partition_of;
use wasmill_tests::brokers::Broker;
use wasmill_tests::child::Child;
use wasmill_tests::member::Member;
use wasmill_tests::wasmill::{build, guest};

use crate::brokers::Place;
use crate::report::{Figure, Row};

/// Keys of the store at the moment of the kill.
const KEYS: u64 = 1_000_000;

const PARTITIONS: i32 = 4;

/// Far beyond any honest restart.
const PATIENCE: Duration = Duration::from_secs(600);

/// Kills and restarts a host per kind of store, on one broker.
///
/// # Errors
/// A host ends by itself, or does not get through in time.
pub fn measure(place: &Place) -> anyhow::Result<Vec<Row>> {
    let row = |store: &'static str| {
        let took = Run::new(&place.broker, store)?.measure(KEYS)?.as_secs_f64();
        let figure = Figure { text: format!("{took:.2} s with {KEYS} keys"), value: took, bar: None };
        let name = format!("{store} store, {}", place.kind());
        Ok(Row { name, figures: vec![figure], runs: serde_json::Value::Null })
    };
    ["memory", "disk"].into_iter().map(row).collect()
}

struct Run {
    program: PathBuf,
    folder: tempfile::TempDir,
    input: String,
    kafka: BTreeMap<String, String>,
    asker: Member,
}

impl Run {
    fn new(broker: &Broker, store: &'static str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (application, input) = (format!("restart-{store}"), format!("restart-{store}-payments"));
        let manifest = format!(
            "application = \"{application}\"\n\
             [kafka]\n\"bootstrap.servers\" = \"{}\"\n\
             [topics.{input}]\npartitions = {PARTITIONS}\n[topics.balances]\npartitions = {PARTITIONS}\n\
             [processors.balance]\ncomponent = \"{}\"\ninputs = [\"{input}\"]\noutputs = [\"balances\"]\n\
             settings = {{ parser = \"extractor\" }}\n\
             [processors.balance.stores.balance]\nkind = \"{store}\"\n",
            broker.address(),
            guest("guest-balance")
        );
        std::fs::write(folder.path().join("wasmill.toml"), manifest)?;
        let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), broker.address())]);
        let asker = Member::outside(broker, &format!("{application}.balance"), &[]);
        Ok(Self { program: build().join("wasmill"), folder, input, kafka, asker })
    }

    /// From the kill to the first committed record.
    fn measure(&self, keys: u64) -> anyhow::Result<Duration> {
        let mut host = self.start()?;
        // Its topics are there once it has begun its tasks.
        self.wait(&mut host, &[0; PARTITIONS as usize])?;
        let mut ends = self.feed(0..keys)?;
        self.wait(&mut host, &ends)?;
        host.kill();
        let killed = Instant::now();
        let more = self.feed(0..1)?;
        ends.iter_mut().zip(more).for_each(|(end, more)| *end += more);
        let mut host = self.start()?;
        self.wait(&mut host, &ends)?;
        let took = killed.elapsed();
        host.stop();
        Ok(took)
    }

    fn start(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--manifest").arg(self.folder.path().join("wasmill.toml"));
        Child::start(command, self.folder.path().join("host.log"))
    }

    /// One payment for each account; gives how many went to each partition.
    fn feed(&self, accounts: std::ops::Range<u64>) -> anyhow::Result<[i64; PARTITIONS as usize]> {
        let (mut feed, mut counts) = (Feed::new(&self.kafka)?, [0; PARTITIONS as usize]);
        for account in accounts {
            let key = format!("acc-{account:012}");
            let value =
                format!(r#"{{"tx_id":"t","account_id":"{key}","amount_cents":{account},"fraud_probability":0.1}}"#);
            feed.send(&self.input, Some(key.as_bytes()), Some(value.as_bytes()), &[], None)?;
            counts[partition_of(key.as_bytes(), PARTITIONS).0 as usize] += 1;
        }
        feed.flush()?;
        Ok(counts)
    }

    /// Until the group has committed up to `ends`.
    fn wait(&self, host: &mut Child, ends: &[i64]) -> anyhow::Result<()> {
        let limit = Instant::now() + PATIENCE;
        let next = |p| self.asker.committed(&self.input, p, Duration::from_millis(500)).ok().flatten();
        while !(0..PARTITIONS).all(|p| next(p).is_some_and(|(next, _)| next >= ends[p as usize])) {
            ensure!(!host.has_ended(), "the host ended by itself:\n{}", host.last_words());
            ensure!(Instant::now() < limit, "not within {PATIENCE:?}:\n{}", host.last_words());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}
