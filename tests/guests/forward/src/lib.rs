//! A component that names every record as its own output, so that the host copies it.

use wasmill_sdk::{Batch, Config, Failure, Out, Output, Processor};

struct Forward {
    out: Output,
}

impl Processor for Forward {
    fn open(_config: &Config) -> Result<Self, String> {
        Ok(Self { out: Output::at(0) })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |_, out| {
            out.forward(self.out);
            Ok(())
        })
    }
}

wasmill_sdk::export!(Forward);
