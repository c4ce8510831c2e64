//! The house rules, checked over every tracked file. Each rule brings samples that it must catch and samples that it
//! must let pass, so that a rule which can't fail is found out. Knows nothing of what the code does.

#[path = "tidy/doors.rs"]
mod doors;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rule.rs"]
mod rule;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use rule::Rule;
use source::Source;

fn rules() -> Vec<Rule> {
    [doors::rules(), layers::rules(), files::rules(), words::rules()].into_iter().flatten().collect()
}

#[test]
fn the_tree_keeps_every_rule() {
    let tree = source::tracked();
    assert!(tree.len() > 20, "the tree was not found: {} files", tree.len());
    let rules = rules();
    let mut broken = Vec::new();
    for file in &tree {
        for rule in &rules {
            broken.extend(rule.check(file).into_iter().map(|found| format!("{found}  [{}]", rule.name)));
        }
    }
    assert!(broken.is_empty(), "{} broken rules:\n{}", broken.len(), broken.join("\n"));
    for note in files::long(&tree) {
        println!("note: {note}");
    }
}

#[test]
fn every_rule_can_fail() {
    for rule in rules() {
        assert!(!rule.bad.is_empty() && !rule.good.is_empty(), "rule without samples: {}", rule.name);
        for (path, text) in &rule.bad {
            let found = rule.check(&Source::new(path, text.as_bytes().to_vec()));
            assert!(!found.is_empty(), "{} let pass, as {path}:\n{text}", rule.name);
        }
        for (path, text) in &rule.good {
            let found = rule.check(&Source::new(path, text.as_bytes().to_vec()));
            assert!(found.is_empty(), "{} complained about {path}:\n{text}\n{found:?}", rule.name);
        }
    }
}

/// An entry of a list of exceptions that no file needs any more is an open door.
#[test]
fn every_exception_is_needed() {
    let tree = source::tracked();
    let known: Vec<(&str, &str)> = layers::KNOWN.iter().map(|(path, _, reason)| (*path, *reason)).collect();
    let lists = [("unsafe", words::UNSAFE), ("clocks", doors::CLOCKS), ("long files", files::LONG), ("layers", &known)];
    for (list, paths) in lists {
        for (path, reason) in paths {
            assert!(!reason.is_empty(), "{list}: {path} has no reason");
            let is_there = tree.iter().any(|file| rule::is_under(&file.path, path));
            assert!(is_there, "{list}: {path} is not in the tree");
        }
    }
}
