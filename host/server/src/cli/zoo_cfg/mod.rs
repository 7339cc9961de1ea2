//! ZooKeeper's own configuration file, and the Java properties that its scripts pass.
//!
//! 1. The file is read as Java reads it ([`properties`]), with the one that `dynamicConfigFile`
//!    names; then come the `-D` properties. What the file says outweighs a property, as in
//!    ZooKeeper, where the file is made into properties after the command line's.
//! 2. Every key is looked up ([`keys`]) and taken ([`draft`]), or named to the user: a warning
//!    says what happens instead, a note why it means nothing here.
//! 3. What depends on several keys is decided: ports and addresses, the node's number
//!    ([`ensemble`]), throttles. A mistake is one sentence with the line where it stands.

mod draft;
mod ensemble;
mod keys;
mod properties;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use innkeeper_proto::frame::FourLetterWord;

use draft::Draft;
pub(super) use draft::Read;
use keys::Rule;
use values::{Given, Origin};

/// Where clients connect unless something is said.
const CLIENT_PORT: u16 = 2181;

/// Names that ZooKeeper's guide has for a property beside the one that its code reads.
const OTHER_NAMES: &[(&str, &str)] = &[
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

/// Reads a file, and what its command line said besides.
pub(super) fn read(path: &Path, properties: &[String]) -> anyhow::Result<Read> {
    let mut draft = Draft::new();
    let lines = read_file(path, &mut draft)?;
    let unusable = || format!("{} is not usable", path.display());
    merge(lines, properties, &mut draft)
        .and_then(|()| take_dynamic_file(path, &mut draft))
        .and_then(|()| draft.finish())
        .with_context(unusable)
}

/// Takes only properties, for a node that is started without a file.
pub(super) fn read_properties(properties: &[String], data: PathBuf) -> anyhow::Result<Read> {
    let mut draft = Draft::local();
    draft.data_dir = Some(data);
    draft.client_port = Some(CLIENT_PORT);
    merge(Vec::new(), properties, &mut draft)?;
    draft.finish()
}

/// Reads a list of four-letter words.
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
        words.push(word.parse()?);
    }
    Ok(words)
}

/// The file's entries; of a key that stands there twice, the last.
fn read_file(path: &Path, draft: &mut Draft) -> anyhow::Result<Vec<Given>> {
    let bytes = std::fs::read(path).with_context(|| {
        format!(
            "{} cannot be read; name a configuration file that this user may read",
            path.display()
        )
    })?;
    let entries =
        properties::read(&bytes).with_context(|| format!("{} is not usable", path.display()))?;
    if draft.settings.initial_configuration.is_empty() {
        // The entries as they were understood, since a line of the file need not be one.
        let entries = entries.iter();
        draft.settings.initial_configuration = entries
            .map(|entry| format!("{}={}\n", entry.key, shown(&entry.key, &entry.value)))
            .collect();
    }
    let mut lines: Vec<Given> = Vec::with_capacity(entries.len());
    for entry in entries {
        let given = Given {
            key: entry.key,
            value: entry.value,
            origin: Origin::Line(entry.line),
        };
        match lines.iter_mut().find(|line| line.key == given.key) {
            Some(earlier) => {
                draft.warn(format!(
                    "{given} stands where {} was said before: the last one counts, as in ZooKeeper",
                    earlier.key
                ));
                *earlier = given;
            }
            None => lines.push(given),
        }
    }
    Ok(lines)
}

/// Takes what the file and the command line say, each key once.
fn merge(lines: Vec<Given>, properties: &[String], draft: &mut Draft) -> anyhow::Result<()> {
    let mut named: BTreeMap<String, Given> = BTreeMap::new();
    let mut order = Vec::new();
    let of_command_line = properties.iter().map(|property| {
        let (key, value) = property.split_once('=').unwrap_or((property, ""));
        Given {
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            origin: Origin::Property,
        }
    });
    let of_command_line: Vec<Given> = of_command_line.collect();
    for given in &of_command_line {
        let value = shown(&given.key, &given.value).to_owned();
        let all = &mut draft.settings.system_properties;
        all.insert(given.key.clone(), value);
    }
    for given in of_command_line.into_iter().chain(lines) {
        let name = name_of(&given.key);
        match named.insert(name.clone(), given) {
            None => order.push(name),
            Some(before) => {
                let now = &named[&name];
                if before.value != now.value && before.origin != now.origin {
                    draft.warn(format!(
                        "{now} outweighs {before}: what the file says counts, as in ZooKeeper"
                    ));
                }
            }
        }
    }
    for name in order {
        take(&name, &named[&name], draft)?;
    }
    Ok(())
}

/// Does what the rule of one key says.
fn take(name: &str, given: &Given, draft: &mut Draft) -> anyhow::Result<()> {
    match keys::find(name).map(|key| key.rule) {
        Some(Rule::Honoured(take)) => {
            let plain = Given {
                key: name.to_owned(),
                ..given.clone()
            };
            take(draft, &plain)?;
        }
        Some(Rule::Unsupported(instead)) => {
            draft.warn(format!("{given} is not supported: {instead}"));
        }
        Some(Rule::Harmless(why)) => draft.note(&given.key, why),
        None => draft.warn(format!(
            "{given} is not known here and has no effect; look for a mistake in its name"
        )),
    }
    Ok(())
}

/// What of a key's value anyone may see who asks the node for its configuration: all but secrets,
/// which ZooKeeper shows as well. (test: `secrets_are_not_shown`)
fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    const SECRET: [&str; 4] = ["password", "passwd", "superdigest", "secret"];
    let key = key.to_ascii_lowercase();
    let is_secret = SECRET.iter().any(|secret| key.contains(secret));
    if is_secret && !key.ends_with("path") {
        "<not shown>"
    } else {
        value
    }
}

/// What the key is called in the tables.
fn name_of(key: &str) -> String {
    let name = key.strip_prefix("zookeeper.").unwrap_or(key);
    let other = OTHER_NAMES.iter().find(|(guide, _)| *guide == name);
    other.map_or(name, |(_, code)| code).to_owned()
}

/// Takes the servers from the file that `dynamicConfigFile` names.
fn take_dynamic_file(config: &Path, draft: &mut Draft) -> anyhow::Result<()> {
    let Some(path) = draft.dynamic_file.clone() else {
        return Ok(());
    };
    if draft.names_servers() {
        bail!(
            "dynamicConfigFile is set, so that the server.N lines belong into {}, not into {}",
            path.display(),
            config.display()
        );
    }
    for given in read_file(&path, draft)? {
        if given.key == "version" {
            bail!(
                "{}: a dynamic file's version is a part of its name; remove the line",
                path.display()
            );
        }
        draft
            .member(&given)
            .with_context(|| format!("{} is not usable", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
