//! What is wrong with a manifest: a place, a sentence, and what to do.

use std::fmt;

/// One problem, at a byte of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    pub column: usize,
    pub text: String,
}

/// All problems of a manifest, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    pub file: String,
    pub problems: Vec<Problem>,
}

impl Problem {
    /// A problem at byte `at` of `source`; lines and columns count from 1.
    pub fn at(source: &str, at: usize, text: String) -> Self {
        let before = &source[..source.floor_char_boundary(at.min(source.len()))];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Self { line, column, text }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        writeln!(f, "{}: {count} problem{}", self.file, if count == 1 { "" } else { "s" })?;
        for Problem { line, column, text } in &self.problems {
            writeln!(f, "  {}:{line}:{column}: {text}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
