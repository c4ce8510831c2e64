//! The few calls to the operating system that running and compiling components need and the standard library lacks.

#![allow(unsafe_code)]

/// CPU time of the calling thread: waiting, or a host that is short of CPU, does not count.
pub(super) fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec; the call has no other effect (clock_gettime(2)).
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every Linux thread has a CPU clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Bounds this process. An exhausted bound ends it by signal or abort.
pub(super) fn restrict(memory_bytes: u64, cpu_seconds: u64, nice: i32) -> Result<(), String> {
    let limit = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: `limit` is a valid rlimit that outlives the call (setrlimit(2)).
        match unsafe { libc::setrlimit(resource, &raw const limit) } {
            0 => Ok(()),
            _ => Err(format!("cannot limit the compiler: {}", std::io::Error::last_os_error())),
        }
    };
    limit(libc::RLIMIT_AS, memory_bytes)?;
    limit(libc::RLIMIT_CPU, cpu_seconds)?;
    limit(libc::RLIMIT_CORE, 0)?;
    // SAFETY: nice(2) takes any number; failing to lower the priority is not worth an error.
    unsafe { libc::nice(nice) };
    Ok(())
}
