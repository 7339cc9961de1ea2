//! Reads ZooKeeper's own configuration file and the `-D` properties of its start scripts.
//!
//! 1. [`properties`] reads the file, and the one that `dynamicConfigFile` names, as Java does. The
//!    file outweighs `-D`, as in ZooKeeper, which turns the lines of the file into properties after
//!    those of the command line.
//! 2. [`keys`] finds each key where ZooKeeper reads it, and [`draft`] takes its value. A key that
//!    does something else here gets a warning; one that does nothing here gets a note.
//! 3. [`Draft::finish`] decides what depends on several keys: ports and addresses, the number of
//!    the server ([`ensemble`]), throttles. An error is one sentence with the number of the line.
//!
//! **Invariant:** a key counts where ZooKeeper's code reads it and nowhere else, and a value stops
//! the start only if it stops ZooKeeper's: a line that does nothing in ZooKeeper must not open a
//! port here, and a file with which ZooKeeper starts must start this node. The exceptions
//! are files whose group could never be whole: two servers have one address, or a host's name is
//! longer than any can be. (tests:
//! `the_start_stops_only_where_zookeepers_does`,
//! `a_key_counts_where_zookeeper_reads_it_and_is_named_elsewhere`)

mod draft;
mod ensemble;
mod keys;
mod properties;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use innkeeper_auth::{AuthSettings, JaasText, Secret, Secrets, java};
use innkeeper_proto::frame::{FourLetterWord, UnknownWord};
use innkeeper_runtime::Runtime;
use innkeeper_tree::text::{file_name, piece};

use draft::Draft;
pub(super) use draft::{MissingDataDir, Read};
use keys::{Key, PREFIX, Rule};
use properties::{Damage, Entry, MARK};
use values::{Given, Origin};

/// The port for clients of a node without a configuration file.
const CLIENT_PORT: u16 = 2181;

/// The property that names the JAAS file.
const JAAS_FILE: &str = "java.security.auth.login.config";

/// Names of properties in ZooKeeper's guide, and the names that its code reads.
const TITLES: &[(&str, &str)] = &[
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    (
        "requestStaleConnectionCheck",
        "request_stale_connection_check",
    ),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    (
        "connectionDropIncrease",
        "connection_throttle_drop_increase",
    ),
    (
        "connectionDropDecrease",
        "connection_throttle_drop_decrease",
    ),
    (
        "connectionDecreaseRatio",
        "connection_throttle_decrease_ratio",
    ),
];

/// Reads the configuration file and the `-D` properties (`KEY=VALUE`), and resolves the names of
/// hosts.
pub(super) async fn read<R: Runtime>(
    runtime: &R,
    path: &Path,
    properties: &[String],
) -> anyhow::Result<Read> {
    let mut draft = Draft::new();
    let file = ConfigFile::read(path)?;
    draft.take_jaas(jaas_text(&file.entries, properties));
    draft.settings.admin.initial_configuration = file.shown(&draft.secrets);
    let lines = file.lines(&mut draft);
    if let Some(damage) = file.damage {
        draft.warn(damage.consequence().to_owned());
    }
    let taken =
        merge(lines, properties, &mut draft).and_then(|()| take_dynamic_file(path, &mut draft));
    let read = match taken {
        Ok(()) => draft.finish(runtime).await,
        Err(error) => Err(error),
    };
    file.explain(read)
}

/// Reads the `-D` properties of a node without a configuration file.
pub(super) async fn read_properties<R: Runtime>(
    runtime: &R,
    properties: &[String],
    data: PathBuf,
) -> anyhow::Result<Read> {
    let mut draft = Draft::local();
    draft.data_dir = Some(data);
    draft.client_port = Some(CLIENT_PORT);
    draft.take_jaas(jaas_text(&[], properties));
    merge(Vec::new(), properties, &mut draft)?;
    draft.finish(runtime).await
}

/// Reads a list of four-letter words as ZooKeeper does: unknown words are no error and are returned
/// second.
fn lenient_words(list: &str) -> (Vec<FourLetterWord>, Vec<&str>) {
    let mut words = Vec::new();
    let mut unknown = Vec::new();
    for word in java::split(list, ',').into_iter().map(java::trim) {
        match word.parse() {
            Ok(word) => words.push(word),
            Err(_) if word == "*" => return (FourLetterWord::ALL.to_vec(), unknown),
            Err(_) if word.is_empty() => {}
            Err(_) => unknown.push(word),
        }
    }
    (words, unknown)
}

