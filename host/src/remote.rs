//! Commands that ask a running host through its HTTP interface, and say what came of it. Knows no part of the host.

mod address;
mod apply;
mod ask;
mod show;

pub use address::{Address, Publication, publish};
pub use apply::{Wanted, apply, plan};
pub use ask::escaped;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use ask::{Remote, Upload};

/// How a running host is asked, and how it answers.
#[derive(Clone, Debug, clap::Args)]
pub struct How {
    /// Where the host's interface listens; else the host that runs in the manifest's data folder is asked.
    #[arg(long, env = "WASMILL_URL")]
    pub url: Option<String>,
    /// Print the whole answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What a running host can be asked.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RemoteCommand {
    /// Hand a new version to all hosts, which take it over while records flow.
    #[command(after_help = "Example: wasmill deploy fraud target/wasm32-wasip2/guest/fraud.wasm --note \"stricter\"")]
    Deploy {
        processor: String,
        /// The component; without it the active one gets new settings, limits or another error policy.
        component: Option<PathBuf>,
        /// Settings for the component, as JSON; those of the active version if left out.
        #[arg(long)]
        settings: Option<String>,
        /// A limit that changes, with its key of the manifest: memory-mib=128. May be given several times.
        #[arg(long = "limit", value_name = "KEY=VALUE")]
        limits: Vec<String>,
        /// What becomes of a record that fails: dead-letter, retry or halt.
        #[arg(long)]
        on_error: Option<String>,
        /// With `--on-error retry`: how often.
        #[arg(long, requires = "on_error")]
        retry_times: Option<u64>,
        /// With `--on-error retry`: after how long at first.
        #[arg(long, requires = "on_error")]
        retry_backoff_ms: Option<u64>,
        /// What you say of this version.
        #[arg(long, default_value = "")]
        note: String,
        /// How the version lays out its state: across different ones nothing rolls back by itself.
        #[arg(long)]
        state_format: Option<String>,
        /// Only if this revision is still the current one.
        #[arg(long)]
        if_match: Option<u64>,
        #[command(flatten)]
        how: How,
    },
    /// Show the versions of a processor.
    #[command(after_help = "Example: wasmill versions fraud")]
    Versions {
        processor: String,
        #[command(flatten)]
        how: How,
    },
    /// Return to an older version, while records flow.
    #[command(after_help = "Example: wasmill rollback fraud --to 1 --why \"too strict\"")]
    Rollback {
        processor: String,
        /// The version; the one before the active one if left out.
        #[arg(long)]
        to: Option<u64>,
        #[arg(long, default_value = "")]
        why: String,
        /// Only if this revision is still the current one.
        #[arg(long)]
        if_match: Option<u64>,
        #[command(flatten)]
        how: How,
    },
    /// Show what runs, with which versions, and what needs attention.
    #[command(after_help = "Example: wasmill status --json")]
    Status {
        #[command(flatten)]
        how: How,
    },
    /// Stop calling a processor, on all hosts.
    #[command(after_help = "Example: wasmill pause fraud")]
    Pause {
        processor: String,
        #[command(flatten)]
        how: How,
    },
    /// Go on after a pause or a halt, on all hosts.
    #[command(after_help = "Example: wasmill resume fraud")]
    Resume {
        processor: String,
        #[command(flatten)]
        how: How,
    },
    /// Have a host give its partitions to others and take none, for as long as it is not asked to serve or restarted.
    #[command(after_help = "Examples: wasmill drain\n          wasmill drain b --undo")]
    Drain {
        /// Its name; the host that is asked if left out.
        host: Option<String>,
        /// Have it serve again.
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        how: How,
    },
    /// Show which version owns which records.
    #[command(after_help = "Example: wasmill cutovers fraud")]
    Cutovers {
        processor: String,
        #[command(flatten)]
        how: How,
    },
    /// Show the committed value of a key in a store.
    #[command(after_help = "Example: wasmill state wallet balances 1000000001")]
    State {
        processor: String,
        store: String,
        key: String,
        #[command(flatten)]
        how: How,
    },
}

impl RemoteCommand {
    /// The address that was named.
    pub fn url(&self) -> Option<String> {
        self.how().url.clone()
    }

