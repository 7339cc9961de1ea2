//! What README and ARCHITECTURE say must be there: a page that has gone stale is worse than none.
//!
//! 1. Links to files lead to files.
//! 2. Names of source files and of tests, as they stand in back quotes, exist.
//! 3. The first guest in the README is the one in `examples/first-guest`, and the binding
//!    documents are documents.
//! 4. The guards that can be compiled out are the same in the code, in the script that does so,
//!    and in ARCHITECTURE.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use innkeeper_tree::binding::Definition;

const PAGES: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "guests/README.md",
    "examples/first-guest/README.md",
    "examples/python/README.md",
    "examples/javascript/README.md",
    "examples/c/README.md",
];

fn root() -> PathBuf {
    // This crate's manifest lies in host/cli.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below the folders that hold sources, by their path from the top.
fn sources() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["host", "guests", "examples", "tests", "wit", "scripts"]
        .iter()
        .map(PathBuf::from)
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path.to_string_lossy().into_owned());
            }
        }
    }
    files
}

/// What stands between back quotes on one line, blocks of code left out.
fn quoted(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Blocks of code in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().expect("the block's text"))
        .collect()
}

#[test]
fn links_lead_to_files() {
    for page in PAGES {
        let text = read(page);
        let folder = root().join(page).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().expect("a link's end");
            if link.starts_with('#') || link.contains("://") {
                continue;
            }
            assert!(folder.join(link).exists(), "{page} links to {link}");
        }
    }
}

#[test]
fn named_files_exist() {
    let sources = sources();
    // `raft/proposals/mod.rs` is short for `host/raft/src/proposals/mod.rs`.
    let short: Vec<String> = sources
        .iter()
        .map(|path| format!("/{}", path.replace("/src/", "/")))
        .collect();
    let page = read("ARCHITECTURE.md");
    let mut seen = 0;
    for name in quoted(&page)
        .into_iter()
        .filter(|name| name.ends_with(".rs"))
    {
        let tail = format!("/{name}");
        let known = sources
            .iter()
            .any(|path| format!("/{path}").ends_with(&tail))
            || short.iter().any(|path| path.ends_with(&tail));
        assert!(known, "ARCHITECTURE.md names {name}");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} names were looked at");
}

#[test]
fn named_tests_exist() {
    let code: String = sources()
        .iter()
        .filter(|path| path.ends_with(".rs") || path.ends_with(".py"))
        .map(|path| read(path))
        .collect();
    let page = read("ARCHITECTURE.md");
    let is_test = |name: &&str| {
        name.matches('_').count() >= 3
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let mut seen = 0;
    for name in quoted(&page).into_iter().filter(is_test) {
        assert!(
            code.contains(&format!("fn {name}(")),
            "ARCHITECTURE.md names the test {name}"
        );
        seen += 1;
    }
    assert!(seen > 30, "only {seen} names were looked at");
}

#[test]
fn the_first_guest_is_the_one_that_is_built() {
    let guest = read("examples/first-guest/src/lib.rs");
    let readme = read("README.md");
    let shown = blocks(&readme, "rust");
    assert_eq!(shown.len(), 1);
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .collect()
    };
    let (shown, built) = (lines(shown[0]).join("\n"), lines(&guest).join("\n"));
    assert!(built.contains(&shown), "README.md shows\n{shown}");

    // `binding set --module` names the module where a document does not.
    let named = |text: &str| -> String {
        let text = text.replace('…', &"0".repeat(64));
        let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let fields = document.as_object_mut().expect("an object");
        fields
            .entry("module")
            .or_insert_with(|| format!("sha256:{}", "0".repeat(64)).into());
        document.to_string()
    };
    let document = read("examples/first-guest/count-jobs.json");
    assert_eq!(blocks(&readme, "json"), [document.as_str()]);
    Definition::parse(named(&document).as_bytes()).expect("a binding");

    let guests = read("guests/README.md");
    for document in blocks(&guests, "json") {
        Definition::parse(named(document).as_bytes()).expect("a binding");
    }
    for language in ["python", "javascript", "c"] {
        for guest in ["leader", "freeze"] {
            let document = read(&format!("examples/{language}/{guest}.json"));
            Definition::parse(named(&document).as_bytes()).expect("a binding");
        }
    }
    let authorizer = readme.split("echo '").nth(1).expect("an authorizer");
    let authorizer = authorizer.split('\'').next().expect("its end");
    Definition::parse(named(authorizer).as_bytes()).expect("a binding");
}

#[test]
fn guards_are_listed_and_proved() {
    let mut guards = BTreeSet::new();
    for path in sources() {
        if !path.starts_with("host/") || !path.contains("/src/") {
            continue;
        }
        let text = read(&path);
        for name in text.split("innkeeper_break = \"").skip(1) {
            guards.insert(name.split('"').next().expect("a name").to_owned());
        }
    }
    let (page, script) = (read("ARCHITECTURE.md"), read("scripts/broken.sh"));
    assert!(guards.len() >= 5, "{guards:?}");
    for guard in guards {
        assert!(
            page.contains(&format!("| `{guard}` |")),
            "ARCHITECTURE.md does not list the guard {guard}"
        );
        assert!(
            script.contains(&format!("run {guard} ")),
            "scripts/broken.sh does not prove the guard {guard}"
        );
    }
}
