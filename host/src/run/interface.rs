//! The operator's interface over a running host: its views are made here from what workers and the control thread
//! publish, its orders are given to the operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::control::{Overview, Refusal};
use super::dlq::{Desk, Page, Range};
use super::fleet::Fleet;
use super::forward::Forwarder;
use super::operator::{Deploy, Operator};
use super::plan;
use super::published::Published;
use super::query::QueryError;
use crate::api::{
    Answer, Api, ApplicationView, BytesView, CandidateView, CutoverView, DeploymentView, EventView, HostView, Order,
    ProcessorView, Refused, StoredView, TaskView, TopicView, VersionView, WorkerView,
};
use crate::deployment::{Deployment, HostRecord, Running, Version};
use crate::kafka::{Admin, Tail, TopicsError};
use crate::record::Partition;
use crate::task::State;
use crate::topology::{ProcessorSettings, TopicNeed, Topology};
use crate::worker::{NoAnswer, TaskStatus, WorkerStatus};

/// A change that was accepted is folded here at once; only the thread's next turn is waited for.
const FOLD_MAX: Duration = Duration::from_secs(5);

/// Everything that the interface is made from.
#[derive(Clone)]
pub(super) struct Interface {
    pub topology: Arc<Topology>,
    pub kafka: BTreeMap<String, String>,
    pub fleet: Arc<Fleet>,
    pub overview: Arc<Published<Overview>>,
    pub operator: Operator,
    pub forwarder: Forwarder,
}

impl Interface {
    pub fn api(self) -> Api {
        let (viewed, ordered) = (self.clone(), self);
        Api { view: Arc::new(move || viewed.view()), order: Arc::new(move |order| ordered.carry_out(order)) }
    }

    fn view(&self) -> ApplicationView {
        let overview = self.overview.get();
        let statuses = self.fleet.statuses();
        let processor = |p: &ProcessorSettings| self.processor(p, &overview, &statuses);
        ApplicationView {
            application: self.topology.application.clone(),
            host: self.topology.host.id.clone(),
            wasmill: env!("CARGO_PKG_VERSION").to_owned(),
            bootstrap: self.kafka.get("bootstrap.servers").cloned().unwrap_or_default(),
            hosts: overview.hosts.iter().map(|(name, record)| host_view(name, record)).collect(),
            processors: self.topology.processors.iter().map(processor).collect(),
            stuck: overview.stuck.clone(),
        }
    }

    fn processor(
        &self,
        processor: &ProcessorSettings,
        overview: &Overview,
        statuses: &[(String, u16, Arc<WorkerStatus>)],
    ) -> ProcessorView {
        let name = &processor.name;
        let found = overview.catalog.deployment(name);
        let inputs: Vec<String> = processor.inputs.iter().map(|i| i.topic.clone()).collect();
        let workers = statuses.iter().filter(|(of, ..)| of == name);
        ProcessorView {
            name: name.clone(),
            group: self.topology.group(processor),
            outputs: processor.outputs.clone(),
            tables: processor.tables.clone(),
            stores: processor.stores.iter().map(|s| s.name.clone()).collect(),
            deployment: found.map(deployment).unwrap_or_default(),
            versions: found.map(versions).unwrap_or_default(),
            workers: workers.map(|(_, index, status)| worker(*index, status, &inputs)).collect(),
            refusal: overview.refusals.get(name).cloned(),
            inputs,
        }
    }

