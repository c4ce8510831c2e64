//! One table of a manifest while it is read: takes values by key, notes what does not fit, and at the end what nobody
//! asked for. Reading never stops at a problem, so that all are told at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// Farther names are no help.
const SIMILARITY_LEAST: f64 = 0.6;

/// Where problems are collected.
pub(super) struct Report<'s> {
    pub source: &'s str,
    pub problems: RefCell<Vec<Problem>>,
}

pub(super) struct Section<'a, 's> {
    report: &'a Report<'s>,
    /// Dotted path, empty for the root.
    path: String,
    place: usize,
    table: &'a DeTable<'s>,
    known: RefCell<Vec<&'static str>>,
}

impl Report<'_> {
    pub fn add(&self, at: usize, text: String) {
        self.problems.borrow_mut().push(Problem::at(self.source, at, text));
    }
}

impl<'a, 's> Section<'a, 's> {
    pub fn new(report: &'a Report<'s>, path: String, place: usize, table: &'a DeTable<'s>) -> Self {
        Self { report, path, place, table, known: RefCell::default() }
    }

    pub fn place(&self) -> usize {
        self.place
    }

    pub fn report(&self) -> &'a Report<'s> {
        self.report
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn find(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'s>>> {
        self.known.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    /// Notes that `value` is not what the key wants.
    pub fn refuse(&self, value: Range<usize>, key: &str, wants: &str) {
        self.report.add(value.start, format!("`{}` must be {wants}", self.name(key)));
    }

    /// Where a key's value stands.
    pub fn place_of(&self, key: &str) -> usize {
        let found = self.table.iter().find(|(k, _)| k.get_ref() == key);
        found.map_or(self.place, |(_, v)| v.span().start)
    }

    pub fn text(&self, key: &'static str) -> Option<String> {
        let value = self.find(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.refuse(value.span(), key, "a text");
        }
        text
    }

    /// A text that must be there.
    pub fn required_text(&self, key: &'static str, what: &str) -> String {
        if self.find(key).is_none() {
            self.report.add(self.place, format!("`{}` is missing: {what}", self.name(key)));
            return String::new();
        }
        self.text(key).unwrap_or_default()
    }

    pub fn number(&self, key: &'static str, range: Range<u64>, default: u64) -> u64 {
        let Some(value) = self.find(key) else { return default };
        let number = value.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        match number {
            Some(number) if range.contains(&number) => number,
            _ => {
                let wants = format!("a whole number from {} to {}", range.start, range.end - 1);
                self.refuse(value.span(), key, &wants);
                default
            }
        }
    }

    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.find(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.refuse(value.span(), key, "true or false");
            default
        })
    }

    /// A list, each item with its place.
    pub fn list(&self, key: &'static str) -> Vec<&'a Spanned<DeValue<'s>>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => {
                self.refuse(value.span(), key, "a list");
                Vec::new()
            }
        }
    }

    /// A list of texts, each with its place.
    pub fn texts(&self, key: &'static str) -> Vec<(String, usize)> {
        let text = |item: &Spanned<DeValue<'s>>| match item.get_ref().as_str() {
            Some(text) => Some((text.to_owned(), item.span().start)),
            None => {
                self.refuse(item.span(), key, "a list of texts");
                None
            }
        };
        self.list(key).into_iter().filter_map(text).collect()
    }

    pub fn section(&self, key: &'static str) -> Option<Section<'a, 's>> {
        let value = self.find(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section::new(self.report, self.name(key), value.span().start, table)),
            _ => {
                self.refuse(value.span(), key, "a table");
                None
            }
        }
    }

    /// The sub-tables under a key, by name.
    pub fn sections(&self, key: &'static str) -> Vec<(String, Section<'a, 's>)> {
        let Some(section) = self.section(key) else { return Vec::new() };
        let entry = |(name, value): (&'a Spanned<toml::de::DeString<'s>>, &'a Spanned<DeValue<'s>>)| {
            let text = name.get_ref().to_string();
            match value.get_ref() {
                DeValue::Table(table) => {
                    Some((text.clone(), Section::new(self.report, section.name(&text), name.span().start, table)))
                }
                _ => {
                    section.refuse(value.span(), &text, "a table");
                    None
                }
            }
        };
        section.table.iter().filter_map(entry).collect()
    }

    /// All keys of this table as texts: numbers and booleans are written out.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let property = |(key, value): (&Spanned<toml::de::DeString<'s>>, &Spanned<DeValue<'s>>)| {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                _ => {
                    self.refuse(
                        value.span(),
                        key.get_ref(),
                        "a text, a number, true or false; write dotted names in quotes",
                    );
                    return None;
                }
            };
            Some((key.get_ref().to_string(), text))
        };
        self.table.iter().filter_map(property).collect()
    }

    /// The value of a key as JSON; an empty object if it is not there.
    pub fn json(&self, key: &'static str) -> serde_json::Value {
        let Some(value) = self.find(key) else { return serde_json::json!({}) };
        json(value.get_ref())
    }

    /// Reports keys that nothing asked for, each with the nearest one that something did.
    pub fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.table.iter().filter(|(k, _)| !known.contains(&k.get_ref().as_ref())) {
            let nearest = known
                .iter()
                .map(|k| (strsim::jaro_winkler(k, key.get_ref()), *k))
                .filter(|(similarity, _)| *similarity >= SIMILARITY_LEAST)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let name = self.name(key.get_ref());
            let text = match nearest {
                Some((_, near)) => format!("unknown key `{name}`; did you mean `{near}`?"),
                None => format!("unknown key `{name}`; known here: {}", known.join(", ")),
            };
            self.report.add(key.span().start, text);
        }
    }
}

fn json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(serde_json::Value::Null, Into::into)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(serde_json::Value::Null, Into::into),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => items.iter().map(|i| json(i.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref())))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
