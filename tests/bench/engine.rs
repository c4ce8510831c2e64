//! The engine under measurement, as a process of its own: one worker with one processor, native or in a component, that
//! reads a topic to its end. Prints one line of JSON: what it cost per record.
#![allow(unsafe_code)]

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

use crate::workload::{Logic, Native};

/// What a run of the engine is told.
pub struct Order {
    pub bootstrap: String,
    pub application: String,
    pub logic: Logic,
    /// The component's file; `None` runs the native twin.
    pub component: Option<String>,
    pub input: String,
    pub output: String,
    pub partitions: usize,
    pub records: u64,
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
    while !is_running(&worker.status(), order.partitions) {
        turn(&mut worker, limit)?;
    }
    let (before, began) = (cpu(), Instant::now());
    let mut commits = worker.counters().commits;
    loop {
        turn(&mut worker, limit)?;
        if worker.counters().commits != commits {
            commits = worker.counters().commits;
            if worker.counters().records >= order.records && worker.status().tasks.iter().all(|t| t.sequence > 0) {
                break;
            }
        }
    }
    let (spent, took) = (cpu() - before, began.elapsed());
    let counters = worker.counters();
    ensure!(counters.records == order.records, "{} records instead of {}", counters.records, order.records);
    ensure!(counters.dead_letters == 0 && counters.commits_failed == 0, "{counters:?}");
    let line = serde_json::json!({
        "cpu_ns": spent.as_nanos() as f64 / order.records as f64,
        "records_per_second": order.records as f64 / took.as_secs_f64(),
        "outputs": counters.outputs,
        "commits": counters.commits,
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

fn is_running(status: &wasmill::worker::WorkerStatus, partitions: usize) -> bool {
    status.tasks.len() == partitions && status.tasks.iter().all(|t| t.state == State::Running)
}

fn settings(order: &Order) -> KafkaSettings {
    let stores = order.logic.stores();
    KafkaSettings {
        user: [("bootstrap.servers".to_owned(), order.bootstrap.clone())].into(),
        application: order.application.clone(),
        processor: "bench".into(),
        host: "bench".into(),
        inputs: vec![order.input.clone()],
        outputs: vec![order.output.clone()],
        changelogs: (0..stores).map(|_| format!("{}-changelog", order.output)).collect(),
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
    let bytes = std::fs::read(path).with_context(|| format!("{path}: build components with `make demo`"))?;
    let engine = Engine::new(EngineOptions::default()).map_err(anyhow::Error::msg)?;
    let component = Component::compile(&engine, &bytes, &Limits::default())?;
    let stores = (0..order.logic.stores()).map(|_| StoreName { name: "balance".into(), scans: false });
    let document = OpenDocument {
        application: order.application.clone(),
        processor: "bench".into(),
        settings: if order.logic.stores() > 0 {
            serde_json::json!({ "parser": "serde" })
        } else {
            serde_json::json!({})
        },
        inputs: vec![order.input.clone()],
        outputs: vec![if order.logic.stores() > 0 { "balances".into() } else { order.output.clone() }],
        stores: stores.collect(),
        tables: Vec::new(),
    };
    Ok(Box::new(WasmVersion::new(&engine, &component, &document, Limits::default())?))
}

/// CPU time of this process so far, user and system.
fn cpu() -> Duration {
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let of = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}
