//! The seeded simulation of the engine, and the faults planted in it. `SEEDS=n` says how many seeds.

use crate::command::run;
use crate::part::Done;

const SEEDS: &str = "500";

pub fn seeds() -> anyhow::Result<Done> {
    simulate("--seeds", None)
}

pub fn mutants() -> anyhow::Result<Done> {
    simulate("--seeds", Some("--mutants"))
}

fn simulate(flag: &str, more: Option<&str>) -> anyhow::Result<Done> {
    let seeds = std::env::var("SEEDS").ok().filter(|s| !s.is_empty()).unwrap_or_else(|| SEEDS.to_owned());
    let mut words = vec!["run", "--release", "-q", "-p", "wasmill-tests", "--bin", "simulation", "--", flag, &seeds];
    words.extend(more);
    run("cargo", &words)?;
    Ok(Done::Ok)
}
