//! The few calls to the operating system that compiling components needs and the standard library lacks.

#![allow(unsafe_code)]

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
