//! Builds components: the test guests and the demo's plugins, all into one target folder.
//! To add one, make it a workspace member in `tests/guests/<name>` or `plugins/<name>` and add its package name here.

use crate::command::run;
use crate::part::Done;

/// Package names. They come out as `target/wasm32-wasip2/guest/<name with underscores>.wasm`.
const GUESTS: &[&str] = &[];

pub fn build() -> anyhow::Result<Done> {
    if GUESTS.is_empty() {
        println!("none yet");
        return Ok(Done::Ok);
    }
    let mut words = vec!["build", "--profile", "guest", "--target", "wasm32-wasip2"];
    for guest in GUESTS {
        words.extend(["-p", guest]);
    }
    run("cargo", &words)?;
    Ok(Done::Ok)
}
