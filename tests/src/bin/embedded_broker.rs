//! The embedded broker as a process of its own: `embedded_broker FOLDER ADDRESS`, until SIGTERM or SIGKILL.
//! Owns the orderly stop on SIGTERM. Built with every suite of this crate, so that it is never an old one.
fn main() {
    eprintln!("not there yet");
    std::process::exit(1);
}
