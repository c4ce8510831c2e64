//! Members of JSON objects as they came, borrowed where they can be: a number keeps its digits, which is what makes
//! exactness decidable.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A member of an object. `null` is as good as absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Member<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// As it was written.
    Number(&'a str),
    /// A list, an object, true or false.
    Other,
}

impl<'a> Member<'a> {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn of(raw: &'a str) -> Self {
        match raw.as_bytes() {
            [b'"', .., b'"'] if !raw.contains('\\') => Self::Text(Cow::Borrowed(&raw[1..raw.len() - 1])),
            [b'"', ..] => serde_json::from_str(raw).map_or(Self::Other, |text| Self::Text(Cow::Owned(text))),
            [b'-' | b'0'..=b'9', ..] => Self::Number(raw),
            [b'n', ..] => Self::Absent,
            _ => Self::Other,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(<&RawValue>::deserialize(deserializer)?.get()))
    }
}

/// A record's part as text. JSON is UTF-8, and everything here is.
#[inline]
pub fn text_of(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

/// A record's value as the text of a JSON object. Readers of structs would take lists as well.
#[inline]
pub fn object_of(bytes: Option<&[u8]>) -> Option<&str> {
    text_of(bytes).filter(|text| text.trim_ascii_start().starts_with('{'))
}
