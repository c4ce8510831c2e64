//! Starts the embedded broker: a small binary of this crate, built together with every suite, or the `wasmill` program.

use std::path::{Path, PathBuf};
use std::process::Command;

pub fn command(folder: &Path, address: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(built("embedded_broker")?);
    command.arg(folder.join("broker")).arg(address);
    Ok(command)
}

/// `wasmill broker`.
pub fn program(folder: &Path, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(built("wasmill")?);
    command.args(["broker", "--port", &port.to_string(), "--folder"]).arg(folder.join("broker"));
    Ok(command)
}

/// A program of this workspace.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let suite = std::env::current_exe()?;
    let place = suite.parent().expect("a program lies in a folder");
    // Suites lie in target/<profile>/deps, programs one above.
    let build = if place.ends_with("deps") { place.parent().unwrap_or(place) } else { place };
    let program = build.join(name);
    anyhow::ensure!(program.exists(), "{} is missing: cargo build --release --workspace", program.display());
    Ok(program)
}
