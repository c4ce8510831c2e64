//! A broker, two hosts with names and data folders of their own, and a load that goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use wasmill::kafka::Feed;
use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::{Broker, BrokerKind};
use wasmill_tests::child::Child;
use wasmill_tests::http::{Answered, Interface};
use wasmill_tests::stamp;
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::{Application, guest};

pub const PARTITIONS: i32 = 4;
pub const KEYS: usize = 40;

/// Between two records: a steady load, of which every partition gets some in each second.
const PACE: Duration = Duration::from_millis(2);

/// What each application of a test sets.
pub const SESSION: &str = "\"session.timeout.ms\" = 6000";

const NAMES: [&str; 2] = ["a", "b"];

pub struct Stage {
    pub hosts: Vec<Running>,
    pub application: Application,
    pub broker: Broker,
}

pub struct Running {
    pub child: Child,
    pub ask: Interface,
}

pub fn manifest(more: &str) -> String {
    stamp::manifest("app", &guest("guest-stamp"), PARTITIONS, more)
}

impl Stage {
    pub fn new(kind: BrokerKind) -> anyhow::Result<Self> {
        Self::with(kind, |manifest| manifest.replace(SESSION, &format!("{SESSION}\n\"transaction.timeout.ms\" = 6000")))
    }

    /// With another manifest than the usual one.
    pub fn with(kind: BrokerKind, edit: fn(String) -> String) -> anyhow::Result<Self> {
        let broker = Broker::start(kind)?;
        let application = Application::new(&broker, &manifest(""));
        let path = application.folder().join("wasmill.toml");
        std::fs::write(&path, edit(std::fs::read_to_string(&path)?))?;
        let hosts = NAMES.into_iter().map(|name| start(&application, name)).collect();
        Ok(Self { hosts, application, broker })
    }

    /// Has `act` done while records flow to both hosts; gives their number, all sent.
    pub fn under_load(&mut self, act: impl FnOnce(&mut Self)) -> usize {
        self.await_shared_out();
        let load = Load::new(&self.broker);
        thread::scope(|scope| {
            let feeding = scope.spawn(|| load.feed());
            let until_here = UntilDropped(&load);
            self.await_flow();
            act(self);
            drop(until_here);
            feeding.join().expect("the feeder does not panic")
        })
    }

    pub fn restart(&mut self, host: usize) {
        self.hosts[host] = start(&self.application, NAMES[host]);
    }

    /// Deploys a version that marks its outputs with a tag.
    pub fn upload(&self, host: usize, tag: &str, base: Option<u64>, is_awaited: bool) -> Answered {
        let component = std::fs::read(guest("guest-stamp")).expect("a built component");
        self.upload_bytes(host, tag, base, is_awaited, &component)
    }

    /// The same, of a component whose file no host has yet.
    pub fn upload_other_bytes(&self, host: usize, tag: &str) -> Answered {
        let component = std::fs::read(guest("guest-stamp")).expect("a built component");
        // A custom section at the end.
        self.upload_bytes(host, tag, None, true, &[&component[..], &[0, 5, 4], b"away"].concat())
    }

    /// Nobody gets a component any more that it does not have.
    pub fn forget_uploads(&self) {
        let (admin, topic) = (Admin::new(&self.broker), "__wasmill_app_components");
        admin.delete_records(topic, 0, admin.watermarks(topic, 0).end).expect("records are removed");
    }

    fn upload_bytes(&self, host: usize, tag: &str, base: Option<u64>, is_awaited: bool, component: &[u8]) -> Answered {
        let settings = format!("%7B%22tag%22%3A%22{tag}%22%7D");
        let path = format!("/v1/processors/stamp/versions?settings={settings}&note={tag}&wait={is_awaited}");
        let base = base.map(|revision| format!("\"{revision}\""));
        let headers: Vec<(&str, &str)> = base.iter().map(|base| ("if-match", base.as_str())).collect();
        self.hosts[host].ask.send("POST", &path, &headers, component)
    }

    /// Waits until the workers of these hosts run a revision.
    pub fn await_revision(&self, hosts: &[usize], revision: u64) {
        for host in hosts {
            let host = &self.hosts[*host];
            until("the revision is adopted", LONG, || {
                let workers = host.processor()["workers"].clone();
                let workers = workers.as_array()?;
                (!workers.is_empty() && workers.iter().all(|w| w["revision"] == revision)).then_some(())
            });
        }
    }

    /// Waits until a record is committed. The cutovers of the first version stand for its start only.
    fn await_flow(&self) {
        until("a record is committed", LONG, || {
            (0..2).any(|host| self.positions(host).values().any(|next| *next > 0)).then_some(())
        });
    }

