//! `wasmill dlq`: dead letters of a processor, shown and sent again. One replay is one transaction: the records, each
//! addressed to the processor, and a mark per dead letter, so that none is sent twice by mistake.

mod letter;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::offsets::pretty;
use super::reach::{CommandError, Reach, failed, processor};
use crate::config::Manifest;
use crate::kafka::{Admin, Replay, ReplayError, Tail, TopicRecord, groups_reading};
use crate::topology::{ProcessorSettings, TopicNeed, Topology};
pub use letter::Range;
use letter::{Letter, bytes_json, lossy};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum DlqCommand {
    /// List dead letters, one line each.
    #[command(
        after_help = "Examples: wasmill dlq list transaction\n          wasmill dlq list transaction 0/17-20 3 --json"
    )]
    List {
        processor: String,
        /// PARTITION, PARTITION/OFFSET or PARTITION/FIRST-LAST of the dead letter topic; all if none is given.
        ranges: Vec<Range>,
        #[arg(long)]
        json: bool,
    },
    /// Show dead letters whole: key, value, headers.
    #[command(after_help = "Example: wasmill dlq show transaction 0/17")]
    Show {
        processor: String,
        #[arg(required = true)]
        ranges: Vec<Range>,
        #[arg(long)]
        json: bool,
    },
    /// Send dead letters to their inputs again, addressed to this processor; other processors of wasmill pass them.
    #[command(
        after_help = "Examples: wasmill dlq replay transaction 0/17-20\n          wasmill dlq replay transaction --all"
    )]
    Replay {
        processor: String,
        #[arg(required_unless_present = "all")]
        ranges: Vec<Range>,
        /// All dead letters.
        #[arg(long, conflicts_with = "ranges")]
        all: bool,
        /// Also those that were sent again before.
        #[arg(long)]
        again: bool,
        /// Also where consumer groups outside of this application read the same topic: they get the records a second time.
        #[arg(long)]
        shared: bool,
        #[arg(long)]
        json: bool,
    },
}

/// Dead letters that one run sends: one transaction must not outlive its time-out.
const LETTERS_MAX: usize = 10_000;

/// Does what was asked; gives what is to be printed.
///
/// # Errors
/// It cannot be done; the text says what to do.
pub fn dlq(manifest: &Manifest, command: &DlqCommand) -> Result<String, CommandError> {
    let topology = &manifest.topology;
    let (DlqCommand::List { processor: name, ranges, json }
    | DlqCommand::Show { processor: name, ranges, json }
    | DlqCommand::Replay { processor: name, ranges, json, .. }) = command;
    let processor = processor(topology, name)?;
    let desk = Desk { topology, processor, reach: Reach::open(topology)? };
    match command {
        DlqCommand::List { .. } => desk.list(ranges, *json),
        DlqCommand::Show { .. } => desk.show(ranges, *json),
        DlqCommand::Replay { again, shared, .. } => desk.replay(ranges, *again, *shared, *json),
    }
}

struct Desk<'a> {
    topology: &'a Topology,
    processor: &'a ProcessorSettings,
    reach: Reach,
}

