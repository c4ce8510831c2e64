//! What a component says: its log lines, standard output and standard error, bounded per call.
//! The end of standard error is kept for the report of a trap: that is where languages write why they gave up.

use crate::processor::{LogLevel, LogLine};

use super::limits::Limits;

/// Bytes of standard error kept for a report.
const LAST_WORDS_BYTES: usize = 4_096;

/// Which standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

#[derive(Debug)]
pub(super) struct Capture {
    lines_max: usize,
    bytes_max: usize,
    lines: Vec<LogLine>,
    bytes: usize,
    /// Lines that did not fit.
    dropped: usize,
    /// Begun lines of the two streams.
    output: Vec<u8>,
    error: Vec<u8>,
    last_words: Vec<u8>,
}

impl Capture {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            lines_max: limits.log_lines_max,
            bytes_max: limits.log_bytes_max,
            lines: Vec::new(),
            bytes: 0,
            dropped: 0,
            output: Vec::new(),
            error: Vec::new(),
            last_words: Vec::new(),
        }
    }

    /// Adds a line, or counts it as dropped.
    pub(super) fn line(&mut self, level: LogLevel, text: &str) {
        if self.lines.len() >= self.lines_max || self.bytes + text.len() > self.bytes_max {
            self.dropped += 1;
            return;
        }
        self.bytes += text.len();
        self.lines.push(LogLine { level, text: text.to_owned() });
    }

    /// Takes bytes written to a standard stream.
    pub(super) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        if stream == Stream::Error {
            self.remember(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.begun(stream).extend_from_slice(&bytes[..end]);
            self.end_line(stream);
            bytes = &bytes[end + 1..];
        }
        let room = self.bytes_max.saturating_sub(self.begun(stream).len());
        self.begun(stream).extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Ends a call: hands over its lines, and starts anew.
    pub(super) fn drain(&mut self, log: &mut Vec<LogLine>) {
        self.end_line(Stream::Output);
        self.end_line(Stream::Error);
        log.append(&mut self.lines);
        if self.dropped > 0 {
            let (lines, bytes) = (self.lines_max, self.bytes_max);
            let text = format!("{} more lines were dropped: a call may log {lines} lines, {bytes} bytes", self.dropped);
            log.push(LogLine { level: LogLevel::Warn, text });
        }
        self.bytes = 0;
        self.dropped = 0;
        self.last_words.clear();
    }

    /// The end of what this call wrote to standard error.
    pub(super) fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.last_words).trim().to_owned()
    }

    fn remember(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(LAST_WORDS_BYTES)..];
        let over = (self.last_words.len() + kept.len()).saturating_sub(LAST_WORDS_BYTES);
        self.last_words.drain(..over);
        self.last_words.extend_from_slice(kept);
    }

    fn begun(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    fn end_line(&mut self, stream: Stream) {
        if self.begun(stream).is_empty() {
            return;
        }
        let line = std::mem::take(self.begun(stream));
        let level = if stream == Stream::Error { LogLevel::Warn } else { LogLevel::Info };
        self.line(level, &String::from_utf8_lossy(&line));
    }
}
