//! The embedded broker as a process of its own: `embedded_broker FOLDER ADDRESS`, until SIGTERM or SIGKILL.
fn main() {
    eprintln!("not there yet");
    std::process::exit(1);
}
