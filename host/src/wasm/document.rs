//! The JSON document that `open` gets (`wit/plugin.wit`): what the manifest says about a processor.

use serde::Serialize;

/// Names in the order that gives each its index. Members may be added, never removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OpenDocument {
    pub application: String,
    pub processor: String,
    pub settings: serde_json::Value,
    #[serde(serialize_with = "named")]
    pub inputs: Vec<String>,
    #[serde(serialize_with = "named")]
    pub outputs: Vec<String>,
    pub stores: Vec<StoreName>,
    #[serde(serialize_with = "named")]
    pub tables: Vec<String>,
}

/// A store as its component sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreName {
    pub name: String,
    pub scans: bool,
}

impl OpenDocument {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and settings are plain JSON")
    }
}

fn named<S: serde::Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named<'a> {
        name: &'a str,
    }
    serializer.collect_seq(names.iter().map(|name| Named { name }))
}
