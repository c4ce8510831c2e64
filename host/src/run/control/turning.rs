//! The turns of the control thread: read, take what was asked for and what was prepared, look at the workers, act, tell.

mod draining;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::{CATCH_UP_MAX, Overview, Parts, Refusal, Request};
use crate::clock::{Clock, SystemClock};
use crate::deployment::{Action, Active, Catalog, Change, FORMAT, Folded, HostRecord, Hosts, Intent, Rollout, Version};
use crate::kafka::{FeedError, TopicRecord, Wake};
use crate::run::host::RunError;
use crate::run::patience::Patience;
use crate::run::published::Published;
use crate::run::ready::{Preparer, Ready};
use crate::worker::WorkerStatus;

/// How long one look at the control topics waits: what workers tell is looked at in between. Records, requests and
/// finished preparations end the wait.
const LOOK: Duration = Duration::from_millis(50);

/// How often a host tells of itself when nothing changes: three missed ones make it dead for the others.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// A version of a processor that is to be prepared.
type Job = (String, Box<Version>);

/// Processor, number and latest status of a worker.
type WorkerOf = (String, u16, Arc<WorkerStatus>);

/// A finished preparation.
type Prepared = (String, u64, Result<Ready, String>);

pub(super) struct Turning {
    parts: Parts,
    clock: SystemClock,
    /// Shared with those who look at it: cloned by a change, not by each publication.
    catalog: Arc<Catalog>,
    hosts: Hosts,
    rollout: Rollout,
    nonce: u64,
    requests: Receiver<Request>,
    jobs: Sender<Job>,
    prepared: Receiver<Prepared>,
    ready: BTreeMap<(String, u64), Ready>,
    adopted: BTreeMap<String, u64>,
    refusals: BTreeMap<String, String>,
    /// Who waits for which intent.
    waiting: BTreeMap<String, Sender<Result<u64, Refusal>>>,
    intents: u64,
    /// What this host last told, and when.
    told: Option<(HostRecord, Duration)>,
    /// Halts of each worker that were already reported.
    halts: BTreeMap<(String, u16), u64>,
    patience: Patience,
    stuck: Option<String>,
    /// Component files in the components topic that versions need, with their lengths; known once the log was read to its
    /// end.
    uploads: Option<BTreeMap<String, u64>>,
    overview: Arc<Published<Overview>>,
    /// Where this host's interface listens, once it does.
    address: Arc<Mutex<Option<String>>>,
    has_news: bool,
    /// Workers have left, or are leaving, and none is started.
    is_drained: bool,
}

impl Turning {
    pub(super) fn new(
        parts: Parts,
        preparer: Preparer,
        requests: Receiver<Request>,
        overview: Arc<Published<Overview>>,
        address: Arc<Mutex<Option<String>>>,
    ) -> Result<Self, RunError> {
        let processors: Vec<String> = preparer.topology.processors.iter().map(|p| p.name.clone()).collect();
        let (jobs, prepared) = start_preparing(preparer, parts.reader.waker())?;
        let rollout = Rollout::new(&parts.host, processors.into_iter());
        Ok(Self {
            parts,
            clock: SystemClock::new(),
            catalog: Arc::default(),
            hosts: Hosts::default(),
            rollout,
            nonce: crate::kafka::random(),
            requests,
            jobs,
            prepared,
            ready: BTreeMap::new(),
            adopted: BTreeMap::new(),
            refusals: BTreeMap::new(),
            waiting: BTreeMap::new(),
            intents: 0,
            told: None,
            halts: BTreeMap::new(),
            patience: Patience::default(),
            stuck: None,
            uploads: None,
            overview,
            address,
            has_news: false,
            is_drained: false,
        })
    }