    /// Waits until a later version has made something.
    pub fn await_made(&self, version: u64) {
        until(&format!("version {version} makes something"), LONG, || {
            let cutovers = self.hosts[0].ask.get("/v1/processors/stamp/cutovers").json();
            cutovers.as_array()?.iter().any(|c| c["version"] == version).then_some(())
        });
    }

    /// Waits until this host tells that, of all hosts, only the one with this name has the candidate ready.
    pub fn await_only_prepared(&self, host: usize, name: &str) {
        until("one host has the candidate ready", LONG, || {
            let hosts = self.hosts[host].ask.get("/v1/hosts").json();
            let is_ready = |h: &&Value| h["prepared"]["stamp"]["revision"].is_u64();
            let ready: Vec<&Value> = hosts.as_array()?.iter().filter(is_ready).map(|h| &h["name"]).collect();
            assert!(ready.iter().all(|found| *found == name), "{hosts}");
            (ready.len() == 1).then_some(())
        });
    }

    /// Waits until both hosts have partitions, all of them run, and each host knows of the other's.
    pub fn await_shared_out(&self) {
        until("both hosts have partitions", LONG, || {
            let running: Vec<BTreeMap<i64, i64>> = (0..2).map(|host| self.positions(host)).collect();
            let told = self.hosts.iter().all(|h| h.told_partitions() == PARTITIONS as usize);
            let all: BTreeSet<i64> = running.iter().flat_map(|p| p.keys().copied()).collect();
            let is_shared = running.iter().all(|p| !p.is_empty()) && all.len() == PARTITIONS as usize;
            (is_shared && told).then_some(())
        });
    }

    /// Waits until a host serves all partitions: each goes on from where it is first seen.
    pub fn await_running(&self, host: usize) {
        let mut first_seen = BTreeMap::new();
        until("one host serves all partitions", LONG, || {
            let now = self.positions(host);
            now.iter().for_each(|(p, next)| _ = first_seen.entry(*p).or_insert(*next));
            let served = now.iter().filter(|(p, next)| *next > &first_seen[*p]).count();
            (served == PARTITIONS as usize).then_some(())
        });
    }

    /// By partition that runs on a host: the first offset that is not committed.
    pub fn positions(&self, host: usize) -> BTreeMap<i64, i64> {
        let tasks = self.hosts[host].ask.get("/v1/processors/stamp/tasks").json();
        let running = tasks.as_array().into_iter().flatten().filter(|t| t["state"] == "running");
        running.filter_map(|t| Some((t["partition"].as_i64()?, t["committed"]["in"].as_i64()?))).collect()
    }

    /// Waits until everything that was sent is committed, by whichever host.
    pub fn await_committed(&self, sent: usize) {
        until("everything is committed", LONG, || {
            let all: BTreeMap<i64, i64> = (0..2).flat_map(|host| self.positions(host)).collect();
            (all.values().sum::<i64>() == sent as i64).then_some(())
        });
    }
}

fn start(application: &Application, name: &str) -> Running {
    let mut child = application.run_as(name);
    let ask = Interface::new(application.interface(&mut child, name));
    Running { child, ask }
}

impl Running {
    pub fn processor(&self) -> Value {
        self.ask.get("/v1/processors/stamp").json()
    }

    pub fn deployment(&self) -> Value {
        self.ask.get("/v1/processors/stamp/deployment").json()
    }

    /// Partitions that hosts have told of, as this one has heard.
    fn told_partitions(&self) -> usize {
        let hosts = self.ask.get("/v1/hosts").json();
        let tasks = hosts.as_array().into_iter().flatten().filter_map(|h| h["tasks"]["stamp"].as_array());
        tasks.map(Vec::len).sum()
    }
}

/// Records that come until it ends.
struct Load {
    kafka: BTreeMap<String, String>,
    is_over: AtomicBool,
}

impl Load {
    fn new(broker: &Broker) -> Self {
        let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), broker.address())]);
        Self { kafka, is_over: AtomicBool::new(false) }
    }

    /// Gives the number of records sent.
    fn feed(&self) -> usize {
        let mut feed = Feed::new(&self.kafka).expect("a producer");
        let mut sent = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let (key, value) = (format!("key-{}", sent % KEYS), sent.to_string());
            feed.send("in", Some(key.as_bytes()), Some(value.as_bytes()), &[], None).expect("the broker takes records");
            sent += 1;
            thread::sleep(PACE);
        }
        feed.flush().expect("everything is delivered");
        sent
    }
}

/// Ends the load when dropped, be it by a failing check.
struct UntilDropped<'a>(&'a Load);

impl Drop for UntilDropped<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