    fn how(&self) -> &How {
        match self {
            Self::Deploy { how, .. }
            | Self::Versions { how, .. }
            | Self::Rollback { how, .. }
            | Self::Status { how }
            | Self::Pause { how, .. }
            | Self::Resume { how, .. }
            | Self::Drain { how, .. }
            | Self::Cutovers { how, .. }
            | Self::State { how, .. } => how,
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nothing was asked: the command line is wrong.
    #[error("{0}")]
    Wrong(String),
    /// There is nobody to ask.
    #[error("{0}")]
    Absent(String),
    #[error("no host answers at {address}: {why}; is `wasmill run` running, with this manifest?")]
    Unreachable { address: String, why: String },
    /// The host said no.
    #[error("{0}")]
    Refused(String),
}

/// Asks, and gives the text to print.
///
/// # Errors
/// The command line is wrong, no host answers, or it refuses.
pub fn ask(address: &Address, command: &RemoteCommand) -> Result<String, RemoteError> {
    let remote = Remote::new(address);
    let answer = match command {
        RemoteCommand::Deploy { .. } => deploy(&remote, command)?,
        RemoteCommand::Versions { processor, .. } => {
            remote.get(&format!("/v1/processors/{}/versions", escaped(processor)))?
        }
        RemoteCommand::Rollback { processor, to, why, if_match, .. } => {
            let body = serde_json::json!({ "version": to, "why": why });
            remote.post(&format!("/v1/processors/{}/rollback", escaped(processor)), &body.to_string(), *if_match)?
        }
        RemoteCommand::Status { .. } => remote.get("/v1")?,
        RemoteCommand::Pause { processor, .. } => {
            remote.put(&format!("/v1/processors/{}/pause", escaped(processor)))?
        }
        RemoteCommand::Resume { processor, .. } => {
            remote.put(&format!("/v1/processors/{}/resume", escaped(processor)))?
        }
        RemoteCommand::Drain { host, undo, .. } => {
            let host = match host {
                Some(host) => host.clone(),
                None => remote.get("/v1")?["host"].as_str().unwrap_or_default().to_owned(),
            };
            remote.put(&format!("/v1/hosts/{}/{}", escaped(&host), if *undo { "serve" } else { "drain" }))?
        }
        RemoteCommand::Cutovers { processor, .. } => {
            remote.get(&format!("/v1/processors/{}/cutovers", escaped(processor)))?
        }
        RemoteCommand::State { processor, store, key, .. } => {
            let (processor, store, key) = (escaped(processor), escaped(store), escaped(key));
            remote.get(&format!("/v1/processors/{processor}/stores/{store}/{key}"))?
        }
    };
    Ok(if command.how().json { format!("{answer}\n") } else { show::text(command, &answer) })
}

/// The whole application as the host at `address` sees it, within `patience`.
///
/// # Errors
/// No host answers, or it refuses.
pub fn whole(address: &Address, patience: Duration) -> Result<Value, RemoteError> {
    Remote::patient(address, patience).get("/v1")
}

/// Where Kafka clients find the broker of a running host.
///
/// # Errors
/// It does not answer, or refuses.
pub fn bootstrap(address: &Address) -> Result<String, RemoteError> {
    let answer = whole(address, ask::ANSWER_MAX)?;
    let told = answer["bootstrap"].as_str().filter(|told| !told.is_empty());
    told.map(str::to_owned).ok_or_else(|| RemoteError::Refused("the host does not tell where its broker is".to_owned()))
}

fn deploy(remote: &Remote, command: &RemoteCommand) -> Result<Value, RemoteError> {
    let RemoteCommand::Deploy {
        processor,
        component,
        settings,
        limits,
        on_error,
        retry_times,
        retry_backoff_ms,
        note,
        state_format,
        if_match,
        ..
    } = command
    else {
        unreachable!("called for this command only")
    };
    let bytes = component.as_ref().map(ask::read).transpose()?.unwrap_or_default();
    let limits = (!limits.is_empty()).then(|| limits_of(limits)).transpose()?;
    let upload = Upload {
        bytes: &bytes,
        note,
        settings: settings.clone(),
        limits: limits.map(|limits| Value::from(limits).to_string()),
        on_error: on_error.as_deref(),
        retry_times: *retry_times,
        retry_backoff_ms: *retry_backoff_ms,
        state_format: state_format.as_deref(),
        base: *if_match,
    };
    remote.upload(processor, &upload)
}

/// Limits as they are written on the command line, as JSON.
fn limits_of(given: &[String]) -> Result<Map<String, Value>, RemoteError> {
    let one = |text: &String| {
        let wrong = || RemoteError::Wrong(format!("--limit {text}: it must be KEY=VALUE, such as memory-mib=128"));
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        Ok((key.to_owned(), serde_json::from_str(value).map_err(|_| wrong())?))
    };
    given.iter().map(one).collect()
}
