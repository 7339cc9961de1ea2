//! What a real ZooKeeper 3.9.5 made of thousands of files and properties, held against what is
//! made of them here. `tests/starts/outcomes.txt` has a case and its outcome on each line;
//! `make starts-check` holds it against ZooKeeper.
#![allow(clippy::disallowed_methods)] // Files of tests.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use innkeeper_auth::Auth;
use innkeeper_node::NodeSettings;
use innkeeper_runtime::{RealConfig, Threads};
use serde::Deserialize;

use super::*;

const TABLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/starts/outcomes.txt"
);

/// One line of the table.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Lines of the file. One that begins with a minus names a line of [`BASE`] that is not there.
    #[serde(default)]
    file: Vec<String>,
    /// What `-D` says.
    #[serde(default)]
    properties: Vec<String>,
    /// What `myid` holds.
    myid: Option<String>,
    /// What `jaas.conf` holds.
    jaas: Option<String>,
    /// What ZooKeeper exits with, if it does not start.
    exit: Option<u8>,
    /// Why.
    #[serde(rename = "why")]
    _why: Option<String>,
    /// What took effect, as far as it differs from the first line.
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// What a case's file holds unless the case says something of the same key, as in `cases.py`.
const BASE: [(&str, &str); 5] = [
    ("dataDir", "{folder}/data"),
    ("clientPort", "0"),
    ("clientPortAddress", "127.0.0.1"),
    ("admin.serverAddress", "127.0.0.1"),
    ("admin.serverPort", "0"),
];

impl Case {
    /// Starts it, as far as there is no node.
    fn start(&self, threads: &Threads, folder: &Path) -> anyhow::Result<NodeSettings> {
        // Each port of a case is another one.
        let port = Cell::new(20_000);
        let fill = |text: &str| {
            let text = text.replace("{folder}", &folder.display().to_string());
            let mut filled = String::new();
            for (at, part) in text.split("{port}").enumerate() {
                if at > 0 {
                    port.set(port.get() + 1);
                    filled.push_str(&port.get().to_string());
                }
                filled.push_str(part);
            }
            filled
        };
        let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let mut named: BTreeSet<String> = self
            .file
            .iter()
            .map(|line| name(line.trim_start_matches('-')))
            .collect();
        named.extend(self.properties.iter().map(|text| {
            let name = name(text);
            name.strip_prefix(PREFIX).unwrap_or(&name).to_owned()
        }));
        let base = BASE.iter().filter(|(key, _)| !named.contains(*key));
        let mut lines: Vec<String> = base.map(|(key, value)| format!("{key}={value}")).collect();
        let said = self.file.iter().filter(|line| !line.starts_with('-'));
        lines.extend(said.cloned());
        std::fs::create_dir_all(folder.join("data")).unwrap();
        if let Some(myid) = &self.myid {
            std::fs::write(folder.join("data/myid"), myid).unwrap();
        }
        if let Some(jaas) = &self.jaas {
            std::fs::write(folder.join("jaas.conf"), jaas).unwrap();
        }
        let text: String = lines.iter().map(|line| fill(line) + "\n").collect();
        let path = folder.join("zoo.cfg");
        std::fs::write(&path, text).unwrap();
        let properties: Vec<String> = self.properties.iter().map(|text| fill(text)).collect();
        // The system's resolver, as in ZooKeeper, takes `0` for an address as well.
        let read = threads.block_on(read(&threads.runtime(), &path, &properties));
        let settings = read?.settings;
        let server = &settings.server;
        Auth::new(&server.auth, server.serves_tls())?;
        // TLS that cannot be set up stops the start as well; none of the cases has a key store.
        anyhow::ensure!(!server.serves_tls(), "TLS is served without a key store");
        Ok(settings)
    }
}

