//! What operators see of a group, at each of its nodes.

use std::time::Duration;

use innkeeper_node::NodeSettings;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::frame::FourLetterWord;
use innkeeper_proto::request::Request;
use innkeeper_runtime::Runtime;
use innkeeper_server::inspect::Serves;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::common::asked::any_port;
use super::common::simulated_http::ask as ask_http;
use super::common::{connect_request, create, set};
use super::stage::{Clients, PATIENCE, Shape, Stage, ask, play, play_of};

fn with_http(settings: &mut NodeSettings) {
    settings.admin.http = Some(any_port());
    settings.admin.words = FourLetterWord::ALL.to_vec();
    settings.server.read_only_mode = true;
}

/// What a node answers to a GET.
async fn get(clients: &Clients, node: u64, path: &str) -> String {
    let (runtime, addr) = (&clients.runtime, clients.http(node));
    let (status, text, _) = ask_http(runtime, addr, "GET", path, "").await;
    assert_eq!(status, 200, "{path}: {text}");
    let (_, body) = text.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}

async fn json(clients: &Clients, node: u64, path: &str) -> Value {
    let body = get(clients, node, path).await;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Waits until what a node answers is as it should be, and returns it.
async fn eventually(
    clients: &Clients,
    node: u64,
    path: &str,
    is_right: impl Fn(&Value) -> bool,
) -> Value {
    let end = clients.runtime.now() + PATIENCE;
    loop {
        let answer = json(clients, node, path).await;
        if is_right(&answer) {
            return answer;
        }
        assert!(clients.runtime.now() < end, "node {node}, {path}: {answer}");
        clients.runtime.sleep(Duration::from_millis(20)).await;
    }
}

/// What a node answers to a four-letter word.
async fn word(stage: &Stage, clients: &Clients, node: u64, word: &str) -> String {
    let mut stream = clients.runtime.connect_tcp(stage.door(node)).await.unwrap();
    stream.write_all(word.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// The value of a line `name<separator>value`.
fn value_of<'a>(text: &'a str, name: &str, separator: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(separator));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn member(status: &Value, id: u64) -> &Value {
    let members = status["group"]["members"].as_array().expect("members");
    let found = members.iter().find(|member| member["id"] == id);
    found.unwrap_or_else(|| panic!("no member {id}: {status}"))
}

/// The nodes that are not this one.
fn others(stage: &Stage, id: u64) -> Vec<u64> {
    let all = stage.members.iter().map(|member| member.id);
    all.filter(|other| *other != id).collect()
}

#[test]
fn every_node_shows_the_members_their_lag_and_the_last_fail_over() {
    for seed in 0..3 {
        play(seed, 3, with_http, async |stage, clients| {
            stage.all_vote().await;
            let first = stage.leader().await;
            let mut client = clients.connect(first, 10_000).await;
            assert_eq!(ask(&mut client, create("/a", b"")).await, ErrorCode::Ok);
            for node in 1..=3 {
                let status = eventually(&clients, node, "/v1/status", |status| {
                    let followers = others(&stage, first);
                    let mut followers = followers.iter().map(|id| member(status, *id));
                    followers.all(|one| one["synced"] == true && one["entries_behind"] == 0)
                })
                .await;
                assert_eq!(status["leader"], first, "{status}");
                assert_eq!(status["group"]["fail_over"], Value::Null, "{status}");
                assert_eq!(member(&status, first)["leads"], true, "{status}");
                for id in 1..=3 {
                    let member = member(&status, id);
                    assert_eq!(member["role"], "voter", "{status}");
                    assert_eq!(member["is_in"], true, "{status}");
                    assert_eq!(member["address"], format!("node-{id}:2888"), "{status}");
                    assert_eq!(member["late"], Value::Null, "{status}");
                    if id != first {
                        let heard_ms = member["heard_ms"].as_u64();
                        assert!(heard_ms.is_some_and(|ms| ms < 1_000), "{status}");
                    }
                }
            }

            // The leader dies: both others tell of it, and soon of the member that is late.
            let dies = clients.runtime.now();
            stage.kill(first);
            let rest = others(&stage, first);
            let status = eventually(&clients, rest[0], "/v1/status", |status| {
                status["group"]["fail_over"].is_object()
            })
            .await;
            let seen = (clients.runtime.now() - dies).as_millis() as u64;
            let second = status["leader"].as_u64().expect("a leader");
            for node in rest {
                let status = eventually(&clients, node, "/v1/status", |status| {
                    member(status, first)["late"] == "syncLimit"
                        || member(status, first)["late"] == "initLimit"
                })
                .await;
                let fail_over = &status["group"]["fail_over"];
                assert_eq!(fail_over["from"], first, "{status}");
                assert_eq!(fail_over["to"], second, "{status}");
                assert_eq!(fail_over["term"], status["term"], "{status}");
                let without_ms = fail_over["without_leader_ms"].as_u64();
                // A heartbeat may have been heard up to 50 ms before the leader died.
                assert!(without_ms <= Some(seen + 250), "{seen} ms: {status}");
                assert!(without_ms > Some(0), "{status}");
                assert_eq!(member(&status, first)["synced"], false, "{status}");
            }

            // It comes back, and is well again.
            stage.start(first);
            let status = eventually(&clients, first, "/v1/status", |status| {
                let first = member(status, first);
                first["synced"] == true && first["late"] == Value::Null
            })
            .await;
            assert_eq!(status["group"]["fail_over"], Value::Null, "{status}");
        });
    }
}

/// A node that is cut off says that it knows nothing of the others' lag, and the others name it.
#[test]
fn a_node_that_is_cut_off_is_named_and_knows_of_nobodys_lag() {
    play(4, 3, with_http, async |stage, clients| {
        let (leader, cut) = stage.leader_and_follower().await;
        stage.cut_off(cut);
        eventually(&clients, leader, "/v1/status", |status| {
            member(status, cut)["late"] == "syncLimit"
        })
        .await;
        let status = json(&clients, cut, "/v1/status").await;
        for id in 1..=3 {
            assert_eq!(
                member(&status, id)["entries_behind"],
                Value::Null,
                "{status}"
            );
        }
        assert!(
            status["group"]["contact_ms"].as_u64() > Some(2_000),
            "{status}"
        );
    });
}

/// The keys of an object, in byte order, as a real ensemble of 3.9.5 has them.
fn keys(object: &Value) -> Vec<&str> {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"));
    let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// What a real ensemble shows: a section of its records.
fn recorded(section: &str) -> Vec<&'static str> {
    let text = include_str!("../admin/ensemble.txt");
    let (_, rest) = text
        .split_once(&format!("\n== {section}\n"))
        .unwrap_or_else(|| panic!("no section {section}"));
    rest.lines().take_while(|line| !line.is_empty()).collect()
}

/// An answer to mntr has all rows of a section, with their types, or with the words for states.
fn assert_has_rows(mntr: &str, section: &str) {
    for line in recorded(section) {
        let (name, expected) = line.split_once(' ').expect("a name and a value");
        let found = value_of(mntr, &format!("zk_{name}"), "\t");
        let fits = match expected {
            "int" => found.is_some_and(|value| value.parse::<i64>().is_ok()),
            words => found == Some(words),
        };
        assert!(fits, "{section}, {line}: {found:?}");
    }
}

/// Whoever waits until the node tells operators that it serves, and connects then, is let in.
#[test]
fn a_node_that_says_that_it_serves_lets_clients_in() {
    for seed in 0..8 {
        play(
            seed,
            3,
            |_| {},
            async |stage, clients| {
                let end = clients.runtime.now() + PATIENCE;
                for node in [1, 2, 3] {
                    let serves = || {
                        stage
                            .service(node)
                            .is_some_and(|node| node.serves() == Serves::All)
                    };
                    while !serves() {
                        assert!(clients.runtime.now() < end, "node {node} serves nobody");
                        clients.runtime.sleep(Duration::from_micros(200)).await;
                    }
                    let client = clients.try_connect(node, &connect_request(10_000)).await;
                    assert!(
                        client.is_some(),
                        "node {node} says that it serves, and does not"
                    );
                }
            },
        );
    }
}

#[test]
fn the_rows_and_commands_of_an_ensemble_are_zookeepers() {
    play(5, 3, with_http, async |stage, clients| {
        let (leader, follower) = stage.leader_and_follower().await;
        let mut client = clients.connect(follower, 10_000).await;
        assert_eq!(
            ask(&mut client, create("/a", b"12345")).await,
            ErrorCode::Ok
        );
        eventually(&clients, leader, "/commands/monitor", |monitor| {
            monitor["synced_followers"] == 2
        })
        .await;

        let leaders = [
            ("learners", "2"),
            ("synced_followers", "2"),
            ("synced_non_voting_followers", "0"),
            ("synced_observers", "0"),
            ("pending_syncs", "0"),
            ("server_state", "leader"),
            ("quorum_size", "3"),
        ];
        let mntr = word(&stage, &clients, leader, "mntr").await;
        assert_has_rows(&mntr, "mntr leader");
        let of = |name: &str| value_of(&mntr, &format!("zk_{name}"), "\t").map(str::to_owned);
        for (name, expected) in leaders {
            assert_eq!(of(name).as_deref(), Some(expected), "{name}");
        }
        let size = |which| {
            let size = of(&format!("{which}_proposal_size"));
            size.and_then(|size| size.parse::<u64>().ok())
                .expect("a size")
        };
        let (last, min, max) = (size("last"), size("min"), size("max"));
        assert!(0 < min && min <= last && last <= max, "{mntr}");
        let srvr = word(&stage, &clients, leader, "srvr").await;
        let shown = value_of(&srvr, "Proposal sizes last/min/max", ": ").expect("sizes");
        assert_eq!(shown.split('/').count(), 3, "{srvr}");

        let mntr = word(&stage, &clients, follower, "mntr").await;
        assert_has_rows(&mntr, "mntr follower");
        let of = |name: &str| value_of(&mntr, &format!("zk_{name}"), "\t");
        assert_eq!(of("server_state"), Some("follower"));
        assert_eq!(of("quorum_size"), Some("3"));
        let of_leaders = recorded("mntr leader").into_iter();
        let of_leaders = of_leaders.filter_map(|line| line.split_once(' ').map(|(row, _)| row));
        for name in of_leaders.filter(|name| !["peer_state", "quorum_size"].contains(name)) {
            assert_eq!(of(name), None, "only a leader has {name}");
        }
        let srvr = word(&stage, &clients, follower, "srvr").await;
        assert!(!srvr.contains("Proposal"), "{srvr}");

        // Each node says who leads, and who votes.
        for node in 1..=3 {
            let answer = json(&clients, node, "/commands/leader").await;
            let expected = json!({
                "is_leader": node == leader, "leader_id": leader,
                "leader_ip": format!("node-{leader}"), "command": "leader", "error": null,
            });
            assert_eq!(answer, expected);
            let view = json(&clients, node, "/commands/voting_view").await;
            assert_eq!(keys(&view["current_config"]), ["1", "2", "3"]);
            let expected = json!({
                "server_addresses": ["node-2:2888"], "election_addresses": ["node-2:3888"],
                "client_address": "node-2:2181", "learner_type": "participant",
            });
            assert_eq!(view["current_config"]["2"], expected);
            let observers = json(&clients, node, "/commands/obsr").await;
            assert_eq!(observers["synced_observers"], 0);
            assert_eq!(observers["observers"], json!([]));
            let zab = json(&clients, node, "/commands/zabstate").await;
            assert_eq!(keys(&zab), recorded("zabstate"));
            assert_eq!((&zab["myid"], &zab["voting"]), (&json!(node), &json!(true)));
            assert_eq!(zab["zabstate"], "broadcast");
            assert_eq!(zab["quorum_address"]["one"], format!("node-{node}:2888"));
            assert_eq!(keys(&zab["election_address"]), recorded("address"));
            let stats = json(&clients, node, "/commands/srvr").await;
            assert_eq!(
                stats["proposal_stats"].is_object(),
                node == leader,
                "{stats}"
            );
        }

        // The leader decides when sessions expire; a follower lists them with their timeouts.
        let session = format!("{:#x}", client.connected.session_id);
        let dump = word(&stage, &clients, leader, "dump").await;
        assert!(dump.contains("Session Sets (1)/(1):"), "{dump}");
        assert!(dump.contains(&format!("\t{session}\n")), "{dump}");
        let dump = word(&stage, &clients, follower, "dump").await;
        let expected = format!("SessionTracker dump:\nGlobal Sessions(1):\n{session}\t10000ms\n");
        assert!(dump.starts_with(&expected), "{dump}");
        let answer = json(&clients, follower, "/commands/dump").await;
        assert_eq!(answer["expiry_time_to_session_ids"], json!({}));

        let conf = word(&stage, &clients, follower, "conf").await;
        let (_, ensemble) = conf.split_once("serverId=").expect("a number");
        let members = (1..=3)
            .map(|id| format!("server.{id}=node-{id}:2888:3888:participant;node-{id}:2181\n"));
        let expected = format!(
            "{follower}\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888\n\
             quorumPort=2888\npeerType=0\nmembership: \n{}version=",
            members.collect::<String>()
        );
        assert!(ensemble.starts_with(&expected), "{conf}");

        // Without a quorum no node is one of an ensemble.
        for other in others(&stage, follower) {
            stage.kill(other);
        }
        eventually(&clients, follower, "/commands/isro", |isro| {
            isro["read_only"] == true
        })
        .await;
        assert_eq!(word(&stage, &clients, follower, "isro").await, "ro");
        assert_eq!(word(&stage, &clients, follower, "ruok").await, "imok");
        let srvr = word(&stage, &clients, follower, "srvr").await;
        assert!(
            srvr.contains("READ-ONLY mode") && srvr.contains("Mode: read-only"),
            "{srvr}"
        );
        let zab = json(&clients, follower, "/commands/zabstate").await;
        assert_eq!(
            (&zab["voting"], &zab["zabstate"]),
            (&json!(false), &json!(""))
        );
        let view = json(&clients, follower, "/commands/voting_view").await;
        assert_eq!(view["current_config"], json!({}));
        let answer = json(&clients, follower, "/commands/leader").await;
        assert_eq!(answer["error"], "server is not initialized");
    });
}

/// The configuration is the same at every node, has the form that ZooKeeper's clients parse, and
/// nobody but a super user writes it.
#[test]
fn every_node_shows_the_configuration_in_zookeepers_znode() {
    play(6, 3, with_http, async |stage, clients| {
        stage.all_vote().await;
        let mut texts = Vec::new();
        for node in 1..=3 {
            let mut client = clients.connect(node, 10_000).await;
            let request = super::common::get("/zookeeper/config", true);
            client.send(&[request]).await;
            let answer = client.try_answer().await.expect("an answer");
            assert_eq!(answer.err, ErrorCode::Ok);
            texts.push(String::from_utf8(answer.data()).expect("text"));
            let refused = ask(&mut client, set("/zookeeper/config", b"")).await;
            assert_eq!(refused, ErrorCode::NoAuth);
        }
        let text = &texts[0];
        assert!(texts.iter().all(|other| other == text), "{texts:?}");
        let lines: Vec<_> = text.lines().collect();
        let expected = [1, 2, 3]
            .map(|id| format!("server.{id}=node-{id}:2888:3888:participant;node-{id}:2181"));
        assert_eq!(lines[..3], expected);
        let version = lines[3].strip_prefix("version=").expect("a version");
        let version = u64::from_str_radix(version, 16).expect("hexadecimal");
        let service = stage.service(1).expect("it runs");
        let group = service
            .reader
            .view()
            .group()
            .cloned()
            .expect("it is founded");
        assert_eq!(group.version.0, version);
        let (stat, _) = service.reader.view().exists("/zookeeper/config").unwrap();
        assert_eq!((stat.mzxid as u64, stat.version), (version, -1));
    });
}

/// Each of a node's own connections counts at the leader, and so does each other node.
#[test]
fn the_leader_counts_the_syncs_that_wait() {
    play(8, 3, with_http, async |stage, clients| {
        let (leader, follower) = stage.leader_and_follower().await;
        let mut waiting = Vec::new();
        for node in [leader, leader, follower, follower] {
            waiting.push(clients.connect(node, 10_000).await);
        }
        let of = "/commands/monitor";
        eventually(&clients, leader, of, |monitor| {
            monitor["pending_syncs"] == 0
        })
        .await;
        for other in others(&stage, leader) {
            stage.slow_down(leader, other, Duration::from_millis(40));
        }
        for client in &mut waiting {
            client.send(&[Request::Sync("/".into())]).await;
        }
        eventually(&clients, leader, of, |monitor| {
            monitor["pending_syncs"] == 3
        })
        .await;
        for client in &mut waiting {
            assert_eq!(client.answers(1).await, [ErrorCode::Ok]);
        }
        eventually(&clients, leader, of, |monitor| {
            monitor["pending_syncs"] == 0
        })
        .await;
    });
}

#[test]
fn an_observer_shows_whom_it_follows_and_the_leader_shows_it() {
    let shape = Shape {
        observers: 1,
        ..Shape::of(3)
    };
    play_of(7, shape, with_http, async |stage, clients| {
        let leader = stage.leader().await;
        let answer = eventually(&clients, leader, "/commands/observers", |answer| {
            answer["synced_observers"] == 1
        })
        .await;
        let observer = &answer["observers"][0];
        assert_eq!(keys(observer), recorded("observer"));
        assert_eq!(observer["sid"], 4);
        assert_eq!(observer["remote_socket_address"], "/node-4:2888");
        assert!(observer["established"].as_u64() > Some(0), "{answer}");
        eventually(&clients, leader, "/commands/monitor", |monitor| {
            monitor["learners"] == 3 && monitor["synced_followers"] == 2
        })
        .await;

        eventually(&clients, 4, "/commands/monitor", |monitor| {
            monitor["server_state"] == "observer"
        })
        .await;
        let mntr = word(&stage, &clients, 4, "mntr").await;
        assert_has_rows(&mntr, "mntr observer");
        let master = value_of(&mntr, "zk_observer_master_id", "\t");
        assert_eq!(master, Some(leader.to_string().as_str()));
        let zab = json(&clients, 4, "/commands/zabstate").await;
        assert_eq!(zab["voting"], false, "{zab}");
        let view = json(&clients, 4, "/commands/voting_view").await;
        assert_eq!(keys(&view["current_config"]), ["1", "2", "3"]);
        let conf = word(&stage, &clients, 4, "conf").await;
        assert!(conf.contains("\npeerType=1\n"), "{conf}");
        assert!(
            conf.contains("server.4=node-4:2888:3888:observer;node-4:2181\n"),
            "{conf}"
        );
        let status = json(&clients, 4, "/v1/status").await;
        assert_eq!(member(&status, 4)["role"], "observer", "{status}");
    });
}
