//! A rule: a name, a check of one file, and samples. Owns nothing but the shape.

use crate::source::Source;

type Check = Box<dyn Fn(&Source) -> Vec<(usize, String)>>;

pub struct Rule {
    pub name: &'static str,
    check: Check,
    /// Path and text of files that break the rule.
    pub bad: Vec<(&'static str, String)>,
    /// Path and text of files that keep it though they look as if they might not.
    pub good: Vec<(&'static str, String)>,
}

impl Rule {
    pub fn new(name: &'static str, check: impl Fn(&Source) -> Vec<(usize, String)> + 'static) -> Self {
        Self { name, check: Box::new(check), bad: Vec::new(), good: Vec::new() }
    }

    pub fn bad(mut self, path: &'static str, text: impl Into<String>) -> Self {
        self.bad.push((path, text.into()));
        self
    }

    pub fn good(mut self, path: &'static str, text: impl Into<String>) -> Self {
        self.good.push((path, text.into()));
        self
    }

    /// What is wrong, as `path:line: what`.
    pub fn check(&self, file: &Source) -> Vec<String> {
        let found = (self.check)(file);
        found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.path)).collect()
    }
}

/// Whether a path is `place` or, where `place` ends with a slash, lies in it.
pub fn is_under(path: &str, place: &str) -> bool {
    if place.ends_with('/') { path.starts_with(place) } else { path == place }
}

/// Lines on which `word` stands as a word of its own.
pub fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let has = |line: &str| line.match_indices(word).any(|(at, _)| is_word(line, at, word.len()));
    text.lines().enumerate().filter(|(_, line)| has(line)).map(|(index, _)| index + 1).collect()
}

fn is_word(line: &str, at: usize, len: usize) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    !line[..at].chars().next_back().is_some_and(part) && !line[at + len..].chars().next().is_some_and(part)
}
