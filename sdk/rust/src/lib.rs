//! Write a wasmill processor in Rust: implement [`Processor`], name it in [`export!`], build for `wasm32-wasip2`.
//! Owns the frames, the packed lists and the bindings, so that authors see records, stores and tables.
//!
//! ```
//! use wasmill_sdk::{Batch, Config, Failure, Out, Output, Part, Processor};
//!
//! struct Shout {
//!     out: Output,
//! }
//!
//! impl Processor for Shout {
//!     fn open(config: &Config) -> Result<Self, String> {
//!         Ok(Self { out: config.output("shouted") })
//!     }
//!
//!     fn process(&mut self, batch: Batch<'_>, out: &mut Out) -> Result<(), Failure> {
//!         batch.each(out, |record, out| {
//!             let value = record.value.ok_or_else(|| Failure::new("malformed", "no value"))?;
//!             out.send(self.out, Part::Same, &value.to_ascii_uppercase());
//!             Ok(())
//!         })
//!     }
//! }
//!
//! wasmill_sdk::export!(Shout);
//! # fn main() {}
//! ```
//!
//! Instance memory is a cache: the host may replace the instance between any two calls, and one instance serves several
//! partitions. What must last goes into a [`Store`].

// The generated code and the macros name this crate as its users do.
extern crate self as wasmill_sdk;

mod batch;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
mod config;
mod failure;
mod glue;
mod host;
pub mod json;
mod log;
mod out;
mod packed;
mod processor;
mod slots;
mod store;
mod table;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use batch::{Batch, Header, Headers, Record};
pub use config::{Config, Input, Output};
pub use failure::Failure;
pub use log::{Level, debug, error, info, log, warn};
pub use out::{Emit, NewRecord, Out, Part};
pub use packed::{Keys, Values};
pub use processor::{Processor, Ticks, now_ms, seed};
pub use slots::Entry;
pub use store::{Changes, Entries, Store};
pub use table::Table;

#[doc(hidden)]
pub use glue::Instance;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use wit_bindgen;

/// Makes a component of a [`Processor`]: `export!(Type);`. One that implements [`Ticks`] as well, and hears of the end of
/// its instance: `export!(Type, ticks);`.
#[macro_export]
macro_rules! export {
    ($type:ty) => {
        $crate::exported!($type, {});
    };
    ($type:ty, ticks) => {
        $crate::exported!($type, {
            impl $crate::bindings::optional::exports::wasmill::plugin::ticks::Guest for Exported {
                fn tick(
                    frames: ::std::vec::Vec<u8>,
                    missed: u64,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<u8>,
                    $crate::bindings::optional::exports::wasmill::plugin::ticks::Failure,
                > {
                    Self::with(|instance| instance.tick(&frames, missed)).map_err(|failure| {
                        $crate::bindings::optional::exports::wasmill::plugin::ticks::Failure {
                            code: failure.code,
                            index: failure.index,
                            message: failure.message,
                        }
                    })
                }
            }

            impl $crate::bindings::optional::exports::wasmill::plugin::lifecycle::Guest for Exported {
                fn close() {
                    if let ::core::option::Option::Some(instance) = INSTANCE.take() {
                        instance.close();
                    }
                }
            }

            $crate::bindings::optional::export_optional!(Exported with_types_in $crate::bindings::optional);
        });
    };
}

/// The exports of every component, and `more`.
#[doc(hidden)]
#[macro_export]
macro_rules! exported {
    ($type:ty, { $($more:tt)* }) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::core::cell::RefCell<::core::option::Option<$crate::Instance<$type>>> =
                    const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Exported;

            impl Exported {
                fn with<T>(work: impl ::core::ops::FnOnce(&mut $crate::Instance<$type>) -> T) -> T {
                    INSTANCE.with_borrow_mut(|instance| {
                        work(instance.as_mut().expect("the host opens an instance before it calls it"))
                    })
                }
            }

            impl $crate::bindings::exports::wasmill::plugin::framed::Guest for Exported {
                fn open(config: ::std::string::String) -> ::core::result::Result<(), ::std::string::String> {
                    let opened = $crate::Instance::open(&config)?;
                    INSTANCE.set(::core::option::Option::Some(opened));
                    ::core::result::Result::Ok(())
                }

                fn process(
                    source: u32,
                    frames: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<u8>,
                    $crate::bindings::exports::wasmill::plugin::framed::Failure,
                > {
                    Self::with(|instance| instance.process(source, &frames)).map_err(|failure| {
                        $crate::bindings::exports::wasmill::plugin::framed::Failure {
                            code: failure.code,
                            index: failure.index,
                            message: failure.message,
                        }
                    })
                }
            }

            $crate::bindings::export_processor!(Exported with_types_in $crate::bindings);

            $($more)*
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::Config) -> ::core::result::Result<$type, ::std::string::String> =
            <$type as $crate::Processor>::open;
    };
}
