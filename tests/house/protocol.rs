//! The protocol notes in the code keep their word: each MUST cites a test, and each cited test exists.
//!
//! 1. The comments of `host/` are cut into paragraphs and list items.
//! 2. A paragraph that says MUST has a citation, `(test: NAME)` with the name in back quotes (or several).
//! 3. Whatever a citation names is a test in Rust or in Python, a golden script, or a line of golden bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    // This crate's manifest lies in host/cli.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below a folder with one of these endings, build folders left out.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The comments of a source file, one string per paragraph or list item.
fn paragraphs(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in source.lines().chain([""]) {
        let line = line.trim_start();
        let comment = ["//!", "///", "//"]
            .iter()
            .find_map(|mark| line.strip_prefix(mark));
        let words = comment.map(str::trim).unwrap_or_default();
        let item = ["- ", "* ", "| "]
            .iter()
            .any(|mark| words.starts_with(mark))
            || words
                .split_once(". ")
                .is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if words.is_empty() || item {
            found.push(std::mem::take(&mut open));
        }
        open.push_str(words);
        open.push(' ');
    }
    found.push(open);
    found.retain(|paragraph| !paragraph.trim().is_empty());
    found
}

/// The names in a paragraph's citations.
fn cited(paragraph: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for start in ["(test: ", "(tests: ", "(script ", "(scripts "] {
        for citation in paragraph.split(start).skip(1) {
            let citation = citation.split(')').next().unwrap_or_default();
            // A script may be cited by its path.
            let quoted = citation.split('`').skip(1).step_by(2);
            names.extend(quoted.filter_map(|name| name.rsplit('/').next()));
        }
    }
    names
}

/// The names of all tests, and of the golden scripts.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["host", "tests", "guests"] {
        for path in files(folder, &[".rs", ".py"]) {
            let start = if path.extension().is_some_and(|ending| ending == "py") {
                "def test_"
            } else {
                "fn "
            };
            for name in text(&path).split(start).skip(1) {
                let name = name.split(['(', '<']).next().unwrap_or_default();
                let prefix = start.trim_start_matches("def ").trim_start_matches("fn ");
                names.insert(format!("{prefix}{name}"));
            }
        }
    }
    for script in files("host/tree/tests/scripts", &[""]) {
        let name = script.file_name().expect("a name").to_string_lossy();
        names.insert(name.into_owned());
    }
    for golden in files("host/proto/tests/golden", &[".golden"]) {
        let text = text(&golden);
        names.extend(
            text.lines()
                .filter_map(|line| Some(line.split_once(' ')?.0.to_owned())),
        );
    }
    names
}

#[test]
fn every_must_of_the_protocol_cites_a_test_that_exists() {
    let tests = tests();
    let (mut musts, mut citations, mut wrong) = (0, 0, Vec::new());
    for path in files("host", &[".rs"]) {
        for paragraph in paragraphs(&text(&path)) {
            let names = cited(&paragraph);
            citations += names.len();
            for name in names.iter().filter(|name| !tests.contains(**name)) {
                wrong.push(format!("{} cites {name}, which is no test", path.display()));
            }
            let mut words = paragraph.split(|c: char| !c.is_alphanumeric());
            if words.any(|word| word == "MUST") {
                musts += 1;
                if names.is_empty() {
                    wrong.push(format!("{} cites no test: {paragraph}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        musts >= 40,
        "only {musts} paragraphs that say MUST were found"
    );
    assert!(citations > musts, "only {citations} citations were found");
}
