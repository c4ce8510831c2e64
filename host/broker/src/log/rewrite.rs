//! Replacing segments by their compacted form so that a crash leaves one or the other.
//! A replacement is written beside (`.cleaned`), renamed to `<first>-<next>.swap` when whole, which decides, and then
//! takes the place of all segments in `[first, next)`. Does not know what was left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::segment::{self, Segment};
use crate::error::BrokerError;

pub fn cleaned_path(folder: &Path, first: i64) -> PathBuf {
    folder.join(format!("{first:020}.cleaned"))
}

pub fn swap_path(folder: &Path, first: i64, next: i64) -> PathBuf {
    folder.join(format!("{first:020}-{next:020}.swap"))
}

/// After a crash: half-written replacements are dropped, decided ones finished.
pub fn finish_swaps(folder: &Path) -> Result<(), BrokerError> {
    for entry in fs::read_dir(folder).map_err(BrokerError::io("list", folder))? {
        let path = entry.map_err(BrokerError::io("list", folder))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("cleaned" | "new") => fs::remove_file(&path).map_err(BrokerError::io("remove", &path))?,
            Some("swap") => finish_swap(folder, &path).map_err(BrokerError::io("finish the swap of", &path))?,
            _ => {}
        }
    }
    Ok(())
}

/// Removes the segments a decided replacement stands for, then gives it its name.
pub fn finish_swap(folder: &Path, swap: &Path) -> io::Result<()> {
    let range = swap.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.split_once('-'));
    let bounds = range.and_then(|(first, next)| Some((first.parse::<i64>().ok()?, next.parse::<i64>().ok()?)));
    let (first, next) = bounds.ok_or_else(|| io::Error::other("its name is not of our making"))?;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|base| base.parse::<i64>().ok());
        if let Some(base) = base.filter(|base| (first..next).contains(base)) {
            Segment::new(folder, base).remove()?;
        }
    }
    fs::rename(swap, folder.join(segment::file_name(first)))
}
