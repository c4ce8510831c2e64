//! What each module of the host must never know (DESIGN 3), read off the paths that its code names.
//! Owns the table. Unit tests inside a file are free.

use crate::rule::{Rule, lines_with};
use crate::source::Source;

struct Layer {
    module: &'static str,
    /// Modules of the host that its code must not name.
    never: &'static [&'static str],
    /// Other words that must not stand in its code.
    words: &'static [&'static str],
}

const ADAPTERS: [&str; 6] = ["kafka", "wasm", "deployment", "gateway", "api", "run"];

const LAYERS: &[Layer] = &[
    Layer {
        module: "record",
        never: &["processor", "topology", "store", "task", "worker", "client", "config", "telemetry"],
        words: &["thread", "fs"],
    },
    Layer {
        module: "processor",
        never: &["topology", "task", "worker", "client", "config"],
        words: &["Partition", "thread"],
    },
    Layer {
        module: "topology",
        never: &["store", "task", "worker", "client"],
        words: &["thread", "fs", "TcpStream", "TcpListener"],
    },
    Layer { module: "store", never: &["processor", "task", "worker", "client", "topology"], words: &["thread"] },
    Layer { module: "task", never: &["worker"], words: &["thread", "rdkafka", "wasmtime"] },
    Layer { module: "worker", never: &[], words: &["rdkafka", "wasmtime", "axum"] },
    Layer {
        module: "client",
        never: &["processor", "store", "task", "worker", "topology", "config"],
        words: &["thread", "rdkafka"],
    },
    Layer { module: "kafka", never: &["processor", "task", "worker"], words: &[] },
    Layer { module: "wasm", never: &["client", "task", "worker"], words: &["Offset", "Position"] },
    Layer { module: "deployment", never: &["task", "worker"], words: &["Batch"] },
    Layer { module: "gateway", never: &["worker", "task"], words: &[] },
    Layer { module: "api", never: &["worker", "task"], words: &[] },
    Layer {
        module: "config",
        never: &["record", "processor", "store", "task", "worker", "client", "telemetry", "clock"],
        words: &["thread", "TcpStream", "TcpListener"],
    },
];

/// A file that may know one thing of a module that its own must not know, and why.
pub const KNOWN: &[(&str, &str, &str)] =
    &[("host/src/kafka/table_reader.rs", "processor", "a table is plain data, which it publishes")];

pub fn rules() -> Vec<Rule> {
    LAYERS.iter().map(rule_of).collect()
}

fn rule_of(layer: &'static Layer) -> Rule {
    let home = |path: &str| {
        path == format!("host/src/{}.rs", layer.module) || path.starts_with(&format!("host/src/{}/", layer.module))
    };
    let never: Vec<&str> =
        layer.never.iter().copied().chain(ADAPTERS.into_iter().filter(|name| *name != layer.module)).collect();
    let stranger = never[0];
    let path: &'static str = Box::leak(format!("host/src/{}/x.rs", layer.module).into_boxed_str());
    let check = move |file: &Source| if home(&file.path) { knows(file, &never, layer.words) } else { Vec::new() };
    let rule = Rule::new("what a module must never know", check)
        .bad(path, format!("//! x\nuse crate::{stranger}::Thing;\n"))
        .bad(path, format!("//! x\nuse crate::{{\n    clock::Clock,\n    {stranger}::{{self, Thing}},\n}};\n"))
        .bad(path, format!("//! x\nfn f() {{ wasmill::{stranger}::go() }}\n"))
        .good(path, format!("//! x\n// crate::{stranger} is elsewhere\nuse super::y;\n"))
        .good(path, format!("//! x\nuse super::y;\n#[cfg(test)]\nmod tests {{\n    use crate::{stranger}::T;\n}}\n"));
    layer.words.iter().fold(rule, |rule, word| rule.bad(path, format!("//! x\nuse {word}::z;\n")))
}

fn knows(file: &Source, never: &[&str], words: &[&str]) -> Vec<(usize, String)> {
    let code = file.code_without_tests();
    let mut found: Vec<(usize, String)> = named_modules(code)
        .into_iter()
        .filter(|(_, module)| never.contains(&module.as_str()))
        .filter(|(_, module)| !KNOWN.iter().any(|(path, known, _)| file.path == *path && module == known))
        .map(|(line, module)| (line, format!("must not know `{module}`")))
        .collect();
    for word in words {
        found.extend(lines_with(code, word).into_iter().map(|line| (line, format!("must not know `{word}`"))));
    }
    found
}

/// The modules named right after `crate::` or `wasmill::`, groups in braces included.
fn named_modules(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::", "wasmill::"] {
        for (at, _) in code.match_indices(root) {
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + root.len()..];
            found.extend(heads(rest).into_iter().map(|name| (line, name)));
        }
    }
    found
}

fn heads(rest: &str) -> Vec<String> {
    match rest.strip_prefix('{') {
        None => vec![head(rest)],
        Some(group) => top_level(group).into_iter().map(|part| head(part.trim_start())).collect(),
    }
}

fn head(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The parts of a `{a::{b, c}, d}` group, without what stands behind its end.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}
