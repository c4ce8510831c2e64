//! The table and `target/bench/report.json`. Owns how a figure is set against its bar.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use crate::brokers::Place;

/// What a figure is measured against.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    Least(f64),
    Most(f64),
}

/// One measured figure.
pub struct Figure {
    pub text: String,
    pub value: f64,
    /// `None`: of interest only.
    pub bar: Option<Bar>,
}

impl Figure {
    fn is_missed(&self) -> bool {
        self.bar.is_some_and(|bar| !bar.is_met(self.value))
    }

    fn bar_text(&self) -> String {
        self.bar.map(Bar::text).unwrap_or_default()
    }

    fn verdict(&self) -> &'static str {
        match self.bar {
            None => "",
            Some(_) if self.is_missed() => "MISSED",
            Some(_) => "pass",
        }
    }
}

/// A row: figures that belong together, and all runs behind them.
pub struct Row {
    pub name: String,
    pub figures: Vec<Figure>,
    pub runs: Value,
}

pub struct Report {
    records: u64,
    rows: Vec<Row>,
    not_run: Vec<String>,
}

impl Bar {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::Least(bar) => value >= bar,
            Self::Most(bar) => value <= bar,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Least(bar) => format!(">= {}", short(bar)),
            Self::Most(bar) => format!("<= {}", short(bar)),
        }
    }
}

impl Report {
    pub fn new(records: u64) -> Self {
        println!(
            "{records} payments of {} bytes; medians of {} pairs",
            crate::workload::VALUE_BYTES,
            crate::pairs::PAIRS
        );
        Self { records, rows: Vec::new(), not_run: Vec::new() }
    }

    pub fn heading(&self, place: &Place) {
        println!("\non {}, CPU of the engine's process", place.kind());
    }

    /// Prints the row at once: a bench takes minutes.
    pub fn add(&mut self, row: Row) {
        for (index, figure) in row.figures.iter().enumerate() {
            let name = if index == 0 { row.name.as_str() } else { "" };
            println!("  {name:<32} {:<46} {:>10}  {}", figure.text, figure.bar_text(), figure.verdict());
        }
        self.rows.push(row);
    }

    pub fn add_all(&mut self, heading: &str, rows: Vec<Row>) {
        println!("\n{heading}");
        rows.into_iter().for_each(|row| self.add(row));
    }

    pub fn not_run(&mut self, what: &str, why: &str) {
        println!("not run: {what}: {why}");
        self.not_run.push(format!("{what}: {why}"));
    }

    pub fn has_missed(&self) -> bool {
        self.figures().any(Figure::is_missed)
    }

    pub fn print_summary(&self) {
        let bars = self.figures().filter(|figure| figure.bar.is_some()).count();
        let missed = self.figures().filter(|figure| figure.is_missed()).count();
        println!("\n{bars} bars, {missed} missed, {} not run", self.not_run.len());
    }

    pub fn write(&self) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        let target = program.parent().and_then(std::path::Path::parent).context("a program lies in target/release")?;
        let folder: PathBuf = target.join("bench");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("report.json");
        let rows: Vec<Value> = self.rows.iter().map(of_row).collect();
        let report = json!({ "records": self.records, "rows": rows, "not_run": self.not_run });
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)?;
        println!("all figures: {}", path.display());
        Ok(())
    }

    fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.rows.iter().flat_map(|row| &row.figures)
    }
}

fn of_row(row: &Row) -> Value {
    let figure = |figure: &Figure| json!({ "text": figure.text, "value": figure.value, "bar": figure.bar_text(), "is_missed": figure.is_missed() });
    json!({ "name": row.name, "figures": row.figures.iter().map(figure).collect::<Vec<_>>(), "runs": row.runs })
}

fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The middle one.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let figures = sorted(figures.into_iter().collect());
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// The least first.
pub fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

/// The figure below which a share (0 to 1) of all lies.
pub fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).copied().unwrap_or_default()
}
