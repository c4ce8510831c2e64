//! Commands that ask a running host through its HTTP interface, and say what came of it. Knows no part of the host.

mod address;
mod show;

pub use address::{Address, Publication, publish};

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// A roll-out that is waited for takes 75 s at most.
const ANSWER_MAX: Duration = Duration::from_secs(100);

/// How a running host is asked, and how it answers.
#[derive(Clone, Debug, clap::Args)]
pub struct How {
    /// Where the host's interface listens; else the host that runs in the manifest's data folder is asked.
    #[arg(long, env = "WASMILL_URL")]
    url: Option<String>,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What a running host can be asked.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RemoteCommand {
    /// Hand a new version to all hosts, which take it over while records flow.
    #[command(after_help = "Example: wasmill deploy fraud target/wasm32-wasip2/guest/fraud.wasm --note \"stricter\"")]
    Deploy {
        processor: String,
        /// The component; without it the active one gets new settings.
        component: Option<PathBuf>,
        /// Settings for the component, as JSON; those of the active version if left out.
        #[arg(long)]
        settings: Option<String>,
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
        RemoteCommand::Deploy { .. } => remote.deploy(command)?,
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

/// Where Kafka clients find the broker of a running host.
///
/// # Errors
/// It does not answer, or refuses.
pub fn bootstrap(address: &Address) -> Result<String, RemoteError> {
    let answer = Remote::new(address).get("/v1")?;
    let told = answer["bootstrap"].as_str().filter(|told| !told.is_empty());
    told.map(str::to_owned).ok_or_else(|| RemoteError::Refused("the host does not tell where its broker is".to_owned()))
}

struct Remote {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Remote {
    fn new(address: &Address) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_MAX)).build();
        Self { base: address.url.clone(), token: address.token.clone(), agent: config.into() }
    }

    fn deploy(&self, command: &RemoteCommand) -> Result<Value, RemoteError> {
        let RemoteCommand::Deploy { processor, component, settings, note, state_format, if_match, .. } = command else {
            unreachable!("called for this command only")
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| RemoteError::Wrong(format!("cannot read {}: {error}", path.display())))
        };
        let bytes = component.as_ref().map(read).transpose()?.unwrap_or_default();
        let mut query = format!("wait=true&note={}", escaped(note));
        for (name, value) in [("settings", settings), ("state_format", state_format)] {
            value.iter().for_each(|value| query.push_str(&format!("&{name}={}", escaped(value))));
        }
        let url = format!("{}/v1/processors/{}/versions?{query}", self.base, escaped(processor));
        let request = self.agent.post(&url).header("content-type", "application/wasm");
        self.answer(self.with_headers(request, *if_match).send(&bytes[..]))
    }

    fn get(&self, path: &str) -> Result<Value, RemoteError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.call())
    }

    fn post(&self, path: &str, body: &str, base: Option<u64>) -> Result<Value, RemoteError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.answer(self.with_headers(request, base).send(body))
    }

    fn put(&self, path: &str) -> Result<Value, RemoteError> {
        let request = self.agent.put(format!("{}{path}", self.base));
        self.answer(self.with_headers(request, None).send_empty())
    }

    fn with_headers(
        &self,
        mut request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        base: Option<u64>,
    ) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match base {
            Some(base) => request.header("if-match", format!("\"{base}\"")),
            None => request,
        }
    }

    fn answer(&self, answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, RemoteError> {
        let unreachable =
            |error: ureq::Error| RemoteError::Unreachable { address: self.base.clone(), why: error.to_string() };
        let mut response = answered.map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        if status == ureq::http::StatusCode::UNAUTHORIZED {
            let text = "the host asks for a token: set WASMILL_TOKEN to the one it was started with";
            return Err(RemoteError::Refused(text.to_owned()));
        }
        let detail = value["detail"].as_str().map_or_else(|| format!("{status}"), str::to_owned);
        Err(RemoteError::Refused(detail))
    }
}

/// A part of a path or a query, with everything escaped that is not plain.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
