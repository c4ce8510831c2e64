//! WASI 0.2 as far as ordinary toolchains need it, and nothing of the machine behind it: no environment, arguments, files
//! or sockets; a clock that stands still during a call; randomness from the call's seed; output that goes to the log;
//! waiting that never waits. Knows nothing of stores or frames.

mod cli;
mod clocks;
mod io;
mod random;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::{self, sync};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtx, WasiSocketsCtxView};

use super::capture::Capture;
use super::guest::Guest;

/// Resources of files and sockets that an instance may hold. There are none to be had, but for the name of a network.
const RESOURCES_MAX: usize = 64;

/// The packages that [`add`] serves, all of their 0.2 versions.
pub(super) const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// What the restricted WASI remembers for one instance.
pub(super) struct Wasi {
    pub(super) now_ms: i64,
    pub(super) seed: u64,
    random: random::Generator,
    table: ResourceTable,
    files: WasiFilesystemCtx,
    sockets: WasiSocketsCtx,
}

/// What its functions work on.
struct View<'a> {
    wasi: &'a mut Wasi,
    capture: &'a mut Capture,
}

struct Restricted;

impl HasData for Restricted {
    type Data<'a> = View<'a>;
}

impl Default for Wasi {
    fn default() -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            now_ms: 0,
            seed: 0,
            random: random::Generator::new(0),
            table,
            files: WasiFilesystemCtx::default(),
            sockets: WasiSocketsCtx::default(),
        }
    }
}

impl Wasi {
    /// Fixes time and randomness for a call.
    #[inline]
    pub(super) fn begin_call(&mut self, now_ms: i64, seed: u64) {
        self.now_ms = now_ms;
        self.seed = seed;
        self.random = random::Generator::new(seed);
    }
}

/// Adds all of it.
pub(super) fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    io::add_error(linker)?;
    sync::io::poll::add_to_linker::<_, Restricted>(linker, view)?;
    sync::io::streams::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::clocks::wall_clock::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::clocks::monotonic_clock::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::random::random::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::random::insecure::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::random::insecure_seed::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::environment::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::exit::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::stdin::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::stdout::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::stderr::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::terminal_input::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::terminal_output::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::terminal_stdin::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::terminal_stdout::add_to_linker::<_, Restricted>(linker, view)?;
    bindings::cli::terminal_stderr::add_to_linker::<_, Restricted>(linker, view)?;
    add_files(linker)?;
    add_sockets(linker)
}

/// Files: the functions are wasmtime's, but no directory is given away, so that no file can be named.
fn add_files(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, files)?;
    sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, files)
}

/// Sockets: the functions are wasmtime's, whose default denies every socket and look-up of a name.
fn add_sockets(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let options = bindings::sockets::network::LinkOptions::default();
    bindings::sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, sockets)?;
    bindings::sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    bindings::sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    bindings::sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    sync::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    sync::sockets::tcp::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    sync::sockets::udp::add_to_linker::<_, WasiSockets>(linker, sockets)
}

fn view(guest: &mut Guest) -> View<'_> {
    View { wasi: &mut guest.wasi, capture: &mut guest.capture }
}

fn files(guest: &mut Guest) -> WasiFilesystemCtxView<'_> {
    WasiFilesystemCtxView { ctx: &mut guest.wasi.files, table: &mut guest.wasi.table }
}

fn sockets(guest: &mut Guest) -> WasiSocketsCtxView<'_> {
    WasiSocketsCtxView { ctx: &mut guest.wasi.sockets, table: &mut guest.wasi.table }
}
