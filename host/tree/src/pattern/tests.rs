use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

#[test]
fn the_table_of_the_module_holds() {
    for (text, matched, unmatched) in [
        ("/", &["/"][..], &["/a"][..]),
        ("/a", &["/a"], &["/", "/b", "/a/b", "/ab"]),
        ("/a/*", &["/a/b", "/a/*"], &["/a", "/a/b/c", "/b/b"]),
        ("/a/**", &["/a", "/a/b", "/a/b/c"], &["/", "/ab", "/b"]),
        (
            "/a/*/c/**",
            &["/a/b/c", "/a/b/c/d"],
            &["/a/b", "/a/b/d", "/a/c"],
        ),
        ("/**", &["/", "/a", "/a/b"], &[]),
        ("/*", &["/a"], &["/", "/a/b"]),
    ] {
        let pattern = pattern(text);
        for path in matched {
            assert!(pattern.matches(path), "{text} {path}");
        }
        for path in unmatched {
            assert!(!pattern.matches(path), "{text} {path}");
        }
    }
}

#[test]
fn each_mistake_has_its_sentence() {
    for (text, error) in [
        ("", "must begin with `/`"),
        ("a/b", "must begin with `/`"),
        ("//", "empty segment"),
        ("/a/", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a/./b", "not resolved"),
        ("/..", "not resolved"),
        ("/a*", "whole segment"),
        ("/a/***", "whole segment"),
        ("/**/a", "last segment"),
        ("/**/**", "last segment"),
        ("/a\u{7}", "forbids"),
        ("/a\u{fffd}", "forbids"),
    ] {
        let sentence = PathPattern::parse(text).unwrap_err().to_string();
        assert!(sentence.contains(error), "{text:?}: {sentence}");
    }
    let deep = "/a".repeat(MAX_PATTERN_SEGMENTS);
    assert!(PathPattern::parse(&deep).is_ok());
    assert!(PathPattern::parse(&format!("{deep}/a")).is_err());
    assert!(PathPattern::parse(&format!("/{}", "a".repeat(MAX_PATTERN_BYTES))).is_err());
}

#[test]
fn subtree_grants_need_the_double_star() {
    assert!(pattern("/a/**").matches_subtree("/a/b"));
    assert!(pattern("/a/*/**").matches_subtree("/a/b"));
    assert!(!pattern("/a/*").matches_subtree("/a/b"));
    assert!(!pattern("/a/b/**").matches_subtree("/a"));
}

#[test]
fn an_empty_index_finds_nothing() {
    let index = PatternIndex::<u32>::new();
    assert!(index.is_empty());
    assert!(index.find("/").is_empty());
    assert!(!index.matches("/a"));
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..5)
        .prop_map(|names| format!("/{}", names.join("/")))
}

fn any_pattern() -> impl Strategy<Value = PathPattern> {
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 0..4);
    (names, any::<bool>()).prop_map(|(mut names, subtree)| {
        if subtree {
            names.push("**");
        }
        pattern(&format!("/{}", names.join("/")))
    })
}

/// All paths over three names up to depth 5: patterns over fewer names of less depth cannot
/// tell more of them apart.
fn all_paths() -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut from = 0;
    for _ in 0..5 {
        let to = paths.len();
        for i in from..to {
            for name in ["a", "b", "c"] {
                paths.push(format!("{}/{name}", paths[i]));
            }
        }
        from = to;
    }
    paths[0] = "/".to_owned();
    paths
}

proptest! {
    #[test]
    fn the_index_finds_what_the_patterns_match(
        patterns in prop::collection::vec((any_pattern(), 0u8..6), 0..12),
        path in any_path(),
    ) {
        let mut index = PatternIndex::new();
        for (pattern, value) in &patterns {
            index.insert(pattern, *value);
        }
        let mut expected: Vec<u8> = patterns
            .iter()
            .filter(|(pattern, _)| pattern.matches(&path))
            .map(|(_, value)| *value)
            .collect();
        expected.sort_unstable();
        expected.dedup();
        let found: Vec<u8> = index.find(&path).into_iter().copied().collect();
        prop_assert_eq!(index.matches(&path), !found.is_empty());
        prop_assert_eq!(found, expected);
        prop_assert_eq!(index.len(), patterns.len());
    }

    #[test]
    fn covering_means_matching_all_that_the_other_matches(a in any_pattern(), b in any_pattern()) {
        let all = all_paths().into_iter().all(|path| !b.matches(&path) || a.matches(&path));
        prop_assert_eq!(a.covers(&b), all, "{} {}", a, b);
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        if let Ok(pattern) = PathPattern::parse(&text) {
            prop_assert_eq!(pattern.as_str(), &*text);
        }
    }
}
