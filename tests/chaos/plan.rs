//! What happens in each round: chosen by the seed alone. Knows nothing of processes.

use exchange::flow::Random;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Host,
    /// The host, and its next life again while it starts or restores.
    HostTwice,
    /// The host stays and has to ride it out.
    Broker,
    HostThenBroker,
    BrokerThenHost,
}

impl Target {
    pub fn has_host(self) -> bool {
        self != Self::Broker
    }

    pub fn has_broker(self) -> bool {
        !matches!(self, Self::Host | Self::HostTwice)
    }
}

/// Every kind of kill comes in any five rounds that begin at a multiple of five.
const TARGETS: [Target; 5] =
    [Target::Host, Target::HostTwice, Target::Broker, Target::HostThenBroker, Target::BrokerThenHost];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    pub target: Target,
    /// Results that this life of the host has to have given before.
    pub results_min: u64,
    /// Records sent just before the kill, so that something is in progress.
    pub burst: u64,
    /// From the end of the burst to the kill.
    pub delay_ms: u64,
    /// From the start of the next life to its kill, for [`Target::HostTwice`].
    pub again_after_ms: u64,
    /// Records sent while something is away.
    pub meanwhile: u64,
}

/// Endless rounds.
pub struct Plan {
    random: Random,
    targets: Vec<Target>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), targets: Vec::new() }
    }
}

impl Iterator for Plan {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        if self.targets.is_empty() {
            self.targets = TARGETS.to_vec();
        }
        let random = &mut self.random;
        let chosen = random.between(0, self.targets.len() as u64) as usize;
        Some(Round {
            target: self.targets.swap_remove(chosen),
            results_min: random.between(1, 1_000),
            burst: random.between(300, 1_500),
            delay_ms: random.between(0, 60),
            again_after_ms: random.between(0, 1_500),
            meanwhile: random.between(0, 500),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything_and_five_rounds_hold_every_kill() {
        let rounds: Vec<Round> = Plan::new(7).take(20).collect();
        assert_eq!(rounds, Plan::new(7).take(20).collect::<Vec<_>>());
        assert_ne!(rounds, Plan::new(8).take(20).collect::<Vec<_>>());
        for five in rounds.chunks(5) {
            assert!(TARGETS.iter().all(|target| five.iter().any(|round| round.target == *target)), "{five:?}");
        }
    }
}
