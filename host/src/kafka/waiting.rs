//! A consumer that sleeps until something comes. The one of the `rdkafka` crate spins through the last millisecond of each
//! wait: a tenth of a core for waits of ten, one after the other.

use std::io;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;

use super::wake::Wake;

pub(super) struct Waiting {
    consumer: BaseConsumer,
    wake: Wake,
}

impl Waiting {
    /// # Errors
    /// The machine gives no more event counters.
    pub fn new(mut consumer: BaseConsumer) -> io::Result<Self> {
        let wake = Wake::new()?;
        let woken = wake.clone();
        consumer.set_nonempty_callback(move || woken.wake());
        Ok(Self { consumer, wake })
    }

    pub fn consumer(&self) -> &BaseConsumer {
        &self.consumer
    }

    /// The next message or error, waiting at most `wait`.
    pub fn next(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        let until = Instant::now() + wait;
        loop {
            if let Some(message) = self.consumer.poll(Duration::ZERO) {
                return Some(message);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.wake.wait(left);
        }
    }
}
