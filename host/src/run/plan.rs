//! What applying a manifest would change: its versions against those that are deployed, its topics against those that are
//! there, the rest against the manifest at work.

use std::collections::BTreeMap;

use crate::api::{PlanView, Refused, TopicView, VersionChangeView};
use crate::deployment::{Catalog, VersionSpec};
use crate::topology::{self, Differences, ProcessorSettings, TopicSettings, Topology};

/// # Errors
/// The manifest has problems, or is of another application.
pub(super) fn plan(
    at_work: &Topology,
    catalog: &Catalog,
    existing: &[String],
    manifest: &str,
    components: &BTreeMap<String, String>,
) -> Result<PlanView, Refused> {
    let wanted = topology::parse("wasmill.toml", manifest).map_err(|problems| Refused::Unfit(problems.to_string()))?;
    if wanted.application != at_work.application {
        let (here, there) = (&at_work.application, &wanted.application);
        return Err(Refused::Unfit(format!("this host runs application `{here}`, the manifest is of `{there}`")));
    }
    let Differences { all_hosts, each_host, by_hand } = topology::differences(at_work, &wanted);
    let is_missing = |(name, _): &(&String, &TopicSettings)| !existing.contains(name);
    let versions = wanted.processors.iter().filter_map(|p| version_change(catalog, p, components.get(&p.name)));
    Ok(PlanView {
        topics: wanted.topics.iter().filter(is_missing).map(topic).collect(),
        versions: versions.collect(),
        all_hosts,
        each_host,
        by_hand,
    })
}

fn topic((name, topic): (&String, &TopicSettings)) -> TopicView {
    let TopicSettings { partitions, replication, settings } = topic.clone();
    TopicView { name: name.clone(), partitions, replication, settings }
}

fn version_change(catalog: &Catalog, wanted: &ProcessorSettings, digest: Option<&String>) -> Option<VersionChangeView> {
    let deployment = catalog.deployment(&wanted.name)?;
    let active = deployment.active_version()?;
    let changes = changes(&active.spec, wanted, digest.map(String::as_str));
    (!changes.is_empty()).then(|| VersionChangeView {
        processor: wanted.name.clone(),
        version: active.number,
        revision: deployment.revision,
        is_component_new: changes.contains(&"component"),
        changes: changes.into_iter().map(str::to_owned).collect(),
        settings: wanted.settings.clone(),
        limits: wanted.limits.to_manifest(),
        on_error: wanted.on_error.to_manifest(),
        state_format: wanted.state_format.clone(),
    })
}

/// Keys of the manifest that differ from a version. A component that could not be read is taken as unchanged, and so is a
/// state format that the manifest does not name.
pub(super) fn changes(spec: &VersionSpec, wanted: &ProcessorSettings, digest: Option<&str>) -> Vec<&'static str> {
    let differ = [
        ("component", digest.is_some_and(|digest| digest != spec.digest)),
        ("settings", spec.settings != wanted.settings),
        ("limits", spec.limits != wanted.limits),
        ("on-error", spec.on_error != wanted.on_error),
        ("state-format", wanted.state_format.is_some() && wanted.state_format != spec.state_format),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}
