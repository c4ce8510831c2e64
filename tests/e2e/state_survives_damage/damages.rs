//! The damages: what is done to a stopped host's state, and what must follow.
//! Where a store is forged, a balance that no input explains is written into it: whoever trusts that store shows it.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, ensure};
use wasmill::clock::{Clock, SystemClock};
use wasmill::record::{Partition, partition_of};
use wasmill::store::{Checkpoint, DiskStores, Store};

use super::application::{Application, PARTITIONS};

pub enum Expected {
    /// The state that the input makes.
    Recomputed,
    /// Nothing goes on; the reason holds these words.
    Halted(&'static str),
}

pub struct Damage {
    pub name: &'static str,
    /// Of the store.
    pub kind: &'static str,
    pub make: fn(&mut Application) -> anyhow::Result<()>,
    pub expected: Expected,
}

const fn disk(name: &'static str, make: fn(&mut Application) -> anyhow::Result<()>) -> Damage {
    Damage { name, kind: "disk", make, expected: Expected::Recomputed }
}

pub const DAMAGES: [Damage; 13] = [
    Damage { kind: "memory", ..disk("a store in memory", |_| Ok(())) },
    disk("a store on disk", local_state_is_used),
    disk("what fits is trusted", trusted),
    disk("state folder deleted", |app| Ok(fs::remove_dir_all(app.state())?)),
    disk("state of another format", |app| patch(&app.state().join("marker"), 8)),
    disk("journal cut", |app| Ok(File::options().write(true).open(journal(app))?.set_len(3000)?)),
    disk("journal garbage", |app| patch(&journal(app), 3000)),
    disk("keyspaces deleted", |app| Ok(fs::remove_dir_all(app.state().join("db-1/keyspaces"))?)),
    disk("state of an earlier day", earlier_state),
    disk("checkpoint too old", |app| forge(app, |c| Checkpoint { at_end_ms: c.at_end_ms - EIGHT_DAYS_MS, ..c })),
    disk("store ahead of what was committed", |app| forge(app, |c| Checkpoint { sequence: c.sequence + 1, ..c })),
    disk("store of another changelog", |app| forge(app, |c| Checkpoint { identity: c.identity ^ 1, ..c })),
    Damage { expected: Expected::Halted("changelog of store `balance`"), ..disk("changelog recreated", recreate) },
];

/// Longer than a changelog keeps what was removed from it.
const EIGHT_DAYS_MS: i64 = 8 * 24 * 3600 * 1000;

const FORGED: i64 = 77_777_777;

fn journal(application: &Application) -> std::path::PathBuf {
    application.state().join("db-1/0.jnl")
}

/// Makes one byte wrong.
fn patch(path: &Path, at: usize) -> anyhow::Result<()> {
    let mut bytes = fs::read(path)?;
    *bytes.get_mut(at).context("a file of that length")? ^= 0x55;
    Ok(fs::write(path, bytes)?)
}

/// The forgery of the rows below it under a checkpoint that fits: it is seen, so the host goes on from what it finds.
fn trusted(application: &mut Application) -> anyhow::Result<()> {
    forge(application, |checkpoint| checkpoint)?;
    for partition in (0..PARTITIONS).map(Partition) {
        let account = account_of(application, partition)?;
        application.assume(account, FORGED);
    }
    Ok(())
}

/// A store as a host left it, with another checkpoint and a forged balance.
fn forge(application: &mut Application, edit: fn(Checkpoint) -> Checkpoint) -> anyhow::Result<()> {
    let stores = DiskStores::open(&application.state(), &["balance"])?;
    for partition in (0..PARTITIONS).map(Partition) {
        let mut store = stores.store("balance", partition, false)?;
        let checkpoint = store.checkpoint().context("a kill loses no commit")?;
        store.put(account_of(application, partition)?.as_bytes(), Some(&FORGED.to_be_bytes()))?;
        store.end_call(true);
        store.seal(&mut |_, _| {})?;
        store.commit(&edit(checkpoint))?;
    }
    Ok(())
}

fn account_of(application: &Application, partition: Partition) -> anyhow::Result<String> {
    let mut accounts = application.balances().into_keys();
    accounts.find(|account| partition_of(account.as_bytes(), PARTITIONS) == partition).context("an account")
}

/// What a kill leaves is whole, and what the host would go on from: nearly all of the changelog need not be read again.
fn local_state_is_used(application: &mut Application) -> anyhow::Result<()> {
    let stores = DiskStores::open(&application.state(), &["balance"])?;
    for partition in (0..PARTITIONS).map(Partition) {
        let mut store = stores.store("balance", partition, false)?;
        let checkpoint = store.checkpoint().context("a kill loses no commit")?;
        let age_ms = SystemClock::new().wall_ms() - checkpoint.at_end_ms;
        ensure!(checkpoint.sequence > 0 && (0..600_000).contains(&age_ms), "{checkpoint:?}");
        let watermarks = application.admin.watermarks(&application.changelog(), partition.0);
        ensure!(checkpoint.next.0 <= watermarks.end, "never ahead: {checkpoint:?}, {watermarks:?}");
        // The outcome of the last commit may not have reached the store before the kill.
        let mut is_there = 0;
        for account in application.balances().keys() {
            is_there += i32::from(store.committed(account.as_bytes())?.is_some());
        }
        ensure!(is_there > 5, "partition {partition}: {is_there} accounts");
    }
    Ok(())
}

/// The folder is that of an earlier stop.
fn earlier_state(application: &mut Application) -> anyhow::Result<()> {
    let (state, aside) = (application.state(), application.aside());
    fs::rename(&state, &aside)?;
    copy(&aside, &state)?;
    application.feed(200)?;
    application.run_and_kill()?;
    fs::remove_dir_all(&state)?;
    Ok(fs::rename(&aside, &state)?)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a name")?);
        if path.is_dir() { copy(&path, &target)? } else { fs::copy(&path, &target).map(drop)? }
    }
    Ok(())
}

/// The next start makes the topic anew, as it does with any that is missing.
fn recreate(application: &mut Application) -> anyhow::Result<()> {
    application.admin.delete(&application.changelog()).map_err(|code| anyhow::anyhow!("{code}"))
}