/// What is known of a value here, in the words of the table; `None` where nothing corresponds.
fn value_of(name: &str, node: &NodeSettings) -> Option<String> {
    let (settings, admin) = (&node.server, &node.admin);
    let throttle = &settings.connection_throttle;
    let weights = throttle.weights;
    let (min_timeout_ms, max_timeout_ms) = settings.timeout_range_ms();
    let price = weights.map_or(1, |weights| weights.session);
    let host = |addr: Option<std::net::SocketAddr>| match addr {
        None => "none".to_owned(),
        Some(addr) if addr.ip().is_unspecified() => "any".to_owned(),
        Some(addr) => java_address(addr.ip()),
    };
    let optional = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
    Some(match name {
        "tickTime" => settings.tick_time_ms.to_string(),
        "minSessionTimeout" => min_timeout_ms.to_string(),
        "maxSessionTimeout" => max_timeout_ms.to_string(),
        "maxClientCnxns" => settings.max_client_connections.to_string(),
        "serverId" => settings.server_id().to_string(),
        "sessionsBegin" => settings.session_prefix().to_string(),
        "distributed" => settings.server_number.is_some().to_string(),
        "client" => host(settings.plain_clients.then_some(settings.listen)),
        "secure" => host(settings.secure_listen),
        "maxCnxns" => settings.max_connections.to_string(),
        "globalOutstandingLimit" => settings.global_outstanding_limit.to_string(),
        "jute.maxbuffer" => settings.jute_max_buffer_bytes.to_string(),
        "largeRequestThreshold" => settings
            .large_request_threshold_bytes
            .map_or("-1".to_owned(), |bytes| bytes.to_string()),
        "largeRequestMaxBytes" => settings.large_request_max_bytes.to_string(),
        "throttle.tokens" => (throttle.tokens * price).to_string(),
        "throttle.fillTime" => throttle.fill_time_ms.to_string(),
        "throttle.fillCount" => (throttle.fill_count * price).to_string(),
        "throttle.freezeTime" => throttle
            .freeze_time_ms
            .map_or("-1".to_owned(), |time_ms| time_ms.to_string()),
        "throttle.dropIncrease" => java_double(throttle.drop_increase),
        "throttle.dropDecrease" => java_double(throttle.drop_decrease),
        "throttle.decreaseRatio" => java_double(throttle.decrease_ratio),
        "throttle.weighed" => weights.is_some().to_string(),
        "throttle.global" if weights.is_some() => weights?.session.to_string(),
        "throttle.local" if weights.is_some() => weights?.local_session.to_string(),
        "throttle.renew" if weights.is_some() => weights?.old_session.to_string(),
        "maxRequests" => settings.request_throttle.max_requests.to_string(),
        "throttledOpWait" => settings.request_throttle.throttled_op_wait_ms.to_string(),
        "skipACL" => settings.auth.skip_acl.to_string(),
        "enforceQuota" => settings.enforce_quota.to_string(),
        "extendedTypes" => settings.extended_types_enabled.to_string(),
        "readonly" => settings.read_only_mode.to_string(),
        "reconfigEnabled" => settings.reconfig_enabled.to_string(),
        "localSessions" => settings.local_sessions.to_string(),
        "localSessionsUpgrading" => settings.local_sessions_upgrading.to_string(),
        "container.checkIntervalMs" => settings.container_check_interval_ms.to_string(),
        "container.maxPerMinute" => settings.container_max_per_minute.to_string(),
        "container.maxNeverUsedIntervalMs" => settings.container_max_never_used_ms.to_string(),
        "admin" => match admin.http {
            Some(_) => "JettyAdminServer".to_owned(),
            None => "DummyAdminServer".to_owned(),
        },
        "admin.port" => admin.http?.port().to_string(),
        "sessionless" => settings.handshake_timeout_ms.to_string(),
        "certReload" => settings.tls.reload.to_string(),
        "portUnification" => settings.port_unification.to_string(),
        "handshakeLimit" => settings
            .tls
            .handshakes_max
            .map_or("-1".to_owned(), |limit| limit.to_string()),
        "enforce" => (settings.auth.enforce || settings.auth.sasl_required).to_string(),
        "superDigest" => {
            let digest = settings.auth.super_digest.as_ref();
            optional(digest.map(|digest| digest.reveal().to_owned()))
        }
        "x509SuperUser" => optional(settings.auth.x509_super_user.clone()),
        "saslSuperPassword" => {
            let password = settings.auth.sasl_super_password.as_ref();
            optional(password.map(|password| password.reveal().to_owned()))
        }
        "saslSection" => settings.auth.jaas_section.clone(),
        "superUsers" => {
            let mut users: Vec<&str> = settings
                .auth
                .sasl_super_users
                .values()
                .map(String::as_str)
                .collect();
            users.sort_unstable();
            users.dedup();
            format!("[{}]", users.join(", "))
        }
        "schemes" => {
            let auth = Auth::new(&settings.auth, settings.serves_tls()).ok()?;
            let schemes: BTreeSet<&str> = auth.schemes().iter().map(String::as_str).collect();
            let schemes: Vec<&str> = schemes.into_iter().collect();
            format!("[{}]", schemes.join(", "))
        }
        "words" => {
            let mut words: BTreeSet<&str> = admin.words.iter().map(|word| word.as_str()).collect();
            words.insert("srvr");
            if settings.read_only_mode {
                words.insert("isro");
            }
            let words: Vec<&str> = words.into_iter().collect();
            format!("[{}]", words.join(", "))
        }
        "ssl.clientHostnameVerification" => settings.tls.client_hostname_verification.to_string(),
        "ssl.hostnameVerification" => settings.tls.hostname_verification.to_string(),
        _ => return None,
    })
}

/// As `Double.toString` writes it.
fn java_double(number: f64) -> String {
    if number.is_infinite() {
        return format!("{number}").replace("inf", "Infinity");
    }
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    let (digits, exponent) = text.split_once('E').unwrap();
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

/// As Java writes an address.
fn java_address(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => {
            let parts: Vec<String> = ip
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            parts.join(":")
        }
    }
}

