//! `wasmill offsets`: where a processor's tasks stand, and the way out of a halt.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::reach::{CommandError, Reach, failed, processor};
use super::wiring::{kafka_settings, task_setup};
use crate::client::{Located, Metadata};
use crate::clock::{Clock, SystemClock};
use crate::config::Manifest;
use crate::kafka::{Admin, Appender, Feed, InspectError, Inspector, Tail, random};
use crate::record::{Input, Offset, Partition, Position};
use crate::store::changelog;
use crate::task::{Acceptance, Fresh, Goal, Plan, Refusal, TaskSetup, Wish, accept, plan};
use crate::topology::{ProcessorSettings, Topology};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum OffsetsCommand {
    /// Show where each task stands: positions, commits, changelogs, and what would halt it.
    #[command(after_help = "Example: wasmill offsets show transaction --json")]
    Show {
        processor: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let halted tasks go on with their state as it is, from their present positions or from `--to`.
    ///
    /// The hosts that run the processor must be stopped: the broker refuses while the group has members, and a stopped
    /// host's place is kept for its session time-out, 10 s.
    #[command(
        after_help = "Examples: wasmill offsets accept transaction --partition 3\n          wasmill offsets accept \
                            transaction --partition 3 --input requests --to 1042"
    )]
    Accept {
        processor: String,
        /// Only these partitions.
        #[arg(long)]
        partition: Vec<i32>,
        /// Only this input's position is moved by `--to`.
        #[arg(long, requires = "to")]
        input: Option<String>,
        /// Where to go on: `earliest`, `latest`, or the offset of the next record.
        #[arg(long, value_parser = goal)]
        to: Option<Goal>,
        #[arg(long)]
        json: bool,
    },
    /// Forget positions and state of a whole processor: its next start reads its inputs again, from their manifest's
    /// `start`, rebuilds its state, and WRITES ITS OUTPUTS AGAIN.
    #[command(after_help = "Example: wasmill offsets reset transaction --yes")]
    Reset {
        processor: String,
        /// Do it. Without, the command only says what it would do.
        #[arg(long)]
        yes: bool,
        #[arg(long)]
        json: bool,
    },
}

fn goal(text: &str) -> Result<Goal, String> {
    match text {
        "earliest" => Ok(Goal::Earliest),
        "latest" => Ok(Goal::Latest),
        number => match number.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Goal::At(Offset(offset))),
            _ => Err(format!("`{text}` is neither `earliest` nor `latest` nor an offset")),
        },
    }
}

/// The default session time-out, three times: the user may have set another.
const PLACES_PATIENCE: Duration = Duration::from_secs(30);

/// Between two questions to the embedded broker.
const ASK_PAUSE: Duration = Duration::from_millis(100);

/// Does what was asked; gives what is to be printed.
///
/// # Errors
/// It cannot be done; the text says what to do.
pub fn offsets(manifest: &Manifest, command: &OffsetsCommand) -> Result<String, CommandError> {
    let topology = &manifest.topology;
    let (OffsetsCommand::Show { processor: name, .. }
    | OffsetsCommand::Accept { processor: name, .. }
    | OffsetsCommand::Reset { processor: name, .. }) = command;
    let processor = processor(topology, name)?;
    let reach = Reach::open(topology)?;
    let settings = kafka_settings(topology, processor, &reach.kafka, 0);
    let inspector = Inspector::open(&settings).map_err(|e| failed(&e))?;
    let setup = task_setup(topology, processor, None);
    let desk = Desk { topology, processor, inspector, setup, reach };
    match command {
        OffsetsCommand::Show { json, .. } => desk.show(*json),
        OffsetsCommand::Accept { partition, input, to, json, .. } => {
            desk.accept(partition, &Wish { input: input.clone(), to: *to }, *json)
        }
        OffsetsCommand::Reset { yes, json, .. } => desk.reset(*yes, *json),
    }
}

struct Desk<'a> {
    topology: &'a Topology,
    processor: &'a ProcessorSettings,
    inspector: Inspector,
    setup: TaskSetup,
    /// Last: what is connected goes before the broker.
    reach: Reach,
}

/// What the changelogs of a partition tell of the last commit that changed state.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    sequence: u64,
    /// Position of the first input.
    next: i64,
}

