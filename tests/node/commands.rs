//! ZooKeeper's admin commands and Prometheus's metrics over HTTP: who may run which command, where
//! they are served, and that their numbers are true. Their shapes are compared with ZooKeeper's in
//! `shapes.rs`.
#![allow(clippy::disallowed_methods)] // Sockets of tests.

mod common;

use std::net::SocketAddr;

use common::asked::{SUPER_DIGEST, any_port, get as http_get, http, word};
use common::{Running, create, create_as, exposition, get};
use innkeeper_auth::Secret;
use innkeeper_node::NodeSettings;
use innkeeper_proto::frame::FourLetterWord;
use serde_json::json;

fn start(change: impl Fn(&mut NodeSettings)) -> (Running, SocketAddr) {
    let server = Running::start_with(|settings| {
        settings.admin.http = Some(any_port());
        settings.admin.words = FourLetterWord::ALL.to_vec();
        settings.server.auth.super_digest = Some(Secret::new(SUPER_DIGEST));
        change(settings);
    });
    let http = server.node.as_ref().unwrap().http().unwrap();
    (server, http)
}

/// The address of the node's own port of metrics.
fn metrics_address(server: &Running) -> SocketAddr {
    let node = server.node.as_ref().unwrap();
    node.metrics().unwrap()
}

#[test]
fn commands_tell_what_the_words_tell() {
    let (server, http) = start(|settings| {
        settings.admin.initial_configuration = "tickTime=2000\n".to_owned();
        settings
            .admin
            .system_properties
            .insert("zookeeper.x".to_owned(), "y".to_owned());
    });
    let mut client = server.client();
    client.must(create("/a", b"1"));
    client.must(create_as("/a/e", b"", 1));
    client.must(get("/a", true));
    let session = client.connected.session_id.to_string();
    let command = |name: &str| http_get(http, &format!("/commands/{name}")).json();

    let shown = command("connections");
    let only = &shown["connections"][0];
    assert_eq!(only["session_id"], client.connected.session_id);
    assert_eq!(only["last_operation"], "GETD");
    assert_eq!(only["packets_received"], 4);
    assert_eq!(shown["connections"].as_array().unwrap().len(), 1);
    assert_eq!(
        command("dump")["session_id_to_ephemeral_paths"],
        json!({ &session: ["/a/e"] })
    );
    assert_eq!(
        command("watches")["session_id_to_watched_paths"],
        json!({ &session: ["/a"] })
    );
    assert_eq!(
        command("watch_summary"),
        json!({"num_connections": 1, "num_paths": 1, "num_total_watches": 1,
               "command": "watch_summary", "error": null})
    );
    assert_eq!(command("configuration")["client_port"], server.addr.port());
    assert_eq!(command("icfg")["initial_configuration"], "tickTime=2000\n");
    assert_eq!(command("sysp")["zookeeper.x"], "y");
    let stats = command("stats");
    assert_eq!(stats["node_count"], 6);
    assert_eq!(stats["server_stats"]["packets_received"], 4);
    assert_eq!(command("monitor")["znode_count"], 6);
    assert_eq!(command("crst")["error"], json!(null));
    assert_eq!(
        command("connections")["connections"][0]["packets_received"],
        0
    );
    assert_eq!(command("srst")["command"], "stat_reset");
    assert_eq!(command("srvr")["server_stats"]["packets_received"], 0);
}

#[test]
fn the_trace_mask_is_the_words() {
    let (server, http) = start(|_| {});
    let asked = http_get(http, "/commands/set_trace_mask?traceMask=77").json();
    assert_eq!(asked["tracemask"], 77);
    assert_eq!(word(server.addr, "gtmk"), "77");
    let refused = http_get(http, "/commands/stmk?traceMask=lots").json();
    assert_eq!(
        refused["error"],
        "setTraceMask requires long traceMask argument, got lots"
    );
    assert_eq!(http_get(http, "/commands/gtmk").json()["tracemask"], 77);
}

#[test]
fn guarded_commands_want_all_permissions_on_the_root() {
    let (server, at) = start(|_| {});
    let snapshot = |header: &str| {
        let answer = http(at, "GET", "/commands/snapshot", header);
        (
            answer.status,
            answer.json()["error"].as_str().map(str::to_owned),
        )
    };
    let said = |sentence: &str| Some(sentence.to_owned());
    assert_eq!(
        snapshot(""),
        (401, said("Auth info is missing for the command"))
    );
    for wrong in [
        "x",
        "kerberos a",
        "digest a b c",
        "Basic c3VwZXI6c3VwZXJwdw==",
    ] {
        let header = format!("Authorization: {wrong}\r\n");
        assert_eq!(
            snapshot(&header),
            (401, said("Not authenticated")),
            "{wrong}"
        );
    }
    // Anyone has all permissions on a fresh root.
    assert_eq!(snapshot("Authorization: ip\r\n").0, 501);
    let mut client = server.client();
    client.must(innkeeper_proto::request::Request::SetAcl(
        innkeeper_proto::request::SetAcl {
            path: "/".into(),
            acl: vec![innkeeper_proto::Acl::world(innkeeper_proto::Perms::READ)],
            version: -1,
        },
    ));
    let denied = (403, said("Not authorized"));
    assert_eq!(snapshot("Authorization: ip\r\n"), denied);
    assert_eq!(snapshot("Authorization: digest super:wrong\r\n"), denied);
    let header = "Authorization: digest super:superpw\r\n";
    let (status, error) = snapshot(header);
    assert_eq!(status, 501);
    assert!(error.unwrap().contains("in this release"));
    assert_eq!(http(at, "POST", "/commands/restore", header).status, 501);
    assert_eq!(http(at, "GET", "/commands/restore", header).status, 405);
}

