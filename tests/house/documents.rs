//! What the pages say must be there, and must be easy to read: a page that has gone stale is worse
//! than none.
//!
//! 1. Every Markdown page of the repository is found, not listed.
//! 2. Links lead to files and headings; names of source files, pages and tests in back quotes exist.
//! 3. Nothing cites a document that is not in the repository, no page and no source file.
//! 4. Lines of a page have at most [`LINE_MAX`] characters, but for tables, blocks of code, and
//!    the targets of links. `ARCHITECTURE.md` has at most [`MAP_MAX`] lines.
//! 5. A line of a page holds one sentence at most, so that a change of a sentence changes no other
//!    line. Tables and blocks of code are excepted.
//! 6. The first guest in the README is the one in `examples/first-guest`, and the binding
//!    documents are documents.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use innkeeper_tree::binding::Definition;

use support::{files, read, read_text, root, tests};

/// The most characters of a line, which fit beside a second page on most screens.
const LINE_MAX: usize = 120;
/// The most lines of the map: what is read at one sitting.
const MAP_MAX: usize = 150;
const MAP: &str = "ARCHITECTURE.md";
/// Words with a full stop that ends no sentence.
const ABBREVIATIONS: [&str; 5] = ["e.g.", "i.e.", "cf.", "vs.", "No."];
/// It has broken texts on purpose.
const THIS: &str = "tests/house/documents.rs";
/// The endings of what people wrote. Recorded answers of other programs are none of it.
const SOURCES: [&str; 8] = [
    ".rs", ".py", ".sh", ".wit", ".toml", ".java", ".js", "Makefile",
];

/// What a page may name.
struct Repository {
    files: Vec<String>,
    /// All files in their short form, with a slash before it: `raft/proposals/mod.rs` is short for
    /// `host/raft/src/proposals/mod.rs`.
    short: Vec<String>,
    tests: BTreeMap<String, String>,
}

impl Repository {
    fn new() -> Self {
        let files = files();
        let short = files
            .iter()
            .map(|path| format!("/{}", path.replace("/src/", "/")));
        Self {
            short: short.collect(),
            tests: tests(&files),
            files,
        }
    }

    /// Whether a path, or the end of one, is a file.
    fn has_file(&self, name: &str) -> bool {
        let tail = format!(
            "/{}",
            name.trim_start_matches("./").trim_start_matches("../")
        );
        let is_end = |path: &String| format!("/{path}").ends_with(&tail);
        self.files.iter().any(is_end) || self.short.iter().any(|path| path.ends_with(&tail))
    }

    fn pages(&self) -> impl Iterator<Item = &String> {
        self.files.iter().filter(|path| path.ends_with(".md"))
    }
}

/// The lines of a page that are prose: blocks of code left out.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    page.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !is_fence && !in_block
    })
}

/// What stands between back quotes in the prose of a page.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    prose(page).flat_map(|(_, line)| line.split('`').skip(1).step_by(2))
}

/// The targets of the links in the prose of a page.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = prose(page).flat_map(|(_, line)| line.split("](").skip(1));
    targets.filter_map(|rest| rest.split(')').next())
}

/// Blocks of code in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().expect("the block's text"))
        .collect()
}

/// What stands behind the `#` of a link to each heading of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len()).then_some(text.trim())
    });
    headings
        .map(|heading| {
            let kept = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect::<String>().to_lowercase()
        })
        .collect()
}

/// Links that lead nowhere.
fn broken_links(path: &str, page: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut wrong = Vec::new();
    for link in links(page).filter(|link| !link.contains("://")) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = root().join(folder).join(file);
        let there = if file.is_empty() {
            anchors(page)
        } else if !target.exists() {
            wrong.push(format!("{path} links to {file}, which is not there"));
            continue;
        } else if anchor.is_empty() {
            continue;
        } else {
            anchors(&std::fs::read_to_string(&target).unwrap_or_default())
        };
        if !there.contains(anchor) {
            wrong.push(format!("{path} links to {link}, which has no such heading"));
        }
    }
    wrong
}

