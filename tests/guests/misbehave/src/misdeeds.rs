//! The list of what a component can do wrong, or try.

use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use wasmill_sdk::{Failure, Out, Output, Part, Record, Store};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    /// Nothing: for comparison.
    None,
    Trap,
    Loop,
    EatMemory,
    /// Keeps 1 MiB for each such record, which it may.
    Hoard,
    Recurse,
    FloodLog,
    FloodOutput,
    FloodState,
    UndeclaredOutput,
    UndeclaredStore,
    BrokenFrames,
    HugeKey,
    EmptyKey,
    /// Caches what it read across calls, in all records.
    Remember,
    /// Returns a failure with code and index.
    Fail,
    /// Returns a failure that names no record.
    FailSomewhere,
    /// Returns a failure that names a record that does not exist.
    LieBeyond,
    /// Returns a failure that names the batch's first record, whichever it was.
    LieFirst,
    /// Fails unless the record comes alone: gone when it is tried again.
    FailInCompany,
    /// Traps unless the instance is fresh: gone when it is tried again.
    WearOut,
    /// As `remember`, and traps after it has added what a call must not leave behind.
    RememberAndTrap,
    /// Sends more than a topic takes in one record.
    HugeOutput,
    /// Writes to both standard streams, then traps.
    Shout,
    Exit,
    /// Sleeps for an hour.
    Sleep,
    /// Sends what it can learn of the machine.
    Spy,
    /// Sends random numbers.
    Gamble,
    /// Never opens.
    RefuseToOpen,
    TrapOnOpen,
    LoopOnOpen,
}

impl Misdeed {
    pub fn needs_store(self) -> bool {
        matches!(self, Self::Remember | Self::RememberAndTrap | Self::FloodState | Self::HugeKey | Self::EmptyKey)
    }
}

pub fn on_open(misdeed: Misdeed) -> Result<(), String> {
    match misdeed {
        Misdeed::RefuseToOpen => Err("this version does not like its settings".to_owned()),
        Misdeed::TrapOnOpen => panic!("trapped while opening"),
        Misdeed::LoopOnOpen => endless(),
        _ => Ok(()),
    }
}

pub fn commit(
    misdeed: Misdeed,
    record: &Record<'_>,
    out: &mut Out,
    store: Option<Store>,
    hoard: &mut Vec<Vec<u8>>,
) -> Result<(), Failure> {
    match misdeed {
        Misdeed::Trap => panic!("trapped on record {}", record.index),
        Misdeed::Loop => endless(),
        Misdeed::EatMemory => loop {
            hoard.push(vec![1; 1 << 20]);
        },
        Misdeed::Hoard => hoard.push(vec![1; 1 << 20]),
        Misdeed::Recurse => drop(std::hint::black_box(recurse(1))),
        Misdeed::FloodLog => (0..10_000).for_each(|line| wasmill_sdk::info(&format!("line {line}"))),
        Misdeed::Fail => return Err(Failure::new("malformed", "this record is bad").at(record)),
        Misdeed::FailSomewhere => return Err(Failure::new("malformed", "some record is bad")),
        Misdeed::LieBeyond => {
            return Err(Failure { index: Some(1_000), ..Failure::new("malformed", "beyond the batch") });
        }
        Misdeed::LieFirst => {
            return Err(Failure { index: Some(0), ..Failure::new("malformed", "the first, or so it says") });
        }
        Misdeed::Shout => shout(),
        Misdeed::Exit => std::process::exit(3),
        Misdeed::Sleep => std::thread::sleep(Duration::from_secs(3_600)),
        Misdeed::FloodState | Misdeed::HugeKey | Misdeed::EmptyKey | Misdeed::UndeclaredStore => {
            write_state(misdeed, store.unwrap_or(Store::at(9)));
        }
        _ => send(misdeed, record, out),
    }
    Ok(())
}

fn send(misdeed: Misdeed, record: &Record<'_>, out: &mut Out) {
    match misdeed {
        Misdeed::FloodOutput => {
            let value = vec![b'x'; 1 << 20];
            (0..64).for_each(|_| out.of(record).send(Output::at(0), Part::Same, &value));
        }
        Misdeed::HugeOutput => out.of(record).send(Output::at(0), Part::Same, &vec![b'x'; 3 << 20]),
        Misdeed::UndeclaredOutput => out.of(record).forward(Output::at(9)),
        Misdeed::BrokenFrames => out.raw().extend_from_slice(b"this is not a frame, nor will it ever be one"),
        Misdeed::Spy => out.of(record).send(Output::at(0), Part::Same, &spy()),
        Misdeed::Gamble => {
            let text = format!("{:x} {:?}", wasmill_sdk::seed(), std::collections::hash_map::RandomState::new());
            out.of(record).send(Output::at(0), Part::Same, &text);
        }
        _ => out.of(record).forward(Output::at(0)),
    }
}

fn write_state(misdeed: Misdeed, store: Store) {
    match misdeed {
        Misdeed::FloodState => {
            let value = vec![1; 512 << 10];
            (0..1_000_u32).for_each(|key| store.put(&key.to_le_bytes(), &value));
        }
        Misdeed::HugeKey => store.put(&[1; 100_000], b"x"),
        Misdeed::EmptyKey => store.put(b"", b"x"),
        _ => store.put(b"key", b"x"),
    }
}

fn shout() {
    println!("first words");
    eprintln!("warning words");
    panic!("last words");
}

/// Everything that must not be learnt, and the clock, which stands still.
fn spy() -> String {
    let (wall, mono) = (SystemTime::now(), Instant::now());
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let stands = wall == SystemTime::now() && mono == Instant::now();
    let arguments = std::env::args().count();
    let variables = std::env::vars().count();
    let file = std::fs::read("/etc/hostname").is_ok() || std::fs::read_dir("/").is_ok();
    let socket = TcpStream::connect("127.0.0.1:9").map_or_else(|error| error.kind().to_string(), |_| "open".to_owned());
    format!("time {since} stands {stands} arguments {arguments} variables {variables} file {file} socket {socket}")
}

fn endless() -> ! {
    let mut count = 0_u64;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}

#[allow(unconditional_recursion, reason = "that is the misdeed")]
fn recurse(depth: u64) -> u64 {
    let below = std::hint::black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(below[depth as usize % 64])
}