/// A value that Innkeeper means to take otherwise: its name, when, and why.
struct Deliberate {
    names: &'static [&'static str],
    /// Whether it is so for what ZooKeeper has and what is had here.
    holds: fn(zookeeper: &str, here: &str) -> bool,
    why: &'static str,
}

const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        names: &["jute.maxbuffer"],
        holds: |zookeeper, here| {
            let zookeeper: i64 = zookeeper.parse().unwrap();
            zookeeper <= 0 && here == "1048575" || zookeeper > 1 << 28 && here == "268435456"
        },
        why: "a limit of no bytes lets no client in, and one of more than 256 MiB is beyond the log",
    },
    Deliberate {
        names: &[
            "globalOutstandingLimit",
            "sessionless",
            "container.maxPerMinute",
            "throttle.fillTime",
            "throttle.fillCount",
        ],
        holds: |zookeeper, _| zookeeper.parse::<i64>().unwrap() <= 0,
        why: "nothing, or less than nothing, of these ends in an error or a standstill there; the \
              default counts, and a warning says so",
    },
    Deliberate {
        names: &[
            "throttle.tokens",
            "maxRequests",
            "throttledOpWait",
            "container.maxNeverUsedIntervalMs",
            "maxClientCnxns",
            "throttle.freezeTime",
        ],
        holds: |zookeeper, here| zookeeper.parse::<i64>().unwrap() < 0 && here == "0",
        why: "less than nothing is nothing",
    },
    Deliberate {
        names: &["throttle.dropIncrease", "throttle.decreaseRatio"],
        holds: |zookeeper, here| zookeeper == "NaN" && here == "0.0",
        why: "what is not a number compares with nothing there, so that it counts as none",
    },
    Deliberate {
        names: &["handshakeLimit"],
        holds: |zookeeper, here| zookeeper.parse::<i64>().unwrap() <= 0 && here == "-1",
        why: "there is no limit below 1",
    },
    Deliberate {
        names: &["words"],
        holds: |zookeeper, here| here.replace("isro, ", "") == zookeeper,
        why: "isro may be asked wherever the node may be read-only, not only where its key is \
              spelt in small letters",
    },
    Deliberate {
        names: &["tickTime", "minSessionTimeout", "maxSessionTimeout"],
        holds: |zookeeper, _| zookeeper.parse::<i64>().unwrap() < 0,
        why: "no time is negative",
    },
];

/// Why Innkeeper does not start where ZooKeeper does, if it means to.
fn may_stop(case: &Case, why: &str) -> bool {
    let _ = (case, why);
    false
}

fn differences(
    threads: &Threads,
    case: &Case,
    plain: &Case,
    used: &mut BTreeSet<usize>,
) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let settings = match (case.start(threads, folder.path()), case.exit) {
        // What ZooKeeper refuses is refused here, or means nothing.
        (_, Some(_)) => return Vec::new(),
        (Ok(settings), None) => settings,
        (Err(why), None) => {
            let why = format!("{why:#}");
            return match may_stop(case, &why) {
                true => Vec::new(),
                false => vec![format!("{case:?}\n    is refused: {why}")],
            };
        }
    };
    let mut found = Vec::new();
    let names: BTreeSet<&String> = plain.values.keys().chain(case.values.keys()).collect();
    for name in names {
        let value = case.values.get(name).or(plain.values.get(name)).unwrap();
        // Of one server among several only the address is told, with its port.
        let value = value
            .strip_prefix('/')
            .and_then(|addr| addr.rsplit_once(':'))
            .map_or(&**value, |(host, _)| host);
        let Some(here) = value_of(name, &settings) else {
            continue;
        };
        // The table has blanks for the ends of lines.
        let here = here.replace('\r', " ");
        let rule = DELIBERATE
            .iter()
            .position(|rule| rule.names.contains(&name.as_str()) && (rule.holds)(value, &here));
        match rule {
            _ if value == here => {}
            Some(rule) => {
                used.insert(rule);
            }
            None => found.push(format!(
                "{case:?}\n    {name} is {here} here and {value} there"
            )),
        }
    }
    found
}

#[test]
fn the_start_stops_only_where_zookeepers_does() {
    let table = std::fs::read_to_string(TABLE).unwrap();
    let cases: Vec<Case> = table
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(cases.len() > 3000, "{}", cases.len());
    let threads = Threads::start(RealConfig::default()).unwrap();
    let mut used = BTreeSet::new();
    let found: Vec<String> = cases
        .iter()
        .flat_map(|case| differences(&threads, case, &cases[0], &mut used))
        .collect();
    assert!(
        found.is_empty(),
        "{} differ:\n{}",
        found.len(),
        found.join("\n")
    );
    for (number, rule) in DELIBERATE.iter().enumerate() {
        assert!(
            used.contains(&number),
            "nothing needs this rule: {}",
            rule.why
        );
    }
}
