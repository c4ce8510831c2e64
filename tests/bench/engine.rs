//! The engine under measurement, as a process of its own: one worker with one processor, native or in a component, that
//! reads a topic to its end. Prints one line of JSON: what it cost per record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use wasmill::clock::SystemClock;
use wasmill::kafka::{KafkaClient, KafkaSettings};
use wasmill::processor::Version;
use wasmill::store::{MemoryStore, Store};
use wasmill::task::{Start, State, TaskSetup, VersionName};
use wasmill::wasm::{Component, Engine, EngineOptions, Limits, OpenDocument, StoreName, WasmVersion};
use wasmill::worker::{ActiveVersion, Bounds, OnError, Setup, Turn, Worker};

use crate::brokers::PARTITIONS;
use crate::cpu::{self, Threads, threads_ns};
use crate::native::Native;
use crate::workload::Logic;

/// What a run of the engine is told.
pub struct Order {
    pub bootstrap: String,
    pub application: String,
    pub logic: Logic,
    /// The component's file; `None` runs the native twin.
    pub component: Option<String>,
    pub input: String,
    pub output: String,
    pub changelog: String,
    pub records: u64,
}

impl Order {
    /// As arguments of the process.
    pub fn words(&self) -> Vec<String> {
        let component = self.component.clone().unwrap_or_else(|| "native".into());
        let [bootstrap, application] = [&self.bootstrap, &self.application].map(String::clone);
        let [input, output, changelog] = [&self.input, &self.output, &self.changelog].map(String::clone);
        let (logic, records) = (self.logic.name().to_owned(), self.records.to_string());
        vec![bootstrap, application, logic, component, input, output, changelog, records]
    }

    pub fn of_words(words: &[String]) -> anyhow::Result<Self> {
        let [bootstrap, application, logic, component, input, output, changelog, records] = words else {
            bail!("engine takes bootstrap, application, logic, component, input, output, changelog, records");
        };
        Ok(Self {
            bootstrap: bootstrap.clone(),
            application: application.clone(),
            logic: Logic::of_name(logic).context("no such logic")?,
            component: (component != "native").then(|| component.clone()),
            input: input.clone(),
            output: output.clone(),
            changelog: changelog.clone(),
            records: records.parse()?,
        })
    }
}

/// No run of a bench takes longer; one that does has stalled.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs until everything is committed.
pub fn run(order: &Order) -> anyhow::Result<()> {
    let client = KafkaClient::connect(&settings(order)).context("cannot connect")?;
    let name = VersionName { revision: 1, number: 1, digest: "bench".into() };
    let active = ActiveVersion { name, version: version(order)? };
    let mut worker = Worker::new(setup(order), client, Arc::new(SystemClock::new()), active);
    let limit = Instant::now() + PATIENCE;
    while !is_running(&worker.status()) {
        turn(&mut worker, limit)?;
    }
    let (before, threads, began) = (cpu::process(), threads_ns("self"), Instant::now());
    let mut commits = worker.counters().commits;
    while commits == worker.counters().commits || !is_all_committed(&worker.status(), order.records) {
        commits = worker.counters().commits;
        turn(&mut worker, limit)?;
    }
    let (spent, took) = (cpu::process() - before, began.elapsed());
    let threads = per_record(&threads, &threads_ns("self"), order.records);
    let counters = worker.counters();
    ensure!(counters.records == order.records, "{} records instead of {}", counters.records, order.records);
    ensure!(counters.dead_letters == 0 && counters.commits_failed == 0, "{counters:?}");
    let line = serde_json::json!({
        "cpu_ns": spent.as_nanos() as f64 / order.records as f64,
        "records_per_second": order.records as f64 / took.as_secs_f64(),
        "outputs": counters.outputs,
        "commits": counters.commits,
        "calls": counters.calls,
        "threads_cpu_ns": threads,
    });
    println!("{line}");
    Ok(())
}

