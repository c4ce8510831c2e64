//! What the manifest says about this processor: settings, and names that become stores, tables, inputs and outputs.
//! Remembers every name that is not declared, so that all of them are told at once.

use std::cell::RefCell;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Store, Table};

/// The document that the host gives to a fresh instance.
#[derive(Debug)]
pub struct Config {
    document: Document,
    missing: RefCell<Vec<String>>,
}

/// One of the processor's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input(pub(crate) u32);

/// One of the processor's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output(pub(crate) u16);

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    application: String,
    #[serde(default)]
    processor: String,
    #[serde(default)]
    settings: serde_json::Value,
    #[serde(default)]
    inputs: Vec<Named>,
    #[serde(default)]
    outputs: Vec<Named>,
    #[serde(default)]
    stores: Vec<Named>,
    #[serde(default)]
    tables: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl Config {
    /// Reads the document that the host gives to `open`.
    ///
    /// # Errors
    /// It is not such a document.
    pub fn parse(document: &str) -> Result<Self, String> {
        let document = serde_json::from_str(document).map_err(|error| format!("configuration document: {error}"))?;
        Ok(Self { document, missing: RefCell::default() })
    }

    pub fn application(&self) -> &str {
        &self.document.application
    }

    pub fn processor(&self) -> &str {
        &self.document.processor
    }

    /// The settings of the manifest as a type of the author. No settings at all read as an empty object.
    ///
    /// # Errors
    /// They do not fit the type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, String> {
        let settings = match &self.document.settings {
            serde_json::Value::Null => serde_json::json!({}),
            settings => settings.clone(),
        };
        serde_json::from_value(settings).map_err(|error| format!("settings: {error}"))
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Input {
        Input(self.find("input", &self.document.inputs, name))
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Output {
        Output(self.find("output", &self.document.outputs, name) as u16)
    }

    /// The store of this name.
    pub fn store(&self, name: &str) -> Store {
        Store::new(self.find("store", &self.document.stores, name))
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Table {
        Table::new(self.find("table", &self.document.tables, name))
    }

    /// Names of the outputs in order, for processors that choose by a setting.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, Output)> {
        self.document.outputs.iter().zip(0..).map(|(named, index)| (named.name.as_str(), Output(index)))
    }

    /// What was asked for and is not declared.
    pub(crate) fn missing(&self) -> Result<(), String> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("not declared for processor `{}` in the manifest: {}", self.processor(), missing.join(", ")))
    }

    /// An index that no list has stands for a name that is not declared; it is never used, since `open` fails.
    fn find(&self, kind: &str, list: &[Named], name: &str) -> u32 {
        list.iter().position(|named| named.name == name).map_or_else(
            || {
                self.missing.borrow_mut().push(format!("{kind} `{name}`"));
                u32::MAX
            },
            |index| index as u32,
        )
    }
}

impl Input {
    #[doc(hidden)]
    pub fn at(index: u32) -> Self {
        Self(index)
    }
}

impl Output {
    #[doc(hidden)]
    pub fn at(index: u16) -> Self {
        Self(index)
    }

    #[inline(always)]
    pub(crate) fn index(self) -> u16 {
        self.0
    }
}
