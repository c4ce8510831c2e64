//! Metadata and FindCoordinator: there is one node, and it does everything.
//! Owns the creation of topics on first sight, where the configuration allows it.
//! Does not know how topics are made (`api::topics`).

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse,
};

use super::{text, topic_name, topics};
use crate::broker::Shared;
use crate::config::NODE_ID;
use crate::topic::Topic;
use crate::topic::catalog::is_valid_name;
use crate::wire::ErrorCode;

pub fn metadata(shared: &Shared, request: MetadataRequest, version: i16) -> MetadataResponse {
    // In version 0 an empty list means all topics; later an absent one does.
    let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
    let may_create = shared.config.auto_create_topics && (version < 4 || request.allow_auto_topic_creation);
    let described = match asked {
        None => shared.catalog.all().iter().map(|(name, topic)| describe(name, Ok(topic))).collect(),
        // Each name once, however often it was asked for: the answer is bounded by what there is.
        Some(topics) => topics
            .iter()
            .filter_map(|topic| topic.name.as_deref())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|name| describe(name, find(shared, name, may_create).as_ref().map_err(|error| *error)))
            .collect(),
    };
    let node = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(text(shared.advertised.ip().to_string()))
        .with_port(i32::from(shared.advertised.port()));
    MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(text(shared.cluster_id.clone())))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(described)
}

fn find(shared: &Shared, name: &str, may_create: bool) -> Result<Arc<Topic>, ErrorCode> {
    if let Some(topic) = shared.catalog.topic(name) {
        return Ok(topic);
    }
    if !is_valid_name(name) {
        return Err(ErrorCode::InvalidTopic);
    }
    if may_create {
        topics::create_on_sight(shared, name)?;
    }
    shared.catalog.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn describe(name: &str, topic: Result<&Arc<Topic>, ErrorCode>) -> MetadataResponseTopic {
    let partition = |index: usize| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(0)
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)])
    };
    let count = topic.map_or(0, |topic| topic.partitions.len());
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(name)))
        .with_error_code(topic.err().unwrap_or(ErrorCode::None).code())
        .with_partitions((0..count).map(partition).collect())
}

pub fn find_coordinator(shared: &Shared, _request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(text(shared.advertised.ip().to_string()))
        .with_port(i32::from(shared.advertised.port()))
}
