//! A realistic flow of records into the exchange, repeatable by its seed: moving rates, deposits, withdrawals, exchanges,
//! invalid requests of every kind, the same requests again, poison records, payments. Knows nothing of any result.

mod market;
mod poison;
mod random;
mod requests;

use std::collections::VecDeque;

use crate::record::Message;
use crate::topics;
use market::Market;
pub use market::PAIRS;
pub use random::Random;

#[derive(Clone, Debug)]
pub struct FlowSettings {
    pub seed: u64,
    pub accounts: u32,
}

/// The source of all records.
#[derive(Debug)]
pub struct Flow {
    settings: FlowSettings,
    random: Random,
    market: Market,
    /// Requests that may be sent again.
    sent: VecDeque<Message>,
    /// What must come of all that was made so far.
    pub expected: Expected,
}

/// How many records must come out, if nothing is lost or doubled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub accounts: u64,
    pub requests: u64,
    pub dead_letters: u64,
    pub payments: u64,
    pub frauds: u64,
    pub market_messages: u64,
}

/// What the next record is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Market,
    Request,
    InvalidRequest,
    Again,
    GuidOfAnother,
    Payment,
    Poison,
}

/// Out of a thousand records.
const MIXTURE: [(u64, Kind); 7] = [
    (150, Kind::Market),
    (680, Kind::Request),
    (50, Kind::InvalidRequest),
    (40, Kind::Again),
    (5, Kind::GuidOfAnother),
    (70, Kind::Payment),
    (5, Kind::Poison),
];

/// Requests kept for being sent again.
const SENT_MAX: usize = 500;

impl Flow {
    pub fn new(settings: FlowSettings) -> Self {
        let random = Random::new(settings.seed);
        Self { settings, random, market: Market::new(), sent: VecDeque::new(), expected: Expected::default() }
    }

    /// What comes before any request: accounts and first rates.
    pub fn opening(&mut self, timestamp_ms: i64) -> Vec<Message> {
        let mut messages = self.market.opening(&mut self.random, timestamp_ms);
        self.expected.market_messages += messages.len() as u64;
        for number in 0..self.settings.accounts {
            messages.push(requests::account(&mut self.random, number, timestamp_ms));
        }
        self.expected.accounts += u64::from(self.settings.accounts);
        messages
    }

    /// The next record, at this time.
    pub fn message(&mut self, timestamp_ms: i64) -> Message {
        let mut kind = self.random.weighted(&MIXTURE);
        if self.sent.is_empty() && matches!(kind, Kind::Again | Kind::GuidOfAnother) {
            kind = Kind::Request;
        }
        match kind {
            Kind::Market => {
                self.expected.market_messages += 1;
                self.market.message(&mut self.random, timestamp_ms)
            }
            Kind::Payment => self.payment(timestamp_ms),
            Kind::Poison => {
                self.expected.dead_letters += 1;
                poison::message(&mut self.random, timestamp_ms)
            }
            _ => {
                self.expected.requests += 1;
                self.request(kind, timestamp_ms)
            }
        }
    }

    fn request(&mut self, kind: Kind, timestamp_ms: i64) -> Message {
        match kind {
            Kind::Again | Kind::GuidOfAnother => {
                let index = self.random.between(0, self.sent.len() as u64) as usize;
                let message = Message { timestamp_ms, ..self.sent[index].clone() };
                if matches!(kind, Kind::Again) { message } else { requests::altered(message) }
            }
            Kind::InvalidRequest => requests::invalid(&mut self.random, self.settings.accounts, timestamp_ms),
            _ => {
                let message = requests::valid(&mut self.random, self.settings.accounts, timestamp_ms);
                if self.sent.len() == SENT_MAX {
                    self.sent.pop_front();
                }
                self.sent.push_back(message.clone());
                message
            }
        }
    }

    fn payment(&mut self, timestamp_ms: i64) -> Message {
        self.expected.payments += 1;
        let percent = self.random.between(0, 101);
        let is_fraud = percent as f64 / 100.0 > topics::FRAUD_THRESHOLD;
        self.expected.frauds += u64::from(is_fraud);
        let account = requests::account_number(self.random.between(0, u64::from(self.settings.accounts)));
        let (id, cents) = (self.random.guid(), self.random.between(100, 100_000));
        let value = format!(
            r#"{{"id":"{id}","account":"{account}","amount":"{}.{:02}","currency":"USD","fraudProbability":{}.{:02}}}"#,
            cents / 100,
            cents % 100,
            percent / 100,
            percent % 100
        );
        Message::new(topics::PAYMENTS, &account, value, timestamp_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_flow_and_another_does_not() {
        let flow = |seed| {
            let mut flow = Flow::new(FlowSettings { seed, accounts: 10 });
            let mut messages = flow.opening(0);
            messages.extend((0..500).map(|at| flow.message(at)));
            messages
        };
        assert_eq!(flow(1), flow(1));
        assert_ne!(flow(1), flow(2));
    }

    #[test]
    fn every_kind_of_record_comes_and_is_counted() {
        let mut flow = Flow::new(FlowSettings { seed: 3, accounts: 10 });
        let messages: Vec<_> = (0..20_000).map(|at| flow.message(at)).collect();
        let Expected { requests, dead_letters, payments, frauds, market_messages, .. } = flow.expected;
        assert_eq!(requests + dead_letters + payments + market_messages, messages.len() as u64);
        assert!(frauds > 100 && dead_letters > 50, "{:?}", flow.expected);
        for (topic, _) in topics::FED {
            assert!(messages.iter().any(|message| message.topic == topic), "{topic}");
        }
    }
}
