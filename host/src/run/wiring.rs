//! What the parts of a worker are told, taken from the topology.

use std::collections::BTreeMap;
use std::time::Duration;

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
