//! `wasmill doctor`: looks at a manifest, this machine and its broker, and says what is good, what is doubtful and what
//! will not work. Owns the order of the looks. What is found is judged apart from finding it; nothing is made or changed.

mod clocks;
mod cluster;
mod compiled;
mod finding;
mod machine;
mod members;
mod memory;
mod place;
mod protocol;
mod reports;
mod way;

pub use finding::{Diagnosis, Finding, Level};

use std::collections::BTreeMap;

use super::folder::DataFolder;
use super::wiring;
use crate::clock::{Clock, SystemClock};
use crate::config::Manifest;
use crate::kafka::{Cluster, Survey, SurveyError, Tail, client_id, try_transactions};
use crate::topology::Topology;
use cluster::Topics;
use reports::Report;
use way::Way;

/// Examines everything that a host of this manifest needs.
pub fn doctor(manifest: &Manifest) -> Diagnosis {
    let topology = &manifest.topology;
    let path = std::path::Path::new(&topology.host.data);
    let sighting = DataFolder::look(path, &topology.host.id);
    let mut findings = compiled::examine(manifest, path);
    findings.push(memory::judge(topology, &machine::memory()));
    findings.extend(place::judge(topology, &sighting, &place::look(path)));
    let way = way::find(manifest, &sighting);
    findings.push(way.finding);
    match (wiring::check(topology), &way.open) {
        (Err(problems), _) => {
            let advice = "change the manifest: no host starts with it";
            findings.extend(problems.into_iter().map(|problem| Finding::problem("broker", problem, advice)));
        }
        (Ok(()), Some(Way { kafka, .. })) => findings.extend(examine_broker(topology, kafka)),
        (Ok(()), None) => {}
    }
    Diagnosis { application: topology.application.clone(), findings }
}

fn examine_broker(topology: &Topology, kafka: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = ask_broker(topology, kafka, &mut findings) {
        let advice =
            "start the broker, or correct `[kafka]` of the manifest (or --bootstrap): address, encryption, user";
        findings.push(Finding::problem("broker", error.to_string(), advice));
    }
    findings
}

/// Everything that the broker tells. Stops at the first question that it does not answer.
fn ask_broker(
    topology: &Topology,
    kafka: &BTreeMap<String, String>,
    findings: &mut Vec<Finding>,
) -> Result<(), SurveyError> {
    let survey = Survey::open(kafka)?;
    let found = survey.cluster()?;
    let settings = match found.brokers.first() {
        Some(broker) => survey.broker_settings(*broker)?,
        None => BTreeMap::new(),
    };
    findings.push(protocol::judge_versions(&found));
    findings.extend(protocol::judge_limits(kafka, &settings));
    let identity = format!("{}.doctor", topology.application);
    let timeout = protocol::transaction_timeout(kafka);
    findings.push(protocol::judge_transactions(&identity, try_transactions(kafka, &identity, timeout).err()));
    let needs = topology.topic_needs();
    let there: Vec<&str> = needs.iter().map(|n| n.name.as_str()).filter(|n| found.topics.contains_key(*n)).collect();
    let topics = Topics { settings: survey.topic_settings(&there)?, needs, cluster: found, broker: settings };
    findings.extend(topics.judge());
    findings.extend(examine_hosts(topology, kafka, &survey, &topics.cluster)?);
    Ok(())
}

/// Hosts of the application, and who else is in its groups.
fn examine_hosts(
    topology: &Topology,
    kafka: &BTreeMap<String, String>,
    survey: &Survey,
    cluster: &Cluster,
) -> Result<Vec<Finding>, SurveyError> {
    let mut findings = Vec::new();
    let reports = match read_reports(topology, kafka, cluster) {
        Ok(reports) => reports,
        Err(finding) => {
            findings.push(*finding);
            Vec::new()
        }
    };
    findings.extend(reports::judge(topology, &reports));
    findings.extend(clocks::judge(&reports));
    for processor in &topology.processors {
        let group = topology.group(processor);
        let members = survey.members(&group)?;
        findings.push(members::judge(&group, client_id(kafka), &members, &reports));
    }
    Ok(findings)
}

fn read_reports(
    topology: &Topology,
    kafka: &BTreeMap<String, String>,
    cluster: &Cluster,
) -> Result<Vec<Report>, Box<Finding>> {
    let topic = topology.control_topics().hosts;
    if !cluster.topics.contains_key(&topic) {
        return Ok(Vec::new());
    }
    let records = Tail::new(kafka).and_then(|tail| tail.read_all(&topic)).map_err(|error| {
        let advice = "hosts agree through this topic: see that its partition has a leader, and that it may be read";
        Box::new(Finding::problem("hosts", error.to_string(), advice))
    })?;
    // Looked at after reading: a report that was written meanwhile is not from the future.
    Ok(reports::newest(&records, SystemClock::new().wall_ms()))
}
