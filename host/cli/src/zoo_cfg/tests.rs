//! A file's whole way, as far as it goes without a node.
#![allow(clippy::disallowed_methods)] // Files of tests.

use std::path::PathBuf;

use super::keys::{self, Rule};
use super::*;
use innkeeper_admin::settings::AdminSettings;
use innkeeper_node::{Node, NodeSettings};
use innkeeper_runtime::{Latest, Sim, World};
use innkeeper_server::settings::ServerSettings;

/// As [`super::read`], in a world of its own.
fn read(path: &Path, properties: &[String]) -> anyhow::Result<Read> {
    Sim::run(1, async |runtime| {
        super::read(&runtime, path, properties).await
    })
}

/// A folder with a data folder, and the text of a file that names it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Reads a file of the least that must be said, and more.
    fn read(&self, more: &str, properties: &[&str]) -> anyhow::Result<Read> {
        let text = format!("dataDir={}\nclientPort=2181\n{more}", self.data().display());
        let path = self.write("zoo.cfg", &text);
        let properties: Vec<String> = properties.iter().map(|text| (*text).to_owned()).collect();
        read(&path, &properties)
    }

    fn refused(&self, more: &str) -> String {
        format!("{:#}", self.read(more, &[]).unwrap_err())
    }
}

/// Nothing that ZooKeeper knows is dropped in silence.
#[test]
fn every_key_is_honoured_or_named() {
    let bench = Bench::new();
    for key in keys::of_the_file().chain(keys::properties()) {
        let name = key.name.replace('*', "1");
        let (Rule::Unsupported(_) | Rule::Harmless(_)) = key.rule else {
            continue;
        };
        let is_of_file = keys::file_key(&name).is_some();
        let read = match is_of_file {
            true => bench.read(&format!("{name}=true\n"), &[]),
            false => bench.read("", &[&format!("{name}=true")]),
        };
        let read = read.unwrap();
        let said = [read.warnings, read.notes].concat();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(&name), "{said:?}");
        assert!(!said[0].contains("no effect"), "{said:?}");
    }
    let read = bench.read("speed=fast\n", &["speed=fast"]).unwrap();
    for (warning, place) in read.warnings.iter().zip(["-D", "line 3"]) {
        let expected = format!("{place}: speed is not known");
        assert!(warning.contains(&expected), "{warning}");
    }
}

#[test]
fn a_table_names_each_key_once() {
    for keys in [
        keys::of_the_file().collect::<Vec<_>>(),
        keys::properties().collect(),
    ] {
        let mut names: Vec<_> = keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(before, names.len());
    }
    // The longest match counts, and a whole name before a prefix of its length.
    let property = |name| keys::property(name).map(|key| key.name);
    assert_eq!(
        property("zookeeper.ssl.quorum.keyStore.type"),
        Some("zookeeper.ssl.quorum.*")
    );
    assert_eq!(property("jute.maxbuffer"), Some("jute.maxbuffer"));
    assert_eq!(property("zookeeper.jute.maxbuffer"), None);
    assert_eq!(property("skipACL"), None);
    assert!(keys::file_key("server").is_none() && keys::file_key("tickTimes").is_none());
}

/// Every system property and key whose name stands in ZooKeeper 3.9.5's own sources.
#[test]
fn all_names_of_zookeepers_sources_are_in_a_table() {
    for name in include_str!("known_to_zookeeper.txt").lines() {
        let known = keys::file_key(name).is_some()
            || keys::property(name).is_some()
            || keys::property(&format!("{PREFIX}{name}")).is_some();
        assert!(known, "{name}");
    }
}

