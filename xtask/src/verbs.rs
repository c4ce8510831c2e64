//! What each verb runs. To add a part to `make test`, add one line to `TEST`.
//! Owns the lists and nothing else.

use crate::part::Part;
use crate::{guests, setup};

pub struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    pub parts: &'static [Part],
}

/// Every part runs, also after one has failed, so that one run tells everything. What the parts share is built once, as
/// long as no package's own dependencies ask for more features of it than the others: compare
/// `cargo tree -p A -f '{p} {f}'` with that of B when a part compiles wasmtime again.
const TEST: &[Part] = &[
    Part::step("toolchain", setup::toolchain),
    Part::step("Apache Kafka's jars", setup::kafka),
    Part::step("kcat", setup::kcat),
    Part::step("guests", guests::build),
    Part::cargo("format", "fmt --all --check"),
    Part::cargo("lint", "clippy --release --workspace --all-targets -- -D warnings"),
    Part::step("unit tests", guests::unit_tests),
    Part::cargo("house rules", "test --release -p wasmill-tests --test tidy"),
    Part::cargo("broker checks", "test --release -p wasmill-tests --test brokers_agree"),
];

const SET_UP: &[Part] = &[
    Part::step("toolchain", setup::toolchain),
    Part::step("Apache Kafka's jars", setup::kafka),
    Part::step("kcat", setup::kcat),
    Part::step("guests", guests::build),
];

const LINT: &[Part] = &[
    Part::cargo("format", "fmt --all --check"),
    Part::cargo("lint", "clippy --release --workspace --all-targets -- -D warnings"),
    Part::cargo("house rules", "test --release -p wasmill-tests --test tidy"),
];

const VERBS: &[Verb] = &[
    Verb { name: "test", about: "every test, set-up included", parts: TEST },
    Verb { name: "set-up", about: "only what the tests need: wasm target, jars, kcat, guests", parts: SET_UP },
    Verb { name: "lint", about: "format, clippy, house rules", parts: LINT },
    Verb { name: "guests", about: "builds the components", parts: &[Part::step("guests", guests::build)] },
    Verb { name: "demo", about: "the exchange, live", parts: &[Part::missing("demo")] },
    Verb { name: "bench", about: "the bars of DESIGN 11", parts: &[Part::missing("bench")] },
    Verb { name: "sim", about: "the seeded simulation (SEEDS=500)", parts: &[Part::missing("sim")] },
    Verb { name: "sim-mutants", about: "planted faults must be caught", parts: &[Part::missing("sim-mutants")] },
    Verb { name: "chaos", about: "kill -9 while records flow (ROUNDS=50)", parts: &[Part::missing("chaos")] },
];

pub fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

pub fn print_help() {
    println!("usage: cargo run --release -q -p xtask -- VERB [words handed to the verb's last command]\n");
    for verb in VERBS {
        println!("  {:<12} {}", verb.name, verb.about);
    }
}
