//! A component whose outputs tell which version made them: `TAG|COUNT|OFFSET|VALUE`, counted per key in a store. Settings
//! make bad versions of it: one that fails on some values, one that does not open.

use serde::Deserialize;
use wasmill_sdk::{Batch, Config, Failure, Out, Output, Part, Processor, Store};

struct Stamp {
    out: Output,
    counts: Store,
    settings: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    tag: String,
    /// Values with this text fail.
    #[serde(default)]
    fails_on: Option<String>,
    /// Why the component does not open.
    #[serde(default)]
    refusal: Option<String>,
}

impl Processor for Stamp {
    fn open(config: &Config) -> Result<Self, String> {
        let mut settings: Settings = config.settings()?;
        match settings.refusal.take() {
            Some(refusal) => Err(refusal),
            None => Ok(Self { out: config.output("out"), counts: config.store("counts"), settings }),
        }
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |record, out| {
            let value = std::str::from_utf8(record.value.unwrap_or_default()).unwrap_or_default();
            if self.settings.fails_on.as_deref().is_some_and(|text| value.contains(text)) {
                return Err(Failure::new("asked-for", "this version fails here"));
            }
            let key = record.key.unwrap_or(b"none");
            let before = self.counts.get(key).and_then(|v| v.try_into().ok()).map_or(0, u64::from_le_bytes);
            let count = before + 1;
            self.counts.put(key, &count.to_le_bytes());
            let stamped = format!("{}|{count}|{}|{value}", self.settings.tag, record.offset);
            out.send(self.out, Part::Same, stamped.as_bytes());
            Ok(())
        })
    }
}

wasmill_sdk::export!(Stamp);
