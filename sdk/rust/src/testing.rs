//! For authors' unit tests, which run natively: records in, records out, a look into stores, time that moves when told.
//!
//! [`Driver`] behaves as a host may: it splits batches at random points and replaces the instance at random, since both
//! may happen at any time. A processor that keeps in memory what belongs into a store gives other results then.
//!
//! ```
//! # use wasmill_sdk::{Batch, Config, Failure, Out, Output, Processor, Store, Part};
//! # struct Count { out: Output, counts: Store }
//! # impl Processor for Count {
//! #     fn open(config: &Config) -> Result<Self, String> {
//! #         Ok(Self { out: config.output("counts"), counts: config.store("count") })
//! #     }
//! #     fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
//! #         batch.each(out, |record, out| {
//! #             let key = record.key.unwrap_or(b"none");
//! #             let count = self.counts.get(key).map_or(1, |value| value[0] + 1);
//! #             self.counts.put(key, &[count]);
//! #             out.send(self.out, Part::Same, count.to_string().as_bytes());
//! #             Ok(())
//! #         })
//! #     }
//! # }
//! use wasmill_sdk::testing::{Driver, Sent};
//!
//! let mut driver = Driver::<Count>::new().output("counts").store("count").open()?;
//! let sent = driver.send(&[("a", "x"), ("b", "x"), ("a", "x")])?;
//! assert_eq!(sent[2], Sent::new("counts", "a", "2"));
//! assert_eq!(driver.stored("count", "a"), Some(vec![2]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod driver;
mod frames;
pub(crate) mod host;
mod sent;

pub use driver::{Driver, Error, KeyValue, Setup};
pub use sent::{Header, Sent};