    /// Nothing runs before the log was folded to its end.
    pub(super) fn catch_up(&mut self) -> Result<(), RunError> {
        let until = self.clock.monotonic() + CATCH_UP_MAX;
        loop {
            self.read().map_err(|e| RunError::Control(e.to_string()))?;
            if let Some(stuck) = &self.stuck {
                return Err(RunError::Control(stuck.clone()));
            }
            let topics = [&self.parts.topics.deployments, &self.parts.topics.hosts];
            let is_at_end = |topic: &&String| self.parts.reader.is_caught_up(topic);
            let ended = topics.iter().map(is_at_end).collect::<Result<Vec<_>, _>>();
            if ended.map_err(|e| RunError::Control(e.to_string()))?.into_iter().all(|is_at_end| is_at_end) {
                self.uploads = Some(self.catalog.uploads());
                return Ok(());
            }
            if self.clock.monotonic() > until {
                let seconds = CATCH_UP_MAX.as_secs();
                return Err(RunError::Control(format!("the control topics could not be read within {seconds} s")));
            }
        }
    }

    pub(super) fn turn(&mut self) {
        if let Err(error) = self.read() {
            tracing::warn!(%error, "the control topics cannot be read now");
        }
        self.take_requests();
        self.take_prepared();
        self.follow_drain();
        let statuses = self.parts.fleet.statuses();
        self.look_at_waits(&statuses);
        if self.stuck.is_none() {
            self.look_at_workers(&statuses);
            let now = self.clock.monotonic();
            for action in self.rollout.next(&self.catalog, &self.hosts, now) {
                self.act(action);
            }
        }
        self.tell();
        if std::mem::take(&mut self.has_news) {
            self.publish();
        }
    }

    fn read(&mut self) -> Result<(), FeedError> {
        for (topic, record) in self.parts.reader.poll(LOOK)? {
            self.has_news = true;
            if topic == self.parts.topics.deployments {
                self.fold(&record);
            } else {
                self.hear(&record);
            }
        }
        Ok(())
    }

    fn fold(&mut self, record: &TopicRecord) {
        if self.stuck.is_some() {
            return;
        }
        match Arc::make_mut(&mut self.catalog).fold(record.value.as_deref().unwrap_or_default()) {
            Ok((intent, folded)) => self.folded(intent, folded),
            Err(error) => {
                let why = format!("the log of deployments holds, at offset {}, {error}", record.offset);
                tracing::error!(why, "deployments are followed no further");
                self.stuck = Some(why);
            }
        }
    }

    fn folded(&mut self, intent: Option<Intent>, folded: Folded) {
        let Some(intent) = intent else { return tracing::warn!(?folded, "a damaged record in the log of deployments") };
        if let Folded::Accepted { revision } = folded {
            self.clear_uploads(&intent);
            let events = self.catalog.deployment(&intent.processor).map(|d| &d.events);
            let text = events.and_then(|e| e.last()).map(|e| e.text.clone()).unwrap_or_default();
            tracing::info!(processor = intent.processor, revision, host = intent.host, text, "deployment");
        }
        let Some(answer) = self.waiting.remove(&intent.id) else { return };
        let result = match folded {
            Folded::Accepted { revision } => Ok(revision),
            Folded::Rejected { current, why } => Err(Refusal::Conflict { current, why }),
        };
        // Whoever asked may have gone away.
        let _ = answer.send(result);
    }

    /// The host whose change lets go of a component's last version removes its file from the components topic.
    fn clear_uploads(&mut self, intent: &Intent) {
        let Some(known) = &mut self.uploads else { return };
        let mut before = std::mem::replace(known, self.catalog.uploads());
        if intent.host != self.parts.host {
            return;
        }
        before.retain(|upload, _| !known.contains_key(upload));
        for (upload, bytes) in &before {
            if let Err(error) = self.parts.files.forget(upload, *bytes) {
                tracing::warn!(%error, upload, "a component that nobody needs stays in the components topic");
            }
        }
    }

    fn hear(&mut self, record: &TopicRecord) {
        let host = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let told = match record.value.as_deref().map(serde_json::from_slice::<HostRecord>) {
            Some(Ok(told)) => Some(told),
            None => None,
            Some(Err(error)) => return tracing::warn!(host, %error, "a host tells what cannot be read"),
        };
        let age_ms = (self.clock.wall_ms() - record.timestamp_ms).max(0) as u64;
        let now = self.clock.monotonic();
        self.hosts.take(&host, told, now, Duration::from_millis(age_ms));
    }