impl Desk<'_> {
    fn tail(&self) -> Result<Tail, CommandError> {
        Tail::new(&self.reach.kafka).map_err(|e| failed(&e))
    }

    fn marks_topic(&self) -> String {
        format!("{}.replayed", self.topology.dead_letters(self.processor))
    }

    /// Made by the first replay.
    fn marks_need(&self) -> TopicNeed {
        let letters = self.topology.dead_letters(self.processor);
        let replication =
            self.topology.topic_needs().into_iter().find(|n| n.name == letters).map_or(1, |n| n.replication);
        let settings = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
        TopicNeed { name: self.marks_topic(), partitions: 1, replication, settings }
    }

    fn letters(&self, ranges: &[Range]) -> Result<Vec<Letter>, CommandError> {
        let topic = self.topology.dead_letters(self.processor);
        let all = self.tail()?.read_all(&topic).map_err(|e| failed(&e))?;
        let is_meant =
            |r: &TopicRecord| ranges.is_empty() || ranges.iter().any(|range| range.holds(r.partition, r.offset));
        let letters: Vec<Letter> = all.into_iter().filter(is_meant).map(Letter::new).collect();
        let is_empty = |range: &&Range| !letters.iter().any(|l| range.holds(l.record.partition, l.record.offset));
        match ranges.iter().find(is_empty) {
            Some(range) => Err(CommandError::Wrong(format!("{topic} holds no dead letter in {range}"))),
            None => Ok(letters),
        }
    }

    /// Marks of dead letters that were sent again.
    fn marks(&self) -> Result<BTreeSet<Vec<u8>>, CommandError> {
        let topic = self.marks_topic();
        if !Admin::new(&self.reach.kafka).and_then(|a| a.topics()).map_err(|e| failed(&e))?.contains(&topic) {
            return Ok(BTreeSet::new());
        }
        let records = self.tail()?.read_all(&topic).map_err(|e| failed(&e))?;
        Ok(records.into_iter().filter_map(|r| r.key).collect())
    }

    fn list(&self, ranges: &[Range], is_json: bool) -> Result<String, CommandError> {
        let (letters, marks) = (self.letters(ranges)?, self.marks()?);
        if is_json {
            let rows: Vec<Value> = letters.iter().map(|l| l.row(marks.contains(&l.mark()))).collect();
            return Ok(pretty(&json!({"processor": self.processor.name, "dead_letters": rows})));
        }
        let line = |letter: &Letter| {
            let sent = if marks.contains(&letter.mark()) { "  sent again" } else { "" };
            format!("{}  {}  {}  {}{sent}\n", letter.place(), letter.kind(), letter.position(), letter.message())
        };
        let lines: String = letters.iter().map(line).collect();
        Ok(if lines.is_empty() { format!("{} has no dead letters\n", self.processor.name) } else { lines })
    }

    fn show(&self, ranges: &[Range], is_json: bool) -> Result<String, CommandError> {
        let (letters, marks) = (self.letters(ranges)?, self.marks()?);
        if is_json {
            let whole = |letter: &Letter| {
                let mut row = letter.row(marks.contains(&letter.mark()));
                row["key"] = bytes_json(letter.record.key.as_deref());
                row["value"] = bytes_json(letter.record.value.as_deref());
                let headers = letter.record.headers.iter();
                row["headers"] = headers.map(|(n, v)| json!({"name": n, "value": bytes_json(v.as_deref())})).collect();
                row
            };
            let rows: Vec<Value> = letters.iter().map(whole).collect();
            return Ok(pretty(&json!({"processor": self.processor.name, "dead_letters": rows})));
        }
        let text = |letter: &Letter| {
            let sent = if marks.contains(&letter.mark()) { ", sent again" } else { "" };
            let TopicRecord { key, value, headers, timestamp_ms, .. } = &letter.record;
            let lines: String = headers.iter().map(|(n, v)| format!("  {n}: {}\n", lossy(v.as_deref()))).collect();
            let (key, value) = (lossy(key.as_deref()), lossy(value.as_deref()));
            format!("{}{sent}\n  timestamp {timestamp_ms}\n  key {key}\n  value {value}\n{lines}", letter.place())
        };
        Ok(letters.iter().map(text).collect())
    }

    fn replay(&self, ranges: &[Range], again: bool, shared: bool, is_json: bool) -> Result<String, CommandError> {
        let letters = self.letters(ranges)?;
        if !shared {
            self.refuse_foreign_readers(&letters)?;
        }
        Admin::new(&self.reach.kafka).and_then(|a| a.ensure(&[self.marks_need()])).map_err(|e| failed(&e))?;
        let group = self.topology.group(self.processor);
        let inputs: Vec<&str> = self.processor.inputs.iter().map(|i| i.topic.as_str()).collect();
        // From here on no other run writes: what is marked now stays all that is marked.
        let replay = Replay::begin(&self.reach.kafka, &format!("{group}.dlq-replay")).map_err(refused)?;
        let marks = self.marks()?;
        let (mut sent, mut passed) = (Vec::new(), Vec::new());
        for letter in &letters {
            if sent.len() == LETTERS_MAX {
                passed.push((letter.place(), format!("one run sends {LETTERS_MAX}: run it again")));
                continue;
            }
            if marks.contains(&letter.mark()) && !again {
                passed.push((letter.place(), "was sent again before: `--again` sends it once more".to_owned()));
                continue;
            }
            match letter.revived(&group, &inputs) {
                Ok((topic, record)) => {
                    replay.send(&topic, &record).map_err(refused)?;
                    replay.send(&self.marks_topic(), &letter.mark_record(&topic)).map_err(refused)?;
                    sent.push(letter.place());
                }
                Err(why) => passed.push((letter.place(), why)),
            }
        }
        replay.commit().map_err(refused)?;
        Ok(replayed_text(&self.processor.name, &sent, &passed, is_json))
    }

    /// Groups of this application pass what is not meant for them; others would process it twice.
    fn refuse_foreign_readers(&self, letters: &[Letter]) -> Result<(), CommandError> {
        let own: Vec<String> = self.topology.processors.iter().map(|p| self.topology.group(p)).collect();
        let topics: BTreeSet<String> = letters.iter().filter_map(Letter::origin).map(|(topic, _)| topic).collect();
        for topic in topics {
            let foreign: Vec<String> = groups_reading(&self.reach.kafka, &topic)
                .map_err(|e| failed(&e))?
                .into_iter()
                .filter(|g| !own.contains(g))
                .collect();
            if !foreign.is_empty() {
                return Err(CommandError::Wrong(format!(
                    "{topic} is also read by {}, which would get the records a second time: if that does no harm, say \
                     `--shared`",
                    foreign.join(", ")
                )));
            }
        }
        Ok(())
    }
}

fn refused(error: ReplayError) -> CommandError {
    failed(&error)
}

fn replayed_text(processor: &str, sent: &[String], passed: &[(String, String)], is_json: bool) -> String {
    if is_json {
        let passed: Vec<Value> = passed.iter().map(|(at, why)| json!({"dead_letter": at, "why": why})).collect();
        return pretty(&json!({"processor": processor, "sent": sent, "passed_over": passed}));
    }
    let lines: String = passed.iter().map(|(at, why)| format!("{at}: {why}\n")).collect();
    format!("{lines}{} sent again, {} passed over\n", sent.len(), passed.len())
}
