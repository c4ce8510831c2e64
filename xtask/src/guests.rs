//! Builds components: the test guests and the demo's plugins, all into `target/wasm32-wasip2/guest/`.
//! Nothing is to be registered: a crate in `tests/guests/` or `plugins/` that makes a `cdylib` is a component.

use std::fs;

use crate::command::{root, run};
use crate::part::Done;

const FOLDERS: [&str; 2] = ["tests/guests", "plugins"];

/// Turns `.wat` texts into components that no compiler would produce.
const ASSEMBLER: &str = "guest-assemble";

struct Crate {
    name: String,
    folder: &'static str,
    is_component: bool,
}

pub fn build() -> anyhow::Result<Done> {
    let crates = crates()?;
    let components: Vec<&Crate> = crates.iter().filter(|found| found.is_component).collect();
    if components.is_empty() {
        println!("none yet");
        return Ok(Done::Ok);
    }
    let mut words = vec!["build", "--profile", "guest", "--target", "wasm32-wasip2"];
    for component in components {
        words.extend(["-p", &component.name]);
    }
    run("cargo", &words)?;
    if crates.iter().any(|found| found.name == ASSEMBLER) {
        run("cargo", &["run", "--release", "-q", "-p", ASSEMBLER])?;
    }
    Ok(Done::Ok)
}

/// The tests that a crate can run alone: the host, the broker, the SDK, and every plugin on the SDK's native driver.
pub fn unit_tests() -> anyhow::Result<Done> {
    let crates = crates()?;
    let plugins = crates.iter().filter(|found| found.folder == "plugins").map(|found| found.name.as_str());
    let mut words = vec!["test", "--release", "--no-fail-fast"];
    for name in ["wasmill", "wasmill-broker", "wasmill-sdk"].into_iter().chain(plugins) {
        words.extend(["-p", name]);
    }
    run("cargo", &words)?;
    Ok(Done::Ok)
}

/// By name, so that the order is the same everywhere.
fn crates() -> anyhow::Result<Vec<Crate>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { continue };
        for entry in entries {
            let Ok(manifest) = fs::read_to_string(entry?.path().join("Cargo.toml")) else { continue };
            let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
            let Some(name) = name else { continue };
            found.push(Crate { name: name.to_string(), folder, is_component: manifest.contains("\"cdylib\"") });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
