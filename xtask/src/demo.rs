//! The demonstration: the currency exchange, fed with a seeded flow and checked over all its topics.

use crate::command::run_built;
use crate::part::Done;

/// `KAFKA=host:port` runs it on a broker of the user's instead of the embedded one.
pub fn run_exchange() -> anyhow::Result<Done> {
    let mut words = vec!["run".to_owned()];
    if let Some(kafka) = std::env::var("KAFKA").ok().filter(|k| !k.is_empty()) {
        words.extend(["--broker".to_owned(), kafka]);
    }
    run_built("exchange", &words)
}
