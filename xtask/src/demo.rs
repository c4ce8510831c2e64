//! The demonstration: the currency exchange, fed with a seeded flow and checked over all its topics.

use crate::command::run_built;
use crate::part::Done;

/// Records a second: versions change while they flow, and a person can follow.
const RATE: &str = "8000";

/// `KAFKA=host:port` runs it on a broker of the user's instead of the embedded one.
pub fn run_exchange() -> anyhow::Result<Done> {
    let mut words = ["run", "--rate", RATE, "--swaps"].map(str::to_owned).to_vec();
    if let Some(kafka) = std::env::var("KAFKA").ok().filter(|k| !k.is_empty()) {
        words.extend(["--broker".to_owned(), kafka]);
    }
    run_built("exchange", &words)
}
