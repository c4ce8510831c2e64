//! Starts the embedded broker: a small binary of this crate, built together with every suite.

use std::path::Path;
use std::process::Command;

pub fn command(folder: &Path, address: &str) -> anyhow::Result<Command> {
    let suite = std::env::current_exe()?;
    let place = suite.parent().expect("a program lies in a folder");
    // Suites lie in target/<profile>/deps, programs one above.
    let build = if place.ends_with("deps") { place.parent().unwrap_or(place) } else { place };
    let mut command = Command::new(build.join("embedded_broker"));
    command.arg(folder.join("broker")).arg(address);
    Ok(command)
}
