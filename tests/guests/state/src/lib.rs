//! A component that does what each record's value says, so that a test can try every function of the host:
//! `put KEY VALUE`, `get KEY`, `remove KEY`, `many KEY…`, `apply KEY=VALUE… KEY-…`, `append TEXT KEY…`, `scan FROM TO`,
//! `row KEY`, `rows KEY…`, `table FROM TO`, `age`, `now`, `seed`, `log LEVEL TEXT`, `headers NAME=VALUE…`, `null`.
//! Answers with one output each, on ticks with the time and the number of missed ones.

use wasmill_sdk::{
    Batch, Changes, Config, Emit, Failure, Keys, Level, NewRecord, Out, Output, Part, Processor, Store, Table, Ticks,
    Values,
};

struct State {
    out: Output,
    store: Store,
    table: Table,
}

impl Processor for State {
    fn open(config: &Config) -> Result<Self, String> {
        Ok(Self { out: config.output("out"), store: config.store("things"), table: config.table("rates") })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |record, out| {
            let line = std::str::from_utf8(record.value.unwrap_or_default()).unwrap_or_default();
            let words: Vec<&str> = line.split(' ').collect();
            if let Some(answer) = self.obey(&words, out)? {
                out.send(self.out, Part::Same, &answer);
            }
            Ok(())
        })
    }

    fn close(self) {
        println!("closed");
    }
}

impl Ticks for State {
    fn tick(&mut self, batch: Batch<'_>, missed: u64, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |record, out| {
            out.send(self.out, Part::Null, &format!("tick {} missed {missed}", record.timestamp_ms));
            Ok(())
        })
    }
}

impl State {
    fn obey(&self, words: &[&str], out: &mut Emit<'_>) -> Result<Option<String>, Failure> {
        let store = self.store;
        Ok(Some(match words {
            ["put", key, value] => {
                store.put(key.as_bytes(), value.as_bytes());
                "done".to_owned()
            }
            ["get", key] => text(store.get(key.as_bytes()).as_deref()),
            ["remove", key] => {
                store.remove(key.as_bytes());
                "done".to_owned()
            }
            ["many", keys @ ..] => values(&store.get_many(&packed(keys))),
            ["apply", changes @ ..] => {
                store.apply(&parse_changes(changes));
                "done".to_owned()
            }
            ["append", addition, keys @ ..] => self.append(addition, keys)?,
            ["scan", from, to] => entries(store.scan(from.as_bytes(), end(to))),
            ["row", key] => text(self.table.get(key.as_bytes()).as_deref()),
            ["rows", keys @ ..] => values(&self.table.get_many(&packed(keys))),
            ["table", from, to] => entries(self.table.scan(from.as_bytes(), end(to))),
            ["age"] => self.table.age_ms().to_string(),
            ["now"] => wasmill_sdk::now_ms().to_string(),
            ["seed"] => wasmill_sdk::seed().to_string(),
            ["log", level, text] => {
                wasmill_sdk::log(level_of(level), text);
                "done".to_owned()
            }
            ["headers", headers @ ..] => {
                self.send_with_headers(headers, out);
                return Ok(None);
            }
            ["null"] => {
                out.send(self.out, Part::Null, Part::Null);
                return Ok(None);
            }
            _ => return Err(Failure::new("malformed", "no such command")),
        }))
    }

    fn append(&self, addition: &str, keys: &[&str]) -> Result<String, Failure> {
        let mut seen = Vec::new();
        self.store.update_many(&packed(keys), |_, entry| {
            let old = text(entry.value());
            let new = if old == "none" { addition.to_owned() } else { format!("{old}{addition}") };
            if new.len() > 6 {
                entry.remove()
            } else {
                entry.set(new.as_bytes())
            }
            seen.push(old);
            Ok::<(), Failure>(())
        })?;
        Ok(seen.join(" "))
    }

    fn send_with_headers(&self, headers: &[&str], out: &mut Emit<'_>) {
        let pairs: Vec<(&str, &[u8])> = headers
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, value.as_bytes()))
            .collect();
        let record = NewRecord { key: Part::Same, value: Part::Same, timestamp_ms: Some(42), headers: Some(&pairs) };
        out.send_record(self.out, &record);
    }
}

fn packed(keys: &[&str]) -> Keys {
    keys.iter().map(|key| key.as_bytes()).collect()
}

fn parse_changes(changes: &[&str]) -> Changes {
    let mut parsed = Changes::default();
    for change in changes {
        match change.split_once('=') {
            Some((key, value)) => parsed.put(key.as_bytes(), value.as_bytes()),
            None => parsed.remove(change.trim_end_matches('-').as_bytes()),
        }
    }
    parsed
}

fn end(word: &str) -> Option<&[u8]> {
    (word != "end").then_some(word.as_bytes())
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("none".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn values(values: &Values) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn entries(entries: wasmill_sdk::Entries) -> String {
    entries.map(|(key, value)| format!("{}={}", text(Some(&key)), text(Some(&value)))).collect::<Vec<_>>().join(" ")
}

fn level_of(word: &str) -> Level {
    match word {
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        _ => Level::Error,
    }
}

wasmill_sdk::export!(State, ticks);
