//! The script of the demonstration's operator: while the exchange flows, a new version of `transaction` takes over, a bad
//! one is taken back by itself, and then the first one returns. Every step says what it did and what it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use wasmill::run::{Deploy, Host, Observer, Operator, Overview, Published};

use crate::model::FEE_BASIS_POINTS;

/// The processor whose versions change.
pub const PROCESSOR: &str = "transaction";

/// A component of the tests that traps on every record: what a broken build does.
const BROKEN: &str = "guest_misbehave.wasm";

/// How long a step may take; each needs records of the flow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at how far the flow is.
const LOOK: Duration = Duration::from_millis(5);

/// The operator, on a thread of its own.
pub struct Script {
    operator: Operator,
    overview: Arc<Published<Overview>>,
    observer: Observer,
    /// The broken component.
    broken: Vec<u8>,
    /// Records sent so far, counted by whoever sends them.
    sent: Arc<AtomicU64>,
    /// How many will be sent.
    records: u64,
    notes: Sender<String>,
}

impl Script {
    /// # Errors
    /// The broken component was not built.
    pub fn new(
        host: &Host,
        components: &std::path::Path,
        sent: Arc<AtomicU64>,
        records: u64,
        notes: Sender<String>,
    ) -> anyhow::Result<Self> {
        let path = components.join(BROKEN);
        let broken =
            std::fs::read(&path).with_context(|| format!("{} is missing: `make demo` builds it", path.display()))?;
        let (operator, overview, observer) = (host.operator().clone(), host.overview(), host.observer());
        Ok(Self { operator, overview, observer, broken, sent, records, notes })
    }

    /// Plays the script.
    ///
    /// # Errors
    /// A step did not end as it should.
    pub fn play(&self) -> anyhow::Result<()> {
        self.wait_for(20);
        self.upgrade()?;
        self.wait_for(45);
        self.break_it()?;
        self.wait_for(75);
        self.return_to_first()
    }

    fn upgrade(&self) -> anyhow::Result<()> {
        let settings = json!({ "guid_keep_days": 7, "rate_age_max_ms": 60_000, "fee_basis_points": FEE_BASIS_POINTS });
        let note = format!("exchanges cost {}.{:02} %", FEE_BASIS_POINTS / 100, FEE_BASIS_POINTS % 100);
        let begun = Instant::now();
        let deploy = Deploy { settings: Some(settings), note: note.clone(), ..Deploy::default() };
        let (number, _) = self.operator.deploy(PROCESSOR, deploy)?;
        let revision = self.operator.await_rollout(PROCESSOR, number)?;
        let pause = self.adopted(revision)?;
        self.note(format!("version {number} ({note}) took over {} ms after it was asked for; {pause}", ms(begun)));
        Ok(())
    }

    fn break_it(&self) -> anyhow::Result<()> {
        let settings = json!({ "behaviour": "trap", "on-length": 1 });
        let (component, note) = (Some(self.broken.clone()), "a broken build".to_owned());
        let begun = Instant::now();
        let deploy = Deploy { component, settings: Some(settings), note, ..Deploy::default() };
        let (number, _) = self.operator.deploy(PROCESSOR, deploy)?;
        let is_back = |o: &Overview| {
            let deployment = o.catalog.deployment(PROCESSOR);
            deployment
                .is_some_and(|d| d.activation_of(number).is_some() && d.active.is_some_and(|a| a.number != number))
        };
        let overview = self.overview.wait(PATIENCE, is_back).context("the broken version was not taken back")?;
        let deployment = overview.catalog.deployment(PROCESSOR).context("deployed")?;
        let event = deployment.events.last().map(|e| e.text.clone()).unwrap_or_default();
        self.adopted(deployment.active.map_or(0, |a| a.revision))?;
        let reason = event.split(" wasm trap").next().unwrap_or_default().trim_end_matches(':');
        self.note(format!("{} ms after version {number} (a broken build) was asked for: {reason}", ms(begun)));
        Ok(())
    }

    fn return_to_first(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let revision = self.operator.roll_back(PROCESSOR, Some(1), "the demonstration ends", None)?;
        let pause = self.adopted(revision)?;
        self.note(format!("rolled back to version 1 within {} ms; {pause}", ms(begun)));
        Ok(())
    }

    /// Waits until every worker runs a revision; tells what the exchange cost them.
    fn adopted(&self, revision: u64) -> anyhow::Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let statuses = self.observer.statuses();
            let ours: Vec<_> = statuses.iter().filter(|(of, ..)| of == PROCESSOR).collect();
            if ours.iter().all(|(_, _, status)| status.revision >= revision) {
                let longest = ours.iter().map(|(_, _, s)| s.counters.last_exchange).max_by_key(|e| e.wall);
                let pause = longest.unwrap_or_default();
                return Ok(format!("pause {} µs, of them {} µs CPU", pause.wall.as_micros(), pause.cpu.as_micros()));
            }
            ensure!(Instant::now() < until, "revision {revision} was not adopted");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until so many percent of the flow are sent.
    fn wait_for(&self, percent: u64) {
        while self.sent.load(Ordering::Relaxed) * 100 < self.records * percent {
            std::thread::sleep(LOOK);
        }
    }

    fn note(&self, text: String) {
        // Nobody looks any more once the run has failed.
        let _ = self.notes.send(text);
    }
}

fn ms(begun: Instant) -> u128 {
    begun.elapsed().as_millis()
}
