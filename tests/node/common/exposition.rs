//! Reads Prometheus's text format, version 0.0.4, and checks its rules.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample, in order.
pub type Labels = Vec<(String, String)>;

/// One metric.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// The name as it is written, the labels and the value.
    pub samples: Vec<(String, Labels, f64)>,
}

/// All metrics by name. Panics with the line that is wrong.
pub fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    assert!(text.ends_with('\n'), "the last line has no end");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(name), "{line}");
            assert!(!families.contains_key(name), "twice: {line}");
            families.entry(name.to_owned()).or_default().help = help.to_owned();
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert_eq!(name, current, "a type stands behind its help: {line}");
            assert!(matches!(kind, "counter" | "gauge" | "summary"), "{line}");
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let family = families
                .get_mut(&current)
                .unwrap_or_else(|| panic!("no type: {line}"));
            let suffix = name
                .strip_prefix(&*current)
                .unwrap_or_else(|| panic!("of another: {line}"));
            match family.kind.as_str() {
                "summary" => assert!(matches!(suffix, "" | "_sum" | "_count"), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            let has_quantile = labels.iter().any(|(label, _)| label == "quantile");
            let wants_quantile = family.kind == "summary" && suffix.is_empty();
            assert_eq!(has_quantile, wants_quantile, "{line}");
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            family.samples.push((name, labels, value));
        }
    }
    for (name, family) in &families {
        assert!(!family.kind.is_empty(), "{name} has no type");
    }
    families
}

fn is_name(name: &str) -> bool {
    let begins = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == ':');
    begins
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value = match value {
        "NaN" => f64::NAN,
        number => number.parse().unwrap_or_else(|_| panic!("{line}")),
    };
    let (name, labels) = match head.split_once('{') {
        None => (head, Vec::new()),
        Some((name, rest)) => {
            let rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
            (name, labels(rest, line))
        }
    };
    assert!(is_name(name), "{line}");
    (name.to_owned(), labels, value)
}

/// `a="b",c="d"`, a comma at the end allowed.
fn labels(mut rest: &str, line: &str) -> Labels {
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(label) && !label.contains(':'), "{line}");
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("no end: {line}")) {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    other => panic!("{other:?}: {line}"),
                },
                (_, plain) => value.push(plain),
            }
        };
        labels.push((label.to_owned(), value));
        rest = &behind[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}
