//! Free ports below the range from which the kernel takes ports of outgoing connections, so that a broker finds its
//! port free again after a restart.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port on which nobody listens. Never the same twice in one process.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let candidates = (0..COUNT).map(|_| FIRST + (start.wrapping_mul(7) + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.into_iter().find(is_free).expect("one of 20,000 ports is free")
}
