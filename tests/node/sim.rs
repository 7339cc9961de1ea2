//! One whole node, single-threaded, in virtual time: the same seed gives the same run, poll by
//! poll, another seed another one.

mod common;
#[path = "../guests.rs"]
mod guests;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::simulated::{FOLDER, SimClient, without_http};
use common::simulated_http::{SUPER, answer, ask, ask_with, head};
use common::*;
use guests::guest;
use innkeeper_auth::Secret;
use innkeeper_node::{Node, NodeSettings};
use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::Request;
use innkeeper_runtime::sim::{Trace, Window, first_difference};
use innkeeper_runtime::{Runtime, Sim, SimDisk, Simulated, ThreadRole};
use tokio::io::AsyncWriteExt;

/// Three clients of one node: a writer that pipelines, a watcher, and one that becomes silent.
async fn story(runtime: Simulated) -> Vec<String> {
    let mut settings = without_http();
    settings.server.tick_time_ms = 100;
    let node = Node::start(runtime.clone(), settings.clone())
        .await
        .unwrap();
    let addr = node.addr();
    let mut silent = SimClient::connect(&runtime, addr, 1000).await;
    silent.send(&[create_as("/silent", b"", 1)]).await;
    assert_eq!(silent.answers(1).await, [ErrorCode::Ok]);
    let mut tasks = Vec::new();
    for number in 0..3 {
        let world = runtime.clone();
        tasks.push(runtime.spawn(ThreadRole::Client, async move {
            let mut client = SimClient::connect(&world, addr, 60_000).await;
            for round in 0..20 {
                let path = format!("/c{number}-{round}");
                client
                    .send(&[
                        create(&path, b"x"),
                        get(&path, true),
                        set(&path, b"y"),
                        get(&path, false),
                        exists("/silent", true),
                        Request::Sync(path.as_str().into()),
                    ])
                    .await;
                client.answers(6).await;
                let pause = world.random_u64() % 50_000;
                world.sleep(Duration::from_micros(pause)).await;
            }
            client
        }));
    }
    let mut notes = silent.notes;
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.unwrap());
    }
    // The client becomes silent while the others stay: its ephemeral goes with its session.
    let mut gone = false;
    for _ in 0..100 {
        for client in &mut clients {
            client.send(&[exists("/silent", false)]).await;
            gone = client.answers(1).await == [ErrorCode::NoNode];
        }
        if gone {
            break;
        }
        runtime.sleep(Duration::from_millis(100)).await;
    }
    assert!(gone, "a silent session expires in virtual time, too");
    node.stop().await;
    // The node is started with the same folder again: what was acknowledged is there.
    let node = Node::start(runtime.clone(), settings).await.unwrap();
    let mut reader = SimClient::connect(&runtime, node.addr(), 60_000).await;
    for number in 0..3 {
        for round in 0..20 {
            reader
                .send(&[get(&format!("/c{number}-{round}"), false)])
                .await;
            assert_eq!(reader.answers(1).await, [ErrorCode::Ok]);
        }
    }
    node.stop().await;
    for client in clients {
        notes.extend(client.notes);
    }
    notes.extend(reader.notes);
    notes
}

/// The notes of the clients and the trace of the world.
fn run(seed: u64) -> (Vec<String>, Trace) {
    Sim::run_traced(seed, Window::default(), story)
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let (notes, trace) = run(7);
    let (same_notes, same_trace) = run(7);
    for (at, (first, second)) in notes.iter().zip(&same_notes).enumerate() {
        assert_eq!(first, second, "note {at} differs");
    }
    assert_eq!(notes.len(), same_notes.len());
    if trace != same_trace {
        let difference = first_difference(|window| Sim::run_traced(7, window, story).1);
        panic!("{trace:?} {same_trace:?} {difference:?}");
    }
    assert!(trace.lines() > 1000, "{trace:?} is no node");
    let (other_notes, other_trace) = run(8);
    assert_ne!(notes, other_notes);
    assert_ne!(trace, other_trace);
}

/// An acknowledged write survives a power cut that loses everything that was not synced.
#[test]
fn what_was_answered_survives_a_power_cut() {
    for seed in 0..4 {
        let disk = SimDisk::new(seed);
        let mut sim = Sim::new(seed);
        sim.mount(Path::new(FOLDER), disk.clone());
        let answered = sim.block_on(|runtime| async move {
            let node = Node::start(runtime.clone(), without_http()).await.unwrap();
            let mut client = SimClient::connect(&runtime, node.addr(), 60_000).await;
            let count = 20 + seed as usize * 7;
            let creates: Vec<_> = (0..count)
                .map(|n| create(&format!("/n{n}"), b"x"))
                .collect();
            client.send(&creates).await;
            assert_eq!(client.answers(count).await, vec![ErrorCode::Ok; count]);
            count
        });
        disk.power_cut();
        drop(sim);
        let mut sim = Sim::new(seed + 100);
        sim.mount(Path::new(FOLDER), disk.reopen());
        sim.block_on(|runtime| async move {
            let node = Node::start(runtime.clone(), without_http()).await.unwrap();
            let mut client = SimClient::connect(&runtime, node.addr(), 60_000).await;
            for n in 0..answered {
                client.send(&[get(&format!("/n{n}"), false)]).await;
                assert_eq!(
                    client.answers(1).await,
                    [ErrorCode::Ok],
                    "/n{n}, seed {seed}"
                );
            }
            node.stop().await;
        });
    }
}

