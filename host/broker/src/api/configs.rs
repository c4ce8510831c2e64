//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs of topics; the broker's own settings are read-only.
//! Owns the translation between messages and `topic::settings`.
//! Does not know what settings do.

use std::collections::HashSet;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{text, topics};
use crate::broker::Shared;
use crate::config::NODE_ID;
use crate::sync::lock;
use crate::topic::settings::{self, Overrides, SETTINGS};
use crate::wire::ErrorCode;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from, as numbered by the protocol.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;

pub fn describe(shared: &Shared, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let describe = |resource: &DescribeConfigsResource| {
        let found = match resource.resource_type {
            TOPIC => describe_topic(shared, &resource.resource_name, request.include_synonyms),
            BROKER => describe_broker(shared, &resource.resource_name),
            _ => Err(ErrorCode::InvalidRequest),
        };
        let error = found.as_ref().err().copied().unwrap_or(ErrorCode::None);
        let mut configs = found.unwrap_or_default();
        if let Some(keys) = &resource.configuration_keys {
            configs.retain(|config| keys.contains(&config.name));
        }
        DescribeConfigsResult::default()
            .with_error_code(error.code())
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_configs(configs)
    };
    // Each resource once, however often it was asked for: the answer is bounded by what there is.
    let mut seen = HashSet::new();
    let mut results = Vec::new();
    for resource in &request.resources {
        if seen.insert((resource.resource_type, &resource.resource_name)) {
            results.push(describe(resource));
        }
    }
    DescribeConfigsResponse::default().with_results(results)
}

fn line(name: &str, value: &str, source: i8) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(source)
}

fn describe_topic(
    shared: &Shared,
    name: &str,
    with_synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    let topic = shared.catalog.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let synonym = |name: &str, value: &str, source: i8| {
        DescribeConfigsSynonym::default().with_name(text(name)).with_value(Some(text(value))).with_source(source)
    };
    let describe = |setting: &settings::Setting| {
        let given = topic.overrides.get(setting.name).map(|value| (value.as_str(), FROM_TOPIC));
        let (value, source) = given.unwrap_or((setting.default, FROM_DEFAULT));
        let mut synonyms = vec![synonym(setting.name, setting.default, FROM_DEFAULT)];
        if source == FROM_TOPIC {
            synonyms.insert(0, synonym(setting.name, value, FROM_TOPIC));
        }
        line(setting.name, value, source).with_synonyms(if with_synonyms { synonyms } else { Vec::new() })
    };
    Ok(SETTINGS.iter().map(describe).collect())
}

fn describe_broker(shared: &Shared, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    if !name.is_empty() && name != NODE_ID.to_string() {
        return Err(ErrorCode::InvalidRequest);
    }
    let config = &shared.config;
    let values = [
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("num.partitions", config.default_partitions.to_string()),
        ("log.dirs", config.folder.display().to_string()),
        ("transaction.max.timeout.ms", crate::config::TRANSACTION_TIMEOUT_MAX_MS.to_string()),
        ("group.min.session.timeout.ms", crate::config::SESSION_TIMEOUT_MIN_MS.to_string()),
        ("group.max.session.timeout.ms", crate::config::SESSION_TIMEOUT_MAX_MS.to_string()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
    ];
    Ok(values.iter().map(|(name, value)| line(name, value, FROM_BROKER_FILE).with_read_only(true)).collect())
}

/// A change of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

type Change = (String, Operation, Option<String>);

pub fn alter(shared: &Shared, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| {
            (config.name.to_string(), Operation::Set, config.value.as_ref().map(|value| value.to_string()))
        });
        let kind = resource.resource_type;
        let result = apply(shared, kind, &resource.resource_name, true, changes.collect(), request.validate_only);
        let (error, reason) = outcome(result);
        AlterConfigsResourceResponse::default()
            .with_error_code(error.code())
            .with_error_message(reason.map(text))
            .with_resource_type(kind)
            .with_resource_name(resource.resource_name.clone())
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub fn alter_incrementally(
    shared: &Shared,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let changes: Option<Vec<Change>> = resource
            .configs
            .iter()
            .map(|config| {
                let operation = match config.config_operation {
                    0 => Operation::Set,
                    1 => Operation::Delete,
                    2 => Operation::Append,
                    3 => Operation::Subtract,
                    _ => return None,
                };
                Some((config.name.to_string(), operation, config.value.as_ref().map(|value| value.to_string())))
            })
            .collect();
        let kind = resource.resource_type;
        let result = match changes {
            Some(changes) => apply(shared, kind, &resource.resource_name, false, changes, request.validate_only),
            None => Err((ErrorCode::InvalidRequest, "unknown operation".to_owned())),
        };
        let (error, reason) = outcome(result);
        IncrementalResponse::default()
            .with_error_code(error.code())
            .with_error_message(reason.map(text))
            .with_resource_type(kind)
            .with_resource_name(resource.resource_name.clone())
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn outcome(result: Result<(), (ErrorCode, String)>) -> (ErrorCode, Option<String>) {
    result.err().map_or((ErrorCode::None, None), |(error, reason)| (error, Some(reason)))
}

fn apply(
    shared: &Shared,
    kind: i8,
    name: &str,
    from_nothing: bool,
    changes: Vec<Change>,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    if kind != TOPIC {
        return Err((ErrorCode::InvalidRequest, "only settings of topics can be changed".to_owned()));
    }
    let _changing = lock(&shared.catalog.changing);
    let topic = shared.catalog.topic(name).ok_or((ErrorCode::UnknownTopicOrPartition, "no such topic".to_owned()))?;
    let mut overrides = if from_nothing { Overrides::new() } else { topic.overrides.clone() };
    for change in changes {
        apply_one(&mut overrides, change).map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
    }
    settings::validate(&overrides).map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
    if validate_only {
        return Ok(());
    }
    topics::change(shared, name, topic.id, topic.partitions.len() as i32, overrides)
}

fn apply_one(overrides: &mut Overrides, (name, operation, value): Change) -> Result<(), String> {
    let setting = settings::setting(&name).ok_or_else(|| format!("unknown topic setting {name}"))?;
    if operation == Operation::Delete {
        overrides.remove(&name);
        return Ok(());
    }
    let value = value.ok_or_else(|| format!("no value for {name}"))?;
    if operation == Operation::Set {
        overrides.insert(name, value);
        return Ok(());
    }
    if !setting.is_list() {
        return Err(format!("{name} is not a list"));
    }
    let now = overrides.get(&name).map_or(setting.default, String::as_str);
    let mut parts: Vec<&str> = now.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in value.split(',').map(str::trim) {
        parts.retain(|known| *known != part);
        if operation == Operation::Append {
            parts.push(part);
        }
    }
    overrides.insert(name, parts.join(","));
    Ok(())
}
