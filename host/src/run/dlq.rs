//! `wasmill dlq`: dead letters of a processor as text or JSON. What is done with them is the desk's; the same desk answers
//! over HTTP.

mod desk;
mod letter;

use serde_json::json;

use super::offsets::pretty;
use super::reach::{CommandError, Reach, failed, processor};
use crate::api::{DeadLetterView, ReplayView};
use crate::config::Manifest;
use crate::kafka::TopicRecord;
pub(super) use desk::{Desk, DeskError, Page};
pub use letter::Range;
use letter::{Letter, lossy};

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

/// Does what was asked; gives what is to be printed.
///
/// # Errors
/// It cannot be done; the text says what to do.
pub fn dlq(manifest: &Manifest, command: &DlqCommand) -> Result<String, CommandError> {
    let topology = &manifest.topology;
    let (DlqCommand::List { processor: name, .. }
    | DlqCommand::Show { processor: name, .. }
    | DlqCommand::Replay { processor: name, .. }) = command;
    let processor = processor(topology, name)?;
    let reach = Reach::open(topology)?;
    let desk = Desk { topology, processor, kafka: &reach.kafka };
    match command {
        DlqCommand::List { ranges, json, .. } => list(&desk, ranges, *json),
        DlqCommand::Show { ranges, json, .. } => show(&desk, ranges, *json),
        DlqCommand::Replay { ranges, again, shared, json, .. } => {
            let replayed = desk.replay(ranges, *again, *shared)?;
            Ok(if *json { pretty(&json!(replayed)) } else { replayed_text(&replayed) })
        }
    }
}

impl From<DeskError> for CommandError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NoLetter { .. } => Self::Wrong(error.to_string()),
            DeskError::Shared { .. } => Self::Wrong(format!("{error}: if that does no harm, say `--shared`")),
            other => failed(&other),
        }
    }
}

fn list(desk: &Desk<'_>, ranges: &[Range], is_json: bool) -> Result<String, CommandError> {
    let letters = desk.letters(ranges)?;
    let rows: Vec<DeadLetterView> = letters.iter().map(|(letter, is_sent)| letter.view(*is_sent, false)).collect();
    let name = &desk.processor.name;
    if is_json {
        return Ok(pretty(&json!({"processor": name, "dead_letters": rows})));
    }
    let line = |(letter, is_sent): &(Letter, bool)| {
        let sent = if *is_sent { "  sent again" } else { "" };
        format!("{}  {}  {}  {}{sent}\n", letter.place(), letter.kind(), letter.position(), letter.message())
    };
    let lines: String = letters.iter().map(line).collect();
    Ok(if lines.is_empty() { format!("{name} has no dead letters\n") } else { lines })
}

fn show(desk: &Desk<'_>, ranges: &[Range], is_json: bool) -> Result<String, CommandError> {
    let letters = desk.letters(ranges)?;
    if is_json {
        let rows: Vec<DeadLetterView> = letters.iter().map(|(letter, is_sent)| letter.view(*is_sent, true)).collect();
        return Ok(pretty(&json!({"processor": desk.processor.name, "dead_letters": rows})));
    }
    let text = |(letter, is_sent): &(Letter, bool)| {
        let sent = if *is_sent { ", sent again" } else { "" };
        let TopicRecord { key, value, headers, timestamp_ms, .. } = &letter.record;
        let lines: String = headers.iter().map(|(n, v)| format!("  {n}: {}\n", lossy(v.as_deref()))).collect();
        let (key, value) = (lossy(key.as_deref()), lossy(value.as_deref()));
        format!("{}{sent}\n  timestamp {timestamp_ms}\n  key {key}\n  value {value}\n{lines}", letter.place())
    };
    Ok(letters.iter().map(text).collect())
}

fn replayed_text(replayed: &ReplayView) -> String {
    let ReplayView { sent, passed_over, .. } = replayed;
    let lines: String = passed_over.iter().map(|p| format!("{}: {}\n", p.dead_letter, p.why)).collect();
    format!("{lines}{} sent again, {} passed over\n", sent.len(), passed_over.len())
}