    fn carry_out(&self, order: Order) -> Result<Answer, Refused> {
        match order {
            Order::Deploy {
                processor,
                component,
                settings,
                limits,
                on_error,
                note,
                state_format,
                base,
                is_awaited,
            } => {
                let deploy = Deploy { component, settings, limits, on_error, note, state_format, base };
                let (number, revision) = self.operator.deploy(&processor, deploy)?;
                if !is_awaited {
                    return Ok(Answer::Changed { revision, version: Some(number), is_active: false });
                }
                let revision = self.operator.await_rollout(&processor, number)?;
                Ok(Answer::Changed { revision, version: Some(number), is_active: true })
            }
            Order::RollBack { processor, to, why, base } => {
                let revision = self.operator.roll_back(&processor, to, &why, base)?;
                Ok(self.changed(&processor, revision))
            }
            Order::Pause { processor, base } => Ok(self.changed(&processor, self.operator.pause(&processor, base)?)),
            Order::Resume { processor, base } => Ok(self.changed(&processor, self.operator.resume(&processor, base)?)),
            Order::Stored { processor, store, key, is_forwarded } => {
                self.stored(&processor, &store, &key, is_forwarded).map(Answer::Stored)
            }
            Order::Cutovers { processor } => self.cutovers(&processor),
            Order::Drain { host, is_drained, is_forwarded } => {
                self.drain(&host, is_drained, is_forwarded).map(Answer::Host)
            }
            Order::DeadLetters { processor, wanted } => {
                let page = Page::new(&wanted)?;
                Ok(Answer::DeadLetters(self.desk(&processor)?.page(&page)?))
            }
            Order::Replay { processor, places, again, shared } => {
                let ranges = Range::all(&places)?;
                Ok(Answer::Replayed(self.desk(&processor)?.replay(&ranges, again, shared)?))
            }
            Order::Plan { manifest, components } => {
                let catalog = &self.overview.get().catalog;
                let existing = self.admin()?.topics().map_err(|e| Refused::Unavailable(e.to_string()))?;
                plan::plan(&self.topology, catalog, &existing, &manifest, &components).map(Answer::Plan)
            }
            Order::EnsureTopic(topic) => self.ensure_topic(topic),
        }
    }

    /// What a change led to, once this host has folded it.
    fn changed(&self, processor: &str, revision: u64) -> Answer {
        let is_folded = |o: &Overview| o.catalog.revision(processor) >= revision;
        let overview = self.overview.wait(FOLD_MAX, is_folded).unwrap_or_else(|| self.overview.get());
        let version = overview.catalog.deployment(processor).and_then(|d| d.active).map(|a| a.number);
        Answer::Changed { revision, version, is_active: true }
    }

    fn admin(&self) -> Result<Admin, Refused> {
        Admin::new(&self.kafka).map_err(|e| Refused::Unavailable(e.to_string()))
    }

    fn ensure_topic(&self, topic: TopicView) -> Result<Answer, Refused> {
        let TopicView { name, partitions, replication, settings } = topic;
        match self.admin()?.ensure(&[TopicNeed { name, partitions, replication, settings }]) {
            Ok(made) => Ok(Answer::Ensured { is_made: !made.is_empty() }),
            Err(error @ TopicsError::Wrong(_)) => Err(Refused::Unfit(error.to_string())),
            Err(error) => Err(Refused::Unavailable(error.to_string())),
        }
    }

    fn stored(&self, processor: &str, store: &str, key: &[u8], is_forwarded: bool) -> Result<StoredView, Refused> {
        let found = match self.fleet.query(processor, store, key) {
            Ok(found) => found,
            Err(QueryError::NoAnswer(NoAnswer::NotHere { partition })) if !is_forwarded => {
                let address = self.host_of(processor, partition)?;
                return self.forwarder.stored(&address, processor, store, key);
            }
            Err(QueryError::NoAnswer(why)) => return Err(Refused::Unavailable(why.to_string())),
            Err(unknown) => return Err(Refused::Unknown(unknown.to_string())),
        };
        let declared = self.topology.processor(processor);
        let inputs = declared.into_iter().flat_map(|p| &p.inputs).map(|i| i.topic.clone());
        Ok(StoredView {
            partition: found.partition.0,
            sequence: found.sequence,
            position: inputs.zip(found.next.iter().map(|o| o.0)).collect(),
            value: found.value.as_deref().map(BytesView::of),
        })
    }

    /// Where the interface of the host listens that has told that it has a partition.
    fn host_of(&self, processor: &str, partition: Partition) -> Result<String, Refused> {
        let overview = self.overview.get();
        let others = overview.hosts.iter().filter(|(name, _)| **name != self.topology.host.id);
        let has_it = |h: &HostRecord| h.tasks.get(processor).is_some_and(|all| all.contains(&partition.0));
        let text = match others.clone().find(|(_, h)| has_it(h)) {
            Some((_, HostRecord { address: Some(address), .. })) => return Ok(address.clone()),
            Some((name, _)) => {
                format!("host {name} has partition {partition}, and tells nobody where to ask it: ask there")
            }
            None => {
                format!("partition {partition} of `{processor}` is on its way from host to host: ask again in a moment")
            }
        };
        Err(Refused::Unavailable(text))
    }

    fn declared(&self, processor: &str) -> Result<&ProcessorSettings, Refused> {
        self.topology.processor(processor).ok_or_else(|| {
            let names: Vec<&str> = self.topology.processors.iter().map(|p| p.name.as_str()).collect();
            let names = names.join(", ");
            Refused::Unknown(format!("no processor is called `{processor}`; there are {names}"))
        })
    }

