//! ListOffsets and DeleteRecords of logs; OffsetCommit and OffsetFetch of groups.
//! Owns the order of things in a commit: checked, in the journal, in the group, answered.
//! Does not know files.

use std::time::Instant;

use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};

use super::{text, topic_name};
use crate::broker::Shared;
use crate::config::OFFSET_METADATA_BYTES_MAX;
use crate::group::{Claim, Group};
use crate::journal::{Committed, Entry};
use crate::log::times::Found;
use crate::sync::lock;
use crate::wire::ErrorCode;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

pub fn list(shared: &Shared, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let is_committed = request.isolation_level == 1;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = find(shared, &topic.name, asked.partition_index, asked.timestamp, is_committed);
            ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(found.as_ref().err().copied().unwrap_or(ErrorCode::None).code())
                .with_timestamp(found.as_ref().map_or(-1, |found| found.timestamp_ms))
                .with_offset(found.as_ref().map_or(-1, |found| found.offset))
                .with_leader_epoch(if version >= 4 && found.as_ref().is_ok_and(|found| found.offset >= 0) {
                    0
                } else {
                    -1
                })
        });
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn find(shared: &Shared, topic: &str, index: i32, timestamp: i64, is_committed: bool) -> Result<Found, ErrorCode> {
    let partition = shared.catalog.partition(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let log = lock(&partition);
    let end = if is_committed { log.stable_offset() } else { log.next_offset() };
    let found = match timestamp {
        LATEST => Some(Found { timestamp_ms: -1, offset: end }),
        EARLIEST => Some(Found { timestamp_ms: -1, offset: log.start_offset() }),
        timestamp if timestamp < 0 => return Err(ErrorCode::InvalidRequest),
        timestamp => log.find_time(timestamp, end).map_err(|error| {
            tracing::error!(%error, "looking up a time failed");
            ErrorCode::KafkaStorage
        })?,
    };
    Ok(found.unwrap_or(Found { timestamp_ms: -1, offset: -1 }))
}

pub fn delete_records(shared: &Shared, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let partition = shared.catalog.partition(&topic.name, asked.partition_index);
            let result = partition
                .ok_or(ErrorCode::UnknownTopicOrPartition)
                .and_then(|partition| lock(&partition).delete_before(asked.offset));
            DeleteRecordsPartitionResult::default()
                .with_partition_index(asked.partition_index)
                .with_low_watermark(result.unwrap_or(-1))
                .with_error_code(result.err().unwrap_or(ErrorCode::None).code())
        });
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// Partition, offset, leader epoch and metadata of one commit.
pub(super) type Sent<'a> = (i32, i64, i32, Option<&'a str>);

/// Sorts what was sent into what may be committed and, per partition in the order sent, what is wrong with it.
pub(super) struct Sorted {
    pub good: Vec<Committed>,
    pub verdicts: Vec<Vec<Result<(), ErrorCode>>>,
}

impl Sorted {
    pub fn new<'a, P: IntoIterator<Item = Sent<'a>>>(
        shared: &Shared,
        topics: impl Iterator<Item = (&'a str, P)>,
    ) -> Self {
        let mut sorted = Self { good: Vec::new(), verdicts: Vec::new() };
        for (topic, partitions) in topics {
            let is_known = shared.catalog.topic(topic).is_some();
            let mut verdicts = Vec::new();
            for (partition, offset, leader_epoch, metadata) in partitions {
                let metadata = metadata.unwrap_or_default();
                verdicts.push(match () {
                    () if !is_known => Err(ErrorCode::UnknownTopicOrPartition),
                    () if metadata.len() > OFFSET_METADATA_BYTES_MAX => Err(ErrorCode::OffsetMetadataTooLarge),
                    () => {
                        let (topic, metadata) = (topic.to_owned(), metadata.to_owned());
                        sorted.good.push(Committed { topic, partition, offset, leader_epoch, metadata });
                        Ok(())
                    }
                });
            }
            sorted.verdicts.push(verdicts);
        }
        sorted
    }
}

/// What a request says of each partition of a topic.
fn parts(topic: &OffsetCommitRequestTopic) -> Vec<Sent<'_>> {
    let sent = topic
        .partitions
        .iter()
        .map(|p| (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.committed_metadata.as_deref()));
    sent.collect()
}

pub fn commit(shared: &Shared, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let sorted = Sorted::new(shared, request.topics.iter().map(|topic| (topic.name.as_str(), parts(topic))));
    let claim = Claim {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
        is_transactional: false,
    };
    let result = commit_plain(shared, &request.group_id, claim, sorted.good);
    let topics = request.topics.iter().zip(&sorted.verdicts).map(|(topic, verdicts)| {
        let partitions = topic.partitions.iter().zip(verdicts).map(|(partition, verdict)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(ErrorCode::of(result.and(*verdict)))
        });
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn commit_plain(shared: &Shared, group: &str, claim: Claim<'_>, offsets: Vec<Committed>) -> Result<(), ErrorCode> {
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let now = Instant::now();
    let commit = |state: &mut Group| {
        state.check_commit(claim, now)?;
        if !offsets.is_empty() {
            let entry = Entry::Offsets { group: group.to_owned(), offsets: offsets.clone() };
            shared.journal.append(entry, true)?;
            state.offsets.commit(offsets);
        }
        Ok(())
    };
    if claim.generation >= 0 {
        return shared.groups.with(group, commit).unwrap_or(Err(ErrorCode::IllegalGeneration));
    }
    shared.groups.with_new(group, commit)
}

pub fn fetch(shared: &Shared, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let asked = match &request.topics {
        Some(topics) if version >= 2 || !topics.is_empty() => {
            topics.iter().map(|topic| (topic.name.to_string(), topic.partition_indexes.clone())).collect()
        }
        // Absent means all the group has.
        _ => shared.groups.with(&request.group_id, |group| group.offsets.partitions()).unwrap_or_default(),
    };
    let mut topics = Vec::new();
    for (topic, partitions) in asked {
        let answers = shared.groups.with(&request.group_id, |group| {
            partitions.iter().map(|index| fetched(group, &topic, *index, request.require_stable)).collect()
        });
        let answers = answers.unwrap_or_else(|| partitions.iter().map(|index| nothing(*index)).collect());
        topics.push(OffsetFetchResponseTopic::default().with_name(topic_name(&topic)).with_partitions(answers));
    }
    OffsetFetchResponse::default().with_topics(topics)
}

fn nothing(index: i32) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(text("")))
}

fn fetched(group: &Group, topic: &str, index: i32, require_stable: bool) -> OffsetFetchResponsePartition {
    if require_stable && group.offsets.is_pending(topic, index) {
        return nothing(index).with_error_code(ErrorCode::UnstableOffsetCommit.code());
    }
    let Some(committed) = group.offsets.get(topic, index) else { return nothing(index) };
    nothing(index)
        .with_committed_offset(committed.offset)
        .with_committed_leader_epoch(committed.leader_epoch)
        .with_metadata(Some(text(committed.metadata.clone())))
}
