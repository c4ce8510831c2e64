//! Native and component in turns, each run a process of its own that reads the whole input. Two runs next to each other in
//! time meet the same machine, so ratio and difference are taken per pair and the median of the pairs is told.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use wasmill_tests::wasmill::guest;

use crate::bars::Work;
use crate::brokers::{INPUT, Place};
use crate::engine::Order;
use crate::report::{Bar, Figure, Row, median};
use crate::yardstick::{REFERENCE_NS, Yardstick};

/// Counted pairs; one more before them warms the broker and the page cache.
pub const PAIRS: usize = 5;

pub fn measure(place: &Place, work: &Work, records: u64) -> anyhow::Result<Row> {
    let mut runs: Vec<[Value; 2]> = Vec::new();
    let (yardstick, mut parses) = (Yardstick::new(), Vec::new());
    for pair in 0..=PAIRS {
        parses.push(yardstick.parse_ns());
        let native = run(place, work, None, &format!("{pair}-native"), records)?;
        let component = run(place, work, Some(work.component), &format!("{pair}-component"), records)?;
        ensure!(native["outputs"] == component["outputs"], "{}: native and component differ", work.name);
        runs.push([native, component]);
    }
    Ok(row(place, work, &runs, median(parses.into_iter().skip(1))))
}

fn row(place: &Place, work: &Work, runs: &[[Value; 2]], parse_ns: f64) -> Row {
    let cpu = |run: &Value| run["cpu_ns"].as_f64().unwrap_or(f64::INFINITY);
    let counted: Vec<[f64; 2]> = runs.iter().skip(1).map(|[n, c]| [cpu(n), cpu(c)]).collect();
    let of = |f: fn(&[f64; 2]) -> f64| median(counted.iter().map(f));
    let (native, component) = (of(|p| p[0]), of(|p| p[1]));
    let (ratio, difference) = (of(|p| p[0] / p[1]), of(|p| p[1] - p[0]));
    let mut figures = vec![Figure {
        text: format!("native {native:.0} ns, component {component:.0} ns: {ratio:.2}"),
        value: ratio,
        bar: Some(Bar::Least(work.ratio_least)),
    }];
    if let Some(most) = work.difference_ns_most {
        let text = format!("{difference:.0} ns a record more");
        figures.push(Figure { text, value: difference, bar: Some(Bar::Most(most)) });
    }
    if let Some(set) = work.component_ns_set {
        let text = format!("{component:.0} ns a record; set were {set:.0}");
        figures.push(Figure { text, value: component, bar: None });
    }
    let text = format!("the machine parses a payment in {parse_ns:.0} ns, {REFERENCE_NS:.0} where bars were set");
    figures.push(Figure { text, value: parse_ns, bar: None });
    let rate = median(runs.iter().skip(1).map(|[_, c]| c["records_per_second"].as_f64().unwrap_or_default()));
    figures.push(Figure { text: format!("{:.0} thousand records a second", rate / 1e3), value: rate, bar: None });
    Row { name: format!("{} on {}", work.name, place.kind()), figures, runs: serde_json::json!(runs) }
}

/// One run of the engine on topics of its own, which `label` tells from others of the same work.
pub fn run(place: &Place, work: &Work, component: Option<&str>, label: &str, records: u64) -> anyhow::Result<Value> {
    let application = format!("{}-{label}", work.logic.name());
    let (output, changelog) = (format!("{application}-out"), format!("{application}-changelog"));
    place.topic(&output, &[]);
    place.topic(&changelog, &[("cleanup.policy", "compact")]);
    let order = Order {
        bootstrap: place.broker.address(),
        application: application.clone(),
        logic: work.logic,
        component: component.map(guest),
        input: INPUT.into(),
        output: output.clone(),
        changelog: changelog.clone(),
        records,
    };
    let run = engine()?.arg("engine").args(order.words()).output()?;
    let text = String::from_utf8_lossy(&run.stdout);
    ensure!(run.status.success(), "{application}: {}", String::from_utf8_lossy(&run.stderr));
    place.drop_topic(&output);
    place.drop_topic(&changelog);
    serde_json::from_str(text.trim()).context("the engine's line")
}

/// This program again, under a profiler if `UNDER` names one.
fn engine() -> anyhow::Result<Command> {
    let program = std::env::current_exe()?;
    let under = std::env::var("UNDER").unwrap_or_default();
    let mut words = under.split_whitespace();
    let Some(profiler) = words.next() else { return Ok(Command::new(program)) };
    let mut command = Command::new(profiler);
    command.args(words).arg(program);
    Ok(command)
}
