//! The files of the tree, and Rust text without its comments and literals.
//! Owns the reading of the tree. Knows no rule.

use std::path::Path;
use std::process::Command;

pub struct Source {
    /// From the repository's root.
    pub path: String,
    pub bytes: Vec<u8>,
    /// Empty where the file is not text.
    pub text: String,
    /// Rust only: the text with comments and literals blanked, line by line as it was.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, bytes: Vec<u8>) -> Self {
        let text = String::from_utf8(bytes.clone()).unwrap_or_default();
        let code = if path.ends_with(".rs") { code_of(&text) } else { String::new() };
        Self { path: path.to_string(), bytes, text, code }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The code before the unit tests, which stand last in a file.
    pub fn code_without_tests(&self) -> &str {
        self.code.find("#[cfg(test)]\nmod ").map_or(&self.code, |at| &self.code[..at])
    }
}

/// Every file that is, or is about to be, in git.
pub fn tracked() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository's root");
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git is there");
    assert!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    let names = String::from_utf8(list.stdout).expect("file names are UTF-8");
    let read = |name: &str| std::fs::read(root.join(name)).ok().map(|bytes| Source::new(name, bytes));
    names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect()
}

/// Blanks comments, strings and characters; newlines stay, so that lines keep their numbers.
fn code_of(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(c) = rest.chars().next() {
        let skip = comment(rest).or_else(|| raw_string(rest, &code)).or_else(|| literal(rest));
        match skip {
            Some(len) => {
                code.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[len..];
            }
            None => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    code
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |at| at + 2))
}

fn raw_string(rest: &str, before: &str) -> Option<usize> {
    let is_name = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() && c != 'b');
    let hashes = rest.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    if is_name || !rest[1 + hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()))
}

fn literal(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    if quote == '\'' && is_lifetime(rest) {
        return None;
    }
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

fn is_lifetime(rest: &str) -> bool {
    let mut next = rest.chars().skip(1);
    let first = next.next();
    first != Some('\\') && next.next() != Some('\'')
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b\n */ c", "a     \n    c"),
        ("f(\"x // y\") g", "f(        ) g"),
        ("f(r#\"x \" y\"#) g", "f(          ) g"),
        ("fn f<'a>(c: char) { c == 'b' || c == '\\'' }", "fn f<'a>(c: char) { c ==     || c ==      }"),
    ] {
        assert_eq!(code_of(text), code);
    }
}
