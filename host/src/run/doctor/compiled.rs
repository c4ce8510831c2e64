//! Whether the components of a manifest compile and fit, as `wasmill check` says it, without making a data folder.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::config::{self, Manifest};
use crate::run::components::Components;
use crate::run::ready::try_out_all;

const ABOUT: &str = "components";

/// Compiles every component that a host has not compiled here, whether or not one is running.
pub(super) fn examine(manifest: &Manifest, data: &Path) -> Vec<Finding> {
    let cache = data.join("cache");
    // Where no host has compiled yet, none is made to find files of ours.
    let scratch = if cache.is_dir() { None } else { Some(tempfile::tempdir()) };
    let folder: PathBuf = match &scratch {
        None => cache,
        Some(Ok(folder)) => folder.path().to_owned(),
        Some(Err(error)) => return vec![failed(format!("no folder can be made to compile in: {error}"))],
    };
    let program = match config::this_program() {
        Ok(program) => program,
        Err(error) => return vec![failed(format!("this program cannot be found: {error}"))],
    };
    match Components::beside(&manifest.base, &folder, &program) {
        Ok(components) => judge(manifest, &components),
        Err(why) => vec![failed(why)],
    }
}

fn judge(manifest: &Manifest, components: &Components) -> Vec<Finding> {
    let processors = &manifest.topology.processors;
    match try_out_all(&manifest.topology, components) {
        Ok(prepared) => {
            let all = processors.iter().zip(&prepared).map(|(p, prepared)| format!("{} {prepared}", p.name));
            let all: Vec<String> = all.collect();
            vec![Finding::ok(ABOUT, format!("manifest and components have no problems: {}", all.join(", ")))]
        }
        Err(problems) => {
            let advice = "build the component, or correct `component` of the processor; `wasmill check` says the same";
            problems.iter().map(|problem| Finding::problem(ABOUT, problem.to_string(), advice)).collect()
        }
    }
}

fn failed(why: String) -> Finding {
    Finding::problem(ABOUT, why, "components cannot be compiled on this machine before this is repaired")
}
