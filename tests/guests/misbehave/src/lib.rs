//! A component whose settings choose what it does wrong, and on which record: `{"behaviour": "trap", "on": "bad"}` traps
//! on records whose value is `bad`; all other records are forwarded. What no compiler would produce is in `.wat` instead.

mod misdeeds;

use std::collections::HashMap;

use serde::Deserialize;
use wasmill_sdk::{Batch, Config, Emit, Failure, Out, Output, Part, Processor, Record, Store};

use misdeeds::Misdeed;

struct Misbehave {
    settings: Settings,
    out: Output,
    store: Option<Store>,
    /// What it must not rely on.
    remembered: HashMap<Vec<u8>, i64>,
    hoard: Vec<Vec<u8>>,
    /// Records that this instance has seen.
    seen: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    behaviour: Misdeed,
    /// The value that brings it about. Some behaviours do without.
    #[serde(default = "bad")]
    on: String,
    /// Values of this length, or longer, bring it about too.
    #[serde(default = "any_length")]
    on_length: usize,
}

fn any_length() -> usize {
    usize::MAX
}

fn bad() -> String {
    "bad".to_owned()
}

impl Processor for Misbehave {
    fn open(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.settings()?;
        misdeeds::on_open(settings.behaviour)?;
        let store = settings.behaviour.needs_store().then(|| config.store("totals"));
        let out = Output::at(0);
        Ok(Self { settings, out, store, remembered: HashMap::new(), hoard: Vec::new(), seen: 0 })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        let behaviour = self.settings.behaviour;
        let company = batch.records().count();
        for record in batch.records() {
            let is_bad = self.is_bad(&record);
            self.seen += 1;
            match behaviour {
                Misdeed::Remember => self.total(&record, &mut out.of(&record)),
                Misdeed::RememberAndTrap if is_bad => self.poison(&record),
                Misdeed::RememberAndTrap => self.total(&record, &mut out.of(&record)),
                Misdeed::FailInCompany if is_bad && company > 1 => {
                    return Err(Failure::new("crowded", "not among others").at(&record));
                }
                Misdeed::WearOut if is_bad && self.seen > 1 => panic!("worn out"),
                Misdeed::FailInCompany | Misdeed::WearOut => out.of(&record).forward(self.out),
                _ if is_bad => misdeeds::commit(behaviour, &record, out, self.store, &mut self.hoard)?,
                _ => out.of(&record).forward(self.out),
            }
        }
        Ok(())
    }
}

impl Misbehave {
    fn is_bad(&self, record: &Record<'_>) -> bool {
        let value = record.value.unwrap_or_default();
        value == self.settings.on.as_bytes() || value.len() >= self.settings.on_length
    }

    /// Leaves in memory and in the store what must not be there after the trap.
    fn poison(&mut self, record: &Record<'_>) -> ! {
        let key = record.key.unwrap_or(b"none");
        *self.remembered.entry(key.to_vec()).or_default() += 1_000;
        self.store.expect("declared by needs_store").put(key, b"1000");
        panic!("poisoned");
    }

    /// Adds the record's number to the total of its key, and believes its own memory before the store.
    fn total(&mut self, record: &Record<'_>, out: &mut Emit<'_>) {
        let store = self.store.expect("declared by needs_store");
        let key = record.key.unwrap_or(b"none");
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let stored = || store.get(key).map_or(0, |value| number(&value));
        let total = self.remembered.entry(key.to_vec()).or_insert_with(stored);
        *total += record.value.map_or(0, number);
        let text = total.to_string();
        store.put(key, text.as_bytes());
        out.send(self.out, Part::Same, &text);
    }
}

wasmill_sdk::export!(Misbehave);