impl Desk<'_> {
    fn partitions(&self) -> i32 {
        self.topology.partitions(self.processor)
    }

    fn locate(&self, partition: i32) -> Result<Located, CommandError> {
        self.inspector.locate(Partition(partition)).map_err(|e| failed(&e))
    }

    fn show(&self, is_json: bool) -> Result<String, CommandError> {
        let members = self.inspector.members().map_err(|e| failed(&e))?;
        let newest = self.newest_changes()?;
        let mut tasks = Vec::new();
        for partition in 0..self.partitions() {
            tasks.push(self.task(partition, &self.locate(partition)?, newest[partition as usize]));
        }
        let group = &self.setup.group;
        if is_json {
            let found = json!({"processor": self.processor.name, "group": group, "members": members, "tasks": tasks});
            return Ok(pretty(&found));
        }
        let mut text = format!("{}: group {group}, {members} members\n", self.processor.name);
        tasks.iter().for_each(|task| text.push_str(&task_text(task)));
        Ok(text)
    }

    fn task(&self, partition: i32, located: &Located, newest: Option<Newest>) -> Value {
        let checkpoints = vec![None; self.setup.stores.len()];
        let found = plan(&self.setup, Partition(partition), located, &checkpoints, SystemClock::new().wall_ms());
        let (state, why) = match &found {
            Plan::Genesis { .. } => ("new", Value::Null),
            Plan::Restore { .. } => ("good", Value::Null),
            Plan::Halt(halt) => ("halted", halt.explain(&self.setup.group).into()),
        };
        let input = |(found, topic): (&crate::client::LocatedInput, &String)| {
            let committed = found.committed.as_ref();
            let metadata = committed.and_then(|c| c.metadata.parse::<Metadata>().ok());
            json!({
                "topic": topic,
                "first": found.first.0,
                "end": found.end.0,
                "committed": committed.map(|c| c.next.0),
                "sequence": metadata.as_ref().map(|m| m.sequence),
                "revision": metadata.as_ref().map(|m| m.revision),
            })
        };
        let store = |(found, name): (&crate::client::LocatedChangelog, &String)| {
            let changelog = self.topology.changelog(self.processor, self.store(name));
            json!({"store": name, "changelog": changelog, "first": found.first.0, "end": found.end.0})
        };
        json!({
            "partition": partition,
            "state": state,
            "why": why,
            "inputs": located.inputs.iter().zip(&self.setup.inputs).map(input).collect::<Vec<_>>(),
            "stores": located.changelogs.iter().zip(&self.setup.stores).map(store).collect::<Vec<_>>(),
            "state_belongs_to": newest.map(|n| json!({"topic": self.setup.inputs[0], "offset": n.next})),
        })
    }

    fn store(&self, name: &str) -> &crate::topology::StoreSettings {
        let named = self.processor.stores.iter().find(|s| s.name == name);
        named.expect("the setup's stores are the processor's")
    }

    fn accept(&self, partitions: &[i32], wish: &Wish, is_json: bool) -> Result<String, CommandError> {
        let count = self.partitions();
        if let Some(wrong) = partitions.iter().find(|p| !(0..count).contains(p)) {
            return Err(CommandError::Wrong(format!("there is no partition {wrong}: 0 to {} are there", count - 1)));
        }
        self.refuse_members()?;
        let newest = self.newest_changes()?;
        let chosen = |p: &i32| partitions.is_empty() || partitions.contains(p);
        let (mut accepted, mut positions) = (Vec::new(), Vec::new());
        for partition in (0..count).filter(chosen) {
            let located = self.locate(partition)?;
            let changelog_sequence = newest[partition as usize].unwrap_or_default().sequence;
            let fresh = Fresh { changelog_sequence, nonce: random(), identity: random() };
            match accept(&self.setup, Partition(partition), &located, wish, fresh) {
                Ok(acceptance) => {
                    self.begin_changelogs(partition, &acceptance, fresh.identity)?;
                    positions.extend(self.commits(partition, &acceptance)?);
                    accepted.push(self.told(partition, &located, &acceptance));
                }
                // Others may be halted; one that was named must be.
                Err(Refusal::NothingToAccept) if partitions.is_empty() => {}
                Err(refusal) => return Err(CommandError::Wrong(format!("partition {partition}: {refusal}"))),
            }
        }
        if accepted.is_empty() {
            return Err(CommandError::Wrong(Refusal::NothingToAccept.to_string()));
        }
        self.inspector.commit(&positions).map_err(|e| match e {
            InspectError::HasMembers { .. } => CommandError::Wrong(e.to_string()),
            e => failed(&e),
        })?;
        Ok(accepted_text(&self.processor.name, &accepted, is_json))
    }

    fn refuse_members(&self) -> Result<(), CommandError> {
        self.await_places()?;
        match self.inspector.members().map_err(|e| failed(&e))? {
            0 => Ok(()),
            members => Err(CommandError::Wrong(format!(
                "group {} has {members} members: stop the hosts that run `{}`; the place of a stopped host is kept for its \
                 session time-out, 10 s by default, so wait as long and ask again",
                self.setup.group, self.processor.name
            ))),
        }
    }

    /// With the data folder's lock in our hands no host of the embedded broker lives: its place in the group is only kept
    /// for a restart, and is given up in time.
    fn await_places(&self) -> Result<(), CommandError> {
        let clock = SystemClock::new();
        let is_held = || self.inspector.members().map(|members| members > 0).map_err(|e| failed(&e));
        if !self.reach.owns_broker() || !is_held()? {
            return Ok(());
        }
        eprintln!("waiting until the stopped host's place in the group is given up");
        while is_held()? && clock.monotonic() < PLACES_PATIENCE {
            std::thread::sleep(ASK_PAUSE);
        }
        Ok(())
    }

    fn begin_changelogs(&self, partition: i32, acceptance: &Acceptance, identity: u64) -> Result<(), CommandError> {
        if acceptance.begun.is_empty() {
            return Ok(());
        }
        let mut feed = Feed::new(&self.reach.kafka).map_err(|e| failed(&e))?;
        let (key, value) = changelog::identity_record(identity);
        for store in &acceptance.begun {
            let topic = self.topology.changelog(self.processor, &self.processor.stores[*store]);
            feed.put(&topic, partition, &key, &value).map_err(|e| failed(&e))?;
        }
        feed.flush().map_err(|e| failed(&e))
    }

    fn commits(&self, partition: i32, acceptance: &Acceptance) -> Result<Vec<(Position, String)>, CommandError> {
        let text = acceptance.metadata.as_ref().map_or(Ok(String::new()), Metadata::encode).map_err(|e| failed(&e))?;
        let position = |(input, next): (usize, &Offset)| {
            let input = Input(input as u16);
            (Position { input, partition: Partition(partition), next: *next }, text.clone())
        };
        Ok(acceptance.next.iter().enumerate().map(position).collect())
    }

    fn told(&self, partition: i32, located: &Located, acceptance: &Acceptance) -> Value {
        let input = |((found, topic), next): ((&crate::client::LocatedInput, &String), &Offset)| json!({"topic": topic, "before": found.committed.as_ref().map(|c| c.next.0), "next": next.0});
        let inputs = located.inputs.iter().zip(&self.setup.inputs).zip(&acceptance.next).map(input);
        let sequence = acceptance.metadata.as_ref().map(|m| m.sequence);
        json!({"partition": partition, "sequence": sequence, "inputs": inputs.collect::<Vec<_>>()})
    }

    /// Per partition, the newest change that its changelogs hold.
    fn newest_changes(&self) -> Result<Vec<Option<Newest>>, CommandError> {
        let mut newest: Vec<Option<Newest>> = vec![None; self.partitions() as usize];
        if self.processor.stores.is_empty() {
            return Ok(newest);
        }
        let tail = Tail::new(&self.reach.kafka).map_err(|e| failed(&e))?;
        for store in &self.processor.stores {
            let topic = self.topology.changelog(self.processor, store);
            for record in tail.read_all(&topic).map_err(|e| failed(&e))? {
                let written = record.value.as_deref().and_then(changelog::position_of);
                let slot = newest.get_mut(record.partition as usize);
                let (Some((sequence, Offset(next))), Some(slot)) = (written, slot) else { continue };
                if slot.is_none_or(|n| n.sequence <= sequence) {
                    *slot = Some(Newest { sequence, next });
                }
            }
        }
        Ok(newest)
    }

    /// What is known of earlier lives would make the next start look like a loss.
    fn forget_cutovers(&self) -> Result<(), CommandError> {
        let topic = self.topology.control_topics().cutovers;
        let tail = Tail::new(&self.reach.kafka).map_err(|e| failed(&e))?;
        let told = tail.cutovers(&topic, &self.processor.name).map_err(|e| failed(&e))?;
        let ours: BTreeSet<Vec<u8>> = told.into_iter().filter_map(|r| r.key).collect();
        let appender = Appender::new(&self.reach.kafka).map_err(|e| failed(&e))?;
        appender.append(&topic, ours.iter().map(|key| (key.as_slice(), None))).map_err(|e| failed(&e))
    }

    fn reset(&self, is_sure: bool, is_json: bool) -> Result<String, CommandError> {
        let changelogs: Vec<String> =
            self.processor.stores.iter().map(|s| self.topology.changelog(self.processor, s)).collect();
        let (name, group) = (&self.processor.name, &self.setup.group);
        if !is_sure {
            return Err(CommandError::Wrong(format!(
                "this would delete the offsets of group {group} and {}; the next start of `{name}` reads {} again, rebuilds \
                 its state, and writes its outputs again, beside those that are there. Say `--yes` to do it",
                if changelogs.is_empty() { "no changelogs".to_owned() } else { changelogs.join(", ") },
                self.setup.inputs.join(", ")
            )));
        }
        self.refuse_members()?;
        let admin = Admin::new(&self.reach.kafka).map_err(|e| failed(&e))?;
        // Offsets first: cut off in between, the task halts for its changelog, and the command can be run again.
        admin.delete_group(group).map_err(|e| CommandError::Wrong(e.to_string()))?;
        admin.delete_topics(&changelogs).map_err(|e| failed(&e))?;
        let needs: Vec<_> = self.topology.topic_needs().into_iter().filter(|n| changelogs.contains(&n.name)).collect();
        admin.ensure(&needs).map_err(|e| failed(&e))?;
        self.forget_cutovers()?;
        if is_json {
            return Ok(pretty(&json!({"processor": name, "group": group, "changelogs": changelogs})));
        }
        Ok(format!(
            "{name}: offsets and state are gone; its next start reads its inputs again and writes its outputs again\n"
        ))
    }
}

