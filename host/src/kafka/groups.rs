//! Which consumer groups read a topic: by what they have committed, and by what their members are assigned. For tools.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::admin::client_config;
use super::feed::FeedError;

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The groups that read `topic`.
///
/// # Errors
/// The broker does not answer.
pub fn groups_reading(properties: &BTreeMap<String, String>, topic: &str) -> Result<BTreeSet<String>, FeedError> {
    let failed = |error| FeedError::Kafka { doing: "find the readers of", topic: topic.to_owned(), error };
    let asker = BaseConsumer::from_config(&client_config(properties)).map_err(failed)?;
    let metadata = asker.fetch_metadata(Some(topic), PATIENCE).map_err(failed)?;
    let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
    let list = asker.fetch_group_list(None, PATIENCE).map_err(failed)?;
    let mut found = BTreeSet::new();
    for group in list.groups() {
        let is_assigned = |bytes: &[u8]| assigned(bytes).iter().any(|(t, _)| t == topic);
        let has_member = group.members().iter().any(|m| m.assignment().is_some_and(is_assigned));
        if has_member || has_committed(properties, group.name(), topic, count as i32).map_err(failed)? {
            found.insert(group.name().to_owned());
        }
    }
    Ok(found)
}

fn has_committed(
    properties: &BTreeMap<String, String>,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<bool, KafkaError> {
    let mut config = client_config(properties);
    config.set("group.id", group);
    let consumer = BaseConsumer::from_config(&config)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let committed = consumer.committed_offsets(list, PATIENCE)?;
    Ok(committed.elements().iter().any(|e| matches!(e.offset(), rdkafka::Offset::Offset(_))))
}

/// Topics of a member's assignment with their partitions, as consumers write them after a version. What does not parse
/// names none.
pub(super) fn assigned(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    let mut topics = Vec::new();
    let parse = |topics: &mut Vec<(String, Vec<i32>)>| {
        let (_, rest) = bytes.split_first_chunk::<2>()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        for _ in 0..i32::from_be_bytes(*count) {
            let (len, tail) = rest.split_first_chunk::<2>()?;
            let (name, tail) = tail.split_at_checked(usize::try_from(i16::from_be_bytes(*len)).ok()?)?;
            let (count, tail) = tail.split_first_chunk::<4>()?;
            let bytes = usize::try_from(i32::from_be_bytes(*count)).ok()?.checked_mul(4)?;
            let (partitions, tail) = tail.split_at_checked(bytes)?;
            let partitions = partitions.as_chunks::<4>().0.iter().map(|p| i32::from_be_bytes(*p)).collect();
            topics.push((String::from_utf8_lossy(name).into_owned(), partitions));
            rest = tail;
        }
        Some(())
    };
    // What was read before something malformed stays.
    let _ = parse(&mut topics);
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_garbage_names_nothing() {
        let whole = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\x05\0\x02bc\0\0\0\0\xff\xff\xff\xff";
        let (a, bc) = (("a", &[5][..]), ("bc", &[][..]));
        type Case<'a> = (&'a [u8], &'a [(&'a str, &'a [i32])]);
        let cases: [Case<'_>; 5] = [
            (whole, &[a, bc]),
            (&whole[..17], &[a]),
            (b"", &[]),
            (b"\0\0\0\0\0\x01\0\x09x", &[]),
            (b"\0\0\x7f\xff\xff\xff\xff\xff", &[]),
        ];
        for (bytes, expected) in cases {
            let found = assigned(bytes);
            let found: Vec<(&str, &[i32])> = found.iter().map(|(t, p)| (t.as_str(), p.as_slice())).collect();
            assert_eq!(found, expected, "{bytes:?}");
        }
    }
}
