//! The demonstration: the currency exchange, fed with a seeded flow and checked over all its topics.

use crate::command::run;
use crate::part::Done;

/// `KAFKA=host:port` runs it on a broker of the user's instead of the embedded one.
pub fn run_exchange() -> anyhow::Result<Done> {
    let mut words = vec!["run", "--release", "-q", "-p", "exchange", "--", "run"];
    let kafka = std::env::var("KAFKA").unwrap_or_default();
    if !kafka.is_empty() {
        words.extend(["--broker", &kafka]);
    }
    run("cargo", &words)?;
    Ok(Done::Ok)
}
