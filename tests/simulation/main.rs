//! The seeded simulation: the host's own worker, task and store code on a simulated cluster, clock and disk, on one
//! thread, everything from one seed. Runs many seeds, or one again with its trace, or the planted faults.

mod arguments;
mod client;
mod clock;
mod cluster;
mod disk;
mod faults;
mod memory;
mod mutants;
mod oracle;
mod processors;
mod random;
mod runs;
mod scenario;
mod trace;
mod versions;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic inside a simulated worker is a finding, told with its seed, not noise on the way.
    std::panic::set_hook(Box::new(runs::note_panic));
    match arguments::parse(std::env::args().skip(1)) {
        Ok(arguments::Wish::Seeds { from, count, mutant, is_all }) => runs::seeds(from, count, mutant, is_all),
        Ok(arguments::Wish::One { seed, mutant, lines }) => runs::one(seed, mutant, lines),
        Ok(arguments::Wish::Mutants { count }) => runs::mutants(count),
        Err(problem) => {
            eprintln!("{problem}\n{}", arguments::USAGE);
            ExitCode::from(2)
        }
    }
}
