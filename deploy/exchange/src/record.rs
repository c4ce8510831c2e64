//! Records as they are sent and as they are found in topics: plain data.

/// A record to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub topic: &'static str,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp_ms: i64,
}

/// A record that was read, committed ones only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp_ms: i64,
}

impl Message {
    pub fn new(topic: &'static str, key: &str, value: impl Into<Vec<u8>>, timestamp_ms: i64) -> Self {
        Self { topic, key: Some(key.as_bytes().to_vec()), value: Some(value.into()), timestamp_ms }
    }
}

impl Record {
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(header, _)| header == name)
    }
}
