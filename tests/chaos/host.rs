//! The host under test: `wasmill run` on the exchange's manifest, as a child process with a data folder that outlives it.
//! Owns the process, and reads what a life has restored from its log.

use std::path::{Path, PathBuf};
use std::process::Command;

use wasmill_tests::brokers::built;
use wasmill_tests::child::Child;

pub struct Host {
    folder: PathBuf,
    address: String,
    /// Lives so far: each has a log of its own.
    lives: u32,
    child: Option<Child>,
}

impl Host {
    /// Not running yet.
    pub fn new(folder: PathBuf, address: String) -> Self {
        Self { folder, address, lives: 0, child: None }
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        self.lives += 1;
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/exchange/wasmill.toml");
        let mut command = Command::new(built("wasmill")?);
        command.arg("run").arg("--manifest").arg(manifest).arg("--data").arg(self.folder.join("data"));
        command.args(["--host", "chaos", "--bootstrap", &self.address]);
        self.child = Some(Child::start(command, self.log())?);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("host-{:03}.log", self.lives))
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill();
        }
    }

    /// SIGTERM; it has to end in order.
    ///
    /// # Errors
    /// It does not.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = child.stop();
        anyhow::ensure!(status.success(), "the host's end: {status}\n{}", child.last_words());
        Ok(())
    }

    /// # Errors
    /// It has ended by itself, which nothing here is a reason for.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.child
            && child.has_ended()
        {
            anyhow::bail!("the host ended by itself; its last words:\n{}", child.last_words());
        }
        Ok(())
    }

    /// Changelog offsets that this life has read back, and the tasks that did.
    pub fn restored(&self) -> (u64, u64) {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let plain = without_colours(&log);
        let lines = plain.lines().filter(|line| line.contains("restoring"));
        let offsets = |line: &str| -> Option<u64> { line.split("offsets=").nth(1)?.split(' ').next()?.parse().ok() };
        lines.filter_map(offsets).filter(|n| *n > 0).fold((0, 0), |(sum, tasks), n| (sum + n, tasks + 1))
    }
}

/// Drops terminal sequences: `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    #[test]
    fn colours_go() {
        assert_eq!(super::without_colours("a\u{1b}[2moffsets\u{1b}[0m=7 b"), "aoffsets=7 b");
    }
}
