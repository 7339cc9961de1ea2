//! `docs/proofs.md`: which test proves what, made of the code.
//!
//! 1. Each claim in a comment that cites tests is a row, below the folder whose code says it.
//! 2. Each guard that can be compiled out (`innkeeper_break`) is a row, with the test that
//!    `scripts/broken.sh` demands to fail without it.
//! 3. The page is compared with the file. With [`WRITE`] set the file is written instead:
//!    `make proofs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::support::{claims, files, paragraphs, read, read_text, root, tests};

/// The environment variable that has the page written instead of compared.
const WRITE: &str = "INNKEEPER_WRITE_PROOFS";
const PAGE: &str = "docs/proofs.md";
const SCRIPT: &str = "scripts/broken.sh";

const TOP: &str = "\
# Which test proves what

`make proofs` makes this page of the code, and `make test` refuses one that is out of date: change the code, not the
page.
A comment in the code that claims something cites the test that shows it, as `(test: NAME)`.

";

const GUARDS: &str = "\
## Guards

A test that passes is no proof that it would fail.
Each guard below can be compiled out with `--cfg innkeeper_break=\"NAME\"`.
`scripts/broken.sh all` builds each such node in a folder of its own, and demands that each named test fails.

| Guard | In | The tests that fail without it |
|---|---|---|
";

/// The guards in the code, each with the files that have it.
fn guards(files: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut guards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files.iter().filter(|path| path.starts_with("host/")) {
        let Some(text) = read_text(path) else {
            continue;
        };
        for name in text.split("innkeeper_break = \"").skip(1) {
            let name = name.split('"').next().expect("a name");
            let places = guards.entry(name.to_owned()).or_default();
            places.insert(path.clone());
        }
    }
    guards
}

/// The guards that the script takes out, each with the tests that it runs then: a test is the last
/// word of its line.
fn taken_out(script: &str) -> BTreeMap<String, Vec<String>> {
    let mut guards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in script.lines() {
        let Some(run) = line.trim().strip_prefix("(run ") else {
            continue;
        };
        let words: Vec<_> = run
            .split(')')
            .next()
            .into_iter()
            .flat_map(|run| run.split(' '))
            .collect();
        if let [name, .., test] = words[..] {
            guards
                .entry(name.to_owned())
                .or_default()
                .push(test.to_owned());
        }
    }
    guards
}

/// A link from the page to a file, shown in short: `host/raft/src/log/record.rs` is
/// `raft/log/record.rs`.
fn link(shown: &str, path: &str) -> String {
    format!("[`{shown}`](../{path})")
}

fn short(path: &str) -> String {
    let path = path.strip_prefix("host/").unwrap_or(path);
    path.replace("/src/", "/")
}

/// A claim as text of a table: one line, without marks of lists, of links and of columns.
fn row_text(claim: &str) -> String {
    let mut text = claim.trim_start_matches(['.', ' ', ',', ';']);
    for mark in ["- ", "**Invariant:** ", "Invariant: "] {
        text = text.strip_prefix(mark).unwrap_or(text);
    }
    if let Some((number, rest)) = text.split_once(". ")
        && number.parse::<u8>().is_ok()
    {
        text = rest;
    }
    let text = text.replace('|', "\\|").replace("[`", "`");
    // A link of rustdoc ends with "`]", and may have its target behind it.
    let mut parts = text.split("`]");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let behind = match part.strip_prefix('(') {
            Some(target) => target.split_once(')').map_or("", |(_, behind)| behind),
            None => part,
        };
        plain.push('`');
        plain.push_str(behind);
    }
    let plain = plain.trim().trim_end_matches([':', ',']);
    let mut letters = plain.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// The folder whose heading a file stands below: a crate of the host, or a folder of the top.
fn heading(path: &str) -> String {
    let depth = if path.starts_with("host/") { 2 } else { 1 };
    let folders: Vec<_> = path.split('/').take(depth).collect();
    folders.join("/")
}

/// The whole page, or what is wrong with the guards.
fn page() -> Result<String, String> {
    let files = files();
    let tests = tests(&files);
    let mut page = String::from(TOP);
    page.push_str(GUARDS);
    let script = taken_out(&read(SCRIPT));
    let guards = guards(&files);
    if let Some(gone) = script.keys().find(|name| !guards.contains_key(*name)) {
        return Err(format!("{SCRIPT} takes out {gone}, which the code has not"));
    }
    for (name, places) in &guards {
        let run = script.get(name);
        let run = run.ok_or_else(|| format!("{SCRIPT} does not take out the guard {name}"))?;
        let mut failing = Vec::new();
        for test in run {
            let at = tests.get(test);
            let at = at.ok_or_else(|| format!("{SCRIPT} names {test}, which is no test"))?;
            failing.push(link(test, at));
        }
        let places: Vec<_> = places.iter().map(|path| link(&short(path), path)).collect();
        let (places, failing) = (places.join(", "), failing.join(", "));
        writeln!(page, "| `{name}` | {places} | {failing} |").expect("a string");
    }

    let mut below = String::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        for claim in paragraphs(&read(path)).iter().flat_map(|text| claims(text)) {
            let cited: Vec<_> = claim
                .tests
                .iter()
                .filter_map(|name| Some(link(name, tests.get(name)?)))
                .collect();
            if cited.is_empty() {
                continue;
            }
            let heading = heading(path);
            if heading != below {
                let columns = "| What the code says | In | Shown by |\n|---|---|---|";
                write!(page, "\n## `{heading}`\n\n{columns}\n").expect("a string");
                below = heading;
            }
            let (text, place) = (row_text(&claim.text), link(&short(path), path));
            writeln!(page, "| {text} | {place} | {} |", cited.join(", ")).expect("a string");
        }
    }
    Ok(page)
}

#[test]
fn the_page_of_proofs_is_what_the_code_cites() {
    let page = page().unwrap_or_else(|wrong| panic!("{wrong}"));
    if std::env::var_os(WRITE).is_some() {
        write(&page);
    }
    let kept = read_text(PAGE).unwrap_or_default();
    let differs = kept
        .lines()
        .zip(page.lines())
        .find(|(kept, made)| kept != made);
    assert!(
        kept == page,
        "{PAGE} is out of date: run `make proofs`. First difference: {differs:?}"
    );
}

#[allow(clippy::disallowed_methods)] // A page of the repository is no data of a node.
fn write(page: &str) {
    std::fs::write(root().join(PAGE), page).expect("the page is written");
}

#[test]
fn the_script_takes_out_what_the_code_has() {
    let script = "(run a --workspace --test x one_test) || failed=1\n    (run b --lib two) || x\n\
                  (run a --lib three) || failed=1\n";
    let runs = taken_out(script);
    assert_eq!(runs.len(), 2);
    assert_eq!(runs["a"], ["one_test", "three"]);
    assert_eq!(runs["b"], ["two"]);
}

#[test]
fn a_claim_becomes_one_row() {
    for (claim, row) in [
        ("- A frame has a length.", "A frame has a length."),
        ("**Invariant:** apply is total.", "Apply is total."),
        (
            "3. See [`Proposals::submit`], or [`Log`](log::Log) | more:",
            "See `Proposals::submit`, or `Log` \\| more",
        ),
    ] {
        assert_eq!(row_text(claim), row);
    }
}
