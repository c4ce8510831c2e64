//! How much memory a process may have here: what the machine has, or what its control group allows.

use std::fs;
use std::path::Path;

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Nothing if the system does not tell.
    pub bytes: Option<u64>,
    /// Who says so.
    pub source: String,
}

/// The memory of this machine, or less where a control group says so.
pub(super) fn memory() -> Memory {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    memory_of(&read("/proc/meminfo"), &read("/proc/self/cgroup"), Path::new(GROUPS))
}

fn memory_of(meminfo: &str, own_groups: &str, mounted: &Path) -> Memory {
    let machine = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        Some((kib.trim().parse::<u64>().ok()? << 10, "this machine".to_owned()))
    });
    let least = limits(own_groups, mounted).into_iter().chain(machine).min();
    match least {
        Some((bytes, source)) => Memory { bytes: Some(bytes), source },
        None => Memory { bytes: None, source: "this machine".to_owned() },
    }
}

/// Limits of our groups and of those around them. Inside a container, the path of a group may be that of the world
/// outside; then the mounted root is our own group.
fn limits(own_groups: &str, mounted: &Path) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for line in own_groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            one if one.split(',').any(|c| c == "memory") => (mounted.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&root)) {
            let limit = folder.join(file);
            // "max", or a file that is not there, is no limit.
            if let Some(bytes) = fs::read_to_string(&limit).ok().and_then(|text| text.trim().parse().ok()) {
                found.push((bytes, format!("the control group, {}", limit.display())));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        8000000 kB\nMemFree:  1 kB\n";

    #[test]
    fn the_least_of_machine_and_groups_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("a/memory.max", "4096000\n");
        write("a/b/memory.max", "max\n");
        write("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.limit_in_bytes", "2048000\n");
        let machine = 8_000_000 << 10;
        let cases = [
            ("", machine, "this machine"),
            ("0::/", machine, "this machine"),
            ("0::/a/b", 4_096_000, "a/memory.max"),
            ("0::/../../outside", machine, "this machine"),
            ("3:cpu:/a\n9:memory,x:/c", 2_048_000, "memory/memory.limit_in_bytes"),
            ("garbage\n::", machine, "this machine"),
        ];
        for (groups, bytes, source) in cases {
            let found = memory_of(MEMINFO, groups, folder.path());
            assert_eq!(found.bytes, Some(bytes), "{groups}: {found:?}");
            assert!(found.source.ends_with(source), "{groups}: {found:?}");
        }
        assert_eq!(memory_of("", "", folder.path()).bytes, None);
    }
}