/// Names of files and tests that are not there.
fn broken_names(path: &str, page: &str, repository: &Repository) -> Vec<String> {
    let is_file = |name: &&str| name.ends_with(".rs") && !name.contains(['*', ' ', '<']);
    // Metrics have names like tests.
    let is_test = |name: &&str| {
        name.matches('_').count() >= 3
            && !name.starts_with("innkeeper_")
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let files = quoted(page)
        .filter(is_file)
        .filter(|name| !repository.has_file(name))
        .map(|name| format!("{path} names the file {name}, which is not there"));
    let tests = quoted(page)
        .filter(is_test)
        .filter(|name| !repository.tests.contains_key(*name))
        .map(|name| format!("{path} names the test {name}, which is not there"));
    files.chain(tests).collect()
}

/// Lines of prose that are too long.
fn long_lines(path: &str, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in prose(page) {
        if line.trim_start().starts_with('|') {
            continue;
        }
        let targets: usize = links(line).map(|target| target.chars().count() + 2).sum();
        let length = line.chars().count() - targets;
        if length > LINE_MAX {
            let number = number + 1;
            wrong.push(format!(
                "{path}:{number} has {length} characters, more than {LINE_MAX}"
            ));
        }
    }
    wrong
}

/// Lines of prose in which a second sentence begins.
fn shared_lines(path: &str, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in prose(page) {
        if line.trim_start().starts_with('|') {
            continue;
        }
        // Of code only its opening quote is left: what it holds is no sentence.
        let bare: Vec<_> = line.split('`').step_by(2).collect();
        let bare = bare.join("`");
        let words: Vec<_> = bare.split_whitespace().collect();
        // The number of an item of a list, as `1.`, ends no sentence.
        let pairs = words.windows(2).skip(usize::from(is_number(words.first())));
        let mut second = pairs.filter(|pair| ends_sentence(pair[0]) && begins_sentence(pair[1]));
        if let Some(pair) = second.next() {
            let number = number + 1;
            wrong.push(format!(
                "{path}:{number} begins a second sentence with {}; write it on a line of its own",
                pair[1]
            ));
        }
    }
    wrong
}

/// Whether a word is the number before an item of a list.
fn is_number(word: Option<&&str>) -> bool {
    let digits = word.and_then(|word| word.strip_suffix('.'));
    digits.is_some_and(|digits| digits.parse::<u32>().is_ok())
}

/// Whether a sentence ends with this word: what closes behind the full stop is part of it.
fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches([')', '*', '"', ']']);
    bare.ends_with(['.', '?', '!']) && !ABBREVIATIONS.contains(&bare)
}

/// Whether a sentence begins with this word: with a capital letter, or with code.
fn begins_sentence(word: &str) -> bool {
    let bare = word.trim_start_matches(['(', '*', '"', '[']);
    bare.starts_with(|c: char| c.is_uppercase() || c == '`')
}

/// Citations of documents that are not in the repository.
fn absent_documents(path: &str, text: &str, repository: &Repository) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut refuse = |what: &str| wrong.push(format!("{path} cites {what}, which is not here"));
    let ends = |c: char| c.is_whitespace() || "`\"'()[]<>|,;{}*#".contains(c);
    for word in text.split(ends).filter(|word| !word.contains("://")) {
        let word = word.trim_end_matches(['.', ':', '?', '!']);
        let name = word.strip_suffix(".md").unwrap_or_default();
        let is_name = name.chars().any(char::is_alphanumeric);
        if is_name && !repository.has_file(word) {
            refuse(word);
        }
    }
    let words: Vec<_> = text
        .to_lowercase()
        .split_whitespace()
        .filter(|word| !matches!(*word, "//" | "///" | "//!" | "#"))
        .map(str::to_owned)
        .collect();
    for pair in words.windows(2) {
        let (first, second) = (pair[0].trim_start_matches('('), &pair[1]);
        let of_number = |word: &str| {
            let number = word.trim_start_matches('#');
            number.starts_with(|c: char| c.is_ascii_digit())
        };
        let is_issue = matches!(first, "issue" | "issues") && of_number(second);
        let is_design = first == "the" && second.trim_end_matches(['.', ',', ';', ':']) == "design"
            || first == "design,"
            || matches!(first, "the") && second.starts_with("design'");
        if is_issue || is_design {
            refuse(&pair.join(" "));
        }
    }
    wrong
}