fn accepted_text(processor: &str, accepted: &[Value], is_json: bool) -> String {
    if is_json {
        return pretty(&json!({"processor": processor, "accepted": accepted}));
    }
    let mut text = String::new();
    for task in accepted {
        for input in task["inputs"].as_array().into_iter().flatten() {
            let before = input["before"].as_i64().map_or_else(|| "nothing".to_owned(), |n| n.to_string());
            let (topic, next) = (input["topic"].as_str().unwrap_or_default(), &input["next"]);
            text.push_str(&format!("{topic}/{}: goes on at {next} (was {before})\n", task["partition"]));
        }
    }
    text
}

fn task_text(task: &Value) -> String {
    let word = |value: &Value| value.as_i64().map_or_else(|| "nothing".to_owned(), |n| n.to_string());
    let mut text = format!("partition {}: {}\n", task["partition"], task["state"].as_str().unwrap_or_default());
    if let Some(why) = task["why"].as_str() {
        text.push_str(&format!("  {why}\n"));
    }
    for input in task["inputs"].as_array().into_iter().flatten() {
        let topic = input["topic"].as_str().unwrap_or_default();
        let (first, end) = (&input["first"], &input["end"]);
        let (committed, sequence) = (word(&input["committed"]), word(&input["sequence"]));
        text.push_str(&format!("  {topic}: {first}..{end}, committed {committed}, sequence {sequence}\n"));
    }
    for store in task["stores"].as_array().into_iter().flatten() {
        let changelog = store["changelog"].as_str().unwrap_or_default();
        text.push_str(&format!("  {changelog}: {}..{}\n", store["first"], store["end"]));
    }
    if let Some(belongs) = task["state_belongs_to"].as_object() {
        let topic = belongs["topic"].as_str().unwrap_or_default();
        text.push_str(&format!("  state was last changed when {topic} had reached {}\n", belongs["offset"]));
    }
    text
}

pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
