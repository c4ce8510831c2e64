//! Starts the embedded broker: a small binary of this crate, built together with every suite.

use std::path::Path;
use std::process::Command;

pub fn command(folder: &Path, address: &str) -> anyhow::Result<Command> {
    let suite = std::env::current_exe()?;
    let build = suite.ancestors().nth(2).expect("a suite lies in target/<profile>/deps");
    let mut command = Command::new(build.join("embedded_broker"));
    command.arg(folder.join("broker")).arg(address);
    Ok(command)
}
