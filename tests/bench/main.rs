//! `make bench`: measures every bar of `bars.rs` and prints a table with what passed and what missed; all figures are in
//! `target/bench/report.json`. Owns the order of the work and the exit code.
//!
//! `bench [--strict] [--only TEXT] [RECORDS]`: `--strict` fails when a bar is missed, `--only` measures the rows whose
//! name contains the text. `RECORDS` may also stand in the environment; so may `UNDER`, the command line of a profiler for
//! the engine's processes, such as `valgrind --tool=callgrind --separate-threads=yes`, whose counts repeat on a busy machine.

mod bars;
mod broker_figures;
mod brokers;
mod cpu;
mod engine;
mod live;
mod native;
mod pairs;
/// The guest's own: native code that it is compared with reads and writes in the same way.
#[path = "../guests/balance/src/payment.rs"]
mod payment;
mod report;
mod restart;
mod streams;
mod swaps;
mod workload;
mod yardstick;

use std::process::ExitCode;

use anyhow::Context;
use bars::{WORKS, Work};
use brokers::Place;
use report::Report;
use wasmill_tests::brokers::BrokerKind;

/// That of the `wasmill` program: measured is what is shipped.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Enough that the first second, in which buffers grow and memory is touched for the first time, is a small part: with a
/// million a record costs 15 % more. Five counted pairs of every row on both brokers take about ten minutes then.
const RECORDS_DEFAULT: u64 = 3_000_000;

struct Arguments {
    is_strict: bool,
    only: Option<String>,
    records: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    // The host of the swaps compiles components in a child process of its own program, which here is the bench.
    if let Some(code) = wasmill::wasm::compile::child_main(std::env::args_os()) {
        return Ok(code);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "engine") {
        return engine::run(&engine::Order::of_words(&words[1..])?).map(|()| ExitCode::SUCCESS);
    }
    let arguments = arguments(words)?;
    let report = measure(&arguments)?;
    report.print_summary();
    report.write()?;
    Ok(if arguments.is_strict && report.has_missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn arguments(words: Vec<String>) -> anyhow::Result<Arguments> {
    let usage = "usage: bench [--strict] [--only TEXT] [RECORDS]";
    let number = |text: &str| text.replace('_', "").parse().context(usage);
    let given = std::env::var("RECORDS").ok().filter(|text| !text.is_empty());
    let records = given.map_or(Ok(RECORDS_DEFAULT), |text| number(&text))?;
    let mut arguments = Arguments { is_strict: false, only: None, records };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--strict" => arguments.is_strict = true,
            "--only" => arguments.only = Some(words.next().context(usage)?),
            records => arguments.records = number(records)?,
        }
    }
    Ok(arguments)
}

/// Whether something that is wanted takes this broker: filling one takes a while.
fn is_needed(kind: BrokerKind, is_wanted: &impl Fn(&str) -> bool) -> bool {
    let takes_both = WORKS.iter().any(|work| is_wanted(&row_name(work, kind))) || is_wanted("brokers");
    let takes_one = if kind == BrokerKind::Kafka { "streams" } else { "swaps" };
    takes_both || is_wanted("restart") || is_wanted(takes_one)
}

fn row_name(work: &Work, kind: BrokerKind) -> String {
    format!("{} on {kind}", work.name)
}

fn measure(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::new(arguments.records);
    let is_wanted = |name: &str| arguments.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let mut places = Vec::new();
    for kind in [BrokerKind::Embedded, BrokerKind::Kafka].into_iter().filter(|kind| is_needed(*kind, &is_wanted)) {
        match Place::start(kind, arguments.records)? {
            Ok(place) => places.push(place),
            Err(why) => report.not_run(&format!("everything on {kind}"), &why),
        }
    }
    for place in &places {
        report.heading(place);
        for work in WORKS.iter().filter(|work| is_wanted(&row_name(work, place.kind()))) {
            report.add(pairs::measure(place, work, arguments.records)?);
        }
    }
    match places.iter().find(|place| place.kind() == BrokerKind::Kafka) {
        Some(kafka) if is_wanted("streams") => {
            report.add_all(streams::HEADING, streams::measure(kafka, arguments.records)?)
        }
        _ => report.not_run("against Kafka Streams", "it takes Apache Kafka, and `--only streams` or no `--only`"),
    }
    match &places[..] {
        [embedded, kafka] if is_wanted("brokers") => {
            report.add_all("embedded broker against Apache Kafka", broker_figures::measure(embedded, kafka)?)
        }
        _ => report.not_run("broker against broker", "it takes both, and `--only brokers` or no `--only`"),
    }
    if let Some(embedded) = places.iter().find(|place| place.kind() == BrokerKind::Embedded && is_wanted("swaps")) {
        report.add_all("versions change under full load, embedded broker", swaps::measure(embedded)?);
    }
    if is_wanted("live") {
        report.add_all("at low load, embedded broker", live::measure()?);
    }
    if is_wanted("restart") {
        for place in &places {
            report.add_all("kill -9 to the first record committed again", restart::measure(place)?);
        }
    }
    Ok(report)
}
