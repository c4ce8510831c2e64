//! How fast this machine is at this moment: cores that are shared with strangers are at one time twice as slow as at
//! another, for minutes. Told beside nanoseconds, for which figures were set on such a machine while it was quick. No figure is
//! scaled by it: it moves more than what it stands beside.

use std::hint::black_box;

use wasmill::clock::thread_cpu;

use crate::brokers::ACCOUNTS;
use crate::payment::{Parser, Payment};
use crate::workload::{Numbers, payment};

/// `serde_json`, natively, on the machine of the bars (`reference/hotpath.md`).
pub const REFERENCE_NS: f64 = 214.0;

const PAYMENTS: u64 = 1_000;
/// About a fifth of a second.
const TURNS: usize = 1_000;

pub struct Yardstick {
    payments: Vec<String>,
}

impl Yardstick {
    pub fn new() -> Self {
        let mut numbers = Numbers(3);
        Self { payments: (0..PAYMENTS).map(|index| payment(index, ACCOUNTS, &mut numbers).1).collect() }
    }

    /// CPU nanoseconds of parsing one payment, now.
    pub fn parse_ns(&self) -> f64 {
        let began = thread_cpu();
        for _ in 0..TURNS {
            for text in &self.payments {
                let parsed = Payment::read(Parser::Serde, black_box(text.as_bytes()));
                assert!(black_box(&parsed).is_ok(), "our own payments can be read");
            }
        }
        (thread_cpu() - began).as_nanos() as f64 / (TURNS * self.payments.len()) as f64
    }
}
