//! Answers as text for people: short lines, what matters first.

use serde_json::Value;

use super::RemoteCommand;

pub(super) fn text(command: &RemoteCommand, answer: &Value) -> String {
    match command {
        RemoteCommand::Status { .. } => status(answer),
        RemoteCommand::Versions { .. } => lines(answer, version),
        RemoteCommand::Cutovers { .. } => lines(answer, cutover),
        RemoteCommand::State { .. } => stored(answer),
        RemoteCommand::Deploy { processor, .. } | RemoteCommand::Rollback { processor, .. } => {
            deployed(processor, answer) + "\n"
        }
        RemoteCommand::Pause { processor, .. } => format!("{processor}: paused, revision {}\n", answer["revision"]),
        RemoteCommand::Drain { undo: false, .. } => {
            format!("{}: drained, has no partitions; `--undo` has it serve again\n", word(&answer["name"]))
        }
        RemoteCommand::Drain { undo: true, .. } => format!("{}: serves\n", word(&answer["name"])),
        RemoteCommand::Resume { processor, .. } => format!("{processor}: running, revision {}\n", answer["revision"]),
    }
}

/// What a change of a deployment came to.
pub(super) fn deployed(processor: &str, answer: &Value) -> String {
    format!("{processor}: version {} is active, revision {}", answer["version"], answer["revision"])
}

pub(super) const NO_CHANGES: &str = "no changes: what runs is what the manifest says\n";

/// What applying a manifest would change.
pub(super) fn plan(plan: &Value) -> String {
    let topic = |t: &Value| format!("+ topic {}, {} partitions\n", word(&t["name"]), t["partitions"]);
    let version = |v: &Value| {
        let changes: Vec<&str> = list(&v["changes"]).iter().map(word).collect();
        let (processor, changes) = (word(&v["processor"]), changes.join(", "));
        format!("~ processor {processor}: a new version; {changes} differ from version {}\n", v["version"])
    };
    let mut text: String = list(&plan["topics"]).iter().map(topic).collect();
    text.extend(list(&plan["versions"]).iter().map(version));
    text.extend(list(&plan["all_hosts"]).iter().map(|l| format!("! {}\n", word(l))));
    if !list(&plan["all_hosts"]).is_empty() {
        text.push_str("  (`!`: stop all hosts, then start them with this manifest; `apply` does nothing before)\n");
    }
    text.push_str(&left(plan));
    if text.is_empty() { NO_CHANGES.to_owned() } else { text }
}

/// What a plan holds that `apply` does not do.
pub(super) fn left(plan: &Value) -> String {
    let mut text: String =
        list(&plan["each_host"]).iter().map(|l| format!("! {} when a host is started anew\n", word(l))).collect();
    text.extend(list(&plan["by_hand"]).iter().map(|l| format!("- {}\n", word(l))));
    text
}

fn lines(answer: &Value, line: fn(&Value) -> String) -> String {
    let items = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| line(item) + "\n").collect()
}

fn status(answer: &Value) -> String {
    let host = |h: &Value| word(&h["name"]).to_owned() + if h["is_drained"] == true { " (drained)" } else { "" };
    let hosts: Vec<String> = list(&answer["hosts"]).iter().map(host).collect();
    let mut text = format!(
        "{} on {}, broker {}, wasmill {}\n",
        word(&answer["application"]),
        hosts.join(", "),
        word(&answer["bootstrap"]),
        word(&answer["wasmill"])
    );
    for processor in list(&answer["processors"]) {
        text.push_str(&processor_line(processor));
    }
    if let Some(stuck) = answer["stuck"].as_str() {
        text.push_str(&format!("! {stuck}\n"));
    }
    text
}

fn processor_line(processor: &Value) -> String {
    let deployment = &processor["deployment"];
    let workers = list(&processor["workers"]);
    let sum = |name: &str| workers.iter().filter_map(|w| w[name].as_u64()).sum::<u64>();
    let tasks: Vec<&Value> = workers.iter().flat_map(|w| list(&w["tasks"])).collect();
    let running = tasks.iter().filter(|t| t["state"] == "running").count();
    let mut text = format!(
        "  {:<20} {:<8} version {:<4} revision {:<5} tasks {running}/{}  records {}  outputs {}  dead letters {}\n",
        word(&processor["name"]),
        word(&deployment["state"]),
        deployment["version"],
        deployment["revision"],
        tasks.len(),
        sum("records"),
        sum("outputs"),
        sum("dead_letters"),
    );
    if let Some(candidate) = deployment["candidate"].as_u64() {
        text.push_str(&format!("    version {candidate} is being prepared\n"));
    }
    if let Some(event) = list(&deployment["events"]).last() {
        text.push_str(&format!("    revision {}: {}\n", event["revision"], word(&event["text"])));
    }
    let of_workers = workers.iter().flat_map(|w| [&w["condemned"], &w["halted"]]);
    let troubles = [&deployment["why"], &processor["refusal"]].into_iter().chain(of_workers);
    let mut troubles: Vec<&str> = troubles.chain(tasks.iter().map(|t| &t["why"])).filter_map(Value::as_str).collect();
    let waits = workers.iter().filter_map(|w| w["waits_for"].as_u64());
    let waits: Vec<String> =
        waits.map(|r| format!("tasks wait for revision {r}, which does not run here yet")).collect();
    troubles.extend(waits.iter().map(String::as_str));
    troubles.dedup();
    troubles.iter().for_each(|trouble| text.push_str(&format!("    ! {trouble}\n")));
    text
}

fn version(version: &Value) -> String {
    let mark = if version["is_active"] == true { "*" } else { " " };
    let digest = word(&version["digest"]).get(..12).unwrap_or_default();
    format!("{mark} {:<5} {digest}  {:>9} bytes  {}", version["number"], version["bytes"], word(&version["note"]))
}

fn cutover(cutover: &Value) -> String {
    format!(
        "{}/{} from {:<10} version {:<4} revision {:<5} on {}",
        word(&cutover["topic"]),
        cutover["partition"],
        cutover["offset"],
        cutover["version"],
        cutover["revision"],
        word(&cutover["host"])
    )
}

fn stored(answer: &Value) -> String {
    let value = &answer["value"];
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => format!("{text}\n"),
        (_, Some(base64)) => format!("base64:{base64}\n"),
        _ => "no such key\n".to_owned(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
