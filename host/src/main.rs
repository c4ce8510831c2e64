//! The `wasmill` program: reads its arguments, calls the library, says how it ended.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tracing_subscriber::EnvFilter;
use wasmill::config::{self, Overrides};
use wasmill::remote::{self, Address, How, RemoteCommand, RemoteError, Wanted};
use wasmill::run;
use wasmill::topology::ProcessorSettings;
use wasmill::wasm::compile;

/// librdkafka allocates per message in one thread and frees in another, which glibc's allocator does under a lock: 5 to
/// 12 % of the engine's CPU time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs WebAssembly components as exactly-once stream processors on Kafka, and swaps them live.
#[derive(Parser)]
#[command(version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What is logged: error, warn, info, debug; or a filter such as `wasmill::worker=debug`.
    /// Default: info while something runs, warn for commands that end.
    #[arg(long, global = true, env = "WASMILL_LOG")]
    log: Option<String>,
    #[command(flatten)]
    place: Where,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, or refused by the host that was asked; 2 wrong arguments, manifest or component, nothing was done.";

#[derive(Subcommand)]
enum Command {
    /// Run the processors of a manifest until SIGTERM or Ctrl-C.
    #[command(after_help = "Example: wasmill run --manifest wasmill.toml")]
    Run,
    /// Check a manifest and its components, and start nothing.
    #[command(after_help = "Example: wasmill check --manifest wasmill.toml")]
    Check,
    /// Run the embedded Kafka-protocol broker alone, for development, tests and one machine.
    #[command(
        after_help = "Example: wasmill broker --folder broker-data --port 9092 &\n         kcat -L -b 127.0.0.1:9092"
    )]
    Broker(run::BrokerOptions),
    /// Dead letters: list them, show them, send them again.
    Dlq {
        #[command(subcommand)]
        command: run::DlqCommand,
    },
    /// Positions of tasks: show them, accept them after something was lost, begin anew.
    Offsets {
        #[command(subcommand)]
        command: run::OffsetsCommand,
    },
    /// Show what `apply` would change: the manifest and its components against what runs.
    #[command(after_help = "Example: wasmill plan")]
    Plan {
        #[command(flatten)]
        how: How,
    },
    /// Make the topics and deploy the versions that the manifest asks for, while records flow.
    #[command(after_help = "Example: wasmill apply --note \"stricter limits\"")]
    Apply {
        /// What you say of the new versions.
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        how: How,
    },
    #[command(flatten)]
    Remote(RemoteCommand),
    /// Print what a shell needs to complete commands and options.
    #[command(after_help = "Example: wasmill completions bash > ~/.local/share/bash-completion/completions/wasmill")]
    Completions { shell: Shell },
}

#[derive(Args)]
struct Where {
    /// The manifest.
    #[arg(long, short, default_value = "wasmill.toml", global = true)]
    manifest: PathBuf,
    /// Kafka's address, instead of `[kafka]` of the manifest: host:port, several with commas.
    #[arg(long, global = true)]
    bootstrap: Option<String>,
    /// The data folder, instead of `[host] data`.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// This host's name, instead of `[host] id`.
    #[arg(long, global = true)]
    host: Option<String>,
    /// Where the operator's interface listens, instead of `[host] http`.
    #[arg(long, global = true)]
    http: Option<std::net::SocketAddr>,
}

fn main() -> ExitCode {
    if let Some(code) = compile::child_main(std::env::args_os()) {
        return code;
    }
    let arguments = Arguments::parse();
    let default = match arguments.command {
        Command::Run | Command::Broker(_) => "info",
        _ => "warn",
    };
    let log = arguments.log.as_deref().unwrap_or(default);
    let filter = match EnvFilter::try_new(log) {
        Ok(filter) => filter,
        Err(error) => return wrong(&format!("--log {log}: {error}")),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let place = &arguments.place;
    match arguments.command {
        Command::Broker(options) => ended(run::run_broker(&options)),
        Command::Remote(command) => remote(place, &command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "wasmill", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        command => match manifest(place) {
            Ok(manifest) => with_manifest(&command, &manifest),
            Err(code) => code,
        },
    }
}

fn with_manifest(command: &Command, manifest: &config::Manifest) -> ExitCode {
    match command {
        Command::Run => ended(run::run(manifest)),
        Command::Check => check(manifest),
        Command::Dlq { command } => told(run::dlq(manifest, command)),
        Command::Offsets { command } => told(run::offsets(manifest, command)),
        Command::Plan { how } => {
            asked(find(how, manifest).and_then(|address| remote::plan(&address, &wanted(manifest), how.json)))
        }
        Command::Apply { note, how } => {
            asked(find(how, manifest).and_then(|address| remote::apply(&address, &wanted(manifest), note, how.json)))
        }
        Command::Broker(_) | Command::Remote(_) | Command::Completions { .. } => unreachable!("they need no manifest"),
    }
}

fn find(how: &How, manifest: &config::Manifest) -> Result<Address, RemoteError> {
    Address::find(how.url.clone(), Path::new(&manifest.topology.host.data), config::token())
}

fn wanted(manifest: &config::Manifest) -> Wanted {
    let path = |p: &ProcessorSettings| (p.name.clone(), manifest.base.join(&p.component));
    Wanted { manifest: manifest.source.clone(), components: manifest.topology.processors.iter().map(path).collect() }
}

/// Asks the host that runs in the manifest's data folder, or the one named.
fn remote(place: &Where, command: &RemoteCommand) -> ExitCode {
    let data = match (&place.data, command.url()) {
        (Some(data), _) => data.clone(),
        (None, Some(_)) => PathBuf::new(),
        (None, None) => match manifest(place) {
            Ok(manifest) => PathBuf::from(manifest.topology.host.data),
            Err(code) => return code,
        },
    };
    asked(Address::find(command.url(), &data, config::token()).and_then(|address| remote::ask(&address, command)))
}

fn asked(answer: Result<String, RemoteError>) -> ExitCode {
    match answer {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(RemoteError::Wrong(text)) => wrong(&text),
        Err(error) => {
            eprintln!("wasmill: {error}");
            ExitCode::from(1)
        }
    }
}

fn manifest(place: &Where) -> Result<config::Manifest, ExitCode> {
    let Where { bootstrap, data, host, http, .. } = place;
    let overrides = Overrides { bootstrap: bootstrap.clone(), data: data.clone(), host: host.clone(), http: *http };
    config::read_manifest(&place.manifest, &overrides).map_err(|error| wrong(&error.to_string()))
}

fn check(manifest: &config::Manifest) -> ExitCode {
    match run::check(manifest) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error.to_string()),
    }
}

fn ended(result: Result<(), run::RunError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_before_start() => wrong(&error.to_string()),
        Err(error) => {
            eprintln!("wasmill: {error}");
            ExitCode::from(1)
        }
    }
}

fn told(result: Result<String, run::CommandError>) -> ExitCode {
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(run::CommandError::Wrong(text)) => wrong(&text),
        Err(error) => {
            eprintln!("wasmill: {error}");
            ExitCode::from(1)
        }
    }
}

fn wrong(text: &str) -> ExitCode {
    eprintln!("wasmill: {}", text.trim_end());
    ExitCode::from(2)
}
