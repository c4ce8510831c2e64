//! CPU time of processes and their threads, as the kernel counts it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// By thread number: its name, and nanoseconds so far.
pub type Threads = BTreeMap<u64, (String, u64)>;

/// The threads that a process has now; `self` is this process.
pub fn threads_ns(process: &str) -> Threads {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return BTreeMap::new() };
    let of = |folder: PathBuf| {
        let id = folder.file_name()?.to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned();
        let ns = std::fs::read_to_string(folder.join("schedstat")).ok()?.split(' ').next()?.parse().ok()?;
        Some((id, (name, ns)))
    };
    tasks.filter_map(|task| of(task.ok()?.path())).collect()
}

/// CPU time of this process so far, user and system.
pub fn process() -> Duration {
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let of = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}