#[test]
fn other_methods_and_other_places_are_told_apart() {
    let (_server, at) = start(|settings| settings.admin.command_url = "/zk/admin".to_owned());
    assert_eq!(http_get(at, "/zk/admin/ruok").json()["command"], "ruok");
    let page = http_get(at, "/zk/admin");
    assert!(page.body.contains("<a href=\"/zk/admin/ruok\">ruok</a>"));
    assert_eq!(http_get(at, "/commands/ruok").status, 404);
    assert_eq!(http_get(at, "/v1/status").status, 200);
    assert_eq!(http(at, "POST", "/zk/admin/ruok", "").status, 405);
    assert_eq!(http(at, "PUT", "/zk/admin/ruok", "").status, 405);
    let head = http(at, "HEAD", "/zk/admin/ruok", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // Text from the path of a request comes back as JSON, whatever is in it.
    let odd = http_get(at, "/zk/admin/%22%3Cscript%3E");
    assert_eq!(odd.status, 200);
    assert_eq!(odd.content_type, "application/json");
    assert!(
        odd.json()["error"]
            .as_str()
            .unwrap()
            .starts_with("Unknown command: ")
    );
}

/// The requests that HAProxy sends by default to check a server's health, and others like them, on
/// both ports, with what a real 3.9.5 answers there. ZooKeeper serves TRACE besides.
#[test]
fn options_are_answered_everywhere_and_a_refused_method_names_others() {
    let (server, at) = start(|settings| settings.admin.metrics = Some(any_port()));
    let own = metrics_address(&server);
    for (at, path, allow) in [
        (at, "/", "GET, HEAD, OPTIONS"),
        (at, "*", "GET, HEAD, OPTIONS"),
        (at, "/nowhere", "GET, HEAD, OPTIONS"),
        (at, "/commands", "GET, HEAD, POST, OPTIONS"),
        (at, "/commands/ruok", "GET, HEAD, POST, OPTIONS"),
        (at, "/commands/nosuch", "GET, HEAD, POST, OPTIONS"),
        (at, "/metrics", "GET, HEAD, POST, OPTIONS"),
        (at, "/v1/status", "GET, HEAD, OPTIONS"),
        // The request asks for nothing, so it needs no authentication.
        (
            at,
            "/v1/bindings/a",
            "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        ),
        (
            at,
            "/v1/znodes?path=/",
            "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        ),
        (own, "/", "GET, HEAD, OPTIONS"),
        (own, "/metrics", "GET, HEAD, POST, OPTIONS"),
    ] {
        let answer = http(at, "OPTIONS", path, "");
        assert_eq!(
            (answer.status, answer.allow.as_str(), answer.body.as_str()),
            (200, allow, ""),
            "{path}"
        );
    }
    for (method, path, allow) in [
        ("PUT", "/commands/ruok", "GET, HEAD, POST, OPTIONS"),
        ("TRACE", "/commands/ruok", "GET, HEAD, POST, OPTIONS"),
        ("SPELL", "/commands/ruok", "GET, HEAD, POST, OPTIONS"),
        ("POST", "/commands/ruok", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/status", "GET, HEAD, OPTIONS"),
        ("SPELL", "/metrics", "GET, HEAD, POST, OPTIONS"),
    ] {
        let answer = http(at, method, path, "");
        assert_eq!(
            (answer.status, answer.allow.as_str()),
            (405, allow),
            "{method} {path}"
        );
    }
    let head = http(own, "HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(http(own, "POST", "/metrics", "").status, 200);
    // An answer that succeeded has no `Allow`.
    assert_eq!(http_get(at, "/commands/ruok").allow, "");
}

#[test]
fn metrics_are_prometheuss_and_true() {
    let (server, at) = start(|settings| settings.admin.metrics = Some(any_port()));
    let mut client = server.client();
    client.must(create("/a\"b", b"1"));
    for _ in 0..10 {
        client.must(get("/a\"b", false));
    }
    let own = metrics_address(&server);
    assert_eq!(http_get(own, "/").status, 404);
    for at in [at, own] {
        let answer = http_get(at, "/metrics");
        assert_eq!(
            answer.content_type,
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let families = exposition::parse(&answer.body);
        let value = |name: &str, suffix: &str| {
            let family = &families[name];
            let name = format!("{name}{suffix}");
            let sample = family.samples.iter().find(|(sample, _, _)| *sample == name);
            sample.unwrap_or_else(|| panic!("no {name}")).2
        };
        assert_eq!(value("znode_count", ""), 5.0);
        assert_eq!(value("readlatency", "_count"), 10.0);
        assert_eq!(value("updatelatency", "_count"), 2.0);
        assert!(value("updatelatency", "_sum") > 0.0);
        assert!(value("updatelatency", "") > 0.0, "the median");
        assert_eq!(value("quorum_size", ""), 1.0);
        assert!(value("innkeeper_log_last_index", "") > 0.0);
        let read = &families["read_per_namespace"].samples;
        let key = ("key".to_owned(), "a\"b".to_owned());
        assert!(
            read.iter().all(|(_, labels, _)| labels.contains(&key)),
            "{read:?}"
        );
        assert_eq!(read.len(), 3);
        // Distributions without values have no quantiles.
        assert!(value("election_time", "").is_nan());
        assert!(families.values().all(|family| family.help.ends_with('.')));
    }
    let some = http_get(own, "/metrics?name[]=znode_count&name[]=uptime");
    let names: Vec<_> = exposition::parse(&some.body).into_keys().collect();
    assert_eq!(names, ["uptime", "znode_count"]);
}
