//! CreateTopics, DeleteTopics, CreatePartitions.
//! Owns the checks before a topic is made or changed, and the order: journal, folder, catalog.
//! Does not know what settings mean (`topic::settings`).

use std::fs;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};

use super::text;
use crate::broker::Shared;
use crate::config::PARTITIONS_MAX;
use crate::journal::Entry;
use crate::sync::lock;
use crate::topic::catalog::is_valid_name;
use crate::topic::settings::{self, Overrides};
use crate::wire::ErrorCode;

/// A refusal with its reason in words.
type Refusal = (ErrorCode, String);

fn refuse<T>(error: ErrorCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((error, reason.into()))
}

pub fn create(shared: &Shared, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let results = request.topics.iter().map(|topic| {
        let same = request.topics.iter().filter(|other| other.name == topic.name).count();
        let result = if same > 1 {
            refuse(ErrorCode::InvalidRequest, "the topic is named twice in the request")
        } else {
            create_one(shared, topic, request.validate_only)
        };
        let (error, reason) = result.err().map_or((ErrorCode::None, None), |(error, reason)| (error, Some(reason)));
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(error.code())
            .with_error_message(reason.map(text))
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

/// A topic asked for by a metadata request, with all defaults.
pub fn create_on_sight(shared: &Shared, name: &str) -> Result<(), ErrorCode> {
    let topic = CreatableTopic::default().with_name(super::topic_name(name)).with_num_partitions(-1);
    match create_one(shared, &topic.with_replication_factor(-1), false) {
        Ok(()) | Err((ErrorCode::TopicAlreadyExists, _)) => Ok(()),
        Err((error, _)) => Err(error),
    }
}

fn create_one(shared: &Shared, topic: &CreatableTopic, validate_only: bool) -> Result<(), Refusal> {
    let name = topic.name.as_str();
    let _changing = lock(&shared.catalog.changing);
    let count = check_new(shared, topic)?;
    let given = topic.configs.iter().filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())));
    let overrides: Overrides = given.collect();
    if topic.configs.iter().any(|config| config.value.is_none()) {
        return refuse(ErrorCode::InvalidConfig, "a setting without a value");
    }
    settings::validate(&overrides).or_else(|reason| refuse(ErrorCode::InvalidConfig, reason))?;
    if validate_only {
        return Ok(());
    }
    let mut id = shared.journal.with_image(|image| image.next_topic_id);
    while shared.catalog.topic_folder(name, id).exists() {
        id += 1; // left by a topic whose entry was lost in a power cut
    }
    change(shared, name, id, count, overrides)
}

fn check_new(shared: &Shared, topic: &CreatableTopic) -> Result<i32, Refusal> {
    let name = topic.name.as_str();
    if !is_valid_name(name) {
        return refuse(ErrorCode::InvalidTopic, "names have 1 to 249 letters, digits, '.', '_' or '-'");
    }
    if shared.catalog.topic(name).is_some() {
        return refuse(ErrorCode::TopicAlreadyExists, format!("topic '{name}' already exists"));
    }
    if let Some(other) = shared.catalog.colliding(name) {
        return refuse(ErrorCode::InvalidTopic, format!("topic '{name}' collides with '{other}'"));
    }
    if !topic.assignments.is_empty() {
        return check_assignments(topic);
    }
    let count = if topic.num_partitions == -1 { shared.config.default_partitions } else { topic.num_partitions };
    if !(1..=PARTITIONS_MAX).contains(&count) {
        return refuse(ErrorCode::InvalidPartitions, format!("a topic has 1 to {PARTITIONS_MAX} partitions"));
    }
    if ![-1, 1].contains(&topic.replication_factor) {
        return refuse(ErrorCode::InvalidReplicationFactor, "there is one broker: the replication factor is 1");
    }
    Ok(count)
}

/// Partitions 0 to n−1, each on the one node there is.
fn check_assignments(topic: &CreatableTopic) -> Result<i32, Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        return refuse(ErrorCode::InvalidRequest, "give assignments or counts, not both");
    }
    let count = topic.assignments.len();
    let mut indexes: Vec<_> = topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
    indexes.sort_unstable();
    let is_dense = indexes.iter().enumerate().all(|(at, index)| at as i32 == *index);
    let is_here = topic.assignments.iter().all(|a| matches!(&a.broker_ids[..], [id] if id.0 == crate::config::NODE_ID));
    if !is_dense || !is_here || count > PARTITIONS_MAX as usize {
        return refuse(ErrorCode::InvalidReplicaAssignment, "partitions are numbered from 0, each on node 1 alone");
    }
    Ok(count as i32)
}

/// Writes the topic down, then makes it visible. The caller holds `catalog.changing`.
pub(super) fn change(shared: &Shared, name: &str, id: u64, count: i32, overrides: Overrides) -> Result<(), Refusal> {
    let entry = Entry::Topic { name: name.to_owned(), id, partitions: count, overrides: overrides.clone() };
    shared.journal.append(entry, true).or_else(|error| refuse(error, "writing the journal failed"))?;
    shared.catalog.publish(name, id, count, &overrides).or_else(|error| {
        tracing::error!(%error, topic = name, "opening partitions failed");
        refuse(ErrorCode::KafkaStorage, error.to_string())
    })
}

pub fn delete(shared: &Shared, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let results = request.topic_names.iter().map(|name| {
        let error = ErrorCode::of(delete_one(shared, name));
        DeletableTopicResult::default().with_name(Some(name.clone())).with_error_code(error)
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

fn delete_one(shared: &Shared, name: &TopicName) -> Result<(), ErrorCode> {
    let _changing = lock(&shared.catalog.changing);
    let topic = shared.catalog.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    shared.journal.append(Entry::TopicDeleted { name: name.to_string() }, true)?;
    shared.catalog.withdraw(name);
    shared.groups.forget_topic(name);
    let folder = shared.catalog.topic_folder(name, topic.id);
    if let Err(error) = fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "a deleted topic's folder could not be removed");
    }
    Ok(())
}

pub fn create_partitions(shared: &Shared, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        let result = grow(shared, topic, request.validate_only);
        let (error, reason) = result.err().map_or((ErrorCode::None, None), |(error, reason)| (error, Some(reason)));
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(error.code())
            .with_error_message(reason.map(text))
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(shared: &Shared, wanted: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let _changing = lock(&shared.catalog.changing);
    let Some(topic) = shared.catalog.topic(&wanted.name) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "no such topic");
    };
    let now = topic.partitions.len();
    if wanted.count <= now as i32 || wanted.count > PARTITIONS_MAX {
        let reason = format!("the topic has {now} partitions; ask for more, up to {PARTITIONS_MAX}");
        return refuse(ErrorCode::InvalidPartitions, reason);
    }
    let added = wanted.count as usize - now;
    if wanted.assignments.as_ref().is_some_and(|assignments| assignments.len() != added) {
        return refuse(ErrorCode::InvalidReplicaAssignment, "one assignment for each new partition");
    }
    if validate_only {
        return Ok(());
    }
    change(shared, &wanted.name, topic.id, wanted.count, topic.overrides.clone())
}
