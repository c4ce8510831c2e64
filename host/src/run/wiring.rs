//! What the parts of a worker are told, taken from the topology.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::{METADATA_BYTES_MAX, Metadata};
use crate::kafka::KafkaSettings;
use crate::task::{Start, TaskSetup};
use crate::topology::{CHANGELOG_DELETE_RETENTION_MS, ErrorPolicy, ProcessorSettings, Topology};
use crate::worker::{Bounds, OnError};

pub(super) fn kafka_settings(
    topology: &Topology,
    processor: &ProcessorSettings,
    kafka: &BTreeMap<String, String>,
    worker: u16,
) -> KafkaSettings {
    KafkaSettings {
        user: kafka.clone(),
        application: topology.application.clone(),
        processor: processor.name.clone(),
        host: topology.host.id.clone(),
        worker,
        inputs: processor.inputs.iter().map(|i| i.topic.clone()).collect(),
        outputs: processor.outputs.clone(),
        changelogs: processor.stores.iter().map(|s| topology.changelog(processor, s)).collect(),
        dead_letters: Some(topology.dead_letters(processor)),
        cutovers: Some(topology.control_topics().cutovers),
        dead_letter_bytes_max: usize::try_from(topology.dead_letter_bytes(processor)).ok(),
    }
}

pub(super) fn task_setup(
    topology: &Topology,
    processor: &ProcessorSettings,
    tick_interval: Option<Duration>,
) -> TaskSetup {
    let starts_at_end = processor.inputs.first().is_some_and(|i| i.starts_at_end);
    TaskSetup {
        group: topology.group(processor),
        inputs: processor.inputs.iter().map(|i| i.topic.clone()).collect(),
        output_count: processor.outputs.len(),
        stores: processor.stores.iter().map(|s| s.name.clone()).collect(),
        start: if starts_at_end { Start::Latest } else { Start::Earliest },
        merge_wait: processor.merge_wait,
        tick_interval,
        checkpoint_age_ms_max: CHANGELOG_DELETE_RETENTION_MS / 2,
    }
}

pub(super) fn bounds(processor: &ProcessorSettings) -> Bounds {
    Bounds {
        commit_interval: Duration::from_millis(processor.commit.interval_ms),
        commit_records_max: processor.commit.records_max,
        commit_bytes_max: processor.commit.bytes_max,
        ..Bounds::default()
    }
}

pub(super) fn on_error(policy: &ErrorPolicy) -> OnError {
    match policy {
        ErrorPolicy::DeadLetter => OnError::DeadLetter,
        ErrorPolicy::Retry { times, backoff } => OnError::Retry { times: *times, backoff: *backoff },
        ErrorPolicy::Halt => OnError::Halt,
    }
}

/// What a manifest asks for that the Kafka client or a commit cannot do: every problem, before anything starts.
///
/// # Errors
/// All of them, each with what to do.
pub(super) fn check(topology: &Topology) -> Result<(), Vec<String>> {
    let kafka = topology.kafka.clone().unwrap_or_default();
    let mut problems = Vec::new();
    for processor in &topology.processors {
        if let Err(error) = kafka_settings(topology, processor, &kafka, 0).check() {
            problems.push(error.to_string());
        }
        let tables = processor.tables.iter().filter_map(|t| topology.topics.get(t));
        let table_partitions: usize = tables.map(|t| usize::try_from(t.partitions).unwrap_or_default()).sum();
        let stores = processor.stores.len();
        if Metadata::bytes_max(stores, table_partitions) > METADATA_BYTES_MAX {
            problems.push(format!(
                "processor `{}`: with each commit go the positions of its {stores} stores and of the {table_partitions} \
                 partitions of its tables, which may exceed the {METADATA_BYTES_MAX} bytes that brokers take: use fewer",
                processor.name
            ));
        }
    }
    problems.dedup();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