/// A line with the prefix, a property without it, and a key of the file as a property: none of
/// these has an effect there, and a warning says so.
#[test]
fn a_key_counts_where_zookeeper_reads_it_and_is_named_elsewhere() {
    let bench = Bench::new();
    bench.write("data/myid", "1");
    for (line, property, says) in [
        (
            "zookeeper.skipACL=yes",
            "",
            "where the prefix counts for -D alone: write skipACL in the file",
        ),
        ("zookeeper.tickTime=7", "", "write tickTime in the file"),
        (
            "jute.maxbuffer=7",
            "",
            "which takes jute.maxbuffer from the command line alone: pass -D",
        ),
        ("zookeeper.jute.maxbuffer=7", "", "pass -Djute.maxbuffer"),
        (
            "java.security.auth.login.config=/no/such",
            "",
            "pass -Djava.security.auth.login.config",
        ),
        (
            "connectionMaxTokens=7",
            "",
            "write connection_throttle_tokens in the file",
        ),
        (
            "",
            "skipACL=yes",
            "its name is zookeeper.skipACL: write -Dzookeeper.skipACL",
        ),
        (
            "",
            "zookeeper.jute.maxbuffer=7",
            "its name is jute.maxbuffer: write -Djute.maxbuffer",
        ),
        (
            "",
            "zookeeper.server.1=a:2888:3888",
            "which takes server.1 from its file alone",
        ),
        (
            "",
            "server.1=a:2888:3888",
            "which takes server.1 from its file alone",
        ),
        (
            "",
            "zookeeper.clientPort=word",
            "which takes clientPort from its file alone",
        ),
        (
            "",
            "zookeeper.tickTime=7",
            "which takes tickTime from its file alone",
        ),
        (
            "",
            "zookeeper.requestThrottleLimit=7",
            "write -Dzookeeper.request_throttle_max_requests",
        ),
    ] {
        let properties: &[&str] = if property.is_empty() {
            &[]
        } else {
            &[property]
        };
        let plain = bench.read("\n", &[]).unwrap();
        let read = bench.read(&format!("{line}\n"), properties).unwrap();
        assert_eq!(
            read.warnings.len(),
            1,
            "{line} {property}: {:?}",
            read.warnings
        );
        let place = if property.is_empty() {
            "line 3: "
        } else {
            "-D: "
        };
        assert!(read.warnings[0].starts_with(place), "{:?}", read.warnings);
        assert!(read.warnings[0].contains("has no effect, as in ZooKeeper"));
        assert!(read.warnings[0].contains(says), "{:?}", read.warnings);
        let seen = |read: Read| NodeSettings {
            server: ServerSettings {
                auth: innkeeper_auth::AuthSettings {
                    properties: BTreeMap::new(),
                    ..read.settings.server.auth
                },
                ..read.settings.server
            },
            admin: AdminSettings {
                initial_configuration: String::new(),
                system_properties: BTreeMap::new(),
                ..read.settings.admin
            },
            guests: read.settings.guests,
        };
        assert_eq!(seen(read), seen(plain), "{line} {property}");
    }
}

/// It is a password, wherever it is set, and however often; and however the JAAS file is named.
#[test]
fn properties_of_the_jaas_file_are_secret() {
    let bench = Bench::new();
    let text = "Server { m required user_a=\"${zookeeper.a.word}\"; };";
    let path = bench.write("jaas.conf", text).display().to_string();
    let folder = bench.folder.path().display();
    // With a comment that is no UTF-8.
    let other = bench.folder.path().join("latin1.conf");
    std::fs::write(&other, [text.as_bytes(), b" // donn\xe9es"].concat()).unwrap();
    for named in [
        path.clone(),
        format!("={path}"),
        format!("file:{path}"),
        format!("file://{path}"),
        "${users.folder}/jaas.conf".to_owned(),
        "file:${zookeeper.folder.of.users}${/}jaas.conf".to_owned(),
        other.display().to_string(),
    ] {
        let config = format!("java.security.auth.login.config={named}");
        let users = format!("users.folder={folder}");
        let mut properties = vec![&*config, "zookeeper.a.word=hunter222"];
        let mut more = "a.word=hunter2\na.word=hunter22\n".to_owned();
        // What nothing needs is warned of.
        if named.contains("{users.folder}") {
            properties.push(&users);
        }
        if named.contains("folder.of.users") {
            more.push_str(&format!("folder.of.users={folder}\n"));
        }
        let read = bench.read(&more, &properties).unwrap();
        // One for the line that comes twice, one for the file that outweighs the command line.
        assert_eq!(read.warnings.len(), 2, "{named}: {:?}", read.warnings);
        let said = read.warnings.join("\n");
        assert!(!said.contains("hunter2"), "{named}: {said}");
        let NodeSettings { server, admin, .. } = read.settings;
        let file = admin.initial_configuration;
        assert!(
            file.contains("a.word=<not shown>\n") && !file.contains("hunter2"),
            "{named}: {file}"
        );
        assert_eq!(
            admin.system_properties["zookeeper.a.word"], "<not shown>",
            "{named}"
        );
        assert_eq!(
            server.auth.properties["zookeeper.a.word"].reveal(),
            "hunter22"
        );

        // A node without a configuration file. A line of one cannot name the folder.
        if !named.contains("folder.of.users") {
            let properties: Vec<String> = properties.iter().map(|&text| text.to_owned()).collect();
            let read = Sim::run(1, async |runtime| {
                read_properties(&runtime, &properties, bench.data()).await
            });
            let read = read.unwrap();
            let shown = &read.settings.admin.system_properties["zookeeper.a.word"];
            assert_eq!(shown, "<not shown>", "{named}");
            assert!(read.warnings.is_empty(), "{named}: {:?}", read.warnings);
        }
    }
}

