//! A consumer that sleeps until something comes. The one of the `rdkafka` crate spins through the last millisecond of each
//! wait: a tenth of a core for waits of ten, one after the other.

use std::io;
use std::time::Duration;

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

    /// Ends the wait of [`Self::next`], or of the next one.
    pub fn waker(&self) -> Wake {
        self.wake.clone()
    }

    /// The next message or error, waiting at most `wait`; less if woken.
    pub fn next(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        let found = self.consumer.poll(Duration::ZERO);
        if found.is_some() || wait.is_zero() {
            return found;
        }
        self.wake.wait(wait);
        self.consumer.poll(Duration::ZERO)
    }
}
