//! One dead letter as the commands see it: what its headers say, and the record that it was.

use std::fmt;
use std::str::FromStr;

use serde_json::json;

use super::desk::Age;
use crate::api::{BytesView, DeadLetterView, HeaderView, Refused, WholeView};
use crate::client::VALUE_LEFT_OUT_HEADER;
use crate::kafka::TopicRecord;
use crate::record::ADDRESSEE_HEADER;

/// Headers that the host added; they go when the record is sent again.
const ADDED: [&str; 3] = ["__streams.errors.", "__wasmill.errors.", "__wasmill.replay."];

/// Names the dead letter that a record was.
const ORIGIN_HEADER: &str = "__wasmill.replay.of";

/// Of a dead letter that stands for the passing of time.
const TICK_HEADER: &str = "__wasmill.tick";

/// Some dead letters: PARTITION, PARTITION/OFFSET or PARTITION/FIRST-LAST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    partition: i32,
    first: i64,
    last: i64,
}

impl Range {
    /// All of what HTTP brings.
    ///
    /// # Errors
    /// The first that is none.
    pub(in crate::run) fn all(places: &[String]) -> Result<Vec<Self>, Refused> {
        places.iter().map(|place| place.parse().map_err(Refused::Malformed)).collect()
    }

    pub fn holds(&self, partition: i32, offset: i64) -> bool {
        self.partition == partition && (self.first..=self.last).contains(&offset)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not PARTITION, PARTITION/OFFSET or PARTITION/FIRST-LAST");
        let (partition, offsets) = text.split_once('/').map_or((text, None), |(p, o)| (p, Some(o)));
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or_else(wrong);
        let partition = i32::try_from(number(partition)?).map_err(|_| wrong())?;
        let (first, last) = match offsets.map(|o| o.split_once('-').unwrap_or((o, o))) {
            None => (0, i64::MAX),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        if first > last { Err(wrong()) } else { Ok(Self { partition, first, last }) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { partition, last: i64::MAX, .. } => write!(f, "partition {partition}"),
            Self { partition, first, last } if first == last => write!(f, "{partition}/{first}"),
            Self { partition, first, last } => write!(f, "{partition}/{first}-{last}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub record: TopicRecord,
}

impl Letter {
    pub fn new(record: TopicRecord) -> Self {
        Self { record }
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.record.headers.iter().rev().find(|(n, _)| n == name)?;
        Some(String::from_utf8_lossy(found.1.as_deref().unwrap_or_default()).into_owned())
    }

    /// Partition and offset in the topic of dead letters.
    pub fn place(&self) -> String {
        format!("{}/{}", self.record.partition, self.record.offset)
    }

    pub fn kind(&self) -> String {
        self.header("__wasmill.errors.kind").unwrap_or_default()
    }

    pub fn message(&self) -> String {
        let message = self.header("__wasmill.errors.message").unwrap_or_default();
        message.lines().next().unwrap_or_default().to_owned()
    }

    /// Where it stands among all letters of the processor.
    pub fn age(&self) -> Age {
        (self.record.timestamp_ms, self.record.partition, self.record.offset)
    }

    /// Where the record was read.
    pub fn position(&self) -> String {
        self.header("__wasmill.errors.position").unwrap_or_default()
    }

    /// Topic and partition that the record was read from.
    pub fn origin(&self) -> Option<(String, i32)> {
        let partition = self.header("__streams.errors.partition")?.parse().ok()?;
        Some((self.header("__streams.errors.topic")?, partition))
    }

    /// The key of its mark. With the position: a topic of dead letters that was made anew begins again at 0.
    pub fn mark(&self) -> Vec<u8> {
        format!("{} {}", self.place(), self.position()).into_bytes()
    }

    pub fn mark_record(&self, sent_to: &str) -> TopicRecord {
        let value = json!({"sent_to": sent_to}).to_string().into_bytes();
        let timestamp_ms = self.record.timestamp_ms;
        TopicRecord { key: Some(self.mark()), value: Some(value), timestamp_ms, ..TopicRecord::default() }
    }

    /// The record to send, addressed to `group`, and its topic.
    ///
    /// # Errors
    /// Why it cannot be sent again.
    pub fn revived(&self, group: &str, inputs: &[&str]) -> Result<(String, TopicRecord), String> {
        let Some((topic, partition)) = self.origin() else {
            return Err("its headers do not name a topic: it is no dead letter of wasmill's".to_owned());
        };
        if self.header(TICK_HEADER).is_some() {
            return Err("it stands for the passing of time, which comes again by itself".to_owned());
        }
        let left_out = String::from_utf8_lossy(VALUE_LEFT_OUT_HEADER);
        if self.header(&left_out).is_some() {
            return Err(format!(
                "its value was too large to be kept: send the original, {}, yourself",
                self.position()
            ));
        }
        if !inputs.contains(&topic.as_str()) {
            return Err(format!("{topic} is no input of the processor any more"));
        }
        let is_own = |(name, _): &&(String, _)| !ADDED.iter().any(|prefix| name.starts_with(prefix));
        let mut headers: Vec<_> = self.record.headers.iter().filter(is_own).cloned().collect();
        let addressee = String::from_utf8_lossy(ADDRESSEE_HEADER).into_owned();
        headers.push((addressee, Some(group.as_bytes().to_vec())));
        headers.push((ORIGIN_HEADER.to_owned(), Some(self.place().into_bytes())));
        Ok((topic, TopicRecord { partition, headers, ..self.record.clone() }))
    }

    /// What is shown of it; with key, value and headers where it is shown whole.
    pub fn view(&self, is_sent: bool, is_whole: bool) -> DeadLetterView {
        DeadLetterView {
            place: self.place(),
            partition: self.record.partition,
            offset: self.record.offset,
            timestamp_ms: self.record.timestamp_ms,
            kind: self.kind(),
            message: self.header("__wasmill.errors.message"),
            position: self.position(),
            version: self.header("__wasmill.errors.version"),
            attempts: self.header("__wasmill.errors.attempts"),
            sent_again: is_sent,
            whole: is_whole.then(|| self.whole()),
        }
    }

    fn whole(&self) -> WholeView {
        let TopicRecord { key, value, headers, .. } = &self.record;
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(BytesView::of);
        let header = |(name, value): &(String, _)| HeaderView { name: name.clone(), value: bytes(value) };
        WholeView { key: bytes(key), value: bytes(value), headers: headers.iter().map(header).collect() }
    }

    /// Key, value and headers of the record.
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let TopicRecord { key, value, headers, .. } = &self.record;
        length(key) + length(value) + headers.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>()
    }
}

/// Bytes for people.
pub(super) fn lossy(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(extra: &[(&str, &str)]) -> Letter {
        let mut headers = vec![("mine", "1"), ("__streams.errors.topic", "in"), ("__streams.errors.partition", "3")];
        headers.extend([("__wasmill.errors.position", "in/3@42"), ("__wasmill.replay.of", "0/1")]);
        headers.extend(extra);
        let owned = |(n, v): (&str, &str)| (n.to_owned(), Some(v.as_bytes().to_vec()));
        let headers = headers.into_iter().map(owned).collect();
        Letter::new(TopicRecord {
            partition: 0,
            offset: 7,
            timestamp_ms: 5,
            key: Some(b"k".to_vec()),
            value: None,
            headers,
        })
    }

    #[test]
    fn a_letter_becomes_its_record_again_with_an_address() {
        let (topic, record) = letter(&[]).revived("app.p", &["in"]).expect("it can");
        let names: Vec<_> = record.headers.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!((topic.as_str(), record.partition, record.timestamp_ms), ("in", 3, 5));
        assert_eq!(names, ["mine", "__wasmill.replay.for", "__wasmill.replay.of"]);
        assert_eq!(record.headers[2].1.as_deref(), Some(&b"0/7"[..]));
        assert_eq!(letter(&[]).mark(), b"0/7 in/3@42");
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        let cases = [
            (letter(&[("__wasmill.tick", "1")]), "in", "passing of time"),
            (letter(&[("__wasmill.errors.value-left-out", "9")]), "in", "the original, in/3@42"),
            (letter(&[]), "other", "no input"),
            (Letter::new(TopicRecord::default()), "in", "no dead letter"),
        ];
        for (letter, input, expected) in cases {
            let why = letter.revived("app.p", &[input]).expect_err(expected);
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn ranges_are_read_or_refused() {
        let cases = [
            ("3", Some((0, i64::MAX)), "partition 3"),
            ("3/5", Some((5, 5)), "3/5"),
            ("3/5-9", Some((5, 9)), "3/5-9"),
            ("3/9-5", None, ""),
            ("x", None, ""),
            ("3/", None, ""),
            ("-1", None, ""),
            ("3/5-", None, ""),
        ];
        for (text, expected, shown) in cases {
            let range = text.parse::<Range>().ok();
            assert_eq!(range.map(|r| (r.first, r.last)), expected, "{text}");
            assert_eq!(range.map(|r| r.to_string()).unwrap_or_default(), shown);
        }
    }
}
