//! An application with one processor that keeps balances in a store: its manifest, its input, and what the state must
//! be. Owns the data folder. Knows nothing of damages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use wasmill::config::{Overrides, read_manifest};
use wasmill::kafka::Feed;
use wasmill::record::{Partition, partition_of};
use wasmill::run::{Host, QueryError};
use wasmill::worker::StoredValue;
use wasmill_tests::admin::{Admin, fresh};
use wasmill_tests::brokers::Broker;
use wasmill_tests::child::Child;
use wasmill_tests::member::Member;
use wasmill_tests::until::{LONG, until};

pub const PARTITIONS: i32 = 2;

const ACCOUNTS: u64 = 30;

/// A host process: serves a manifest until it is stopped or killed.
pub fn serve(manifest: &str) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let ended = read_manifest(Path::new(manifest), &Overrides::default()).map_err(anyhow::Error::from);
    match ended.and_then(|manifest| Ok(wasmill::run::run(&manifest)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub struct Application {
    pub admin: Admin,
    name: String,
    folder: TempDir,
    kafka: BTreeMap<String, String>,
    asker: Member,
    /// Amounts of each account, fraud left out.
    balances: BTreeMap<String, i64>,
    ends: [i64; PARTITIONS as usize],
    fed: u64,
}

impl Application {
    /// With a store of this kind, and nothing in it.
    pub fn new(broker: &Broker, kind: &str) -> anyhow::Result<Self> {
        let (name, folder) = (fresh("state"), tempfile::tempdir()?);
        let admin = Admin::new(broker);
        let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), broker.address())]);
        let component = component()?;
        let manifest = format!(
            "application = \"{name}\"\n\
             [kafka]\n\"bootstrap.servers\" = \"{}\"\n\"session.timeout.ms\" = \"6000\"\n\
             [topics.{name}-payments]\npartitions = {PARTITIONS}\n\
             [topics.balances]\npartitions = {PARTITIONS}\n\
             [processors.balance]\ncomponent = \"{}\"\ninputs = [\"{name}-payments\"]\noutputs = [\"balances\"]\n\
             workers = 2\nsettings = {{ parser = \"serde\" }}\n\
             [processors.balance.stores.balance]\nkind = \"{kind}\"\n",
            broker.address(),
            component.display()
        );
        std::fs::write(folder.path().join("wasmill.toml"), manifest)?;
        admin.create(&format!("{name}-payments"), PARTITIONS, &[]).map_err(|code| anyhow::anyhow!("{code}"))?;
        admin.wait_for_partitions(&format!("{name}-payments"), PARTITIONS as usize);
        let asker = Member::outside(broker, &format!("{name}.balance"), &[]);
        let (balances, ends) = (BTreeMap::new(), [0; PARTITIONS as usize]);
        Ok(Self { admin, name, folder, kafka, asker, balances, ends, fed: 0 })
    }

    /// Adds payments to the input.
    pub fn feed(&mut self, count: u64) -> anyhow::Result<()> {
        let mut feed = Feed::new(&self.kafka)?;
        for index in self.fed..self.fed + count {
            let account = format!("acc-{:02}", index * 7 % ACCOUNTS);
            let (amount, is_fraud) = (index as i64 * 37 % 1009 - 500, index % 11 == 3);
            let value = format!(
                r#"{{"tx_id":"{index}","account_id":"{account}","amount_cents":{amount},"fraud_probability":{}}}"#,
                if is_fraud { 0.9 } else { 0.1 }
            );
            feed.send(&self.topic(), Some(account.as_bytes()), Some(value.as_bytes()), &[], None)?;
            self.ends[partition_of(account.as_bytes(), PARTITIONS).0 as usize] += 1;
            *self.balances.entry(account).or_default() += if is_fraud { 0 } else { amount };
        }
        self.fed += count;
        Ok(feed.flush()?)
    }

    /// Runs a host until everything fed is committed, and kills it.
    pub fn run_and_kill(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("host").arg(self.manifest());
        let mut host = Child::start(command, self.folder.path().join("host.log"))?;
        let mut words = String::new();
        self.wait_until_committed(|| {
            let is_well = !host.has_ended();
            if !is_well {
                words = host.last_words();
                eprintln!("{words}");
            }
            is_well
        });
        host.kill();
        Ok(())
    }

    /// Starts a host in this process.
    pub fn start_here(&self) -> anyhow::Result<Host> {
        Ok(Host::start(&read_manifest(&self.manifest(), &Overrides::default())?)?)
    }

    /// Waits until the group has committed all of the input.
    pub fn wait_until_committed(&self, mut is_well: impl FnMut() -> bool) {
        until("everything committed", LONG, || {
            assert!(is_well(), "the host ended by itself");
            let next = |p| self.asker.committed(&self.topic(), p, Duration::from_millis(500)).ok().flatten();
            let is_done = (0..PARTITIONS).all(|p| next(p).is_some_and(|(next, _)| next >= self.ends[p as usize]));
            is_done.then_some(())
        });
    }

    /// The committed balance of an account, with its position.
    pub fn ask(&self, host: &Host, account: &str) -> Result<StoredValue, QueryError> {
        host.query("balance", "balance", account.as_bytes())
    }

    /// What the input makes of every account.
    pub fn balances(&self) -> BTreeMap<String, i64> {
        self.balances.clone()
    }

    /// From here on an account is taken to have this balance.
    pub fn assume(&mut self, account: String, balance: i64) {
        self.balances.insert(account, balance);
    }

    /// The end of an input partition.
    pub fn end(&self, partition: Partition) -> i64 {
        self.ends[partition.0 as usize]
    }

    pub fn changelog(&self) -> String {
        format!("{}.balance.balance.changelog", self.name)
    }

    /// Where the processor's stores on disk are.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("data/state/balance")
    }

    /// A folder beside it, for copies.
    pub fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }

    fn topic(&self) -> String {
        format!("{}-payments", self.name)
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("wasmill.toml")
    }
}

/// The component, built before the suite.
fn component() -> anyhow::Result<PathBuf> {
    let suite = std::env::current_exe()?;
    let target = suite.ancestors().nth(3).context("a suite lies in target/<profile>/deps")?;
    Ok(target.join("wasm32-wasip2/guest/guest_balance.wasm"))
}
