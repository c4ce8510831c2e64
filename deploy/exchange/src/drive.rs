//! One run: opens the exchange, lets the flow in, waits until everything has come out, and judges the topics.
//! Knows a cluster only through its seam.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::Cluster;
use crate::display::Display;
use crate::flow::{Flow, FlowSettings, PAIRS};
use crate::model::{self, Report};
use crate::progress::Progress;
use crate::record::Message;
use crate::topics;

#[derive(Clone, Debug)]
pub struct DriveSettings {
    pub flow: FlowSettings,
    /// Records after the opening, at least.
    pub records: u64,
    /// 0 is as fast as they are taken.
    pub records_per_second: u64,
    /// Without anything new for so long, what is missing is lost.
    pub patience: Duration,
}

/// Records handed over together.
const CHUNK: u64 = 200;

/// How long a look for new records lasts.
const LOOK: Duration = Duration::from_millis(50);

/// A run under way.
struct Drive<'c, C> {
    cluster: &'c mut C,
    display: &'c mut Display,
    settings: &'c DriveSettings,
    progress: Progress,
    /// Records in the inputs before this run.
    before: u64,
    sent: u64,
}

/// Runs the flow and gives the model's verdict. `needs_more` says whether somebody still waits for what records do: the flow
/// goes on until nobody does.
///
/// # Errors
/// The cluster fails, or the exchange does not open within the patience.
pub fn drive<C: Cluster>(
    cluster: &mut C,
    settings: &DriveSettings,
    display: &mut Display,
    needs_more: impl Fn() -> bool,
) -> anyhow::Result<Report> {
    let inputs: Vec<String> = topics::FED.iter().map(|(topic, _)| (*topic).to_owned()).collect();
    let before = cluster.read_all(&inputs)?.len() as u64;
    let mut drive = Drive { cluster, display, settings, progress: Progress::default(), before, sent: 0 };
    let mut flow = Flow::new(settings.flow.clone());
    drive.open(&mut flow)?;
    drive.feed(&mut flow, needs_more)?;
    let is_done = drive.wait("finishing", |drive| drive.progress.is_done(drive.before + drive.sent))?;
    let phase = if is_done { "done" } else { "gave up" };
    drive.display.close(phase, drive.sent, &drive.progress);
    Ok(model::check(&drive.cluster.read_all(&topics::all())?))
}

impl<C: Cluster> Drive<'_, C> {
    /// Accounts and rates come first; requests before them would fail with reason.
    fn open(&mut self, flow: &mut Flow) -> anyhow::Result<()> {
        let messages = flow.opening(now_ms());
        self.send(&messages)?;
        let accounts = self.settings.flow.accounts as usize;
        if self.wait("opening", |drive| drive.progress.is_open(accounts, PAIRS))? {
            return Ok(());
        }
        let (accounts_read, rates) = (self.progress.of(topics::ACCOUNT), self.progress.rates.len());
        anyhow::bail!(
            "the exchange did not open: {accounts_read} of {accounts} accounts, {rates} of {PAIRS} rates; \
             is every processor running?"
        )
    }

    fn feed(&mut self, flow: &mut Flow, needs_more: impl Fn() -> bool) -> anyhow::Result<()> {
        let (begun, mut fed) = (Instant::now(), 0);
        let chunk = match self.settings.records_per_second {
            0 => CHUNK,
            rate => rate.div_ceil(20).min(CHUNK),
        };
        while fed < self.settings.records || needs_more() {
            let chunk = match self.settings.records.saturating_sub(fed) {
                0 => chunk,
                left => left.min(chunk),
            };
            let messages: Vec<Message> = (0..chunk).map(|_| flow.message(now_ms())).collect();
            self.send(&messages)?;
            fed += chunk;
            self.look("running", self.pause(begun, fed))?;
        }
        Ok(())
    }

    /// How long until the next records are due.
    fn pause(&self, begun: Instant, fed: u64) -> Duration {
        match self.settings.records_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(fed as f64 / rate as f64).saturating_sub(begun.elapsed()),
        }
    }

    fn send(&mut self, messages: &[Message]) -> anyhow::Result<()> {
        self.cluster.send(messages)?;
        self.sent += messages.len() as u64;
        Ok(())
    }

    /// Takes in what is new during `time`; gives whether there was anything.
    fn look(&mut self, phase: &str, time: Duration) -> anyhow::Result<bool> {
        let until = Instant::now() + time;
        let mut is_new = false;
        loop {
            let records = self.cluster.tail(until.saturating_duration_since(Instant::now()))?;
            is_new |= !records.is_empty();
            records.iter().for_each(|record| self.progress.take(record));
            self.display.show(phase, self.sent, &self.progress);
            if Instant::now() >= until {
                return Ok(is_new);
            }
        }
    }

    /// Until the condition holds, or nothing new came for as long as the patience lasts.
    fn wait(&mut self, phase: &str, is_met: impl Fn(&Self) -> bool) -> anyhow::Result<bool> {
        let mut last_new = Instant::now();
        while !is_met(self) {
            if self.look(phase, LOOK)? {
                last_new = Instant::now();
            }
            if last_new.elapsed() > self.settings.patience {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
