//! The comments in the code keep their word: each MUST cites a test, each cited test exists, and
//! `docs/proofs.md` has all of them.
//!
//! 1. The comments of the code are cut into paragraphs and list items.
//! 2. A paragraph that says MUST has a citation, `(test: NAME)` with the name in back quotes (or several).
//! 3. Whatever a citation names is a test in Rust or in Python, a golden script, or a line of golden bytes.
//! 4. `docs/proofs.md` is made of the citations, and of the guards that can be compiled out.

mod proofs;
mod support;

use support::{claims, files, paragraphs, read, tests};

#[test]
fn every_must_of_the_protocol_cites_a_test_that_exists() {
    let files = files();
    let tests = tests(&files);
    let (mut musts, mut citations, mut wrong) = (0, 0, Vec::new());
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        for paragraph in paragraphs(&read(path)) {
            let claims = claims(&paragraph);
            let names: Vec<_> = claims.iter().flat_map(|claim| &claim.tests).collect();
            // This file tells of citations, and has none.
            if path.starts_with("tests/house/") && names.iter().any(|name| *name == "NAME") {
                continue;
            }
            citations += names.len();
            if claims.iter().any(|claim| claim.text.is_empty()) {
                wrong.push(format!("{path} cites {names:?} behind no words"));
            }
            for name in names.iter().filter(|name| !tests.contains_key(**name)) {
                wrong.push(format!("{path} cites {name}, which is no test"));
            }
            let mut words = paragraph.split(|c: char| !c.is_alphanumeric());
            if path.starts_with("host/") && words.any(|word| word == "MUST") {
                musts += 1;
                if names.is_empty() {
                    wrong.push(format!("{path} cites no test: {paragraph}"));
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
