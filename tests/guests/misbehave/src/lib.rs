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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    behaviour: Misdeed,
    /// The value that brings it about. Some behaviours do without.
    #[serde(default = "bad")]
    on: String,
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
        Ok(Self { settings, out, store, remembered: HashMap::new(), hoard: Vec::new() })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        for record in batch.records() {
            if self.settings.behaviour == Misdeed::Remember {
                self.total(&record, &mut out.of(&record));
            } else if record.value == Some(self.settings.on.as_bytes()) {
                misdeeds::commit(self.settings.behaviour, &record, out, self.store, &mut self.hoard)?;
            } else {
                out.of(&record).forward(self.out);
            }
        }
        Ok(())
    }
}

impl Misbehave {
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
