//! The seeded simulation of the engine, and the faults planted in it. `SEEDS=n` says how many seeds.

use crate::command::run_built;
use crate::part::Done;

const SEEDS: &str = "500";

pub fn seeds() -> anyhow::Result<Done> {
    run_built("simulation", &["--seeds".to_owned(), count()])
}

pub fn mutants() -> anyhow::Result<Done> {
    run_built("simulation", &["--mutants".to_owned(), "--seeds".to_owned(), count()])
}

fn count() -> String {
    std::env::var("SEEDS").ok().filter(|s| !s.is_empty()).unwrap_or_else(|| SEEDS.to_owned())
}