    fn desk(&self, processor: &str) -> Result<Desk<'_>, Refused> {
        Ok(Desk { topology: &self.topology, processor: self.declared(processor)?, kafka: &self.kafka })
    }

    fn cutovers(&self, processor: &str) -> Result<Answer, Refused> {
        self.declared(processor)?;
        let unavailable = |error: crate::kafka::FeedError| Refused::Unavailable(error.to_string());
        let tail = Tail::new(&self.kafka).map_err(unavailable)?;
        let told = tail.cutovers(&self.topology.control_topics().cutovers, processor).map_err(unavailable)?;
        let cutovers: Vec<CutoverView> =
            told.iter().filter_map(|r| serde_json::from_slice(r.value.as_deref()?).ok()).collect();
        Ok(Answer::Cutovers(cutovers))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownProcessor(_) => Self::Unknown(refusal.to_string()),
            Refusal::Conflict { current, why } => Self::Conflict { current, why },
            Refusal::Unfit(why) => Self::Unfit(why),
            Refusal::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

pub(super) fn host_view(name: &str, record: &HostRecord) -> HostView {
    let prepared = record
        .prepared
        .iter()
        .map(|(processor, p)| (processor.clone(), CandidateView { revision: p.revision, refusal: p.refusal.clone() }));
    HostView {
        name: name.to_owned(),
        wasmill: record.wasmill.clone(),
        address: record.address.clone(),
        prepared: prepared.collect(),
        tasks: record.tasks.clone(),
        is_drained: record.is_drained,
    }
}

fn deployment(found: &Deployment) -> DeploymentView {
    let (state, why) = match &found.running {
        Running::Running => ("running", None),
        Running::Paused => ("paused", None),
        Running::Halted { why } => ("halted", Some(why.clone())),
    };
    let event = |e: &crate::deployment::Event| EventView {
        revision: e.revision,
        at_ms: e.at_ms,
        host: e.host.clone(),
        text: e.text.clone(),
    };
    DeploymentView {
        revision: found.revision,
        version: found.active.map(|a| a.number),
        active_revision: found.active.map(|a| a.revision),
        candidate: found.candidate.map(|c| c.number),
        state: state.to_owned(),
        why,
        events: found.events.iter().map(event).collect(),
    }
}

fn versions(found: &Deployment) -> Vec<VersionView> {
    let view = |v: &Version| VersionView {
        number: v.number,
        digest: v.spec.digest.clone(),
        bytes: v.spec.bytes,
        settings: v.spec.settings.clone(),
        limits: v.spec.limits.to_manifest(),
        on_error: v.spec.on_error.to_manifest(),
        note: v.spec.note.clone(),
        state_format: v.spec.state_format.clone(),
        at_ms: v.at_ms,
        host: v.host.clone(),
        is_active: found.active.is_some_and(|a| a.number == v.number),
    };
    found.versions.values().map(view).collect()
}

fn worker(index: u16, status: &WorkerStatus, inputs: &[String]) -> WorkerView {
    let counters = &status.counters;
    WorkerView {
        index,
        revision: status.revision,
        is_on_probation: status.is_on_probation,
        halted: status.halted.clone(),
        condemned: status.condemned.clone(),
        waits_for: status.waits_for,
        records: counters.records,
        outputs: counters.outputs,
        dead_letters: counters.dead_letters,
        commits: counters.commits,
        commits_failed: counters.commits_failed,
        guest_faults: counters.guest_faults,
        host_faults: counters.host_faults,
        adoptions: counters.adoptions,
        last_pause_us: counters.last_exchange.wall.as_micros() as u64,
        last_fault: counters.last_fault.clone(),
        tasks: status.tasks.iter().map(|t| task(t, inputs)).collect(),
    }
}

fn task(status: &TaskStatus, inputs: &[String]) -> TaskView {
    let (state, why) = match &status.state {
        State::Created => ("created", None),
        State::Genesis => ("genesis", None),
        State::Restoring { .. } => ("restoring", None),
        State::Running => ("running", None),
        State::Suspended { why, .. } => ("suspended", Some(why.clone())),
        State::Halted { why } => ("halted", Some(why.clone())),
    };
    TaskView {
        partition: status.partition.0,
        state: state.to_owned(),
        why,
        committed: inputs.iter().cloned().zip(status.committed.iter().map(|o| o.0)).collect(),
        sequence: status.sequence,
    }
}
