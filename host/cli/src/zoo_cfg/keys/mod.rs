//! Every key of ZooKeeper 3.9.5, where it counts, and what becomes of it here.
//!
//! 1. ZooKeeper reads two kinds of keys. Some its `QuorumPeerConfig` knows, and takes them from
//!    the file alone ([`file_key`]). All others are Java's system properties ([`property`]),
//!    which its code reads by their full names; a line of the file that `QuorumPeerConfig` does
//!    not know becomes the property `zookeeper.<key>`. So `skipACL=yes` in the file and
//!    `-Dzookeeper.skipACL=yes` mean one thing, while `zookeeper.skipACL=yes` in the file,
//!    `-DskipACL=yes`, `-Dzookeeper.server.1=…` and a line `jute.maxbuffer=…` mean nothing.
//! 2. The longest match counts: a name of the tables is a whole key, or ends with `*`.
//! 3. The [`Rule`] says what is done. Nothing is dropped in silence: what is not honoured ends in
//!    a warning or a note, and so does a key that no table has.
//!    (tests: `every_key_is_honoured_or_named`, `all_names_of_zookeepers_sources_are_in_a_table`,
//!    `the_start_stops_only_where_zookeepers_does`)

mod file;
mod harmless;
mod properties;
mod security;

use super::draft::Draft;
use super::values::Given;

/// What the names of nearly all of ZooKeeper's own system properties begin with.
pub(super) const PREFIX: &str = "zookeeper.";

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
    /// Its name as ZooKeeper's code has it, a property's in full; a `*` at the end stands for
    /// anything.
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

/// A key that means nothing here, and why.
const fn harmless(name: &'static str, why: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Harmless(why),
    }
}

/// The keys that ZooKeeper takes from its file alone.
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

/// The key of the file that a name means.
pub(super) fn file_key(name: &str) -> Option<Key> {
    find(of_the_file(), name)
}

/// The system property that a full name means.
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
