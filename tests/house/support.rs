//! What the tests of the house share: the repository's files, its tests by name, and the
//! citations of tests in its comments.

#![allow(dead_code)] // Each of the tests uses a part of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository: the crate that these tests belong to lies two folders below it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of the repository by its path from the top, in order. Folders that tools fill
/// (`target`, hidden ones but `.ci`) are left out.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let kind = entry.file_type().expect("a type");
            let is_ours = name == ".ci" || !(name.starts_with('.') || name == "target");
            if kind.is_dir() && is_ours {
                folders.push(path);
            } else if kind.is_file() && !name.starts_with('.') {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file, by its path from the top.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of a file of sources, and nothing where it is not text.
pub fn read_text(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The names that a citation may have, each with the file that has it: tests in Rust and in
/// Python, golden scripts, and the lines of golden bytes.
pub fn tests(files: &[String]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for path in files {
        if path.ends_with(".rs") {
            let text = read(path);
            for (start, _) in text.match_indices("fn ") {
                let name = text[start + 3..].split(['(', '<']).next();
                let name = name.unwrap_or_default();
                if has_test_attribute(&text[..start]) {
                    names.insert(name.to_owned(), path.clone());
                }
            }
        } else if path.ends_with(".py") {
            for name in read(path).split("def test_").skip(1) {
                let name = name.split('(').next().unwrap_or_default();
                names.insert(format!("test_{name}"), path.clone());
            }
        } else if path.ends_with(".golden") {
            for line in read(path).lines() {
                if let Some((name, _)) = line.split_once(' ') {
                    names.insert(name.to_owned(), path.clone());
                }
            }
        } else if path.starts_with("host/tree/tests/scripts/") {
            let name = path.rsplit('/').next().unwrap_or_default();
            names.insert(name.to_owned(), path.clone());
        }
    }
    names
}

/// Whether the lines just above a function say that it is a test.
fn has_test_attribute(before: &str) -> bool {
    let own_line = before.lines().last().unwrap_or_default();
    before
        .lines()
        .rev()
        .skip(usize::from(!before.ends_with('\n')))
        .map(str::trim)
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .any(|line| line.starts_with("#[") && line.contains("test"))
        && !own_line.contains("//")
}

/// The comments of a source file, one string per paragraph or list item.
pub fn paragraphs(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in source.lines().chain([""]) {
        let line = line.trim_start();
        let comment = ["//!", "///", "//"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark));
        let words = comment.map(str::trim).unwrap_or_default();
        if words.is_empty() || is_item(words) {
            found.push(std::mem::take(&mut open));
        }
        open.push_str(words);
        open.push(' ');
    }
    found.push(open);
    found.retain(|paragraph| !paragraph.trim().is_empty());
    found
}

/// Whether a line begins an item of a list or a row of a table.
fn is_item(words: &str) -> bool {
    let number = words.split_once(". ").map(|(number, _)| number);
    ["- ", "* ", "| "]
        .iter()
        .any(|mark| words.starts_with(mark))
        || number.is_some_and(|number| number.parse::<u8>().is_ok())
}

/// A sentence or more of a comment, and the tests that it cites.
pub struct Claim {
    /// The words before the citation, since the paragraph's beginning or its citation before.
    pub text: String,
    /// The names of the tests and scripts.
    pub tests: Vec<String>,
}

/// The claims of a paragraph: `(test: NAME)`, `(tests: …)`, `(script …)` with the names in back
/// quotes. A script may be cited by its path.
pub fn claims(paragraph: &str) -> Vec<Claim> {
    const STARTS: [&str; 4] = ["(test: ", "(tests: ", "(script ", "(scripts "];
    let mut claims = Vec::new();
    let mut rest = paragraph;
    while let Some((start, mark)) = STARTS
        .iter()
        .filter_map(|mark| Some((rest.find(mark)?, mark)))
        .min()
    {
        let citation = &rest[start + mark.len()..];
        let (citation, behind) = citation.split_once(')').unwrap_or((citation, ""));
        let quoted = citation.split('`').skip(1).step_by(2);
        let tests = quoted.filter_map(|name| name.rsplit('/').next());
        claims.push(Claim {
            text: rest[..start].trim().to_owned(),
            tests: tests.map(str::to_owned).collect(),
        });
        rest = behind;
    }
    claims
}
