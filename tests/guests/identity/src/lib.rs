//! A component that copies the bytes of every record into its memory and out again: the price of the border.

use wasmill_sdk::{Batch, Config, Failure, Out, Output, Part, Processor};

struct Identity {
    out: Output,
}

impl Processor for Identity {
    fn open(_config: &Config) -> Result<Self, String> {
        Ok(Self { out: Output::at(0) })
    }

    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
        batch.each(out, |record, out| {
            out.send(self.out, Part::from(record.key), Part::from(record.value));
            Ok(())
        })
    }
}

wasmill_sdk::export!(Identity);
