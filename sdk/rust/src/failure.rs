//! Why a record could not be processed.

use crate::Record;

/// Ends a call; all of its effects are dropped. The host then finds the record and does what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Machine-readable, such as `malformed`; at most 64 bytes are kept.
    pub code: String,
    /// The record at fault within the batch. `None`: the host finds it by halving.
    pub index: Option<u32>,
    /// For people; at most 4,096 bytes are kept.
    pub message: String,
}

impl Failure {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), index: None, message: message.into() }
    }

    /// Names the record at fault.
    #[must_use]
    pub fn at(mut self, record: &Record<'_>) -> Self {
        self.index = Some(record.index);
        self
    }
}

/// A value that does not parse is `malformed`.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new("malformed", error.to_string())
    }
}