/// A real ZooKeeper 3.9.5 reads a byte-order mark as a part of the first key, too.
#[test]
fn a_file_that_was_saved_in_another_form_is_named_as_the_cause() {
    let bench = Bench::new();
    let read_bytes = |bytes: Vec<u8>, properties: &[String]| {
        let path = bench.folder.path().join("marked.cfg");
        std::fs::write(&path, bytes).unwrap();
        read(&path, properties)
    };
    let least = format!("dataDir={}\nclientPort=2181\n", bench.data().display());
    let marked = |text: &str| format!("\u{feff}{text}").into_bytes();
    let mark = "line 1 has no effect, as in ZooKeeper, because the file begins with a byte-order \
                mark (BOM)";

    let error = read_bytes(marked(&least), &[]).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains(mark)
            && error.ends_with("dataDir is not set: name the folder for the node's data"),
        "{error}"
    );
    let read = read_bytes(marked(&format!("tickTime=500\n{least}")), &[]).unwrap();
    assert_eq!(read.settings.server.tick_time_ms, 3000);
    assert_eq!(read.warnings.len(), 1, "{:?}", read.warnings);
    assert!(read.warnings[0].starts_with(mark), "{:?}", read.warnings);
    // Line 1 may say nothing anyway.
    for first in ["# comment", "  ! comment", "", " \t"] {
        let read = read_bytes(marked(&format!("{first}\n{least}")), &[]).unwrap();
        assert_eq!(read.warnings, [""; 0], "{first:?}");
    }
    // With a mark before it this is no comment, and takes line 2 with it.
    let error = read_bytes(marked(&format!("# comment \\\n{least}")), &[]).unwrap_err();
    assert!(format!("{error:#}").contains(mark), "{error:#}");
    // The kind of an error decides on the exit code.
    let properties = ["zookeeper.datadir.autocreate=false".to_owned()];
    let missing = marked("# comment\ndataDir=/no/such\nclientPort=2181\n");
    let error = read_bytes(missing, &properties).unwrap_err();
    assert!(error.is::<MissingDataDir>(), "{error:#}");

    for mark in ["\u{feff}", ""] {
        for units in [u16::to_le_bytes, u16::to_be_bytes] {
            let text = format!("{mark}{least}");
            let bytes = text.encode_utf16().flat_map(units).collect();
            let error = format!("{:#}", read_bytes(bytes, &[]).unwrap_err());
            assert!(error.contains("the file is in UTF-16"), "{error}");
            assert!(!error.contains('\0'), "{error:?}");
        }
    }

    let dynamic = bench.folder.path().join("zoo.cfg.dynamic");
    std::fs::write(&dynamic, marked("server.3=127.0.0.1:2888:3888;2181\n")).unwrap();
    let error = bench.refused(&format!("dynamicConfigFile={}\n", dynamic.display()));
    assert!(error.contains(mark), "{error}");
}

