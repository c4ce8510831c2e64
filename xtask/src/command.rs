//! Running other programs from the repository's root, their output shown as it comes.
//! Owns where the root and the build folder are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::part::Done;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the repository's root")
}

/// Where everything that is made goes. Never in git.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Runs a program and fails if it does.
pub fn run(program: &str, words: &[&str]) -> anyhow::Result<()> {
    println!("$ {program} {}", words.join(" "));
    let status = Command::new(program)
        .args(words)
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start `{program}`: is it installed?"))?;
    anyhow::ensure!(status.success(), "`{program} {}`: {status}", words.join(" "));
    Ok(())
}

/// Runs a program of this workspace, built before.
pub fn run_built(name: &str, words: &[String]) -> anyhow::Result<Done> {
    let program = target().join("release").join(name);
    let program = program.to_str().context("the build folder's path is not text")?;
    run(program, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(Done::Ok)
}

/// Runs a program quietly and gives what it printed, or nothing where it is missing or failed.
pub fn answer(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).current_dir(root()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}
