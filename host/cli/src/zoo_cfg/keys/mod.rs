//! Every key of ZooKeeper 3.9.5: where it counts, and its effect here.
//!
//! 1. ZooKeeper has two kinds of keys. Its `QuorumPeerConfig` reads some from the file alone
//!    ([`file_key`]). All others are Java's system properties ([`property`]), which its code reads
//!    by their full names; a line of the file that `QuorumPeerConfig` does not know becomes the
//!    property `zookeeper.<key>`. So `skipACL=yes` in the file and `-Dzookeeper.skipACL=yes` have
//!    the same effect, while `zookeeper.skipACL=yes` in the file, `-DskipACL=yes`,
//!    `-Dzookeeper.server.1=…` and a line `jute.maxbuffer=…` have none.
//! 2. A name in the tables is a whole key, or the beginning of keys if it ends with `*`. The longest
//!    name that matches counts.
//! 3. The [`Rule`] of a name says what its keys do. Every key without an effect gets a warning or a
//!    note, also one that no table has.
//!    (tests: `every_key_is_honoured_or_named`, `all_names_of_zookeepers_sources_are_in_a_table`,
//!    `the_start_stops_only_where_zookeepers_does`)

mod file;
mod harmless;
mod properties;
mod security;

use super::draft::Draft;
use super::values::Given;

/// The beginning of the names of nearly all of ZooKeeper's own system properties.
pub(super) const PREFIX: &str = "zookeeper.";

/// The effect of a key here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// The same effect as in ZooKeeper: the function takes the value.
    Honoured(fn(&mut Draft, &Given) -> anyhow::Result<()>),
    /// No effect, although users of ZooKeeper would notice one. The text says what happens instead.
    Unsupported(&'static str),
    /// No effect, and none that users could notice. The text says why.
    Harmless(&'static str),
}

/// One key, or all keys with the same beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// The name in ZooKeeper's code, with the prefix of a property. A `*` at the end matches any
    /// text.
    pub(super) name: &'static str,
    /// The effect of the key.
    pub(super) rule: Rule,
}

/// A key with the same effect as in ZooKeeper.
const fn honoured(name: &'static str, take: fn(&mut Draft, &Given) -> anyhow::Result<()>) -> Key {
    Key {
        name,
        rule: Rule::Honoured(take),
    }
}

/// A key without an effect here, and what happens instead.
const fn unsupported(name: &'static str, instead: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Unsupported(instead),
    }
}

/// A key without an effect that users could notice, and why.
const fn harmless(name: &'static str, why: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Harmless(why),
    }
}

/// The keys that ZooKeeper reads from its file alone.
pub(super) fn of_the_file() -> impl Iterator<Item = Key> {
    let harmless = harmless::OF_THE_FILE.iter().flat_map(|(why, names)| {
        let names = names.iter();
        names.map(|name| harmless(name, why))
    });
    file::KEYS.iter().copied().chain(harmless)
}

/// The system properties, by their full names.
pub(super) fn properties() -> impl Iterator<Item = Key> {
    let plain = [properties::KEYS, security::KEYS].into_iter().flatten();
    let harmless = harmless::PROPERTIES.iter().flat_map(|(why, names)| {
        let names = names.iter();
        names.map(|name| harmless(name, why))
    });
    plain.copied().chain(harmless)
}

/// The entry of the tables for a key of the file.
pub(super) fn file_key(name: &str) -> Option<Key> {
    find(of_the_file(), name)
}

/// The entry of the tables for a system property with this full name.
pub(super) fn property(name: &str) -> Option<Key> {
    find(properties(), name)
}

fn find(keys: impl Iterator<Item = Key>, name: &str) -> Option<Key> {
    keys.filter(|key| match key.name.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == key.name,
    })
    .max_by_key(|key| (key.name.len(), !key.name.ends_with('*')))
}