/// Reads a list of four-letter words. An unknown word is an error.
pub(super) fn words(list: &str) -> anyhow::Result<Vec<FourLetterWord>> {
    let mut words = Vec::new();
    for word in list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        if word == "*" {
            return Ok(FourLetterWord::ALL.to_vec());
        }
        words.push(
            word.parse()
                .map_err(|UnknownWord(word)| UnknownWord(piece(word)))?,
        );
    }
    Ok(words)
}

fn given_of(entry: &Entry, secrets: &Secrets) -> Given {
    // A line may be short for a property.
    let property = format!("{PREFIX}{}", entry.key);
    Given {
        key: entry.key.clone(),
        value: entry.value.clone(),
        origin: Origin::Line(entry.line),
        is_secret: secrets.hides(&entry.key) || secrets.hides(&property),
    }
}

/// The JAAS file, read before everything else, because it says which properties are secret. The
/// command line alone names it; a placeholder in its name may stand for a line of the configuration
/// file. `None` if there is none, or if it cannot be read: that is told when the users are read.
fn jaas_text(entries: &[Entry], properties: &[String]) -> Option<JaasText> {
    let of_line = properties.iter().map(|property| {
        let (key, value) = key_and_value(property);
        (key.to_owned(), value)
    });
    let of_file = entries.iter().filter_map(|entry| {
        let is_property = keys::file_key(&entry.key).is_none();
        is_property.then(|| (format!("{PREFIX}{}", entry.key), &*entry.value))
    });
    let all: BTreeMap<String, Secret> = of_line
        .chain(of_file)
        .map(|(key, value)| (key, Secret::new(value)))
        .collect();
    let named = all.get(JAAS_FILE).map(|named| named.reveal().to_owned());
    let mut settings = AuthSettings {
        properties: all,
        ..AuthSettings::default()
    };
    let named = named.map(|named| settings.set(JAAS_FILE, &named, &mut |_| {}));
    match named {
        Some(Ok(_)) => innkeeper_auth::jaas_text(&settings).ok().flatten(),
        // A mistake is told when the setting is taken.
        _ => None,
    }
}

/// The parts of a `-D` property. As in Java, neither of them is trimmed.
fn key_and_value(property: &str) -> (&str, &str) {
    property.split_once('=').unwrap_or((property, ""))
}

/// A configuration file as it was read.
struct ConfigFile<'a> {
    path: &'a Path,
    entries: Vec<Entry>,
    damage: Option<Damage>,
}

impl<'a> ConfigFile<'a> {
    fn read(path: &'a Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "{} cannot be read; name a configuration file that this user may read",
                file_name(path)
            )
        })?;
        let entries = properties::read(&bytes)
            .with_context(|| format!("{} is not usable", file_name(path)))?;
        Ok(Self {
            path,
            entries,
            damage: Damage::of(&bytes),
        })
    }

    /// The entries as they were understood, since a line of the file need not be one.
    fn shown(&self, secrets: &Secrets) -> String {
        let entries = self.entries.iter().map(|entry| {
            let given = given_of(entry, secrets);
            format!("{}={}\n", given.key, given.shown())
        });
        entries.collect()
    }

    /// The entries, each key once; of a key that stands there twice, the last, with a warning.
    fn lines(&self, draft: &mut Draft) -> Vec<Given> {
        let mut lines: Vec<Given> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let given = given_of(entry, &draft.secrets);
            match lines.iter_mut().find(|line| line.key == given.key) {
                Some(earlier) => {
                    draft.warn(format!(
                        "{given} stands where {} was said before: the last one counts, as in ZooKeeper",
                        piece(&earlier.key)
                    ));
                    *earlier = given;
                }
                None => lines.push(given),
            }
        }
        lines
    }

    /// Says in an error which file it is about, and what the file's damage has to do with it.
    fn explain<T>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        let result = match self.damage {
            Some(damage) => result.context(damage.consequence()),
            None => result,
        };
        result.with_context(|| format!("{} is not usable", file_name(self.path)))
    }
}

/// Takes the keys that ZooKeeper reads from its file alone, and then the system properties: those
/// of the command line, and the other lines of the file.
fn merge(lines: Vec<Given>, properties: &[String], draft: &mut Draft) -> anyhow::Result<()> {
    let mut set = SystemProperties::default();
    for property in properties {
        let (key, value) = key_and_value(property);
        let given = Given {
            key: key.to_owned(),
            value: value.to_owned(),
            origin: Origin::Property,
            is_secret: draft.secrets.hides(key),
        };
        set.insert(key.to_owned(), given, draft);
    }
    for line in lines {
        match keys::file_key(&line.key) {
            Some(key) => take(key, &line, draft)?,
            None => set.insert(format!("{PREFIX}{}", line.key), line, draft),
        }
    }
    for name in &set.order {
        let given = &set.named[name];
        let secret = Secret::new(given.value.clone());
        draft
            .settings
            .server
            .auth
            .properties
            .insert(name.clone(), secret);
        match keys::property(name) {
            Some(key) => take(key, given, draft)?,
            // It is there for a placeholder.
            None if draft.secrets.fills(name) || names_jaas_file(&set, name) => {}
            // The warning of the file's damage tells of it.
            None if given.key.starts_with(MARK) => {}
            None => match no_effect(given) {
                Some(why) => draft.warn(format!("{given} has no effect, as in ZooKeeper, {why}")),
                // The value of an unknown key may be a secret: it is not shown.
                None => draft.warn(format!(
                    "{}: {} is not known here and has no effect; look for a mistake in its name",
                    given.place(),
                    piece(&given.key)
                )),
            },
        }
    }
    Ok(())
}

