//! One round: records flow, something is killed in the middle, it is started again, and results come again.
//! Owns the proof that the kill met something: results before it in the same life, and requests without a result.

use std::fmt;
use std::time::{Duration, Instant};

use crate::plan::{Round, Target};
use crate::stage::Stage;

/// Bursts until a kill meets something in progress.
const TRIES_MAX: u32 = 10;

/// How often a burst is doubled at most: a quick machine is done with a small one before any kill.
const DOUBLED_MAX: u32 = 4;

/// A reader that gets nothing for so long has everything that is decided.
const QUIET: Duration = Duration::from_millis(100);

/// What a round did.
pub struct Line {
    round: Round,
    /// Seen in this round before the kill.
    results: u64,
    /// From the end of the burst to the kill.
    delay_ms: u64,
    /// Requests sent before the kill that had no committed result then.
    in_progress: u64,
    /// From the kill to the next result.
    back: Duration,
    /// Changelog offsets, and tasks.
    restored: (u64, u64),
    tries: u32,
}

pub fn play(stage: &mut Stage, round: &Round) -> anyhow::Result<Line> {
    let Round { target, meanwhile, .. } = *round;
    for tries in 1..=TRIES_MAX {
        let burst = round.burst << (tries - 1).min(DOUBLED_MAX);
        let delay_ms = round.delay_ms / u64::from(tries);
        let begun = stage.progress.results;
        stage.send(burst)?;
        let least = round.results_min.min(burst / 3);
        stage.wait("results before the kill", |it| it.progress.results >= begun + least)?;
        stage.send(burst)?;
        // No condition is waited for: the moment is to be any moment.
        std::thread::sleep(Duration::from_millis(delay_ms));
        let (asked, results) = (stage.requests_sent(), stage.progress.results - begun);
        let killed = Instant::now();
        strike(stage, target);
        stage.send(meanwhile)?;
        if target.has_broker() {
            stage.broker.resume()?;
        }
        if target.has_host() {
            // Nobody decides anything now: what is not seen in the end was in progress.
            while stage.look(QUIET)? {}
        }
        let in_progress = asked.saturating_sub(stage.progress.results);
        start_host(stage, round)?;
        let before = stage.progress.results;
        stage.send(1 + meanwhile)?;
        stage.wait("results after the kill", |it| it.progress.results > before)?;
        if in_progress > 0 {
            let (back, restored) = (killed.elapsed(), stage.host.restored());
            return Ok(Line { round: *round, results, delay_ms, in_progress, back, restored, tries });
        }
    }
    anyhow::bail!("{TRIES_MAX} kills met nothing in progress: such kills show nothing")
}

fn strike(stage: &mut Stage, target: Target) {
    match target {
        Target::Host | Target::HostTwice => stage.host.kill(),
        Target::Broker => stage.broker.kill(),
        Target::HostThenBroker => {
            stage.host.kill();
            stage.broker.kill();
        }
        Target::BrokerThenHost => {
            stage.broker.kill();
            stage.host.kill();
        }
    }
}

fn start_host(stage: &mut Stage, round: &Round) -> anyhow::Result<()> {
    if round.target == Target::HostTwice {
        stage.host.start()?;
        std::thread::sleep(Duration::from_millis(round.again_after_ms));
        stage.host.kill();
    }
    if round.target.has_host() { stage.host.start() } else { Ok(()) }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Round { target, again_after_ms, .. } = self.round;
        let delay_ms = self.delay_ms;
        let what = match target {
            Target::Host => "host".to_owned(),
            Target::HostTwice => format!("host, and {again_after_ms} ms into its next life again,"),
            Target::Broker => "broker".to_owned(),
            Target::HostThenBroker => "host and broker".to_owned(),
            Target::BrokerThenHost => "broker and host".to_owned(),
        };
        write!(f, "{what} killed {delay_ms} ms after a burst, {} results into this round, ", self.results)?;
        write!(f, "{} requests in progress; results again after {:.1} s", self.in_progress, self.back.as_secs_f64())?;
        if target != Target::Broker {
            write!(f, ", {} tasks restored {} changelog offsets", self.restored.1, self.restored.0)?;
        }
        if self.tries > 1 {
            write!(f, " (try {}: kills before met nothing)", self.tries)?;
        }
        Ok(())
    }
}
