//! What the command line asks for. `SEEDS` in the environment is the default of `--seeds`.

use crate::mutants::{self, Mutant};

pub const USAGE: &str =
    "usage: simulation [--seeds N] [--from S] [--mutant NAME] [--all]   --all goes on after a violation
       simulation --seed K [--mutant NAME] [--lines N]   one run again, with its last N lines of trace
       simulation --mutants [--seeds N]                  every planted fault must be caught within N seeds
       simulation --list                                 the planted faults";

pub enum Wish {
    Seeds { from: u64, count: u64, mutant: Option<Mutant>, is_all: bool },
    One { seed: u64, mutant: Option<Mutant>, lines: usize },
    Mutants { count: u64 },
}

const SEEDS_DEFAULT: u64 = 500;
const LINES_DEFAULT: usize = 80;

pub fn parse(words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut words = words;
    let (mut from, mut one, mut mutant, mut lines) = (0, None, None, LINES_DEFAULT);
    let (mut is_mutants, mut is_all) = (false, false);
    let mut count = match std::env::var("SEEDS") {
        Ok(text) if !text.is_empty() => number(&text)?,
        _ => SEEDS_DEFAULT,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => count = number(&value()?)?,
            "--from" => from = number(&value()?)?,
            "--seed" => one = Some(number(&value()?)?),
            "--lines" => lines = number(&value()?)? as usize,
            "--mutant" => mutant = Some(named(&value()?)?),
            "--mutants" => is_mutants = true,
            "--all" => is_all = true,
            "--list" => return Err(list()),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(match one {
        _ if is_mutants => Wish::Mutants { count },
        Some(seed) => Wish::One { seed, mutant, lines },
        None => Wish::Seeds { from, count, mutant, is_all },
    })
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn named(name: &str) -> Result<Mutant, String> {
    mutants::by_name(name).ok_or_else(|| format!("no planted fault is called `{name}`\n{}", list()))
}

fn list() -> String {
    let line = |(name, _, what): &(&str, Mutant, &str)| format!("  {name:<26} {what}");
    mutants::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
}
