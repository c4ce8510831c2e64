//! What a host does next about its deployments: prepare a version, tell the others, promote or withdraw a candidate,
//! adopt what is active. Pure: the same facts give the same decisions, on every host.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use super::catalog::Catalog;
use super::change::{Change, Version};
use super::hosts::{Hosts, Preparation};
use super::state::{Active, Running};

/// A candidate that is not ready everywhere after this is given up.
const PREPARE_MAX: Duration = Duration::from_secs(60);

/// An intent that was appended is read back within this; else it is appended again.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a host should do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Fetch, compile, link, open and warm this version, off the way of records.
    Prepare { processor: String, version: Box<Version> },
    /// Append this change under this base.
    Append { processor: String, base: u64, change: Change },
    /// All workers of the processor take over the active version.
    Adopt { processor: String, active: Active },
    /// All workers stop calling, or go on.
    Run { processor: String, is_running: bool },
}

/// How far this host is.
#[derive(Debug, Default)]
pub struct Rollout {
    host: String,
    processors: BTreeMap<String, Local>,
}

#[derive(Debug, Default)]
struct Local {
    /// By version number.
    versions: BTreeMap<u64, Ready>,
    /// Revision last handed to the workers.
    adopted: u64,
    is_running: Option<bool>,
    /// The candidate's revision, and when this host first saw it.
    candidate_since: Option<(u64, Duration)>,
    /// Base of the intent that was appended last, and when.
    appended: Option<(u64, Duration)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Ready {
    Asked,
    Yes,
    No(String),
}

impl Rollout {
    pub fn new(host: &str, processors: impl Iterator<Item = String>) -> Self {
        Self { host: host.to_owned(), processors: processors.map(|p| (p, Local::default())).collect() }
    }

    /// A version that was to be prepared is ready, or cannot run here.
    pub fn prepared(&mut self, processor: &str, number: u64, result: Result<(), String>) {
        if let Some(local) = self.processors.get_mut(processor) {
            let ready = result.map_or_else(Ready::No, |()| Ready::Yes);
            local.versions.insert(number, ready);
        }
    }

    /// What this host tells others of its candidates.
    pub fn preparations(&self, catalog: &Catalog) -> BTreeMap<String, Preparation> {
        let of = |(name, local): (&String, &Local)| {
            let candidate = catalog.deployment(name)?.candidate?;
            let refusal = match local.versions.get(&candidate.number)? {
                Ready::Asked => return None,
                Ready::Yes => None,
                Ready::No(why) => Some(why.clone()),
            };
            Some((name.clone(), Preparation { revision: candidate.revision, refusal }))
        };
        self.processors.iter().filter_map(of).collect()
    }

    /// The last adoption did not reach the workers: it is ordered again.
    pub fn forget_adoption(&mut self, processor: &str) {
        if let Some(local) = self.processors.get_mut(processor) {
            local.adopted = 0;
        }
    }

    /// Why the active version of a processor cannot run here.
    pub fn refusal(&self, catalog: &Catalog, processor: &str) -> Option<&str> {
        let active = catalog.deployment(processor)?.active?;
        match self.processors.get(processor)?.versions.get(&active.number)? {
            Ready::No(why) => Some(why),
            Ready::Asked | Ready::Yes => None,
        }
    }

    /// Decides from what is known now. Each action is given once, intents again if they are not read back.
    pub fn next(&mut self, catalog: &Catalog, hosts: &Hosts, now: Duration) -> Vec<Action> {
        let host = &self.host;
        let decide = |(name, local): (&String, &mut Local)| local.next(host, name, catalog, hosts, now);
        self.processors.iter_mut().flat_map(decide).collect()
    }

    /// Asks for a change that this host found necessary, unless it was asked for already under the same revision.
    pub fn ask(&mut self, catalog: &Catalog, processor: &str, change: Change, now: Duration) -> Option<Action> {
        self.processors.get_mut(processor)?.append(processor, catalog.revision(processor), change, now)
    }
}

impl Local {
    fn next(&mut self, host: &str, name: &str, catalog: &Catalog, hosts: &Hosts, now: Duration) -> Vec<Action> {
        let Some(deployment) = catalog.deployment(name) else { return Vec::new() };
        let mut actions = Vec::new();
        let wanted = [deployment.active.map(|a| a.number), deployment.candidate.map(|c| c.number)];
        for version in wanted.into_iter().flatten().filter_map(|n| deployment.versions.get(&n)) {
            if let Entry::Vacant(unknown) = self.versions.entry(version.number) {
                unknown.insert(Ready::Asked);
                let version = Box::new(version.clone());
                actions.push(Action::Prepare { processor: name.to_owned(), version });
            }
        }
        let change = self.decide_candidate(host, name, catalog, hosts, now);
        actions.extend(change.and_then(|change| self.append(name, deployment.revision, change, now)));
        if let Some(active) = deployment.active
            && active.revision > self.adopted
            && self.versions.get(&active.number) == Some(&Ready::Yes)
        {
            self.adopted = active.revision;
            actions.push(Action::Adopt { processor: name.to_owned(), active });
        }
        let is_running = deployment.running == Running::Running;
        if self.is_running.replace(is_running) != Some(is_running) {
            actions.push(Action::Run { processor: name.to_owned(), is_running });
        }
        actions
    }

    fn decide_candidate(
        &mut self,
        host: &str,
        name: &str,
        catalog: &Catalog,
        hosts: &Hosts,
        now: Duration,
    ) -> Option<Change> {
        let Some(candidate) = catalog.deployment(name)?.candidate else {
            self.candidate_since = None;
            return None;
        };
        let since = match self.candidate_since {
            Some((revision, since)) if revision == candidate.revision => since,
            _ => {
                self.candidate_since = Some((candidate.revision, now));
                now
            }
        };
        let of_others = hosts.alive(now).filter(|(other, _)| *other != host).map(|(other, record)| {
            let told = record.prepared.get(name).filter(|p| p.revision == candidate.revision);
            (other, told.map(|p| p.refusal.clone().map_or(Ready::Yes, Ready::No)))
        });
        let own = self.versions.get(&candidate.number).filter(|r| **r != Ready::Asked).cloned();
        let all: Vec<(&str, Option<Ready>)> = of_others.chain([(host, own)]).collect();
        if let Some((who, Some(Ready::No(why)))) = all.iter().find(|(_, ready)| matches!(ready, Some(Ready::No(_)))) {
            return Some(Change::Withdraw { why: format!("host {who}: {why}") });
        }
        let missing: Vec<&str> = all.iter().filter(|(_, ready)| ready.is_none()).map(|(who, _)| *who).collect();
        if missing.is_empty() {
            return Some(Change::Promote);
        }
        let is_late = now.saturating_sub(since) >= PREPARE_MAX;
        is_late.then(|| {
            let seconds = PREPARE_MAX.as_secs();
            Change::Withdraw { why: format!("not ready within {seconds} s on {}", missing.join(", ")) }
        })
    }

    fn append(&mut self, name: &str, base: u64, change: Change, now: Duration) -> Option<Action> {
        let is_waiting = self.appended.is_some_and(|(b, at)| b == base && now.saturating_sub(at) < ANSWER_MAX);
        if is_waiting {
            return None;
        }
        self.appended = Some((base, now));
        Some(Action::Append { processor: name.to_owned(), base, change })
    }
}

#[cfg(test)]
mod tests;
