//! Chaos: the exchange runs while its host, its broker, or both are killed with SIGKILL, round after round; then every
//! invariant is checked over all topics. `make chaos ROUNDS=50`. Everything that is chosen comes from one seed.
//! Owns the order of brokers and the exit code.

mod arguments;
mod check;
mod host;
mod plan;
mod round;
mod stage;

use std::process::ExitCode;
use std::time::Instant;

use arguments::Wish;
use plan::Plan;
use stage::Stage;
use wasmill_tests::brokers::BrokerKind;

fn main() -> ExitCode {
    let wish = match arguments::parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(problem) => {
            eprintln!("{problem}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let Wish { rounds, seed, .. } = wish;
    println!("{rounds} rounds on each broker, seed {seed}; the same again: SEED={seed} ROUNDS={rounds} make chaos");
    let mut is_clean = true;
    for kind in &wish.brokers {
        match play(*kind, &wish) {
            Ok(clean) => is_clean &= clean,
            Err(error) => {
                println!("{kind:<8} FAILED: {error:#}");
                is_clean = false;
            }
        }
    }
    println!("{}", if is_clean { "every invariant holds" } else { "NOT every invariant holds" });
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(kind: BrokerKind, wish: &Wish) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut stage = Stage::start(kind, wish.seed)?;
    let played = play_all(&mut stage, wish);
    if !matches!(played, Ok(true)) {
        println!("{kind:<8} everything of this run: {}", stage.keep().display());
    }
    println!("{kind:<8} {:.0} s", begun.elapsed().as_secs_f64());
    played
}

fn play_all(stage: &mut Stage, wish: &Wish) -> anyhow::Result<bool> {
    stage.open()?;
    for (number, round) in Plan::new(wish.seed).take(wish.rounds).enumerate() {
        let line = round::play(stage, &round)?;
        println!("{:<8} round {:>3}: {line}", stage.kind(), number + 1);
    }
    check::finish(stage)
}
