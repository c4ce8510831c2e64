//! A changed manifest against a running application: what it would change, and the change itself. Topics and versions are
//! changed one after the other; what takes a restart is told, and nothing is done where it takes one of all hosts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::ask::{Remote, Upload, escaped, read};
use super::{Address, RemoteError, show};
use crate::digest::Digest;

/// A manifest as it is to be applied.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The text of the manifest.
    pub manifest: String,
    /// By processor: the component that the manifest names.
    pub components: BTreeMap<String, PathBuf>,
}

/// What applying a manifest would change, as text or as JSON.
///
/// # Errors
/// A component cannot be read, no host answers, or it finds problems in the manifest.
pub fn plan(address: &Address, wanted: &Wanted, is_json: bool) -> Result<String, RemoteError> {
    let plan = ask(&Remote::new(address), wanted)?;
    Ok(if is_json { format!("{plan}\n") } else { show::plan(&plan) })
}

/// Makes the topics and deploys the versions that a manifest asks for; tells what was done, as text or as JSON.
///
/// # Errors
/// As for a plan; or something takes a restart of all hosts, and nothing was done; or a step was refused: the text says
/// what was done before.
pub fn apply(address: &Address, wanted: &Wanted, note: &str, is_json: bool) -> Result<String, RemoteError> {
    let remote = Remote::new(address);
    let plan = ask(&remote, wanted)?;
    let restart = list(&plan["all_hosts"]);
    if !restart.is_empty() {
        let lines: String = restart.iter().filter_map(Value::as_str).map(|line| format!("\n  {line}")).collect();
        return Err(RemoteError::Refused(format!(
            "nothing was done: this takes all hosts to be stopped, and started with the new manifest{lines}"
        )));
    }
    let mut done = Done::default();
    for topic in list(&plan["topics"]) {
        let name = topic["name"].as_str().unwrap_or_default();
        let body = json!({
            "partitions": topic["partitions"], "replication": topic["replication"], "settings": topic["settings"]
        });
        done.add(remote.put_json(&format!("/v1/topics/{}", escaped(name)), &body), |_| format!("topic {name}: made"))?;
    }
    for change in list(&plan["versions"]) {
        let processor = change["processor"].as_str().unwrap_or_default();
        let deployed = |answer: &Value| show::deployed(processor, answer);
        done.add(deploy(&remote, wanted, change, note), deployed)?;
    }
    Ok(if is_json { format!("{}\n", done.json(&plan)) } else { done.text(&plan) })
}

fn ask(remote: &Remote, wanted: &Wanted) -> Result<Value, RemoteError> {
    let digest = |(processor, path): (&String, &PathBuf)| {
        read(path).map(|bytes| (processor.clone(), Value::from(Digest::of(&bytes).to_string())))
    };
    let components: serde_json::Map<_, _> = wanted.components.iter().map(digest).collect::<Result<_, _>>()?;
    remote.post("/v1/plan", &json!({ "manifest": wanted.manifest, "components": components }).to_string(), None)
}

fn deploy(remote: &Remote, wanted: &Wanted, change: &Value, note: &str) -> Result<Value, RemoteError> {
    let processor = change["processor"].as_str().unwrap_or_default();
    let path = wanted.components.get(processor).filter(|_| change["is_component_new"] == true);
    let bytes = path.map(read).transpose()?.unwrap_or_default();
    let policy = &change["on_error"];
    let upload = Upload {
        bytes: &bytes,
        note,
        settings: Some(change["settings"].to_string()),
        limits: Some(change["limits"].to_string()),
        on_error: policy["on-error"].as_str(),
        retry_times: policy["retry-times"].as_u64(),
        retry_backoff_ms: policy["retry-backoff-ms"].as_u64(),
        state_format: change["state_format"].as_str(),
        base: change["revision"].as_u64(),
    };
    remote.upload(processor, &upload)
}

/// What was done so far.
#[derive(Default)]
struct Done {
    lines: Vec<String>,
    answers: Vec<Value>,
}

impl Done {
    fn add(&mut self, step: Result<Value, RemoteError>, line: impl Fn(&Value) -> String) -> Result<(), RemoteError> {
        match step {
            Ok(answer) => {
                self.lines.push(line(&answer));
                self.answers.push(answer);
                Ok(())
            }
            Err(error) if self.lines.is_empty() => Err(error),
            Err(error) => Err(RemoteError::Refused(format!("{error}\ndone before that:\n{}", self.lines.join("\n")))),
        }
    }

    fn text(&self, plan: &Value) -> String {
        let done: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        let left = show::left(plan);
        if done.is_empty() && left.is_empty() { show::NO_CHANGES.to_owned() } else { format!("{done}{left}") }
    }

    fn json(&self, plan: &Value) -> Value {
        json!({ "done": self.answers, "each_host": plan["each_host"], "by_hand": plan["by_hand"] })
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
