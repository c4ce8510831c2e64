//! What a person sees while the exchange runs: a block that is redrawn on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::progress::Progress;
use crate::topics;

/// How often a block is redrawn: quick enough for the eye.
const REDRAW: Duration = Duration::from_millis(200);

/// How often a plain line is written.
const LINE: Duration = Duration::from_secs(2);

pub struct Display {
    is_terminal: bool,
    begun: Instant,
    last: Option<Instant>,
    /// Lines of the block on the screen.
    drawn: usize,
    /// What an operator does meanwhile.
    notes: Option<Receiver<String>>,
}

impl Display {
    pub fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self { is_terminal, begun: Instant::now(), last: None, drawn: 0, notes: None }
    }

    /// Tells, between its own lines, what comes from elsewhere.
    pub fn with_notes(notes: Receiver<String>) -> Self {
        Self { notes: Some(notes), ..Self::new() }
    }

    /// Shows how far it is, if it is time to.
    pub fn show(&mut self, phase: &str, sent: u64, progress: &Progress) {
        self.tell();
        let interval = if self.is_terminal { REDRAW } else { LINE };
        if self.last.is_none_or(|last| last.elapsed() >= interval) {
            self.last = Some(Instant::now());
            self.draw(phase, sent, progress);
        }
    }

    /// Shows the last state, whatever was shown before.
    pub fn close(&mut self, phase: &str, sent: u64, progress: &Progress) {
        self.tell();
        self.draw(phase, sent, progress);
        self.drawn = 0;
    }

    /// Tells what has come from elsewhere.
    pub fn tell(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        for note in self.notes.iter().flat_map(Receiver::try_iter) {
            // In place of the block, which is drawn anew below it.
            let up = if self.drawn == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.drawn) };
            self.drawn = 0;
            println!("{up}{seconds:6.1} s  {note}");
        }
    }

    fn draw(&mut self, phase: &str, sent: u64, progress: &Progress) {
        let seconds = self.begun.elapsed().as_secs_f64();
        if !self.is_terminal {
            println!("{}", line(phase, seconds, sent, progress));
            return;
        }
        let lines = block(phase, seconds, sent, progress);
        let mut text = if self.drawn == 0 { String::new() } else { format!("\x1b[{}A", self.drawn) };
        for line in &lines {
            text.push_str(&format!("\x1b[2K{line}\n"));
        }
        self.drawn = lines.len();
        let mut out = std::io::stdout().lock();
        // A display that cannot be written to is no reason to stop.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

fn line(phase: &str, seconds: f64, sent: u64, progress: &Progress) -> String {
    let (requests, results) = (progress.requests, progress.results);
    let (failed, letters) = (progress.of(topics::TRANSACTION_FAILED), progress.dead_letters);
    let (wallets, rates) = (progress.of(topics::WALLET), progress.of(topics::EXCHANGE_RATE));
    format!(
        "{seconds:6.1} s  {phase:<10} sent {sent:>8}  requests {requests:>8}  results {results:>8} ({failed} failed)  \
         rates {rates}  wallets {wallets}  dead letters {letters}"
    )
}

fn block(phase: &str, seconds: f64, sent: u64, progress: &Progress) -> Vec<String> {
    let bar = |part: u64, whole: u64| {
        let filled = (part.min(whole) * 30).checked_div(whole).unwrap_or(0) as usize;
        format!("{}{}", "█".repeat(filled), "·".repeat(30 - filled))
    };
    let Progress { requests, results, poison, dead_letters, frauds_asked, .. } = progress;
    let frauds = progress.of(topics::FRAUDULENT_PAYMENTS);
    let mut lines = vec![
        format!("\x1b[1mexchange\x1b[0m  {phase}  {seconds:.1} s  {sent} records sent"),
        format!("  requests     {requests:>8} → results {results:>8}  {}", bar(*results, *requests)),
        format!(
            "  done         {:>8}   failed {:>8}",
            progress.of(topics::TRANSACTION_SUCCESS),
            results - progress.of(topics::TRANSACTION_SUCCESS)
        ),
        format!("  accounts     {:>8}   wallets {:>7}", progress.of(topics::ACCOUNT), progress.of(topics::WALLET)),
        format!("  poison       {poison:>8} → dead letters {dead_letters}"),
        format!("  frauds       {frauds_asked:>8} → found {frauds}"),
    ];
    lines.extend(progress.rates.iter().map(|(pair, value)| rate(pair, value)));
    lines
}

fn rate(pair: &str, value: &str) -> String {
    let body: Value = serde_json::from_str(value).unwrap_or_default();
    let price = |name: &str| body[name].as_str().unwrap_or("-").trim_end_matches('0').to_owned();
    format!("  {pair:<8} {:>16} / {}", price("bid"), price("ask"))
}
