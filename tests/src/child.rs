//! A child process that never outlives us: killed on drop by its pid, and by the kernel if we die first.
//! Owns the process and the file with what it printed.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::until::until;

/// How long an orderly stop may take before it counts as hung.
const STOP_LIMIT: Duration = Duration::from_secs(30);

pub struct Child {
    process: Process,
    log: PathBuf,
}

impl Child {
    /// Starts a program; what it prints is appended to `log`.
    pub fn start(mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let out = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // SAFETY: prctl is async-signal-safe, allocates nothing and touches no memory of ours.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let process = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { process, log })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    /// The last lines that it printed.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        let ended = || self.process.try_wait().expect("a child can be waited for");
        until("the child's orderly end", STOP_LIMIT, ended)
    }

    /// SIGSTOP: it stands still until `go_on`.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill takes plain numbers; the pid is that of our child, which nobody else reaps.
        unsafe { libc::kill(self.pid() as i32, signal) };
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed until it was waited for");
        self.process.wait().expect("a child can be waited for");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
        }
    }
}
