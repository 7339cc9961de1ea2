//! Parses documents into definitions, and writes definitions as documents.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::bounds::{MAX_CONFIG_BYTES, MAX_DOCUMENT_BYTES, MAX_PATTERNS};
use super::definition::{Definition, OnFailure};
use super::error::{BindingError, PatternField};
use super::limits::Limits;
use super::name::check_name;
use crate::pattern::PathPattern;
use crate::text::piece;
use crate::{Modules, World, path};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    world: String,
    module: String,
    #[serde(default)]
    watch: Vec<String>,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
    #[serde(default)]
    policy: Vec<String>,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    on_failure: Option<String>,
}

/// Parses and checks a document for a binding with this name, with these registered modules. Apply
/// does this, and so does `innkeeper binding check`.
pub fn parse_and_check(
    name: &str,
    document: &[u8],
    modules: &Modules,
) -> Result<Definition, BindingError> {
    check_name(name)?;
    let definition = Definition::parse(document)?;
    definition.check_module(modules)?;
    Ok(definition)
}

impl Definition {
    /// Checks that the module is registered and exports the definition's world.
    pub fn check_module(&self, modules: &Modules) -> Result<(), BindingError> {
        match modules.get(&self.module) {
            None => Err(BindingError::UnknownModule(self.module)),
            Some(info) if info.world != self.world => Err(BindingError::ModuleOfOtherWorld {
                module: self.module,
                world: self.world,
                exports: info.world,
            }),
            Some(_) => Ok(()),
        }
    }

    /// Parses and checks a document; only whether its module is registered is not checked.
    pub fn parse(document: &[u8]) -> Result<Self, BindingError> {
        if document.is_empty() {
            return Err(BindingError::Empty);
        }
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(BindingError::TooLong(document.len()));
        }
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| BindingError::Syntax(shorten_sentence(error)))?;
        let world: World = document.world.parse().map_err(BindingError::World)?;
        let module = document
            .module
            .parse()
            .map_err(|_| BindingError::Module(piece(&document.module)))?;
        let mut config = String::new();
        write_canonical(&document.config, &mut config);
        if config.len() > MAX_CONFIG_BYTES {
            return Err(BindingError::ConfigTooLong(config.len()));
        }
        let mut limits = Limits::of(world);
        for (name, value) in &document.limits {
            limits.set(world, name, *value)?;
        }
        let on_failure = match document.on_failure.as_deref() {
            None => OnFailure::default(),
            Some(_) if world != World::Authorizer => {
                return Err(BindingError::OnFailureOfOtherWorld(world));
            }
            Some("deny") => OnFailure::Deny,
            Some("allow") => OnFailure::Allow,
            Some(other) => return Err(BindingError::OnFailure(piece(other))),
        };
        let definition = Definition {
            world,
            module,
            watch: patterns(world, PatternField::Watch, &document.watch)?,
            read: patterns(world, PatternField::Read, &document.read)?,
            write: patterns(world, PatternField::Write, &document.write)?,
            policy: patterns(world, PatternField::Policy, &document.policy)?,
            config: config.into(),
            limits,
            on_failure,
        };
        if world != World::Assignor && definition.watch.is_empty() {
            return Err(BindingError::NothingWatched(world));
        }
        Ok(definition)
    }

    /// The definition as a document in canonical form, with all defaults written out.
    pub fn to_document(&self) -> String {
        let mut document = serde_json::Map::new();
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        put("world", self.world.name().into());
        put("module", self.module.to_string().into());
        for (name, patterns) in [
            ("watch", &self.watch),
            ("read", &self.read),
            ("write", &self.write),
            ("policy", &self.policy),
        ] {
            if !patterns.is_empty() {
                put(name, patterns.iter().map(PathPattern::as_str).collect());
            }
        }
        // `config` is canonical JSON, so it can be parsed. If code built a definition with
        // something else, the document shows null.
        put(
            "config",
            serde_json::from_str(&self.config).unwrap_or(Value::Null),
        );
        let limits: serde_json::Map<String, Value> = self
            .limits
            .named(self.world)
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        put("limits", limits.into());
        if self.world == World::Authorizer {
            put("on_failure", self.on_failure.name().into());
        }
        let mut text = String::new();
        write_canonical(&document.into(), &mut text);
        text
    }
}

fn patterns(
    world: World,
    field: PatternField,
    texts: &[String],
) -> Result<Vec<PathPattern>, BindingError> {
    let fits = match field {
        PatternField::Watch => world != World::Assignor,
        PatternField::Read | PatternField::Write => world == World::Recipe,
        PatternField::Policy => world == World::Authorizer,
    };
    if !fits && !texts.is_empty() {
        return Err(BindingError::PatternsOfOtherWorld { field, world });
    }
    if texts.len() > MAX_PATTERNS {
        return Err(BindingError::TooManyPatterns {
            field,
            count: texts.len(),
        });
    }
    let mut patterns = texts
        .iter()
        .map(|text| PathPattern::parse(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| BindingError::Pattern { field, error })?;
    patterns.sort_unstable();
    patterns.dedup();
    // An authorizer may watch the system's paths, because it decides requests to them, too.
    let keeps_out =
        field == PatternField::Write || (field == PatternField::Watch && world == World::Recipe);
    if keeps_out
        && let Some(pattern) = patterns.iter().find(|pattern| {
            path::is_at_or_below(pattern.as_str(), path::INNKEEPER)
                || path::is_at_or_below(pattern.as_str(), path::ZOOKEEPER)
        })
    {
        return Err(BindingError::SystemPath {
            field,
            pattern: pattern.clone(),
        });
    }
    Ok(patterns)
}

/// Bounds the length of serde_json's messages, which quote the whole text that is wrong.
fn shorten_sentence(sentence: impl std::fmt::Display) -> String {
    const MOST_BYTES: usize = 300;
    crate::text::shown(sentence, MOST_BYTES)
}

/// Writes JSON with sorted keys and without spaces. The keys are sorted here, because serde_json
/// keeps the document's order if any crate of the build enables that. serde_json reads at most 128
/// levels, which bounds the depth of the recursion.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, field)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_canonical(field, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
