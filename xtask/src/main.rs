//! Set-up and checks behind the Makefile: one verb per target, each a list of parts.
//! Owns the order of parts and the closing table of minutes. Knows nothing of what a part checks.

mod command;
mod demo;
mod guests;
mod part;
mod setup;
mod sim;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = match words.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    match verbs::find(verb) {
        Some(verb) => part::run_all(verb.parts, rest),
        None => {
            verbs::print_help();
            if verb == "help" { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
    }
}
