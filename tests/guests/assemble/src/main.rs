//! Turns the components written as text, `wat/*.wat` here, into files beside the compiled guests.
//! A program of its own, so that no other crate is built with the parser's features.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let folder = target.join("wasm32-wasip2/guest");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(root.join("tests/guests/assemble/wat"))? {
        let text = entry?.path();
        let bytes = wat::parse_file(&text)?;
        let name = text.file_stem().context("a file has a name")?;
        let file = folder.join(format!("wat_{}.wasm", name.display()));
        fs::write(&file, bytes).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