/// Java's system properties by their full names, with the order in which they were set.
#[derive(Default)]
struct SystemProperties {
    named: BTreeMap<String, Given>,
    order: Vec<String>,
}

impl SystemProperties {
    /// Sets a property. The last value counts; the file comes after the command line.
    fn insert(&mut self, name: String, given: Given, draft: &mut Draft) {
        let value = given.shown().to_owned();
        let all = &mut draft.settings.admin.system_properties;
        all.insert(name.clone(), value);
        match self.named.insert(name.clone(), given) {
            None => self.order.push(name),
            Some(before) => {
                let now = &self.named[&name];
                if before.value != now.value && before.origin != now.origin {
                    draft.warn(format!(
                        "{now} outweighs {before}: what the file says counts, as in ZooKeeper"
                    ));
                }
            }
        }
    }
}

/// Whether a placeholder in the name of the JAAS file stands for a property.
fn names_jaas_file(set: &SystemProperties, name: &str) -> bool {
    let named = set.named.get(JAAS_FILE);
    named.is_some_and(|named| named.value.contains(&format!("${{{name}}}")))
}

/// Applies the rule of a key to its value.
fn take(key: Key, given: &Given, draft: &mut Draft) -> anyhow::Result<()> {
    match key.rule {
        Rule::Honoured(take) => take(draft, given)?,
        Rule::Unsupported(instead) => {
            draft.warn(format!("{given} is not supported: {instead}"));
        }
        Rule::Harmless(why) => draft.note(&given.key, why),
    }
    Ok(())
}

/// Why a key of ZooKeeper's has no effect in the file or as `-D`, and what to write instead; `None`
/// for a key that ZooKeeper does not have. (test:
/// `a_key_counts_where_zookeeper_reads_it_and_is_named_elsewhere`)
fn no_effect(given: &Given) -> Option<String> {
    let key = &*given.key;
    let bare = key.strip_prefix(PREFIX).unwrap_or(key);
    let full = format!("{PREFIX}{bare}");
    let shown = piece(bare);
    let is_line = matches!(given.origin, Origin::Line(_));
    if let Some((_, code)) = TITLES.iter().find(|(title, _)| *title == bare) {
        let write = match is_line {
            true => format!("{code} in the file"),
            false => format!("-D{PREFIX}{code}"),
        };
        return Some(format!("whose code has another name for it: write {write}"));
    }
    let in_file = keys::file_key(bare).is_some();
    let prefixed = keys::property(&full).is_some();
    let alone = keys::property(bare).is_some();
    Some(match is_line {
        true if in_file || prefixed => {
            format!("where the prefix counts for -D alone: write {shown} in the file")
        }
        true if alone => {
            format!("which takes {shown} from the command line alone: pass -D{shown}")
        }
        false if in_file => format!("which takes {shown} from its file alone"),
        false if prefixed => format!("where its name is {PREFIX}{shown}: write -D{PREFIX}{shown}"),
        false if alone => format!("where its name is {shown}: write -D{shown}"),
        _ => return None,
    })
}

/// Reads the servers from the file that `dynamicConfigFile` names.
fn take_dynamic_file(config: &Path, draft: &mut Draft) -> anyhow::Result<()> {
    let Some(path) = draft.dynamic_file.clone() else {
        return Ok(());
    };
    if draft.names_servers() {
        bail!(
            "dynamicConfigFile is set, so that the server.N lines belong into {}, not into {}",
            file_name(&path),
            file_name(config)
        );
    }
    let file = ConfigFile::read(&path)?;
    for given in file.lines(draft) {
        if given.key == "version" {
            bail!(
                "{}: a dynamic file's version is a part of its name; remove the line",
                file_name(&path)
            );
        }
        file.explain(draft.member(&given))?;
    }
    Ok(())
}

#[cfg(test)]
mod replay;
#[cfg(test)]
mod tests;