    fn take_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            if let Some(stuck) = &self.stuck {
                let text = format!("this host follows deployments no further, ask another one: {stuck}");
                // Whoever asked may have gone away.
                let _ = request.answer.send(Err(Refusal::Unavailable(text)));
                continue;
            }
            let base = request.base.unwrap_or_else(|| self.catalog.revision(&request.processor));
            self.append(&request.processor, base, request.change, Some(request.answer));
        }
    }

    fn append(&mut self, processor: &str, base: u64, change: Change, answer: Option<Sender<Result<u64, Refusal>>>) {
        self.intents += 1;
        let id = format!("{}-{:x}-{}", self.parts.host, self.nonce, self.intents);
        let intent = Intent {
            format: FORMAT,
            id: id.clone(),
            processor: processor.to_owned(),
            base,
            change,
            host: self.parts.host.clone(),
            at_ms: self.clock.wall_ms(),
        };
        let (topic, value) = (&self.parts.topics.deployments, intent.encode());
        match self.parts.files.appender.append(topic, [(processor.as_bytes(), Some(value.as_slice()))]) {
            Ok(()) => {
                answer.into_iter().for_each(|a| drop(self.waiting.insert(id.clone(), a)));
            }
            Err(error) => {
                tracing::warn!(%error, "a change of a deployment could not be written");
                answer.into_iter().for_each(|a| drop(a.send(Err(Refusal::Unavailable(error.to_string())))));
            }
        }
    }

    fn take_prepared(&mut self) {
        while let Ok((processor, number, result)) = self.prepared.try_recv() {
            self.has_news = true;
            let told = match result {
                Ok(ready) => {
                    self.ready.insert((processor.clone(), number), ready);
                    self.refusals.remove(&processor);
                    Ok(())
                }
                Err(why) => {
                    tracing::warn!(processor, version = number, why, "a version cannot run here");
                    Err(why)
                }
            };
            self.rollout.prepared(&processor, number, told);
            if let Some(why) = self.rollout.refusal(&self.catalog, &processor) {
                self.refusals.insert(processor.clone(), why.to_owned());
            }
        }
    }

    fn act(&mut self, action: Action) {
        self.has_news = true;
        match action {
            Action::Prepare { processor, version } => {
                if self.jobs.send((processor, version)).is_err() {
                    tracing::error!("the thread that prepares versions has ended");
                }
            }
            Action::Append { processor, base, change } => self.append(&processor, base, change, None),
            Action::Adopt { processor, active } => self.adopt(&processor, &active),
            Action::Run { processor, is_running } => self.parts.fleet.run(&processor, is_running),
        }
    }

    /// A drained host follows without workers.
    fn adopt(&mut self, processor: &str, active: &Active) {
        let Some(ready) = self.ready.get(&(processor.to_owned(), active.number)) else { return };
        let adopted = if self.is_drained { Ok(true) } else { self.parts.fleet.adopt(ready, active) };
        match adopted {
            Ok(false) => self.rollout.forget_adoption(processor),
            Ok(true) => {
                self.adopted.insert(processor.to_owned(), active.revision);
                let deployment = self.catalog.deployment(processor);
                let kept = |n: u64| deployment.is_some_and(|d| d.versions.contains_key(&n));
                self.ready.retain(|(name, number), _| name != processor || kept(*number));
            }
            Err(error) => {
                tracing::error!(processor, %error, "a version that was ready cannot be adopted");
                self.refusals.insert(processor.to_owned(), error.to_string());
            }
        }
    }

    /// What workers find out about their versions becomes a change that all hosts follow.
    fn look_at_workers(&mut self, statuses: &[WorkerOf]) {
        for (processor, index, status) in statuses {
            let Some(active) = self.catalog.deployment(processor).and_then(|d| d.active) else { continue };
            let change = match (&status.condemned, &status.halted) {
                (Some(why), _) if status.revision == active.revision => {
                    Change::Rollback { to: status.returns_to, why: why.clone(), is_automatic: true }
                }
                (None, Some(why)) if self.is_new_halt(processor, *index, status.counters.halts) => {
                    Change::Halt { why: why.clone() }
                }
                _ => continue,
            };
            let now = self.clock.monotonic();
            if let Some(action) = self.rollout.ask(&self.catalog, processor, change, now) {
                self.act(action);
            }
        }
    }

    /// Partitions that this host cannot serve for long go to hosts that can.
    fn look_at_waits(&mut self, statuses: &[WorkerOf]) {
        let now = self.clock.monotonic();
        for (processor, index, status) in statuses {
            if self.patience.is_over(processor, *index, status.waits_for.is_some(), now) {
                let why = self.refusals.get(processor).or(self.stuck.as_ref()).cloned().unwrap_or_default();
                let text =
                    "leaves its group: its partitions were committed under a newer revision, which does not run here";
                tracing::error!(processor, worker = index, revision = status.waits_for, why, "{text}");
                self.parts.fleet.leave(processor, *index);
            }
        }
    }

    fn is_new_halt(&mut self, processor: &str, index: u16, halts: u64) -> bool {
        let known = self.halts.entry((processor.to_owned(), index)).or_default();
        std::mem::replace(known, halts) != halts
    }

    /// Tells the others of this host, when something changed and from time to time.
    fn tell(&mut self) {
        let record = HostRecord {
            format: FORMAT,
            nonce: self.nonce,
            wasmill: env!("CARGO_PKG_VERSION").to_owned(),
            address: self.address.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            topology: self.parts.topology.clone(),
            at_ms: 0,
            prepared: self.rollout.preparations(&self.catalog),
            tasks: self.parts.fleet.partitions(),
            is_drained: self.is_drained,
        };
        let now = self.clock.monotonic();
        let is_known = self.told.as_ref().is_some_and(|(told, at)| *told == record && now - *at < TELL_INTERVAL);
        if is_known {
            return;
        }
        self.hosts.forget_dead(now);
        self.hosts.take(&self.parts.host, Some(record.clone()), now, Duration::ZERO);
        self.has_news = true;
        let value = serde_json::to_vec(&HostRecord { at_ms: self.clock.wall_ms(), ..record.clone() });
        let value = value.expect("plain data");
        let key = self.parts.host.as_bytes();
        if let Err(error) = self.parts.files.appender.append(&self.parts.topics.hosts, [(key, Some(value.as_slice()))])
        {
            tracing::warn!(%error, "this host could not tell the others of itself");
        }
        self.told = Some((record, now));
    }

    pub(super) fn say_goodbye(&self) {
        let key = self.parts.host.as_bytes();
        if let Err(error) = self.parts.files.appender.append(&self.parts.topics.hosts, [(key, None)]) {
            tracing::warn!(%error, "this host could not tell the others that it stops");
        }
    }

    pub(super) fn publish(&self) {
        let now = self.clock.monotonic();
        self.overview.set(Overview {
            catalog: self.catalog.clone(),
            hosts: self.hosts.alive(now).map(|(name, record)| (name.to_owned(), record.clone())).collect(),
            adopted: self.adopted.clone(),
            refusals: self.refusals.clone(),
            stuck: self.stuck.clone(),
        });
    }
}

/// A thread that prepares one version after the other, and ends when nobody asks any more.
fn start_preparing(preparer: Preparer, wake: Wake) -> std::io::Result<(Sender<Job>, Receiver<Prepared>)> {
    let (jobs, wanted) = crossbeam_channel::unbounded::<Job>();
    let (done, prepared) = crossbeam_channel::unbounded();
    let body = move || {
        for (processor, version) in wanted {
            let result = preparer.prepare(&processor, &version);
            if done.send((processor, version.number, result)).is_err() {
                return;
            }
            wake.wake();
        }
    };
    std::thread::Builder::new().name("prepare".into()).spawn(body)?;
    Ok((jobs, prepared))
}
