//! Every key of ZooKeeper 3.9.5, and what becomes of it here.
//!
//! 1. A key is looked up by its name without the prefix `zookeeper.`: ZooKeeper makes a key of
//!    its file that it does not know into the system property `zookeeper.<key>`, so that both
//!    spellings mean one thing. Java's own properties have no such prefix.
//! 2. The longest match counts: a name of the tables is a whole key, or ends with `*`.
//! 3. The [`Rule`] says what is done. Nothing is dropped in silence: what is not honoured ends in
//!    a warning or a note, and so does a key that no table has.
//!    (test: `every_key_is_honoured_or_named`)

mod file;
mod harmless;
mod properties;
mod security;

use super::draft::Draft;
use super::values::Given;

/// Why what concerns other servers concerns nobody here.
pub(super) const ALONE: &str = "this release serves alone, with no other server to wait for";

/// What is done about a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// It does here what it does there.
    Honoured(fn(&mut Draft, &Given) -> anyhow::Result<()>),
    /// It would change something there that users notice: what happens instead.
    Unsupported(&'static str),
    /// It tunes what does not exist here, or cannot be noticed: why.
    Harmless(&'static str),
}

/// One key, or all that begin alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its name, without `zookeeper.`; a `*` at the end stands for anything.
    pub(super) name: &'static str,
    /// What is done about it.
    pub(super) rule: Rule,
}

/// A key that does here what it does there.
const fn honoured(name: &'static str, take: fn(&mut Draft, &Given) -> anyhow::Result<()>) -> Key {
    Key {
        name,
        rule: Rule::Honoured(take),
    }
}

/// A key that does nothing here, and what happens instead.
const fn unsupported(name: &'static str, instead: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Unsupported(instead),
    }
}

/// All tables.
const TABLES: [&[Key]; 3] = [file::KEYS, properties::KEYS, security::KEYS];

/// All keys.
pub(super) fn all() -> impl Iterator<Item = Key> {
    let plain = TABLES.into_iter().flatten().copied();
    let harmless = harmless::GROUPS.iter().flat_map(|(why, names)| {
        names.iter().map(|name| Key {
            name,
            rule: Rule::Harmless(why),
        })
    });
    plain.chain(harmless)
}

/// The key that a name means, if any table has it.
pub(super) fn find(name: &str) -> Option<Key> {
    all()
        .filter(|key| match key.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == key.name,
        })
        .max_by_key(|key| (key.name.len(), !key.name.ends_with('*')))
}
