//! What a processor sent.

/// Name and value of a header.
pub type Header = (String, Option<Vec<u8>>);

/// An output record. Two are equal if output, key, value, timestamp (where both name one) and headers are.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Name of the output.
    pub output: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// `None` in what a test expects: any.
    pub timestamp_ms: Option<i64>,
}

impl Sent {
    /// A record to compare with: without headers, at any time.
    pub fn new(output: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self {
            output: output.to_owned(),
            key: Some(key.as_ref().to_vec()),
            value: Some(value.as_ref().to_vec()),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// The value as text, for messages and comparisons.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl PartialEq for Sent {
    fn eq(&self, other: &Self) -> bool {
        let is_same_time = match (self.timestamp_ms, other.timestamp_ms) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        is_same_time
            && (&self.output, &self.key, &self.value, &self.headers)
                == (&other.output, &other.key, &other.value, &other.headers)
    }
}
