//! What an author implements, and what is fixed for one call.

use crate::{Batch, Config, Failure, Out, host};

/// The logic of a processor. One value of it lives as long as an instance, which may end between any two calls.
pub trait Processor: Sized + 'static {
    /// Called once on each fresh instance. Look up stores, tables and outputs by name here: if one of them is not
    /// declared, the version is refused, and all that are missing are named at once.
    ///
    /// # Errors
    /// The settings cannot be used. The text goes to whoever deployed the version.
    fn open(config: &Config) -> Result<Self, String>;

    /// Handles consecutive records of one partition of one input. Its effects count only if it returns `Ok`.
    ///
    /// # Errors
    /// A record cannot be processed; name it with [`Failure::at`], or use [`Batch::each`], which does.
    fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure>;

    /// Called when the instance is let go in good order, which is not certain to happen.
    fn close(self) {}
}

/// The passing of time, for processors with a tick in the manifest: `export!(Type, ticks)`.
pub trait Ticks: Processor {
    /// `batch` holds one record without key and value, whose timestamp is the time at which the tick was due. `missed`
    /// counts the ticks that this one stands for beside itself.
    ///
    /// # Errors
    /// The tick cannot be handled.
    fn tick(&mut self, batch: Batch<'_>, missed: u64, out: &mut Out) -> Result<(), Failure>;
}

/// The time of this call, in milliseconds since 1970. For time that belongs to the data use [`crate::Record::timestamp_ms`].
pub fn now_ms() -> i64 {
    host::now()
}

/// A seed for random numbers, another one for each call. The standard library's own randomness is seeded by it too.
pub fn seed() -> u64 {
    host::seed()
}
