//! The `exchange` program: runs the demonstration and says whether every invariant held.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use exchange::drive::DriveSettings;
use exchange::flow::FlowSettings;
use exchange::run::{RunSettings, run};
use tracing_subscriber::EnvFilter;

/// The currency exchange on wasmill.
#[derive(Parser)]
#[command(version)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Starts the exchange, runs a flow through it, and checks every invariant over all topics.
    Run(RunLine),
}

#[derive(clap::Args)]
struct RunLine {
    /// The application.
    #[arg(long, default_value = "deploy/exchange/wasmill.toml")]
    manifest: PathBuf,
    /// Address of a Kafka broker; without it the embedded one is started.
    #[arg(long)]
    broker: Option<String>,
    /// Folder of the host's data; without it a new one, removed after a run without violations.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Records to send after accounts and first rates; with `--swaps` the flow goes on until the last change is made.
    #[arg(long, default_value_t = 50_000)]
    records: u64,
    /// Records a second; 0 is as fast as they are taken.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    #[arg(long, default_value_t = 1_000)]
    accounts: u32,
    /// The same seed gives the same records.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds without any news after which what is missing counts as lost.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// Change versions of `transaction` meanwhile: a new one, a bad one that is taken back, and back to the first.
    #[arg(long)]
    swaps: bool,
}

fn main() -> ExitCode {
    if let Some(code) = wasmill::wasm::compile::child_main(std::env::args_os()) {
        return code;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Verb::Run(line) = Line::parse().verb;
    match run_once(line) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("exchange: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_once(line: RunLine) -> anyhow::Result<bool> {
    let fresh = line.data.is_none().then(|| std::env::temp_dir().join(format!("exchange-{}", std::process::id())));
    let data = line.data.or_else(|| fresh.clone()).expect("without a folder there is a fresh one");
    let settings = RunSettings {
        manifest: line.manifest,
        broker: line.broker,
        data: data.clone(),
        drive: DriveSettings {
            flow: FlowSettings { seed: line.seed, accounts: line.accounts },
            records: line.records,
            records_per_second: line.rate,
            patience: Duration::from_secs(line.patience),
        },
        has_swaps: line.swaps,
    };
    let report = run(&settings)?;
    println!("\n{report}");
    match fresh {
        Some(folder) if report.is_clean() => std::fs::remove_dir_all(folder)?,
        _ => println!("data: {}", data.display()),
    }
    Ok(report.is_clean())
}