/// What fills a placeholder is no key that is misspelt.
#[test]
fn properties_of_the_jaas_file_are_known() {
    let bench = Bench::new();
    let text = "Server { m required user_a=\"${a.word}\"; };";
    let config = format!(
        "java.security.auth.login.config={}",
        bench.write("jaas.conf", text).display()
    );
    let read = bench.read("", &[&config, "a.word=x", "b.color=y"]).unwrap();
    assert_eq!(read.warnings.len(), 1, "{:?}", read.warnings);
    assert!(read.warnings[0].contains("b.color is not known"));
    let settings = read.settings;
    assert_eq!(settings.server.auth.properties["a.word"].reveal(), "x");
    assert_eq!(settings.admin.system_properties["a.word"], "<not shown>");
}

#[test]
fn what_is_honoured_is_in_the_settings() {
    let bench = Bench::new();
    let more = "tickTime=500\nclientPortAddress=127.0.0.1\nsecureClientPort=2281\n\
        maxClientCnxns=7\nminSessionTimeout=700\nmaxSessionTimeout=9000\n\
        4lw.commands.whitelist=ruok, mntr\nadmin.serverPort=9090\nadmin.serverAddress=::1\n\
        admin.commandURL=/zk/\nmetricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
        metricsProvider.httpPort=7070\nmetricsProvider.httpHost=127.0.0.1\n\
        extendedTypesEnabled=true\nenforceQuota=true\nlocalSessionsEnabled=TRUE\n\
        localSessionsUpgradingEnabled=true\nreconfigEnabled=true\nskipACL=yes\n\
        globalOutstandingLimit=50\nlargeRequestThreshold=1000\nlargeRequestMaxBytes=5000\n\
        connection_throttle_tokens=10\nconnection_throttle_weight_enabled=true\n\
        ssl.keyStore.location=/k.jks\nauthProvider.1=org.apache.zookeeper.server.auth.X509AuthenticationProvider\nclient.portUnification=true\n";
    let properties = [
        "zookeeper.DigestAuthenticationProvider.superDigest=super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=",
        "readonlymode.enabled=true",
        "jute.maxbuffer=0x400",
        "zookeeper.maxCnxns=12",
        "znode.container.checkIntervalMs=1000",
        "zookeeper.request_throttle_max_requests=20",
        "zookeeper.request_stale_latency_check=true",
        "zookeeper.throttled_op_wait_time=300",
        "zookeeper.nio.sessionlessCnxnTimeout=2000",
    ];
    let read = bench.read(more, &properties).unwrap();
    assert_eq!((read.warnings, read.notes), (vec![], vec![]));
    let settings = read.settings;
    let addr = |text: &str| text.parse().ok();
    assert_eq!(Some(settings.server.listen), addr("127.0.0.1:2181"));
    assert_eq!(settings.server.secure_listen, addr("0.0.0.0:2281"));
    assert_eq!(settings.admin.http, addr("[::1]:9090"));
    assert_eq!(settings.admin.metrics, addr("127.0.0.1:7070"));
    assert_eq!(settings.admin.command_url, "/zk");
    assert_eq!(settings.server.timeout_range_ms(), (700, 9000));
    assert_eq!(
        (
            settings.server.max_client_connections,
            settings.server.max_connections
        ),
        (7, 12)
    );
    assert_eq!(
        settings.admin.words,
        [FourLetterWord::Ruok, FourLetterWord::Mntr]
    );
    assert!(
        settings.server.extended_types_enabled
            && settings.server.enforce_quota
            && settings.server.auth.skip_acl
    );
    assert!(settings.server.local_sessions && settings.server.local_sessions_upgrading);
    assert!(
        settings.server.reconfig_enabled
            && settings.server.read_only_mode
            && settings.server.port_unification
    );
    assert_eq!(settings.server.jute_max_buffer_bytes, 1024);
    assert_eq!(settings.server.outstanding_limit(0), 20);
    assert_eq!(settings.server.large_request_threshold_bytes, Some(1000));
    assert_eq!(settings.server.large_request_max_bytes, 5000);
    assert_eq!(settings.server.connection_throttle.tokens, 10);
    assert!(settings.server.connection_throttle.weights.is_some());
    assert!(settings.server.request_throttle.drop_stale);
    assert_eq!(settings.server.request_throttle.throttled_op_wait_ms, 300);
    assert_eq!(settings.server.handshake_timeout_ms, 2000);
    assert_eq!(settings.server.container_check_interval_ms, 1000);
    assert_eq!(
        settings.server.auth.super_digest,
        Some(Secret::new("super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss="))
    );
    assert_eq!(
        settings.server.tls.key_store.location,
        Some("/k.jks".into())
    );
    assert!(settings.server.auth.schemes.contains("x509"));
}

