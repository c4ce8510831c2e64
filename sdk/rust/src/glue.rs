//! Between the exported functions and an author's [`Processor`]: one instance, its configuration, frames in and out.

use crate::{Batch, Config, Failure, Input, Out, Processor, Ticks};

/// The one processor of a component instance.
#[derive(Debug)]
pub struct Instance<P> {
    processor: P,
}

impl<P: Processor> Instance<P> {
    /// # Errors
    /// The author's, or the names that are not declared.
    pub fn open(document: &str) -> Result<Self, String> {
        let config = Config::parse(document)?;
        let opened = P::open(&config);
        match (opened, config.missing()) {
            (Ok(processor), Ok(())) => Ok(Self { processor }),
            (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
            (Err(error), Err(missing)) => Err(format!("{missing}; {error}")),
        }
    }

    /// # Errors
    /// The author's.
    #[inline]
    pub fn process(&mut self, source: u32, frames: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = Out::with_capacity(frames.len());
        self.processor.process(Batch::new(Input(source), frames), &mut out)?;
        Ok(out.into_frames())
    }

    pub fn close(self) {
        self.processor.close();
    }
}

impl<P: Ticks> Instance<P> {
    /// # Errors
    /// The author's.
    pub fn tick(&mut self, frames: &[u8], missed: u64) -> Result<Vec<u8>, Failure> {
        let mut out = Out::default();
        self.processor.tick(Batch::new(Input(u32::MAX), frames), missed, &mut out)?;
        Ok(out.into_frames())
    }
}