/// The parts of a node hold each other; none of them outlives the node's stop.
#[test]
fn a_stopped_node_leaves_nothing_in_memory() {
    Sim::run(13, async |runtime| {
        let node = Node::start(runtime.clone(), with_http()).await.unwrap();
        let http = node.http().unwrap();
        let push = ("POST", "/v1/modules?wait_ms=60000", SUPER);
        let (status, text, _) = ask_with(&runtime, http, push, &guest("group")).await;
        assert!(matches!(status, 200 | 201), "{text}");
        let (_, module) = text.split_once(r#""module":""#).unwrap();
        let (module, _) = module.split_once('"').unwrap();
        let document = format!(
            r#"{{"world":"recipe","module":"{module}","watch":["/groups/*"],"read":["/groups/**"],
                "config":{{"groups":"/groups","strategy":"none"}}}}"#
        );
        let bind = ("PUT", "/v1/bindings/group?wait=activated", SUPER);
        let (status, text, _) = ask_with(&runtime, http, bind, document.as_bytes()).await;
        assert!(matches!(status, 200 | 201), "{text}");
        // All parts have the counters.
        let counters = Arc::downgrade(&node.service().stats);
        node.stop().await;
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(counters.strong_count(), 0, "parts of the node are left");
    });
}

// Administration in virtual time: no test sleeps, and each wait takes exactly as long as it should.

/// Settings with HTTP and the super user `super:superpw`.
fn with_http() -> NodeSettings {
    let mut settings = NodeSettings::on_free_ports(FOLDER);
    settings.server.auth.super_digest = Some(Secret::new("super:g9oN2HttPfn8MMWJZ2r45Np/LIA="));
    settings
}

/// Runs `test` with a node that has HTTP and a super user.
fn administered<F: Future<Output = ()>>(test: impl FnOnce(Simulated, SocketAddr) -> F) {
    Sim::run(11, async |runtime| {
        let node = Node::start(runtime.clone(), with_http()).await.unwrap();
        test(runtime, node.http().unwrap()).await;
        node.stop().await;
    });
}

/// The value of a metric without labels.
async fn metric(runtime: &Simulated, addr: SocketAddr, name: &str) -> f64 {
    let (_, text, _) = ask(runtime, addr, "GET", "/metrics", "").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name}"));
    line.trim().parse().unwrap()
}

#[test]
fn idle_connections_hold_up_neither_metrics_nor_a_probe() {
    administered(async |runtime, addr| {
        let mut idle = Vec::new();
        for number in 0..1000 {
            let mut stream = runtime.connect_tcp(addr).await.unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /v1/sta").await.unwrap();
            }
            idle.push(stream);
        }
        for path in ["/metrics", "/commands/ruok", "/v1/status"] {
            let (status, _, took) = ask(&runtime, addr, "GET", path, "").await;
            assert_eq!(status, 200, "{path}");
            assert!(took < Duration::from_millis(100), "{path}: {took:?}");
        }
        // The oldest connections were closed to make room, and are counted.
        let evicted = metric(&runtime, addr, "innkeeper_http_evicted_connections_total ").await;
        assert!((488.0..=500.0).contains(&evicted), "{evicted}");
        assert_eq!(answer(&mut idle[0]).await, None);
        let last = idle.last_mut().unwrap();
        last.write_all(&head("GET", "/commands/ruok", 0, ""))
            .await
            .unwrap();
        assert_eq!(answer(last).await.unwrap().0, 200);
    });
}

