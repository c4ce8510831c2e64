//! The `wasmill` program as an operator uses it: a manifest in a folder of its own, a running host, other commands.
//! Owns the folder. Knows nothing of what the manifest says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::brokers::Broker;
use crate::child::Child;
use crate::reader::{Isolation, Seen, read};
use crate::until::{LONG, until};

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// What it printed as JSON.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One application.
pub struct Application {
    folder: TempDir,
    address: String,
}

impl Application {
    /// Writes the manifest; `[kafka]` is added.
    pub fn new(broker: &Broker, manifest: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("wasmill-app-").tempdir().expect("a temporary folder");
        let application = Self { folder, address: broker.address() };
        application.write(manifest);
        application
    }

    /// Replaces the manifest.
    pub fn write(&self, manifest: &str) {
        let kafka = format!("\n[kafka]\n\"bootstrap.servers\" = \"{}\"\n\"session.timeout.ms\" = 6000\n", self.address);
        fs::write(self.folder.path().join("wasmill.toml"), format!("{manifest}{kafka}")).expect("a folder of ours");
    }

    fn command(&self, words: &[&str]) -> Command {
        let program = build().join("wasmill");
        assert!(program.exists(), "{} is missing: cargo build --release --workspace", program.display());
        let mut command = Command::new(program);
        command.args(words).current_dir(self.folder.path());
        command
    }

    /// Starts `wasmill run`.
    pub fn run(&self) -> Child {
        Child::start(self.command(&["run"]), self.log_path()).expect("the host starts")
    }

    /// Starts `wasmill run` with more in its environment.
    pub fn run_with(&self, environment: &[(&str, &str)]) -> Child {
        let mut command = self.command(&["run"]);
        command.envs(environment.iter().copied());
        Child::start(command, self.log_path()).expect("the host starts")
    }

    /// Starts `wasmill run` as one of several hosts, with a name, a data folder and a log of its own.
    pub fn run_as(&self, host: &str) -> Child {
        let words = ["run", "--host", host, "--data", host];
        Child::start(self.command(&words), self.folder.path().join(format!("{host}.log"))).expect("the host starts")
    }

    /// Where a running host's interface listens, once everything of it runs; `data` is its data folder.
    pub fn interface(&self, host: &mut Child, data: &str) -> String {
        let path = self.folder.path().join(data).join("http");
        let is_there = || {
            assert!(!host.has_ended(), "the host ended:\n{}", host.last_words());
            // One that was killed has left its own.
            let found = fs::read_to_string(&path).ok()?.trim().to_owned();
            std::net::TcpStream::connect(&found).is_ok().then_some(found)
        };
        until("the interface answers", LONG, is_there)
    }

    /// The folder that commands run in.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Runs a command to its end.
    pub fn ask(&self, words: &[&str]) -> Answer {
        self.ask_with(words, &[])
    }

    /// As [`Self::ask`], with more in its environment.
    pub fn ask_with(&self, words: &[&str], environment: &[(&str, &str)]) -> Answer {
        let output = self.command(words).envs(environment.iter().copied()).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("host.log")
    }

    /// What hosts have logged, in all their lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

/// Where the programs of this build lie.
pub fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let folder = own.parent().expect("a program lies in target/<profile>");
    let is_suite = folder.ends_with("deps");
    folder.ancestors().nth(usize::from(is_suite)).expect("a suite lies in target/<profile>/deps").into()
}

/// The file of a component of `tests/guests`.
pub fn guest(name: &str) -> String {
    let path = build().join("../wasm32-wasip2/guest").join(format!("{}.wasm", name.replace('-', "_")));
    let path = path.canonicalize().unwrap_or_else(|error| {
        panic!("{}: {error}; build it: cargo run --release -q -p xtask -- guests", path.display())
    });
    path.display().to_string()
}

/// Waits until a partition holds `count` committed records or more, and gives them; the host must live meanwhile.
pub fn records(broker: &Broker, host: &mut Child, topic: &str, partition: i32, count: usize) -> Vec<Seen> {
    until(&format!("{count} records in {topic}/{partition}"), LONG, || {
        assert!(!host.has_ended(), "the host ended:\n{}", host.last_words());
        Some(read(broker, topic, partition, Isolation::Committed)).filter(|seen| seen.len() >= count)
    })
}

/// As [`records`], their values as text.
pub fn texts(broker: &Broker, host: &mut Child, topic: &str, partition: i32, count: usize) -> Vec<String> {
    records(broker, host, topic, partition, count).iter().map(Seen::text).collect()
}
