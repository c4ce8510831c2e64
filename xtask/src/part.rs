//! One part of a verb: a name, and a cargo command or a step. Runs all parts in order and closes with a table.
//! Owns timing and the exit code. Knows nothing of what the parts do.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::command;

/// How a part ended when nothing broke.
pub enum Done {
    Ok,
    /// A check that could not run here, with what to do about it. It is shown, and does not fail the run.
    NotRun(String),
}

pub struct Part {
    name: &'static str,
    work: Work,
}

enum Work {
    Cargo(&'static str),
    Built(&'static str),
    Step(fn() -> anyhow::Result<Done>),
}

impl Part {
    pub const fn cargo(name: &'static str, words: &'static str) -> Self {
        Self { name, work: Work::Cargo(words) }
    }

    /// A program that an earlier part has built, with its words.
    pub const fn built(name: &'static str, words: &'static str) -> Self {
        Self { name, work: Work::Built(words) }
    }

    pub const fn step(name: &'static str, run: fn() -> anyhow::Result<Done>) -> Self {
        Self { name, work: Work::Step(run) }
    }

    fn run(&self, rest: &[String]) -> anyhow::Result<Done> {
        match self.work {
            Work::Cargo(words) => {
                let mut all: Vec<&str> = words.split(' ').collect();
                all.extend(rest.iter().map(String::as_str));
                command::run("cargo", &all).map(|()| Done::Ok)
            }
            Work::Built(words) => {
                let mut all = words.split(' ').map(str::to_owned);
                let program = all.next().unwrap_or_default();
                command::run_built(&program, &all.chain(rest.iter().cloned()).collect::<Vec<_>>())
            }
            Work::Step(step) => step(),
        }
    }
}

struct Row {
    name: &'static str,
    took: Duration,
    result: anyhow::Result<Done>,
}

/// Runs every part; fails if one failed. `rest` goes to the last part only.
pub fn run_all(parts: &'static [Part], rest: &[String]) -> ExitCode {
    let mut rows = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        println!("\n== {} ({} of {})", part.name, index + 1, parts.len());
        let start = Instant::now();
        let rest = if index + 1 == parts.len() { rest } else { &[] };
        let result = part.run(rest);
        match &result {
            Ok(Done::Ok) => {}
            Ok(Done::NotRun(why)) => println!("not run: {why}"),
            Err(error) => println!("failed: {error:#}"),
        }
        rows.push(Row { name: part.name, took: start.elapsed(), result });
    }
    print_table(&rows);
    if rows.iter().all(|row| row.result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_table(rows: &[Row]) {
    println!("\n{:<24} {:>8}  result", "part", "minutes");
    for row in rows {
        let result = match &row.result {
            Ok(Done::Ok) => "ok".to_string(),
            Ok(Done::NotRun(why)) => format!("NOT RUN: {why}"),
            Err(error) => format!("FAILED: {error}"),
        };
        println!("{:<24} {:>8}  {result}", row.name, minutes(row.took));
    }
    let total = rows.iter().map(|row| row.took).sum();
    let failed = rows.iter().filter(|row| row.result.is_err()).count();
    let result = if failed == 0 { "ok".to_string() } else { format!("{failed} of {} FAILED", rows.len()) };
    println!("{:<24} {:>8}  {result}", "all", minutes(total));
}

fn minutes(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64() / 60.0)
}
