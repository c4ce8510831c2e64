//! What the command line asks for. `ROUNDS` and `SEED` in the environment are the defaults.

use wasmill_tests::brokers::BrokerKind;

pub const USAGE: &str = "usage: chaos [--rounds N] [--seed S] [--broker wasmill|kafka]   both brokers by default";

pub struct Wish {
    pub rounds: usize,
    pub seed: u64,
    pub brokers: Vec<BrokerKind>,
}

const ROUNDS_DEFAULT: u64 = 50;

pub fn parse(words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut words = words;
    let mut rounds = from_environment("ROUNDS")?.unwrap_or(ROUNDS_DEFAULT);
    let mut seed = from_environment("SEED")?;
    let mut brokers = vec![BrokerKind::Wasmill, BrokerKind::Kafka];
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--rounds" => rounds = number(&value()?)?,
            "--seed" => seed = Some(number(&value()?)?),
            "--broker" => brokers = vec![broker(&value()?)?],
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    // A seed that a person can type.
    let seed = seed.unwrap_or_else(|| wasmill::kafka::random() % 1_000_000);
    Ok(Wish { rounds: rounds as usize, seed, brokers })
}

fn from_environment(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => number(&text).map(Some),
        _ => Ok(None),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn broker(name: &str) -> Result<BrokerKind, String> {
    match name {
        "wasmill" => Ok(BrokerKind::Wasmill),
        "kafka" => Ok(BrokerKind::Kafka),
        _ => Err(format!("no broker is called `{name}`")),
    }
}
