//! The data folder: whose it is, whether it can be written, and what room is left beside it.

use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::finding::Finding;
use super::memory::mib;
use crate::run::folder::{FolderError, Sighting};
use crate::topology::Topology;

const ABOUT: &str = "data folder";

/// Below this a disk is about to be full: state, compiled components and, where it is embedded, the broker's topics grow.
const ROOM_LEAST: u64 = 2 << 30;

/// What the system tells of a place, or of the nearest folder around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ground {
    /// Why nothing can be made there.
    pub refusal: Option<String>,
    pub free_bytes: Option<u64>,
}

/// Looks without making anything.
pub(super) fn look(path: &Path) -> Ground {
    let path = if path.is_relative() { Path::new(".").join(path) } else { path.to_owned() };
    let nearest = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let refusal = if nearest.is_dir() {
        let made = access(nearest, Access::WRITE_OK | Access::EXEC_OK);
        made.err().map(|error| format!("{} cannot be written: {error}", nearest.display()))
    } else {
        Some(format!("{} is not a folder", nearest.display()))
    };
    let free_bytes = statvfs(nearest).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    Ground { refusal, free_bytes }
}

pub(super) fn judge(topology: &Topology, sighting: &Result<Sighting, FolderError>, ground: &Ground) -> Vec<Finding> {
    let (path, host) = (&topology.host.data, &topology.host.id);
    let mut findings = Vec::new();
    match (sighting, &ground.refusal) {
        (Err(error), _) => findings.push(Finding::problem(ABOUT, error.to_string(), "a host refuses to start on it")),
        (_, Some(refusal)) => {
            let advice = "let this user write it, or set `[host] data` (or --data) to another folder";
            findings.push(Finding::problem(ABOUT, refusal.clone(), advice));
        }
        (Ok(Sighting::InUse), _) => {
            findings.push(Finding::ok(ABOUT, format!("{path} is in use: host `{host}`, or a command, runs on it")));
        }
        (Ok(Sighting::Free), _) => findings.push(Finding::ok(ABOUT, format!("{path} of host `{host}` is free"))),
        (Ok(Sighting::Absent | Sighting::Unused), _) => {
            findings.push(Finding::ok(ABOUT, format!("{path} is new: the first start of a host fills it")));
        }
    }
    match ground.free_bytes {
        Some(bytes) if bytes < ROOM_LEAST => {
            let text = format!("{} are free where {path} lies", mib(bytes));
            let advice = "make room: a host whose disk is full stops committing, and what it serves stands still";
            findings.push(Finding::warning("disk", text, advice));
        }
        Some(bytes) => findings.push(Finding::ok("disk", format!("{} are free", mib(bytes)))),
        None => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::topology;

    #[test]
    fn a_folder_is_judged_by_owner_rights_and_room() {
        let source = "application = \"a\"\n[topics.t]\n[processors.p]\ncomponent = \"c\"\ninputs = [\"t\"]\n";
        let topology = topology::parse("w", source).expect("a manifest");
        let good = Ground { refusal: None, free_bytes: Some(ROOM_LEAST) };
        let foreign = FolderError::OtherHost { path: "data".into(), found: "b".into(), wanted: "a".into() };
        let cases = [
            (Ok(Sighting::Absent), good.clone(), [Level::Ok, Level::Ok], "is new"),
            (Ok(Sighting::InUse), good.clone(), [Level::Ok, Level::Ok], "in use: host `host`"),
            (
                Ok(Sighting::Free),
                Ground { free_bytes: Some(1 << 20), ..good.clone() },
                [Level::Ok, Level::Warning],
                "free",
            ),
            (
                Ok(Sighting::Free),
                Ground { refusal: Some("no".into()), ..good.clone() },
                [Level::Problem, Level::Ok],
                "no",
            ),
            (Err(foreign), good, [Level::Problem, Level::Ok], "belongs to host `b`"),
        ];
        for (sighting, ground, levels, says) in cases {
            let found = judge(&topology, &sighting, &ground);
            assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), levels, "{found:?}");
            assert!(found[0].text.contains(says), "{found:?}");
        }
    }

    #[test]
    fn the_nearest_folder_is_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = look(&folder.path().join("not/there/yet"));
        assert!(found.refusal.is_none() && found.free_bytes.is_some_and(|bytes| bytes > 0), "{found:?}");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("a file");
        assert!(look(&file.join("in")).refusal.is_some_and(|why| why.contains("not a folder")));
    }
}
