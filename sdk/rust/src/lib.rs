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
mod log;
mod out;
mod packed;
mod processor;
mod slots;
mod store;
mod table;
#[cfg(not(target_arch = "wasm32"))]
mod testing;

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

/// Makes a component of a [`Processor`]: `export!(Type);`.
#[macro_export]
macro_rules! export {
    ($type:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            $crate::exported_framed!(Exported, $type, $crate::bindings);
    $crate::bindings::export_processor!(Exported with_types_in $crate::bindings);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::Config) -> ::core::result::Result<$type, ::std::string::String> =
            <$type as $crate::Processor>::open;
    };
}

/// The exported functions of a [`Processor`], for the bindings of one world.
#[doc(hidden)]
#[macro_export]
macro_rules! exported_framed {
    ($exported:ident, $type:ty, $($bindings:tt)+) => {
        ::std::thread_local! {
            static INSTANCE: ::core::cell::RefCell<::core::option::Option<$crate::Instance<$type>>> =
                const { ::core::cell::RefCell::new(::core::option::Option::None) };
        }

        impl $($bindings)+::exports::wasmill::plugin::framed::Guest for $exported {
            fn open(config: ::std::string::String) -> ::core::result::Result<(), ::std::string::String> {
                let opened = $crate::Instance::open(&config)?;
                INSTANCE.set(::core::option::Option::Some(opened));
                ::core::result::Result::Ok(())
            }

            fn process(
                source: u32,
                frames: ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, $($bindings)+::exports::wasmill::plugin::framed::Failure>
            {
                INSTANCE.with_borrow_mut(|instance| {
                    let instance = instance.as_mut().expect("the host opens an instance before it calls it");
                    instance.process(source, &frames).map_err(|failure| {
                        $($bindings)+::exports::wasmill::plugin::framed::Failure {
                            code: failure.code,
                            index: failure.index,
                            message: failure.message,
                        }
                    })
                })
            }
        }
    };
}
