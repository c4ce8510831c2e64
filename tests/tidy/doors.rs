//! One heavy dependency, one door; and the one file each for the machine's clocks and for configuration.
//! Owns the table of doors.

use crate::rule::{Rule, is_under, lines_with};
use crate::source::Source;

/// A word, where it may stand, and where it may not.
struct Door {
    name: &'static str,
    words: &'static [&'static str],
    within: &'static [&'static str],
    only: &'static [&'static str],
}

/// What ships; tests may use clients of their own.
const SHIPPED: &[&str] = &["host/src/", "host/broker/src/", "sdk/"];

const DOORS: &[Door] = &[
    Door {
        name: "rdkafka only under host/src/kafka",
        words: &["rdkafka", "rdkafka_sys"],
        within: SHIPPED,
        only: &["host/src/kafka.rs", "host/src/kafka/"],
    },
    Door {
        name: "wasmtime only under host/src/wasm",
        words: &["wasmtime", "wasmtime_wasi"],
        within: SHIPPED,
        only: &["host/src/wasm.rs", "host/src/wasm/"],
    },
    Door {
        name: "axum only under host/src/api",
        words: &["axum", "tower_http"],
        within: SHIPPED,
        only: &["host/src/api.rs", "host/src/api/"],
    },
    Door {
        name: "fjall only under host/src/store/disk",
        words: &["fjall"],
        within: SHIPPED,
        only: &["host/src/store/disk.rs", "host/src/store/disk/"],
    },
    Door {
        name: "the environment only in config and main",
        words: &["env::var", "env::vars", "env::var_os", "env::args", "env::args_os"],
        within: &["host/src/"],
        only: &["host/src/config.rs", "host/src/config/", "host/src/main.rs"],
    },
    Door {
        name: "toml only where the manifest and the settings are read",
        words: &["toml::de", "toml::from_str", "toml::Value", "toml::Table"],
        within: SHIPPED,
        only: &["host/src/topology/", "host/src/topology.rs", "host/src/config.rs", "host/src/config/"],
    },
];

/// Where the machine's clocks may be read, and why.
pub const CLOCKS: &[(&str, &str)] = &[
    ("host/src/clock.rs", "this is the door"),
    ("host/src/kafka.rs", "deadlines of librdkafka's calls; the simulation replaces all of it"),
    ("host/src/kafka/", "deadlines of librdkafka's calls; the simulation replaces all of it"),
];

pub fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = DOORS.iter().map(rule_of).collect();
    rules.push(clocks());
    rules
}

fn rule_of(door: &'static Door) -> Rule {
    let check = |file: &Source| keeps(file, door.within, door.only, door.words);
    let sample = format!("//! x\nuse {}::y;\n", door.words[0]);
    let rule = Rule::new(door.name, check).bad("host/src/task/x.rs", sample.clone()).good(door.only[0], sample);
    rule.good("host/src/task/x.rs", format!("//! x\n// {} is elsewhere\nlet {}_like = 1;\n", door.words[0], "y"))
}

fn clocks() -> Rule {
    let words = ["Instant::now", "SystemTime::now", "UNIX_EPOCH"];
    let check = move |file: &Source| {
        let only: Vec<&str> = CLOCKS.iter().map(|(path, _)| *path).collect();
        keeps(file, &["host/src/"], &only, &words)
    };
    Rule::new("the machine's clocks only in clock.rs", check)
        .bad("host/src/worker/x.rs", "//! x\nlet t = std::time::Instant::now();\n")
        .bad("host/src/task.rs", "//! x\nlet t = SystemTime::now();\n")
        .good("host/src/clock.rs", "//! x\nlet t = Instant::now();\n")
        .good("host/src/worker/x.rs", "//! x\nfn f(start: Instant) {}\n")
}

fn keeps(file: &Source, within: &[&str], only: &[&str], words: &[&str]) -> Vec<(usize, String)> {
    let is_meant = file.is_rust() && within.iter().any(|place| is_under(&file.path, place));
    if !is_meant || only.iter().any(|place| is_under(&file.path, place)) {
        return Vec::new();
    }
    let found = words.iter().flat_map(|word| lines_with(&file.code, word).into_iter().map(move |line| (line, word)));
    found.map(|(line, word)| (line, format!("`{word}` may stand only in {}", only.join(", ")))).collect()
}
