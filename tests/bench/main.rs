//! `make bench`: the engine with components against the same logic in native Rust on the same client layer. The broker
//! and each run of the engine are processes of their own; runs alternate, medians are told, with all figures in
//! `target/bench/report.json`.

mod engine;
mod restart;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use engine::Order;
use wasmill::kafka::{Admin, Feed};
use wasmill::topology::TopicNeed;
use wasmill_tests::brokers::{Broker, BrokerKind};
use workload::{Logic, Numbers, payment};

const PARTITIONS: i32 = 4;
const ACCOUNTS: u64 = 10_000;

/// Pairs of runs; the first pair warms the machine up and is not counted.
const PAIRS: usize = 6;

const RECORDS_DEFAULT: u64 = 1_000_000;

/// What is compared, and the ratio of native to component that is wanted.
const ROWS: [(Logic, &str, f64); 2] =
    [(Logic::Copy, "guest_identity.wasm", 0.9), (Logic::Balance, "guest_balance.wasm", 0.75)];

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("engine") => engine::run(&order(&words[1..])?),
        Some(records) => measure(records.parse().context("usage: bench [RECORDS]")?),
        None => measure(RECORDS_DEFAULT),
    }
}

fn measure(records: u64) -> anyhow::Result<()> {
    let build: PathBuf = std::env::current_exe()?.parent().context("a program lies in a folder")?.into();
    let broker = Broker::start(BrokerKind::Embedded)?;
    let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), broker.address())]);
    let admin = Admin::new(&kafka)?;
    admin.ensure(&[need("payments", false)])?;
    println!("{records} payments of {} bytes, {PARTITIONS} partitions, {ACCOUNTS} accounts", workload::VALUE_BYTES);
    fill(&kafka, records)?;
    let mut report = Vec::new();
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>7}  (CPU ns a record, medians of {})",
        "",
        "native",
        "component",
        "ratio",
        "bar",
        PAIRS - 1
    );
    for (logic, file, bar) in ROWS {
        let component = build.parent().context("target")?.join("wasm32-wasip2/guest").join(file);
        let runs = pairs(&build, &admin, &broker.address(), logic, &component, records)?;
        let median = |i: usize| median(runs.iter().skip(1).map(|pair| pair[i]).collect());
        let (native, guest) = (median(0), median(1));
        println!("{:<10} {native:>12.0} {guest:>12.0} {:>7.2} {bar:>7}", logic.name(), native / guest);
        report.push(serde_json::json!({
            "workload": logic.name(), "native_cpu_ns": native, "component_cpu_ns": guest,
            "ratio": native / guest, "bar": bar, "pairs": runs,
        }));
    }
    print!("{}", restart::lines(&restart::restart(&build, &broker, restart::KEYS)?));
    let folder = build.parent().context("target")?.join("bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(&report)?)?;
    println!("all figures: {}", folder.join("report.json").display());
    Ok(())
}

/// CPU nanoseconds a record of each pair: native, component.
fn pairs(
    build: &Path,
    admin: &Admin,
    bootstrap: &str,
    logic: Logic,
    component: &Path,
    records: u64,
) -> anyhow::Result<Vec<[f64; 2]>> {
    let mut runs = Vec::new();
    for pair in 0..PAIRS {
        let mut figures = [0.0; 2];
        for (i, is_component) in [false, true].into_iter().enumerate() {
            let application = format!("{}-{pair}-{i}", logic.name());
            let output = format!("{application}-out");
            let changelog = format!("{output}-changelog");
            admin.ensure(&[need(&output, false), need(&changelog, true)])?;
            let component = if is_component { component.display().to_string() } else { "native".into() };
            let words = [
                "engine",
                bootstrap,
                &application,
                logic.name(),
                &component,
                "payments",
                &output,
                &records.to_string(),
            ];
            let run = Command::new(build.join("bench")).args(words).output()?;
            let text = String::from_utf8_lossy(&run.stdout);
            ensure!(run.status.success(), "{application}: {}", String::from_utf8_lossy(&run.stderr));
            let line: serde_json::Value = serde_json::from_str(text.trim()).context("the engine's line")?;
            figures[i] = line["cpu_ns"].as_f64().context("cpu_ns")?;
        }
        runs.push(figures);
    }
    Ok(runs)
}

fn order(words: &[String]) -> anyhow::Result<Order> {
    let [bootstrap, application, logic, component, input, output, records] = words else {
        anyhow::bail!("engine takes bootstrap, application, logic, component, input, output, records");
    };
    Ok(Order {
        bootstrap: bootstrap.clone(),
        application: application.clone(),
        logic: if logic == "copy" { Logic::Copy } else { Logic::Balance },
        component: (component != "native").then(|| component.clone()),
        input: input.clone(),
        output: output.clone(),
        partitions: PARTITIONS as usize,
        records: records.parse()?,
    })
}

fn need(name: &str, is_compacted: bool) -> TopicNeed {
    let policy = if is_compacted { "compact" } else { "delete" };
    let settings = BTreeMap::from([("cleanup.policy".to_owned(), policy.to_owned())]);
    TopicNeed { name: name.to_owned(), partitions: PARTITIONS, replication: 1, settings }
}

fn fill(kafka: &BTreeMap<String, String>, records: u64) -> anyhow::Result<()> {
    let mut feed = Feed::new(kafka)?;
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for index in 0..records {
        let (key, value) = payment(index, ACCOUNTS, &mut numbers);
        feed.send("payments", Some(key.as_bytes()), Some(value.as_bytes()), &[], None)?;
    }
    Ok(feed.flush()?)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
