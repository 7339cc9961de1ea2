//! Documents that name their module by the beginning of its digest.
//!
//! The state takes whole names only, since apply judges a document without asking what a person
//! may have meant. So what a person wrote is completed here, before it is proposed, and the
//! document's other bytes stay as they were written.

use std::ops::Range;

use innkeeper_tree::text::piece;
use innkeeper_tree::{Digest, Modules};
use serde::Deserialize;

use super::problem::Problem;

/// Fewest digits of a module's name that name it.
const DIGITS_MIN: usize = 6;

/// Modules that are listed where a name could mean several.
const LISTED_MAX: usize = 8;

/// What begins a whole name, and may begin a short one.
const PREFIX: &str = "sha256:";

#[derive(Deserialize)]
struct Naming<'a> {
    #[serde(borrow)]
    module: &'a str,
}

/// Where the module's name stands in a document. `None` if it names none, or is no JSON.
fn place(document: &[u8]) -> Option<Range<usize>> {
    let Naming { module } = serde_json::from_slice(document).ok()?;
    // It borrows from the document, so it lies in it.
    let start = module.as_ptr() as usize - document.as_ptr() as usize;
    Some(start..start + module.len())
}

/// The digits of a name that is not whole.
fn short(name: &str) -> Option<String> {
    if name.parse::<Digest>().is_ok() {
        return None;
    }
    let digits = name.strip_prefix(PREFIX).unwrap_or(name);
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    (digits.len() >= DIGITS_MIN && are_digits).then(|| digits.to_ascii_lowercase())
}

/// The document with its module's whole name. A document that has it already, or names no
/// module in any way, stays as it is: what is wrong with it others say.
pub(super) fn completed(document: &[u8], modules: &Modules) -> Result<Vec<u8>, Problem> {
    let Some((name, digits)) = short_name(document) else {
        return Ok(document.to_vec());
    };
    let found: Vec<&Digest> = modules
        .keys()
        .filter(|digest| digest.hex().starts_with(&digits))
        .collect();
    let name = piece(name);
    match found[..] {
        [digest] => Ok(with_module(document, &digest.to_string()).unwrap_or_default()),
        [] => Err(Problem::bad(format!(
            "no module begins with `{name}`; push it first, or see `innkeeper module list`"
        ))),
        _ => {
            let names: Vec<String> = found
                .iter()
                .take(LISTED_MAX)
                .map(|digest| digest.to_string())
                .collect();
            Err(Problem::bad(format!(
                "`{name}` could be any of {} modules ({}); write more of its digits",
                found.len(),
                names.join(", ")
            )))
        }
    }
}

/// The name of the document's module and its digits, if that name is a short one.
pub fn short_name(document: &[u8]) -> Option<(String, String)> {
    let name = std::str::from_utf8(document.get(place(document)?)?).ok()?;
    Some((name.to_owned(), short(name)?))
}

/// The document with another name for its module, put where one stands or added. `None` if it
/// is no JSON object.
pub fn with_module(document: &[u8], name: &str) -> Option<Vec<u8>> {
    if let Some(place) = place(document) {
        let (before, after) = (&document[..place.start], &document[place.end..]);
        return Some([before, name.as_bytes(), after].concat());
    }
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(document).ok()?;
    fields.insert("module".to_owned(), name.into());
    Some(format!("{:#}\n", serde_json::Value::from(fields)).into_bytes())
}

#[cfg(test)]
mod tests {
    use innkeeper_tree::{ModuleInfo, World};

    use super::*;

    const FIRST: &str = "sha256:abcdef0000000000000000000000000000000000000000000000000000000001";
    const SECOND: &str = "sha256:abcdef1000000000000000000000000000000000000000000000000000000002";

    fn modules() -> Modules {
        let info = ModuleInfo {
            size: 1,
            world: World::Recipe,
        };
        [FIRST, SECOND]
            .map(|name| (name.parse().expect("a name"), info))
            .into()
    }

    fn done(document: &str) -> Result<String, String> {
        let completed = completed(document.as_bytes(), &modules());
        completed
            .map(|document| String::from_utf8(document).expect("text"))
            .map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn a_short_name_becomes_whole_where_it_stands() {
        for short in ["sha256:abcdef1", "abcdef1", "ABCDEF1", &SECOND[7..]] {
            let document = format!("{{ \"module\" : \"{short}\",\n  \"world\":\"recipe\" }}");
            assert_eq!(
                done(&document).expect("one module"),
                format!("{{ \"module\" : \"{SECOND}\",\n  \"world\":\"recipe\" }}")
            );
        }
    }

    #[test]
    fn what_could_be_several_is_refused_with_their_names() {
        let problem = done(r#"{"module": "abcdef"}"#).expect_err("two modules");
        assert!(problem.contains("2 modules"), "{problem}");
        assert!(
            problem.contains(FIRST) && problem.contains(SECOND),
            "{problem}"
        );
        let problem = done(r#"{"module": "sha256:abcdef2"}"#).expect_err("no module");
        assert!(problem.contains("no module begins with"), "{problem}");
    }

    #[test]
    fn everything_else_stays_for_others_to_judge() {
        for document in [
            &format!(r#"{{"module": "{FIRST}"}}"#),
            r#"{"module": "abcde"}"#,
            r#"{"module": "abcdefg"}"#,
            r#"{"module": "abc\u0064ef1"}"#,
            r#"{"module": 7}"#,
            r#"{"module": "abcdef1", "module": "abcdef1"}"#,
            r#"{"world": "recipe"}"#,
            "[]",
            "no JSON",
            "",
        ] {
            assert_eq!(done(document).as_deref(), Ok(document));
        }
    }

    #[test]
    fn a_module_is_put_into_a_document_that_has_none() {
        let with = |document: &str| {
            with_module(document.as_bytes(), FIRST)
                .map(|document| String::from_utf8(document).expect("text"))
        };
        assert_eq!(
            with(r#"{"module":"x","a":1}"#),
            Some(format!(r#"{{"module":"{FIRST}","a":1}}"#))
        );
        let added: serde_json::Value =
            serde_json::from_str(&with(r#"{"a": 1}"#).expect("an object")).expect("JSON");
        assert_eq!(added, serde_json::json!({"a": 1, "module": FIRST}));
        assert_eq!(with("[]"), None);
    }
}
