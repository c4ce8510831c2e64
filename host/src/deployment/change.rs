//! What is appended to the log of deployments: intents, each a change of one processor under a base revision. JSON with
//! a format number, so that a host that meets a newer one says so instead of guessing.

use serde::{Deserialize, Serialize};

use crate::topology::{ErrorPolicy, LimitSettings};

/// The format of records in the log that this host writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// One record of the log: somebody wants this change of what they have seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    pub format: u32,
    /// Nobody else's: the same intent read twice counts once.
    pub id: String,
    pub processor: String,
    /// The revision that the change is based on. Any other than the current one rejects it.
    pub base: u64,
    pub change: Change,
    /// The host that appended it.
    pub host: String,
    /// Wall clock of that host.
    pub at_ms: i64,
}

/// What an intent wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// All hosts prepare this version; nothing else changes.
    Candidate { spec: VersionSpec },
    /// Every host has the candidate ready: it becomes the active version.
    Promote,
    /// The candidate is given up; nothing else changes.
    Withdraw { why: String },
    /// An older version becomes active again.
    Rollback {
        /// Its number; the one before the active version if there is none.
        to: Option<u64>,
        why: String,
        /// Found by hosts, not asked for by a person.
        is_automatic: bool,
    },
    /// Nothing is called; places in the group are kept.
    Pause,
    /// The processor needs an operator: like a pause, with a reason.
    Halt { why: String },
    /// Ends a pause or a halt.
    Resume,
}

/// A version as it is asked for: it gets its number when the log is folded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionSpec {
    /// SHA-256 of the component's bytes, in hexadecimal.
    pub digest: String,
    /// Length of the component in bytes.
    pub bytes: u64,
    /// Under which the component's bytes lie in the components topic.
    pub upload: String,
    /// No chunk of the upload lies before this offset of the components topic.
    pub offset: i64,
    pub settings: serde_json::Value,
    pub limits: LimitSettings,
    pub on_error: ErrorPolicy,
    #[serde(default)]
    pub note: String,
    /// How the version lays out its state. Across different ones nothing rolls back by itself once committed.
    #[serde(default)]
    pub state_format: Option<String>,
}

/// An immutable version of a processor's logic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Counts up from 1, per processor.
    pub number: u64,
    #[serde(flatten)]
    pub spec: VersionSpec,
    pub at_ms: i64,
    /// The host that took it.
    pub host: String,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum IntentError {
    #[error("a record of format {found}, but this host reads up to {FORMAT}: upgrade this host")]
    Newer { found: u64 },
    #[error("a record that is not an intent: {0}")]
    Malformed(String),
}

impl Intent {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    /// # Errors
    /// It is of a newer format, or no intent at all.
    pub fn decode(bytes: &[u8]) -> Result<Self, IntentError> {
        let malformed = |error: serde_json::Error| IntentError::Malformed(error.to_string());
        let document: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
        match document.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found > u64::from(FORMAT) => Err(IntentError::Newer { found }),
            _ => serde_json::from_value(document).map_err(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let intent = Intent {
            format: FORMAT,
            id: "a".into(),
            processor: "p".into(),
            base: 3,
            change: Change::Rollback { to: None, why: "bad".into(), is_automatic: true },
            host: "h".into(),
            at_ms: 5,
        };
        assert_eq!(Intent::decode(&intent.encode()), Ok(intent));
        assert_eq!(Intent::decode(br#"{"format":2,"anything":1}"#), Err(IntentError::Newer { found: 2 }));
        assert!(matches!(Intent::decode(b"hello"), Err(IntentError::Malformed(_))));
        assert!(matches!(Intent::decode(br#"{"format":1}"#), Err(IntentError::Malformed(_))));
    }
}
