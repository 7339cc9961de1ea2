//! An example of a binding for each guest that this binary carries.
//!
//! `guests/NAME/binding.json` holds the paths and the configuration. This module adds the guest's
//! module and the default limits of its world, so that the example shows every field that an author
//! may want to change. JSON has no comments, so [`Example::before`] says what must exist before the
//! binding is set.

use anyhow::Context;
use innkeeper_tree::World;
use innkeeper_tree::binding::Limits;
use serde_json::{Map, Value};

use crate::embedded::Guest;

/// The example of one guest.
#[derive(Debug)]
pub(super) struct Example {
    guest: &'static str,
    document: &'static str,
    /// What must exist before the binding is set, in sentences.
    pub(super) before: &'static [&'static str],
}

/// The examples, sorted by the guests' names.
const EXAMPLES: [Example; 5] = [
    Example {
        guest: "group",
        document: include_str!("../../../../guests/group/binding.json"),
        before: &[
            "bind the assignor that it calls under the name in `strategy`: innkeeper guest example sticky | innkeeper binding set sticky -",
            "create /groups, and in it a znode for each group, with `resources` and `members` (see guests/README.md)",
        ],
    },
    Example {
        guest: "range",
        document: include_str!("../../../../guests/range/binding.json"),
        before: &["recipes call it by its binding's name, so bind it under the name that they use"],
    },
    Example {
        guest: "round-robin",
        document: include_str!("../../../../guests/round-robin/binding.json"),
        before: &["recipes call it by its binding's name, so bind it under the name that they use"],
    },
    Example {
        guest: "sticky",
        document: include_str!("../../../../guests/sticky/binding.json"),
        before: &["recipes call it by its binding's name, so bind it under the name that they use"],
    },
    Example {
        guest: "path-rules",
        document: include_str!("../../../../guests/path-rules/binding.json"),
        before: &[
            "create the rules first, because without them every request that `watch` covers is denied: innkeeper znode create /policies, then innkeeper znode create /policies/main '{\"default\": \"allow\", \"rules\": []}'",
        ],
    },
];

impl Example {
    /// The example for a guest, if there is one.
    pub(super) fn of(guest: &str) -> Option<&'static Example> {
        EXAMPLES.iter().find(|example| example.guest == guest)
    }

    /// The whole document with the module that this binary carries, one member on each line.
    pub(super) fn document(&self, guest: &Guest) -> anyhow::Result<String> {
        let module = innkeeper_sandbox::component_name(guest.bytes)
            .with_context(|| format!("the guest `{}` is no module", guest.name))?;
        let own: Map<String, Value> =
            serde_json::from_str(self.document).context("the example is no document")?;
        let world: World = own["world"].as_str().unwrap_or_default().parse()?;
        let limits = Limits::FIELDS.iter().filter_map(|field| {
            let default = field.default_of(world)?;
            Some((field.name.to_owned(), Value::from(default)))
        });
        let limits = Value::Object(limits.collect());
        // The order for readers; a JSON map sorts its keys.
        let mut lines = Vec::new();
        for name in [
            "world",
            "module",
            "watch",
            "read",
            "write",
            "policy",
            "config",
            "limits",
            "on_failure",
        ] {
            let value = match name {
                "module" => Value::from(module.to_string()),
                "limits" => limits.clone(),
                _ => match own.get(name) {
                    Some(value) => value.clone(),
                    None => continue,
                },
            };
            lines.push(format!("  \"{name}\": {value}"));
        }
        Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_tree::binding::Definition;

    use super::*;
    use crate::embedded::embedded_guests;

    #[test]
    fn every_guest_that_is_shown_has_one_that_is_a_document() {
        for guest in embedded_guests().iter().filter(|guest| guest.is_shown()) {
            let example = Example::of(guest.name);
            let example = example.unwrap_or_else(|| panic!("`{}` has no example", guest.name));
            assert!(!example.before.is_empty());
            let document = example.document(guest).expect("a document");
            let definition = Definition::parse(document.as_bytes()).expect("a good one");
            assert_eq!(
                definition.limits,
                Limits::of(definition.world),
                "{document}"
            );
            let whole: Map<String, Value> = serde_json::from_str(&document).expect("JSON");
            let own: Map<String, Value> = serde_json::from_str(example.document).expect("JSON");
            // Every member of the guest's own file is there.
            assert_eq!(whole.len(), own.len() + 2, "{document}");
        }
    }

    /// Every crate of a guest has an example, whether or not this binary carries guests.
    #[test]
    fn every_guest_of_the_sources_has_one() {
        let guests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests");
        let mut found = 0;
        for folder in std::fs::read_dir(guests).expect("the guests") {
            let folder = folder.expect("a folder").path();
            let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            if !manifest.contains("cdylib") {
                continue;
            }
            found += 1;
            let name = folder.file_name().expect("a name").to_string_lossy();
            assert!(Example::of(&name).is_some(), "`{name}` has no example");
        }
        assert_eq!(found, EXAMPLES.len());
    }
}
