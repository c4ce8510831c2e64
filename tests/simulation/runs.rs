//! Runs of many seeds on all cores, of one seed with its trace, and of every planted fault. Owns what is printed.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::mutants::{self, Mutant};
use crate::trace::Trace;
use crate::world::{self, Report, Stats};

thread_local! {
    static LAST_PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Keeps a panic's place and words for the report of its seed.
pub fn note_panic(info: &std::panic::PanicHookInfo<'_>) {
    LAST_PANIC.with(|last| *last.borrow_mut() = info.to_string());
}

/// Runs seeds until one fails, or all. Exit code 1 for a violation.
pub fn seeds(from: u64, count: u64, mutant: Option<Mutant>, is_all: bool) -> ExitCode {
    let start = Instant::now();
    let Runs { mut failed, total, done } = run(from, count, mutant, is_all);
    let took = start.elapsed();
    failed.sort_by_key(|report| report.seed);
    match failed.into_iter().next() {
        Some(report) if is_all => {
            println!("{done} seeds, some violate, {:.1} s: the first is {}", took.as_secs_f64(), report.seed);
            ExitCode::FAILURE
        }
        Some(report) => {
            println!("seed {} violates: {}", report.seed, report.violation.as_deref().unwrap_or_default());
            one(report.seed, mutant, 60)
        }
        None => {
            println!("{done} seeds, 0 violations, {:.1} s ({:.1} ms a seed)", took.as_secs_f64(), ms_each(took, done));
            println!("{}", describe(&total));
            ExitCode::SUCCESS
        }
    }
}

fn ms_each(took: std::time::Duration, done: u64) -> f64 {
    took.as_secs_f64() * 1e3 / done.max(1) as f64
}

/// What many runs came to.
#[derive(Default)]
struct Runs {
    failed: Vec<Report>,
    total: Stats,
    done: u64,
}

/// Runs seeds on all cores: all of them, or until one fails.
fn run(from: u64, count: u64, mutant: Option<Mutant>, is_all: bool) -> Runs {
    let (next, is_over) = (AtomicU64::new(from), AtomicBool::new(false));
    let runs: Mutex<Runs> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let report = guarded(seed, mutant, Trace::off());
                    let mut runs = runs.lock().expect("no panic while it is held");
                    add(&mut runs.total, &report.stats);
                    runs.done += 1;
                    if let Some(violation) = &report.violation {
                        if is_all {
                            println!("seed {seed}: {}", violation.chars().take(400).collect::<String>());
                        }
                        is_over.store(!is_all, Ordering::Relaxed);
                        runs.failed.push(report);
                    }
                }
            });
        }
    });
    runs.into_inner().expect("no panic while it is held")
}

/// A panic of the simulation itself is a finding too.
fn guarded(seed: u64, mutant: Option<Mutant>, trace: Trace) -> Report {
    let kept = trace.clone();
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world::run(seed, mutant, trace)));
    let panic = || LAST_PANIC.with(|last| last.borrow().clone());
    match run {
        Ok(mut report) => {
            if let Some(violation) = report.violation.as_mut().filter(|v| v.starts_with("panic")) {
                *violation = format!("{violation} ({})", panic());
            }
            report
        }
        Err(_) => Report { seed, stats: Stats::default(), violation: Some(panic()), trace: kept.lines() },
    }
}

/// One run with its trace, twice: both must be the same.
pub fn one(seed: u64, mutant: Option<Mutant>, lines: usize) -> ExitCode {
    let report = guarded(seed, mutant, Trace::on(lines));
    let again = guarded(seed, mutant, Trace::off());
    report.trace.iter().for_each(|line| println!("{line}"));
    println!("seed {seed}: {}", describe(&report.stats));
    if report.stats.digest != again.stats.digest || report.violation != again.violation {
        println!("seed {seed} does not run the same way twice: {:?}, then {:?}", report.violation, again.violation);
        return ExitCode::FAILURE;
    }
    match report.violation {
        Some(violation) => {
            println!("seed {seed} violates: {violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// Every planted fault must be caught; tells by which seed, and how.
pub fn mutants(count: u64) -> ExitCode {
    let mut missed = 0;
    for (name, mutant, what) in mutants::ALL {
        let Runs { failed, done: tried, .. } = run(0, count, Some(*mutant), false);
        match failed.into_iter().min_by_key(|report| report.seed) {
            Some(report) => {
                let violation: String = report.violation.unwrap_or_default().chars().take(120).collect();
                println!("caught  {name:<26} seed {:<5} ({tried} tried)  {violation}", report.seed);
            }
            None => {
                missed += 1;
                println!("MISSED  {name:<26} in {tried} seeds: {what}");
            }
        }
    }
    println!("{} of {} planted faults caught", mutants::ALL.len() - missed, mutants::ALL.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn add(total: &mut Stats, run: &Stats) {
    total.turns += run.turns;
    total.commits += run.commits;
    total.records += run.records;
    total.dead_letters += run.dead_letters;
    total.ticks += run.ticks;
    total.failed_commits += run.failed_commits;
    total.crashes += run.crashes;
    total.pauses += run.pauses;
    total.ghosts += run.ghosts;
    total.restarts += run.restarts;
    total.deployments += run.deployments;
    total.orders += run.orders;
    total.waits += run.waits;
    total.condemned += run.condemned;
    total.returns += run.returns;
    total.damages += run.damages;
    total.virtual_ms += run.virtual_ms;
}

fn describe(stats: &Stats) -> String {
    let Stats { turns, commits, records, dead_letters, ticks, failed_commits, crashes, pauses, .. } = stats;
    format!(
        "{turns} turns, {commits} commits, {failed_commits} failed, {records} records, {dead_letters} dead letters, \
         {ticks} ticks, {crashes} crashes, {pauses} pauses, {} replaced, {} workers ended, {} revisions, {} adoptions ordered, {} tasks waited for one, {} condemned, {} returns, {} damages, {:.0} s of virtual time",
        stats.ghosts,
        stats.restarts,
        stats.deployments,
        stats.orders,
        stats.waits,
        stats.condemned,
        stats.returns,
        stats.damages,
        stats.virtual_ms as f64 / 1e3
    )
}