/// The admin commands show the configuration without its passwords.
#[test]
fn secrets_are_not_shown() {
    let more = "ssl.keyStore.password=hunter2\nadmin.idleTimeout=700\n# a.password=hunter2\n\
                  ssl.trustStore.password=\\\nhunter2\n  b.pass\\u0077ord hunter2\n";
    let properties = [
        "zookeeper.ssl.trustStore.password=hunter2",
        "zookeeper.DigestAuthenticationProvider.superDigest=super:hunter2",
        "zookeeper.ssl.keyStore.passwordPath=/etc/password",
        "readonlymode.enabled=true",
    ];
    let settings = Bench::new().read(more, &properties).unwrap().settings;
    let (file, all) = (
        &settings.admin.initial_configuration,
        &settings.admin.system_properties,
    );
    assert!(
        file.contains("ssl.keyStore.password=<not shown>\nadmin.idleTimeout=700\n"),
        "{file}"
    );
    assert!(!file.contains("hunter2") && all.values().all(|value| !value.contains("hunter2")));
    assert_eq!(all["readonlymode.enabled"], "true");
    assert_eq!(all["zookeeper.ssl.keyStore.passwordPath"], "/etc/password");
    assert_eq!(settings.admin.idle_timeout_ms, Some(700));
}

#[test]
fn zookeepers_defaults_hold_where_nothing_is_said() {
    let settings = Bench::new().read("", &[]).unwrap().settings;
    let addr = |text: &str| text.parse().ok();
    assert_eq!(Some(settings.server.listen), addr("0.0.0.0:2181"));
    assert_eq!(settings.admin.http, addr("0.0.0.0:8080"));
    assert_eq!(
        (settings.server.secure_listen, settings.admin.metrics),
        (None, None)
    );
    assert_eq!(settings.server.timeout_range_ms(), (6000, 60_000));
    assert_eq!(settings.server.max_client_connections, 60);
    assert_eq!(
        (
            settings.server.server_number,
            settings.server.session_prefix()
        ),
        (None, 1)
    );
    assert_eq!(settings.server.outstanding_limit(0), 1000);
    assert_eq!(settings.server.jute_max_buffer_bytes, 0xf_ffff);
}

#[test]
fn the_file_outweighs_a_property_and_says_so() {
    let bench = Bench::new();
    let read = bench
        .read(
            "globalOutstandingLimit=5\n",
            &["zookeeper.globalOutstandingLimit=9"],
        )
        .unwrap();
    assert_eq!(read.settings.server.global_outstanding_limit, 5);
    assert_eq!(read.warnings.len(), 1, "{:?}", read.warnings);
    let same = bench
        .read(
            "globalOutstandingLimit=5\n",
            &["zookeeper.globalOutstandingLimit=5"],
        )
        .unwrap();
    assert!(same.warnings.is_empty());
    let twice = bench
        .read("maxClientCnxns=5\nmaxClientCnxns=6\n", &[])
        .unwrap();
    assert_eq!(twice.settings.server.max_client_connections, 6);
    assert!(
        twice.warnings[0].starts_with("line 4: "),
        "{:?}",
        twice.warnings
    );
}

