//! The components against Kafka Streams on the same input, broker and machine, in turns: what the bars in nanoseconds stand
//! for, wherever this runs. Streams is told warm, after a third of the records; of the components the whole run counts.
//!
//! Not quite like for like, and told so: Streams writes a changelog record per update, the engine one per key and commit;
//! Jackson reads the whole of a payment, as serde_json does, and the extractor the members that it is asked for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use wasmill_tests::brokers::kafka_jars;

use crate::bars::{WORKS, Work};
use crate::brokers::{INPUT, Place};
use crate::pairs;
use crate::report::{Bar, Figure, Row, median};

pub const HEADING: &str = "against Kafka Streams, one thread, warm, CPU of the process";

const TURNS: usize = 3;

/// As in `reference/real-kafka.md`, where it used 384 MB.
const HEAP: &str = "-Xmx1g";

/// # Errors
/// A run fails.
pub fn measure(place: &Place, records: u64) -> anyhow::Result<Vec<Row>> {
    let works: Vec<_> = WORKS.iter().filter_map(|work| Some((work, work.streams_ratio_least?))).collect();
    let mut turns = Vec::new();
    for turn in 0..TURNS {
        let streams = run(place, turn, records)?;
        let component = |(work, _): &(&Work, f64)| {
            pairs::run(place, work, Some(work.component), &format!("{turn}-against-streams"), records)
        };
        let ours = works.iter().map(component).collect::<anyhow::Result<Vec<Value>>>()?;
        ensure!(ours.iter().all(|run| run["outputs"] == streams["outputs"]), "Streams and the components differ");
        turns.push((streams, ours));
    }
    let row = |(index, (work, least)): (usize, &(&Work, f64))| {
        let ours = median(turns.iter().map(|(_, ours)| cpu_ns(&ours[index])));
        let streams = median(turns.iter().map(|(streams, _)| cpu_ns(streams)));
        let ratio = median(turns.iter().map(|(streams, ours)| cpu_ns(streams) / cpu_ns(&ours[index])));
        let text = format!("Streams {streams:.0} ns, component {ours:.0} ns: {ratio:.2}");
        let runs: Vec<_> = turns.iter().map(|(streams, ours)| [streams, &ours[index]]).collect();
        let figures = vec![Figure { text, value: ratio, bar: Some(Bar::Least(*least)) }];
        Row { name: work.name.into(), figures, runs: serde_json::json!(runs) }
    };
    Ok(works.iter().enumerate().map(row).collect())
}

fn cpu_ns(run: &Value) -> f64 {
    run["cpu_ns"].as_f64().unwrap_or(f64::NAN)
}

fn run(place: &Place, turn: usize, records: u64) -> anyhow::Result<Value> {
    let application = format!("streams-{turn}");
    let (output, changelog) = (format!("{application}-out"), format!("{application}-balance-changelog"));
    place.topic(&output, &[]);
    let state = tempfile::tempdir()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/streams/Balance.java");
    let run = Command::new("java")
        .args([HEAP, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"])
        .arg(kafka_jars().join("*"))
        .arg(source)
        .args([&place.broker.address(), &application, INPUT, &output])
        .arg(state.path())
        .arg(records.to_string())
        .output()
        .context("cannot start java")?;
    ensure!(run.status.success(), "{application}: {}", String::from_utf8_lossy(&run.stderr));
    place.drop_topic(&output);
    place.drop_topic(&changelog);
    let text = String::from_utf8_lossy(&run.stdout);
    serde_json::from_str(text.trim()).with_context(|| format!("{application} printed {text}"))
}
