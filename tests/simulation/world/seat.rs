//! A worker at work: which revision it runs, what was ordered of it, and which version may judge the present one. What is
//! known here of judges is the simulation's own, so that the worker's can be checked against it.

use std::time::Duration;

use wasmill::task::VersionName;
use wasmill::worker::{ActiveVersion, Adoption, Command, Setup, Worker, WorkerStatus};

use super::host::Host;
use crate::client::{SimClient, Threads};
use crate::mutants::Mutant;
use crate::oracle::Violation;
use crate::processors::{Leaks, NativeVersion};
use crate::versions::{self, Deployed};

pub struct Seat {
    pub worker: Worker<SimClient>,
    pub threads: Threads,
    pub is_leaving: bool,
    pub running: Deployed,
    pub ordered: Vec<Deployed>,
    /// The version that has to fail as well before a record is a dead letter, and until when at least.
    pub judge: Option<(u64, Duration)>,
    pub leaks: Leaks,
}

/// A new version is on probation for at least this long, in runs with fewer records than end it.
const PROBATION: Duration = Duration::from_secs(60);

impl Seat {
    /// The worker has exchanged versions since `before`.
    pub fn exchanged(&mut self, before: &WorkerStatus, revision: u64, now: Duration) -> Result<(), Violation> {
        let ordered = self.ordered.iter().find(|d| d.revision == revision).copied();
        let Some(running) = ordered.filter(|_| revision > before.revision) else {
            return Err(format!("a worker went from revision {} to {revision}: {:?}", before.revision, self.ordered));
        };
        let proved = match self.judge {
            Some((judge, _)) if before.is_on_probation || before.condemned.is_some() => judge,
            _ => self.running.version,
        };
        self.judge = running.has_probation.then_some((proved, now + PROBATION));
        self.running = running;
        Ok(())
    }

    /// What the next set holds is judged as of now.
    pub fn tell_judge(&self, now: Duration) {
        let judge = self.judge.filter(|(_, until)| now < *until).map(|(version, _)| version);
        self.threads.judged_by(judge);
    }
}

impl Host {
    /// What a version needs to work, and the instance that was opened to see that it does.
    fn prepare(&self, deployed: Deployed, leaks: &Leaks) -> (ActiveVersion, Box<dyn wasmill::processor::Processor>) {
        use wasmill::processor::Version as _;
        let Deployed { revision, version: number, .. } = deployed;
        let name = VersionName { revision, number, digest: "native".into() };
        let mut version = NativeVersion::new(self.scenario.nature.clone(), deployed, leaks.clone());
        let instance = version.instance().expect("every version opens once");
        (ActiveVersion { name, version: Box::new(version) }, instance)
    }

    pub(super) fn seat(&self, setup: Setup, client: SimClient, threads: Threads) -> Seat {
        let leaks = Leaks::default();
        let (active, _) = self.prepare(self.first, &leaks);
        let worker = Worker::new(setup, client, std::sync::Arc::new(self.clock.clone()), active);
        Seat { worker, threads, is_leaving: false, running: self.first, ordered: Vec::new(), judge: None, leaks }
    }

    /// Whether a worker was not told of this revision yet.
    pub fn is_behind(&self, seat: usize, deployed: Deployed) -> bool {
        let newest = |s: &Seat| s.ordered.iter().map(|d| d.revision).max().unwrap_or_default().max(s.running.revision);
        self.seats[seat].as_ref().is_some_and(|s| newest(s) < deployed.revision)
    }

    /// Has a worker adopt a revision.
    pub fn order(&mut self, seat: usize, deployed: Deployed, mutant: Option<Mutant>) {
        let Some(leaks) = self.seats[seat].as_ref().map(|s| s.leaks.clone()) else { return };
        let (active, instance) = self.prepare(deployed, &leaks);
        let adoption = Adoption {
            active,
            instance,
            on_error: self.scenario.on_error.clone(),
            tick_interval: versions::tick_interval(self.scenario.tick_interval, deployed.version),
            may_return: deployed.may_return,
            has_probation: deployed.has_probation && mutant != Some(Mutant::SkipProbation),
            retire: Box::new(drop),
        };
        leaks.order(deployed);
        self.first = deployed;
        if let Some(seat) = &mut self.seats[seat] {
            seat.ordered.push(deployed);
            seat.worker.command(Command::Adopt(Box::new(adoption)));
        }
    }
}