#[test]
fn a_mistake_is_one_sentence_with_its_line() {
    let bench = Bench::new();
    for (more, says) in [
        ("tickTime=fast", "line 3: tickTime=fast is no whole number"),
        (
            "\n\nclientPort=70000",
            "line 5: clientPort=70000 is no port",
        ),
        ("tickTime=0", "line 3: tickTime=0"),
        (
            "localSessionsEnabled=yes",
            "line 3: localSessionsEnabled=yes is neither on nor off",
        ),
        ("electionAlg=0", "line 3: electionAlg=0"),
        ("peerType=king", "king is no type of peer"),
        ("server.1=zk", "server.1=zk is not of the form"),
        (
            "secureClientPortAddress=127.0.0.1",
            "secureClientPort is not set",
        ),
        (
            "secureClientPort=2181",
            "clientPort and secureClientPort are both 2181",
        ),
        ("minSessionTimeout=70000", "must not be larger"),
        ("standaloneEnabled=false", "needs a server.N line"),
        (
            "server.1=zk:2888:3888\nserver.-2=zk:2889:3888\nserver.3=ZK:2888:3889:observer",
            "server.1 and server.3 have the same address, ZK:2888",
        ),
        ("tickTime", "line 3: tickTime= is no whole number"),
        (
            "connection_throttle_drop_increase=half",
            "line 3: connection_throttle_drop_increase=half is no number",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=SHA3-256",
            "line 3: DigestAuthenticationProvider.digestAlg=SHA3-256 is no hash",
        ),
        ("a=\\u12", "line 3: \\u is not followed"),
        (
            "dynamicConfigFile=/no/such\nserver.1=a:1:2",
            "belong into /no/such",
        ),
        ("dynamicConfigFile=/no/such", "/no/such cannot be read"),
    ] {
        let error = bench.refused(more);
        assert!(error.contains(says), "{more}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let no_data = bench.write("empty.cfg", "clientPort=2181\n");
    let error = format!("{:#}", read(&no_data, &[]).unwrap_err());
    assert!(error.contains("dataDir is not set"), "{error}");
    let no_port = bench.write("mute.cfg", "dataDir=/tmp\n");
    let mute = read(&no_port, &[]).unwrap();
    assert!(
        mute.warnings[0].contains("clientPort is not set"),
        "{mute:?}"
    );
    assert!(!mute.settings.server.plain_clients && mute.settings.server.secure_listen.is_none());
}

/// What ZooKeeper does not look at, or takes for its default, is no mistake.
#[test]
fn values_that_zookeeper_does_not_judge_stop_nothing() {
    let bench = Bench::new();
    let more = "4lw.commands.whitelist=ruok,nope\nssl.clientAuth=maybe\nmetricsProvider.httpPort=${PORT}\n\
        metricsProvider.httpHost=no-such-host.invalid\nadmin.enableServer=false\n\
        admin.serverPort=${PORT}\nadmin.serverAddress=no-such-host.invalid\nadmin.idleTimeout=\n\
        DigestAuthenticationProvider.superDigest=admin:secret\nnetty.server.outstandingHandshake.limit=x\n";
    let read = bench.read(more, &[]).unwrap();
    let settings = &read.settings;
    assert_eq!(settings.admin.words, [FourLetterWord::Ruok]);
    assert_eq!((settings.admin.http, settings.admin.metrics), (None, None));
    assert_eq!(settings.admin.idle_timeout_ms, None);
    let warned = [
        "knows no word nope",
        "admin.idleTimeout=",
        "outstandingHandshake",
        "is no digest",
    ];
    for says in warned {
        let found = read.warnings.iter().any(|warning| warning.contains(says));
        assert!(found, "{says}: {:?}", read.warnings);
    }
    assert_eq!(read.warnings.len(), warned.len(), "{:?}", read.warnings);
    for warning in &read.warnings {
        assert!(!warning.contains("admin:secret"), "{warning}");
    }
}

#[test]
fn a_property_that_is_no_number_leaves_the_default_and_is_named() {
    let read = Bench::new()
        .read(
            "globalOutstandingLimit=3000000000\nlargeRequestMaxBytes=-5\n",
            &["jute.maxbuffer=2147483647"],
        )
        .unwrap();
    assert_eq!(read.settings.server.global_outstanding_limit, 1000);
    assert_eq!(read.settings.server.jute_max_buffer_bytes, 256 << 20);
    assert_eq!(read.warnings.len(), 3, "{:?}", read.warnings);
}

#[test]
fn a_file_of_several_servers_names_the_group() {
    let bench = Bench::new();
    let servers = "initLimit=5\nsyncLimit=2\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n\
        server.3=127.0.0.1:2888:3888;2181\nserver.4=[::1]:2888:3888:observer\n";
    let missing = bench.refused(servers);
    assert!(missing.contains("myid is missing"), "{missing}");
    bench.write("data/myid", "9\n");
    assert!(
        bench
            .refused(servers)
            .contains("not among the server.N lines")
    );
    bench.write("data/myid", "-1");
    assert!(bench.refused(servers).contains("myid is missing"));
    bench.write("data/myid", "three");
    assert!(bench.refused(servers).contains("no number"));
    bench.write("data/myid", "3");
    let read = bench.read(servers, &[]).unwrap();
    assert_eq!(read.settings.server.server_number, Some(3));
    assert_eq!(read.warnings, Vec::<String>::new());
    let group = read.settings.server.group.unwrap();
    assert_eq!(group.id, 3);
    assert_eq!(group.listen.to_string(), "127.0.0.1:2888");
    let voters: Vec<_> = group
        .voters
        .iter()
        .map(|(id, at)| format!("{id}={at}"))
        .collect();
    assert_eq!(voters, ["1=a:2888", "2=b:2888", "3=127.0.0.1:2888"]);
    assert_eq!(group.observers[&4].to_string(), "[::1]:2888");
    assert_eq!(read.notes, Vec::<String>::new());
    assert_eq!((group.init_limit, group.sync_limit), (5, 2));
    let unset = servers.replace("initLimit=5\nsyncLimit=2", "initLimit=0");
    let group = bench.read(&unset, &[]).unwrap().settings.server.group;
    let limits = group.map(|group| (group.init_limit, group.sync_limit));
    assert_eq!(limits, Some((10, 5)));
    assert!(bench.refused("syncLimit=two\n").contains("syncLimit=two"));
    // A server alone has nobody who could lag.
    let alone = bench.read("initLimit=5\nsyncLimit=2\n", &[]).unwrap();
    assert_eq!(alone.notes.len(), 1, "one line for all with one reason");
    assert!(alone.notes[0].starts_with("initLimit, syncLimit mean nothing here: "));

    // What ZooKeeper would protect and weigh is named.
    let more = format!(
        "{servers}quorumListenOnAllIPs=true\nsslQuorum=true\nquorum.auth.enableSasl=false\n\
         peerType=observer\ngroup.1=1:2:3\nweight.1=2\n"
    );
    let read = bench.read(&more, &[]).unwrap();
    let listen = read.settings.server.group.unwrap().listen;
    assert_eq!(listen.to_string(), "0.0.0.0:2888");
    let about = [
        "peerType contradicts",
        "sslQuorum=true is not supported",
        "each server that votes",
    ];
    assert_eq!(read.warnings.len(), about.len(), "{:?}", read.warnings);
    for (warning, about) in read.warnings.iter().zip(about) {
        assert!(warning.contains(about), "{warning}");
    }
    let everywhere = servers.replace("server.3=127.0.0.1", "server.3=0.0.0.0");
    let refused = bench.refused(&everywhere);
    assert!(refused.contains("every address of a machine"), "{refused}");

    let dynamic = bench.write("zoo.cfg.dynamic", "server.3=127.0.0.1:2888:3888;2181\n");
    let one = bench
        .read(&format!("dynamicConfigFile={}\n", dynamic.display()), &[])
        .unwrap();
    // One server that is named is alone, as in ZooKeeper.
    assert_eq!(
        (one.settings.server.server_number, one.warnings),
        (None, vec![])
    );
}

#[test]
fn a_servers_own_line_may_say_where_its_clients_connect() {
    let bench = Bench::new();
    bench.write("data/myid", "1");
    let path = bench.write(
        "zoo.cfg",
        &format!(
            "dataDir={}\nserver.1=a:2888:3888;127.0.0.1:0\n",
            bench.data().display()
        ),
    );
    let settings = read(&path, &[]).unwrap().settings;
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:0");
    assert!(settings.server.plain_clients);
    let other = bench.refused("server.1=a:2888:3888;2182\n");
    assert!(other.contains("own server.N line says 2182"), "{other}");
}

/// Any of Java's longs names a server; what of it fits begins the ids of sessions.
#[test]
fn servers_have_any_number() {
    for (number, prefix) in [
        (0, 0),
        (1, 1),
        (255, 255),
        (256, 0),
        (1001, 0xe9),
        (-7, 0xf9),
        (i64::MAX, 0xff),
        (i64::MIN, 0),
    ] {
        let bench = Bench::new();
        bench.write("data/myid", &format!("{number}\r"));
        let servers = format!("server.{number}=127.0.0.1:2888:3888\nserver.2=b:2888:3888\n");
        for more in ["", "extendedTypesEnabled=true\n"] {
            let settings = bench
                .read(&format!("{servers}{more}"), &[])
                .unwrap()
                .settings;
            assert_eq!(settings.server.server_number, Some(number));
            assert_eq!(settings.server.server_id(), number);
            assert_eq!(settings.server.session_prefix(), prefix, "{number}");
            let member = settings.server.replication().node_id;
            assert_eq!(member.cast_signed(), number);
        }
        // Alone it has none.
        let alone = bench
            .read(&format!("server.{number}=a:2888:3888\n"), &[])
            .unwrap();
        assert_eq!(alone.settings.server.server_id(), 0);
        assert_eq!(alone.settings.server.session_prefix(), 1);
    }
}

/// What kazoo's own harness writes and says, for one server and for three.
#[test]
fn the_file_of_kazoos_harness_is_taken() {
    let bench = Bench::new();
    bench.write("data/myid", "1");
    let alone = "tickTime=2000\nsecureClientPort=22182\nmaxClientCnxns=0\nadmin.serverPort=20202\n\
        serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
        authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
        ssl.keyStore.location=/tmp/keystore.jks\nssl.keyStore.password=apassword\n\
        ssl.trustStore.location=/tmp/truststore.jks\nssl.trustStore.password=apassword\n";
    let properties = [
        "file.encoding=UTF-8",
        "readonlymode.enabled=true",
        "zookeeper.log.dir=/tmp/log",
        "zookeeper.root.logger=INFO,CONSOLE",
        "log4j.configuration=file:/tmp/log4j.properties",
        "java.awt.headless=true",
        "java.security.auth.login.config=/tmp/jaas.conf",
    ];
    let read = bench.read(alone, &properties).unwrap();
    assert_eq!(read.warnings, Vec::<String>::new());
    assert_eq!(read.notes.len(), 2, "{:?}", read.notes);
    let auth = &read.settings.server.auth;
    assert_eq!(auth.jaas_file, Some("/tmp/jaas.conf".into()));
    assert!(auth.schemes.contains("sasl"));
    assert!(read.settings.server.read_only_mode);
    let three = format!(
        "{alone}initLimit=4\nsyncLimit=2\nserver.1=localhost:20003:20004:participant\n\
         server.2=localhost:20013:20014:participant\nserver.3=localhost:20023:20024:participant\n\
         peerType=participant\n"
    );
    let read = bench.read(&three, &properties).unwrap();
    assert_eq!(read.warnings, Vec::<String>::new());
    let group = read.settings.server.group.unwrap();
    assert_eq!((group.id, group.voters.len()), (1, 3));
}

/// The names of hosts are those of the world that the node lives in.
#[test]
fn a_node_listens_at_a_name() {
    let bench = Bench::new();
    let text = format!(
        "dataDir={}\nclientPort=2181\nclientPortAddress=zoo-1\nadmin.serverAddress=zoo-1\n",
        bench.data().display()
    );
    let path = bench.write("zoo.cfg", &text);
    World::run(1, async |world| {
        let (zoo, other) = (world.host("zoo-1"), world.host("other"));
        let bound = Latest::new(None);
        let started = bound.clone();
        let serving = zoo.start(move |runtime| async move {
            let read = super::read(&runtime, &path, &[]).await.unwrap();
            let node = Node::start(runtime, read.settings).await.unwrap();
            started.set(Some((node.addr(), node.http().unwrap())));
            node.failed().await
        });
        serving.detach();
        let (addr, http) = bound.wait_for(Option::is_some).await.unwrap();
        assert_eq!(addr.to_string(), format!("{}:2181", zoo.address()));
        assert_eq!(http.to_string(), format!("{}:8080", zoo.address()));
        let client = other.boot();
        let found = client.resolve("zoo-1").await.unwrap();
        client.connect_tcp((found[0], 2181).into()).await.unwrap();
        // A name that nobody has stops the start.
        let text = text.replace("clientPortAddress=zoo-1", "clientPortAddress=zoo-2");
        let path = bench.write("zoo.cfg", &text);
        let error = super::read(&client, &path, &[]).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("clientPortAddress=zoo-2 is no address"),
            "{error}"
        );
    });
}
