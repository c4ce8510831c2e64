//! The embedded broker as a process of its own: `embedded_broker FOLDER ADDRESS`, until SIGTERM or SIGKILL.
//! Owns the orderly stop on SIGTERM. Built with every suite of this crate, so that it is never an old one.
#![allow(unsafe_code)]

use anyhow::Context;
use wasmill_broker::{Broker, BrokerConfig};

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address] = &words[..] else { anyhow::bail!("usage: embedded_broker FOLDER ADDRESS") };
    let stop = StopSignal::block();
    let mut config = BrokerConfig::new(folder);
    config.address = address.parse().context("ADDRESS is like 127.0.0.1:9092")?;
    let broker = Broker::start(config)?;
    println!("listening on {}", broker.address());
    stop.wait();
    broker.stop();
    println!("stopped");
    Ok(())
}

/// SIGTERM, kept from ending the process.
struct StopSignal(libc::sigset_t);

impl StopSignal {
    /// To be called before there are other threads: they inherit the mask.
    fn block() -> Self {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: sigemptyset initializes the set that the other calls then read; none keeps the pointer.
        let (set, result) = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            let result = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            (set.assume_init(), result)
        };
        assert_eq!(result, 0, "blocking a signal takes no resource");
        Self(set)
    }

    fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both places are ours and valid for the call.
        let result = unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
        assert_eq!(result, 0, "the set holds a signal that exists");
    }
}