fn turn(worker: &mut Worker<KafkaClient>, limit: Instant) -> anyhow::Result<()> {
    if let Turn::Ended(end) = worker.turn(Duration::from_millis(20)) {
        bail!("{end:?}");
    }
    ensure!(Instant::now() < limit, "stalled: {:?}", worker.status());
    Ok(())
}

fn is_running(status: &wasmill::worker::WorkerStatus) -> bool {
    status.tasks.len() == PARTITIONS as usize && status.tasks.iter().all(|t| t.state == State::Running)
}

/// The input is written without transactions, so that its offsets count its records.
fn is_all_committed(status: &wasmill::worker::WorkerStatus, records: u64) -> bool {
    status.tasks.iter().flat_map(|t| &t.committed).map(|next| next.0 as u64).sum::<u64>() >= records
}

fn settings(order: &Order) -> KafkaSettings {
    KafkaSettings {
        user: [("bootstrap.servers".to_owned(), order.bootstrap.clone())].into(),
        application: order.application.clone(),
        processor: "bench".into(),
        host: "bench".into(),
        inputs: vec![order.input.clone()],
        outputs: vec![order.output.clone()],
        changelogs: (0..order.logic.stores()).map(|_| order.changelog.clone()).collect(),
        ..KafkaSettings::default()
    }
}

/// One transaction per 100 ms, as in the published figures; the other bounds are out of the way.
fn setup(order: &Order) -> Setup {
    let task = TaskSetup {
        group: format!("{}.bench", order.application),
        inputs: vec![order.input.clone()],
        output_count: 1,
        stores: (0..order.logic.stores()).map(|_| "balance".to_owned()).collect(),
        start: Start::Earliest,
        merge_wait: Duration::ZERO,
        tick_interval: None,
        checkpoint_age_ms_max: 0,
    };
    let bounds = Bounds {
        commit_interval: Duration::from_millis(100),
        commit_records_max: 600_000,
        commit_writes_max: 1_500_000,
        commit_bytes_max: 256 << 20,
        overlap: true,
        ..Bounds::default()
    };
    let open = |_, _| Ok(Box::new(MemoryStore::new(false)) as Box<dyn Store>);
    Setup {
        task: Arc::new(task),
        bounds,
        on_error: OnError::DeadLetter,
        tables: Vec::new(),
        open_store: Box::new(open),
        random: Box::new(wasmill::kafka::random),
    }
}

fn version(order: &Order) -> anyhow::Result<Box<dyn Version>> {
    let Some(path) = &order.component else { return Ok(Box::new(Native(order.logic))) };
    let bytes = std::fs::read(path).with_context(|| format!("{path}: `make bench` builds the components"))?;
    let engine = Engine::new(EngineOptions::default()).map_err(anyhow::Error::msg)?;
    let component = Component::compile(&engine, &bytes, &Limits::default())?;
    let stores = (0..order.logic.stores()).map(|_| StoreName { name: "balance".into(), scans: false });
    let document = OpenDocument {
        application: order.application.clone(),
        processor: "bench".into(),
        settings: order.logic.settings(),
        inputs: vec![order.input.clone()],
        outputs: vec![if order.logic.stores() > 0 { "balances".into() } else { order.output.clone() }],
        stores: stores.collect(),
        tables: Vec::new(),
    };
    Ok(Box::new(WasmVersion::new(&component, &document, Limits::default())))
}

/// What each thread used, the busiest first; librdkafka names its threads alike in consumer and producer.
fn per_record(before: &Threads, after: &Threads, records: u64) -> Vec<(String, u64)> {
    let spent = |(id, (name, ns)): (&u64, &(String, u64))| {
        let earlier = before.get(id).map_or(0, |(_, ns)| *ns);
        (name.clone(), (ns - earlier) / records)
    };
    let mut threads: Vec<_> = after.iter().map(spent).filter(|(_, ns)| *ns > 0).collect();
    threads.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    threads
}
