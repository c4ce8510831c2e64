//! What each verb runs. To add a part to `make test`, add one line to `TEST`.
//! Owns the lists and nothing else.

use crate::part::Part;
use crate::{demo, guests, setup, sim};

pub struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    pub parts: &'static [Part],
}

/// Always the whole workspace: another selection of packages may turn on other features, and builds wasmtime again.
const BUILD: &str = "build --release --workspace";

/// Every part runs, also after one has failed, so that one run tells everything.
const TEST: &[Part] = &[
    Part::step("toolchain", setup::toolchain),
    Part::step("Apache Kafka's jars", setup::kafka),
    Part::step("kcat", setup::kcat),
    Part::step("guests", guests::build),
    Part::cargo("format", "fmt --all --check"),
    Part::cargo("lint", "clippy --release --workspace --all-targets -- -D warnings"),
    Part::cargo("build", BUILD),
    Part::cargo("all tests", "test --release --workspace --no-fail-fast"),
    Part::built("simulation", "simulation --seeds 500"),
    Part::built("the exchange", "exchange run --records 30000 --rate 8000 --swaps"),
    Part::built("chaos", "chaos --rounds 5"),
];

/// Rust and a C compiler are enough: components, then the exchange on the embedded broker.
const DEMO: &[Part] = &[
    Part::step("toolchain", setup::toolchain),
    Part::step("components", guests::build),
    Part::cargo("build", BUILD),
    Part::step("the exchange", demo::run_exchange),
];

const BENCH: &[Part] = &[
    Part::step("toolchain", setup::toolchain),
    Part::step("Apache Kafka's jars", setup::kafka_if_java),
    Part::step("components", guests::build),
    Part::cargo("build", BUILD),
    Part::built("bench", "bench"),
];

/// `ROUNDS` and `SEED` are read by the program itself.
const CHAOS: &[Part] = &[
    Part::step("toolchain", setup::toolchain),
    Part::step("Apache Kafka's jars", setup::kafka),
    Part::step("components", guests::build),
    Part::cargo("build", BUILD),
    Part::built("chaos", "chaos"),
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
    Part::cargo("house rules", "test --release --workspace --test tidy"),
];

const VERBS: &[Verb] = &[
    Verb { name: "test", about: "every test, set-up included", parts: TEST },
    Verb { name: "set-up", about: "only what the tests need: wasm target, jars, kcat, guests", parts: SET_UP },
    Verb { name: "lint", about: "format, clippy, house rules", parts: LINT },
    Verb { name: "guests", about: "builds the components", parts: &[Part::step("guests", guests::build)] },
    Verb { name: "demo", about: "the exchange, live; KAFKA=host:port for a broker of yours", parts: DEMO },
    Verb { name: "bench", about: "every bar, measured (RECORDS=1000000; words: --strict, --only TEXT)", parts: BENCH },
    Verb {
        name: "sim",
        about: "the seeded simulation (SEEDS=500)",
        parts: &[Part::cargo("build", BUILD), Part::step("simulation", sim::seeds)],
    },
    Verb {
        name: "sim-mutants",
        about: "planted faults must be caught",
        parts: &[Part::cargo("build", BUILD), Part::step("planted faults", sim::mutants)],
    },
    Verb { name: "chaos", about: "kill -9 while records flow (ROUNDS=50, SEED)", parts: CHAOS },
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
