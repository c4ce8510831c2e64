//! The functions of the host, as this crate calls them: bindings in a component, an in-memory host elsewhere (unit tests
//! of authors). Nothing else in this crate knows which it is.

#[cfg(target_arch = "wasm32")]
mod bound {
    use crate::Level;
    use crate::bindings::wasmill::plugin::{log, moment, state, tables};

    pub(crate) use moment::{now, seed};
    pub(crate) use state::{
        apply as state_apply, get as state_get, get_many as state_get_many, get_slots as state_get_slots,
        put as state_put, put_slots as state_put_slots, remove as state_remove, scan as state_scan,
    };
    pub(crate) use tables::{age as table_age, get as table_get, get_many as table_get_many, scan as table_scan};

    pub(crate) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::log(level, message);
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use bound::*;