/// What is wrong with a page, a sentence each.
fn wrong_in(path: &str, page: &str, repository: &Repository) -> Vec<String> {
    let mut wrong = broken_links(path, page);
    wrong.extend(broken_names(path, page, repository));
    wrong.extend(long_lines(path, page));
    wrong.extend(shared_lines(path, page));
    wrong.extend(absent_documents(path, page, repository));
    let lines = page.lines().count();
    if path == MAP && lines > MAP_MAX {
        wrong.push(format!("{path} has {lines} lines, more than {MAP_MAX}"));
    }
    wrong
}

#[test]
fn the_pages_are_right_and_easy_to_read() {
    let repository = Repository::new();
    let pages: Vec<_> = repository.pages().collect();
    for page in ["README.md", MAP, "guests/README.md", "docs/proofs.md"] {
        assert!(
            pages.iter().any(|path| *path == page),
            "{page} was not found"
        );
    }
    let wrong: Vec<_> = pages
        .iter()
        .flat_map(|path| wrong_in(path, &read(path), &repository))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_code_cites_no_document_that_is_not_there() {
    let repository = Repository::new();
    let is_source = |path: &&String| {
        path.as_str() != THIS && SOURCES.iter().any(|ending| path.ends_with(ending))
    };
    let mut looked_at = 0;
    let mut wrong = Vec::new();
    for path in repository.files.iter().filter(is_source) {
        looked_at += 1;
        let text = read_text(path).unwrap_or_default();
        wrong.extend(absent_documents(path, &text, &repository));
    }
    assert!(looked_at > 300, "only {looked_at} files were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A rule that cannot be broken in the test's eyes would guard nothing.
#[test]
fn each_rule_can_be_broken() {
    let repository = Repository::new();
    let long = format!("{} end", "word ".repeat(24));
    let broken = [
        ("See [it](docs/absent.txt).", "links to docs/absent.txt"),
        ("# One\nSee [it](#two).", "links to #two"),
        ("See [it](README.md#absent-heading).", "no such heading"),
        ("It is in `raft/absent.rs`.", "the file raft/absent.rs"),
        (
            "Proved by `no_test_has_this_name`.",
            "the test no_test_has_this_name",
        ),
        (long.as_str(), "has 124 characters"),
        ("One sentence. Another one.", "sentence with Another"),
        ("1. It ends (here.) And begins.", "sentence with And"),
        ("**Is it code?** `ls` is.", "sentence with `"),
        ("See ABSENT.md for more.", "cites ABSENT.md"),
        ("It differs from the design.", "cites the design"),
        (
            "So it must be (design, section 4).",
            "cites (design, section",
        ),
        ("The design's bars were 2 us.", "cites the design's"),
        ("It was found in issue 9.", "cites issue 9"),
        ("It was found in issue #9.", "cites issue #9"),
    ];
    for (page, expected) in broken {
        let wrong = wrong_in("PAGE.md", page, &repository);
        assert_eq!(wrong.len(), 1, "{page}: {wrong:?}");
        assert!(wrong[0].contains(expected), "{page}: {wrong:?}");
    }
    let wrong = wrong_in(MAP, &"line\n".repeat(MAP_MAX + 1), &repository);
    assert_eq!(wrong, [format!("{MAP} has 151 lines, more than 150")]);

    let target = "a/long/way/to/a/file/".repeat(6);
    let sound = [
        "# A heading, with `code`\nSee [it](#a-heading-with-code), and `raft/proposals/mod.rs`."
            .to_owned(),
        format!("| {long} |\n\n```sh\n{long} {long}\n```\n"),
        format!("See [it](https://example.org/{target}) and README.md."),
        "Proved by `each_rule_can_be_broken`; counted in `innkeeper_http_wrong_passwords_total`."
            .to_owned(),
        "A designer has issues with 3 of 9 designs.".to_owned(),
        "1. One line has 3.9.5, `One. Two.`, e.g. `ls`, and vs. Java.\n- Another sentence.\n"
            .to_owned(),
        "| One. Two. | Three. Four. |\n\n```sh\n# One. Two.\n```\n".to_owned(),
    ];
    for page in sound {
        let wrong = wrong_in("PAGE.md", &page, &repository);
        assert!(wrong.is_empty(), "{page}: {wrong:?}");
    }
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
