//! Words that must not stand in files: `unsafe` outside its list, marks of unfinished or ignored work, places and hosts
//! of one machine. Owns the list of files that may hold `unsafe`.

use crate::rule::{Rule, is_under, lines_with};
use crate::source::Source;

/// Files that may hold `unsafe`, and why.
pub const UNSAFE: &[(&str, &str)] = &[
    ("host/src/kafka/", "calls of librdkafka"),
    ("host/src/wasm/cache.rs", "loads our own compiled code"),
    ("host/src/wasm/system.rs", "bounds of the compiler's process"),
    ("host/src/clock.rs", "CPU time of a thread"),
    ("tests/bench/cpu.rs", "CPU time of a process"),
    ("host/src/wasm/frames.rs", "reads frames in place"),
    ("host/src/wasm/compile.rs", "setrlimit and nice: the compiler's process is bounded"),
    ("host/src/wasm/guest.rs", "the CPU clock of the calling thread"),
    ("sdk/rust/", "the component's side of the contract"),
    ("tests/guests/", "the component's side of the contract"),
    ("plugins/", "the component's side of the contract"),
    ("tests/src/child.rs", "a child that ends with its parent needs prctl between fork and exec"),
    ("tests/src/bin/embedded_broker.rs", "waits for SIGTERM"),
];

/// This folder holds the samples.
const SELF: &str = "tests/tidy/";

pub fn rules() -> Vec<Rule> {
    vec![unsafe_code(), unfinished(), machine()]
}

fn unsafe_code() -> Rule {
    let check = |file: &Source| {
        let is_listed = UNSAFE.iter().any(|(path, _)| is_under(&file.path, path));
        let lines = if is_listed { Vec::new() } else { lines_with(&file.code, "unsafe") };
        lines.into_iter().map(|line| (line, "`unsafe` outside the list".to_string())).collect()
    };
    Rule::new("unsafe only where it is listed", check)
        .bad("host/src/worker/x.rs", "//! x\nunsafe { f() }\n")
        .good("host/src/kafka/raw.rs", "//! x\nunsafe { f() }\n")
        .good("host/src/lib.rs", "//! x\n#![deny(unsafe_code)]\n// unsafe\n")
}

fn unfinished() -> Rule {
    let marks = ["#[ignore", "todo!", "unimplemented!", "dbg!"];
    let check = move |file: &Source| {
        let found =
            |(index, line): (usize, &str)| marks.iter().find(|mark| line.contains(*mark)).map(|m| (index + 1, *m));
        let lines = file.code.lines().enumerate().filter_map(found);
        lines.map(|(line, mark)| (line, format!("`{mark}` is unfinished work"))).collect()
    };
    Rule::new("nothing is ignored or left to do", check)
        .bad("host/src/x.rs", "//! x\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n")
        .bad("host/src/x.rs", "//! x\nfn f() { todo!() }\n")
        .good("host/src/x.rs", "//! x\n// no todo!() here\n#[must_use]\nfn ignore() {}\n")
}

/// Registries are named by the tools that use them, and paths are relative.
fn machine() -> Rule {
    let words = [
        "/work/",
        "/root/",
        "/home/",
        "crates.io",
        "static.rust-lang.org",
        "registry.npmjs",
        "pypi.org",
        "proxy.golang.org",
        "repo.maven",
        "repo1.maven",
        "deb.debian.org",
    ];
    let check = move |file: &Source| {
        let is_exempt = file.path.starts_with(SELF) || file.path.ends_with(".lock") || file.path.ends_with("LICENSE");
        let text = if is_exempt { "" } else { &file.text };
        let found =
            |(index, line): (usize, &str)| words.iter().find(|word| line.contains(*word)).map(|w| (index + 1, *w));
        text.lines().enumerate().filter_map(found).map(|(line, word)| (line, format!("names `{word}`"))).collect()
    };
    Rule::new("no place of one machine, no registry's host", check)
        .bad("Makefile", "demo:\n\tcp /home/me/x .\n")
        .bad("README.md", "from https://pypi.org/x\n")
        .good("README.md", "from PyPI; see ./work\n")
}