#[test]
fn bodies_that_trickle_in_hold_up_a_stranger_for_a_second_at_most() {
    administered(async |runtime, addr| {
        // Each has a place for answering, since its head has come.
        let mut slow = Vec::new();
        for _ in 0..64 {
            let mut stream = runtime.connect_tcp(addr).await.unwrap();
            let request = head("POST", "/v1/bindings/check", 100, "");
            stream.write_all(&request).await.unwrap();
            slow.push(stream);
        }
        runtime.sleep(Duration::from_millis(10)).await;
        let (status, _, took) = ask(&runtime, addr, "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(took < Duration::from_millis(1100), "{took:?}");
    });
}

/// A body of which one byte comes each half second does not hold one of the four places for
/// uploads.
#[test]
fn a_body_that_trickles_in_ends_and_gives_its_place_back() {
    administered(async |runtime, addr| {
        let began = runtime.now();
        let mut slow = Vec::new();
        for _ in 0..4 {
            let world = runtime.clone();
            slow.push(runtime.spawn(ThreadRole::Client, async move {
                let mut stream = world.connect_tcp(addr).await.unwrap();
                let request = head("POST", "/v1/modules", 1000, SUPER);
                stream.write_all(&request).await.unwrap();
                let (reader, mut writer) = innkeeper_runtime::Stream::split(stream);
                let trickle = world.clone();
                let trickle = world.spawn(ThreadRole::Client, async move {
                    for _ in 0..1000 {
                        if writer.write_all(b"x").await.is_err() {
                            break;
                        }
                        trickle.sleep(Duration::from_millis(500)).await;
                    }
                });
                let answered = answer(reader).await;
                let took = world.now() - began;
                let _ = trickle.await;
                (answered, took)
            }));
        }
        runtime.sleep(Duration::from_millis(100)).await;
        // The fifth waits for a place, and gets it when the first four are cut off.
        let mut stream = runtime.connect_tcp(addr).await.unwrap();
        let fifth = [head("POST", "/v1/modules", 3, SUPER), b"abc".to_vec()].concat();
        stream.write_all(&fifth).await.unwrap();
        let (status, text) = answer(stream).await.unwrap();
        assert!(matches!(status, 202 | 400), "{text}");
        let took = runtime.now() - began;
        assert!(took < Duration::from_secs(11), "{took:?}");
        for task in slow {
            let (answered, took) = task.await.unwrap();
            let (status, text) = answered.expect("a sentence");
            assert_eq!(status, 408, "{text}");
            assert!(text.contains("bytes a second are waited for"), "{text}");
            assert!(took >= Duration::from_secs(10), "{took:?}");
        }
        // A slow connection is not cut off: 48 KiB a second for a minute.
        let mut stream = runtime.connect_tcp(addr).await.unwrap();
        let length = 48 * 1024 * 60;
        let request = head("POST", "/v1/modules", length, SUPER);
        stream.write_all(&request).await.unwrap();
        for _ in 0..60 {
            stream.write_all(&vec![0; 48 * 1024]).await.unwrap();
            runtime.sleep(Duration::from_secs(1)).await;
        }
        let (status, text) = answer(stream).await.unwrap();
        assert!(matches!(status, 202 | 400), "{text}");
    });
}

#[test]
fn wrong_passwords_are_counted_and_slowed_down_and_the_right_one_passes_again() {
    administered(async |runtime, addr| {
        let wrong = "Authorization: Basic c3VwZXI6d3Jvbmc=\r\n";
        let get = async |more: &str| {
            let (status, text, _) = ask(&runtime, addr, "GET", "/v1/znodes?path=/", more).await;
            (status, text)
        };
        // A request without a password is no attempt.
        for _ in 0..20 {
            assert_eq!(get("").await.0, 401);
        }
        for _ in 0..10 {
            assert_eq!(get(wrong).await.0, 401);
        }
        // The answer does not tell whether the next password would have been right.
        for credentials in [wrong, SUPER] {
            let (status, text) = get(credentials).await;
            assert_eq!(status, 429, "{text}");
            assert!(text.to_lowercase().contains("retry-after: 5\r\n"), "{text}");
            assert!(text.contains("wait 5 s"), "{text}");
        }
        // The commands that check passwords are no way around the limit.
        let wire = "Authorization: digest super:superpw\r\n";
        let (status, ..) = ask(&runtime, addr, "GET", "/commands/snapshot", wire).await;
        assert_eq!(status, 429);
        // Requests that need no password are served.
        assert_eq!(get("").await.0, 401);
        let wrongs = metric(&runtime, addr, "innkeeper_http_wrong_passwords_total ").await;
        let deferred = metric(&runtime, addr, "innkeeper_http_deferred_passwords_total ").await;
        assert_eq!((wrongs, deferred), (10.0, 3.0));
        runtime.sleep(Duration::from_secs(5)).await;
        assert_eq!(get(SUPER).await.0, 200);
        assert_eq!(get(SUPER).await.0, 200);
        // A wrong password in ZooKeeper's own form counts as well.
        let set_acl = r#"[{"scheme":"world","id":"anyone","perms":"r"}]"#;
        let mut stream = runtime.connect_tcp(addr).await.unwrap();
        let request = head("PUT", "/v1/znodes/acl?path=/", set_acl.len(), SUPER);
        stream.write_all(&request).await.unwrap();
        stream.write_all(set_acl.as_bytes()).await.unwrap();
        assert_eq!(answer(stream).await.unwrap().0, 200);
        let guess = "Authorization: digest super:guess\r\n";
        let (status, ..) = ask(&runtime, addr, "GET", "/commands/snapshot", guess).await;
        assert_eq!(status, 403);
        let (status, ..) = ask(&runtime, addr, "GET", "/commands/snapshot", guess).await;
        assert_eq!(status, 429);
    });
}
