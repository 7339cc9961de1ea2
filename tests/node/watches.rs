//! One-shot watches: which clients get which events, once, and in which order.
#![allow(clippy::disallowed_methods)] // Raw sockets on purpose.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use innkeeper_proto::request::{Auth, MultiOp, Request, SetAcl};
use innkeeper_proto::{Acl, ErrorCode, EventType, Perms, WatcherType, xid};

fn remove(path: &str, kind: WatcherType) -> Request {
    Request::RemoveWatches(watches(path, kind))
}

#[test]
fn each_kind_of_watch_fires_once_for_what_it_watches() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.must(create("/a", b""));
    watcher.must(get("/a", true));
    watcher.must(children("/a", true));
    assert_eq!(watcher.ask(exists("/a/b", true)).err, ErrorCode::NoNode);
    assert_eq!(watcher.ask(get("/none", true)).err, ErrorCode::NoNode);
    writer.must(create("/a/b", b""));
    writer.must(create("/none", b""));
    writer.must(set("/a", b"1"));
    writer.must(set("/a", b"2"));
    watcher.only_events(&[
        (EventType::NodeCreated, "/a/b"),
        (EventType::NodeChildrenChanged, "/a"),
        (EventType::NodeDataChanged, "/a"),
    ]);
    watcher.must(get("/a/b", true));
    watcher.must(children("/a/b", true));
    watcher.must(exists("/a/b", true));
    watcher.must(children("/a", true));
    writer.must(delete("/a/b"));
    watcher.only_events(&[
        (EventType::NodeDeleted, "/a/b"),
        (EventType::NodeChildrenChanged, "/a"),
    ]);
    writer.must(create("/a/b", b""));
    watcher.only_events(&[]);
}

#[test]
fn removed_watches_do_not_fire_and_missing_ones_are_no_watcher() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.must(create("/a", b""));
    watcher.must(get("/a", true));
    watcher.must(children("/a", true));
    assert_eq!(
        watcher.ask(remove("/b", WatcherType::Any)).err,
        ErrorCode::NoWatcher
    );
    watcher.must(remove("/a", WatcherType::Data));
    assert_eq!(
        watcher.ask(remove("/a", WatcherType::Data)).err,
        ErrorCode::NoWatcher
    );
    assert_eq!(
        writer.ask(remove("/a", WatcherType::Children)).err,
        ErrorCode::NoWatcher,
        "another session's watch is not one's own"
    );
    writer.must(set("/a", b"1"));
    writer.must(create("/a/b", b""));
    watcher.only_events(&[(EventType::NodeChildrenChanged, "/a")]);
    watcher.must(get("/a", true));
    watcher.must(children("/a", true));
    watcher.must(remove("/a", WatcherType::Any));
    writer.must(set("/a", b"2"));
    watcher.only_events(&[]);
}

#[test]
fn set_watches_tells_what_was_missed_and_watches_the_rest() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    for path in ["/same", "/set", "/gone", "/more", "/less", "/less/x"] {
        writer.must(create(path, b""));
    }
    let seen = watcher.must(exists("/same", false)).zxid;
    writer.must(set("/set", b"1"));
    writer.must(delete("/gone"));
    writer.must(create("/new", b""));
    writer.must(create("/more/y", b""));
    let mut watcher = Client::connect_as(server.addr, &watcher.reattach_request()).unwrap();
    watcher.send_as(
        xid::SET_WATCHES,
        &set_watches(
            seen,
            &["/same", "/set", "/gone"],
            &["/new", "/later"],
            &["/more", "/less", "/gone"],
        ),
    );
    for expected in [
        (EventType::NodeDataChanged, "/set"),
        (EventType::NodeDeleted, "/gone"),
        (EventType::NodeCreated, "/new"),
        (EventType::NodeChildrenChanged, "/more"),
        (EventType::NodeDeleted, "/gone"),
    ] {
        let event = watcher.answer();
        assert_eq!(event.event(), (expected.0, expected.1.to_owned()));
        assert_eq!(event.zxid, -1);
    }
    assert_eq!(watcher.answer().xid, xid::SET_WATCHES);
    writer.must(set("/same", b"1"));
    writer.must(create("/later", b""));
    writer.must(delete("/less/x"));
    writer.must(set("/set", b"2"));
    watcher.only_events(&[
        (EventType::NodeDataChanged, "/same"),
        (EventType::NodeCreated, "/later"),
        (EventType::NodeChildrenChanged, "/less"),
    ]);
}

#[test]
fn a_long_set_watches_comes_as_the_socket_drains() {
    const PATHS: usize = 10_000;
    let server = Running::start();
    let mut watcher = server.client();
    let names: Vec<String> = (0..PATHS)
        .map(|n| format!("/{n:05}{}", "x".repeat(90)))
        .collect();
    let paths: Vec<&str> = names.iter().map(String::as_str).collect();
    watcher.send_as(xid::SET_WATCHES, &set_watches(0, &paths, &[], &[]));
    let mut writer = server.client();
    writer.must(create("/while", b""));
    for name in &names {
        assert_eq!(
            watcher.answer().event(),
            (EventType::NodeDeleted, name.clone())
        );
    }
    assert_eq!(watcher.answer().xid, xid::SET_WATCHES);
}

#[test]
fn an_event_is_withheld_from_whom_the_acl_of_that_moment_hides_it() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.send_as(
        xid::AUTH,
        &Request::Auth(Auth {
            auth_type: 0,
            scheme: "digest".into(),
            auth: bytes::Bytes::from_static(b"ann:pw"),
        }),
    );
    assert_eq!(writer.answer().err, ErrorCode::Ok);
    writer.must(create("/a", b""));
    writer.must(create("/b", b""));
    watcher.must(get("/a", true));
    watcher.must(get("/b", true));
    writer.must(Request::SetAcl(SetAcl {
        path: "/a".into(),
        acl: vec![Acl::new(Perms::ALL, "auth", "")],
        version: -1,
    }));
    writer.must(set("/a", b"1"));
    writer.must(set("/b", b"1"));
    watcher.only_events(&[(EventType::NodeDataChanged, "/b")]);
    assert_eq!(watcher.ask(get("/a", false)).err, ErrorCode::NoAuth);
    assert_eq!(watcher.ask(exists("/a", true)).err, ErrorCode::NoAuth);
    writer.must(delete("/a"));
    watcher.only_events(&[]);
}

/// The way of an event from a writer on one connection to a watcher on another, and the way of the
/// data that it announces: the event is always seen first.
#[test]
fn the_event_is_seen_before_the_new_data_on_every_interleaving() {
    const ROUNDS: u32 = 3000;
    let server = Running::start();
    let mut setup = server.client();
    setup.must(create("/n", b"0"));
    let mut writer = server.client();
    let writing = std::thread::spawn(move || {
        for n in 1..=ROUNDS {
            writer.must(set("/n", n.to_string().as_bytes()));
        }
        writer
    });
    let mut watcher = server.client();
    let mut newest = 0;
    while newest < ROUNDS {
        // The watch is there from the first reply on; until its event, no read may show newer data.
        let first = watcher.must(get("/n", true));
        let watched: u32 = String::from_utf8(first.data()).unwrap().parse().unwrap();
        assert!(watched >= newest);
        newest = watched;
        let mut event_seen = false;
        while newest < ROUNDS && !event_seen {
            let xid = watcher.send(&[get("/n", false)])[0];
            loop {
                let answer = watcher.answer();
                if answer.xid == xid::NOTIFICATION {
                    event_seen = true;
                    continue;
                }
                assert_eq!(answer.xid, xid);
                let read: u32 = String::from_utf8(answer.data()).unwrap().parse().unwrap();
                assert!(
                    event_seen || read == watched,
                    "data {read} was seen before the event that ends {watched}"
                );
                break;
            }
        }
    }
    writing.join().unwrap();
}

/// 100,000 reads with a watch against a writer: each gets its event, or the data never changed. It
/// fails in a build with `innkeeper_break="watch-lock"`, where the view is taken before the watch
/// is registered.
#[test]
fn every_watch_gets_its_event_or_the_data_never_changed() {
    const READERS: usize = 4;
    const READS: usize = 25_000;
    let paths: Vec<String> = (0..20).map(|n| format!("/n{n}")).collect();
    let server = Running::start();
    let mut setup = server.client();
    for path in &paths {
        setup.must(create(path, b"0"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (mut writer, stopped, written) = (server.client(), stop.clone(), paths.clone());
    let writing = std::thread::spawn(move || {
        let mut n = 0u64;
        while !stopped.load(Ordering::Relaxed) {
            n += 1;
            writer.must(set_all(&written, n.to_string().as_bytes()));
        }
        writer
    });
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let (client, paths) = (server.client(), paths.clone());
            std::thread::spawn(move || Watcher::new(client, paths).watch(READS, number))
        })
        .collect();
    let readers: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
    stop.store(true, Ordering::Relaxed);
    // A watch that is left has not fired yet.
    let mut writer = writing.join().unwrap();
    writer.must(set_all(&paths, b"end"));
    for reader in readers {
        reader
            .expect("data changed before the event of its watch")
            .expect_the_rest();
    }
}

fn set_all(paths: &[String], data: &[u8]) -> Request {
    let ops = paths.iter().map(|path| match set(path, data) {
        Request::SetData(set) => MultiOp::SetData(set),
        other => panic!("{other:?}"),
    });
    multi(ops.collect())
}

/// Watches some znodes all the time, and reads what it watches: as long as a watch has not fired,
/// the znode must be as it was when the watch was set.
struct Watcher {
    client: Client,
    paths: Vec<String>,
    watched: Vec<Option<Vec<u8>>>,
}

impl Watcher {
    fn new(client: Client, paths: Vec<String>) -> Self {
        Self {
            watched: vec![None; paths.len()],
            client,
            paths,
        }
    }

    fn watch(mut self, reads: usize, seed: usize) -> Self {
        let (mut done, mut random) = (0, seed as u64 + 1);
        while done < reads {
            let watching: Vec<bool> = self.watched.iter().map(Option::is_none).collect();
            let requests: Vec<_> = self
                .paths
                .iter()
                .zip(&watching)
                .map(|(path, watch)| get(path, *watch))
                .collect();
            self.client.send(&requests);
            for (at, watch) in watching.into_iter().enumerate() {
                let data = self.reply().data();
                if watch {
                    assert_eq!(self.watched[at].replace(data), None);
                    done += 1;
                } else if let Some(watched) = &self.watched[at] {
                    assert_eq!(
                        *watched, data,
                        "{} changed and no event came",
                        self.paths[at]
                    );
                }
            }
            // This is at any moment of the writer's round, not only right after its last event.
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            std::thread::sleep(Duration::from_micros((random >> 33) % 1000));
        }
        self
    }

    /// The next reply; events before it are noted.
    fn reply(&mut self) -> Answer {
        loop {
            let answer = self.client.answer();
            if answer.xid != xid::NOTIFICATION {
                return answer;
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Answer) {
        let (kind, path) = event.event();
        assert_eq!(kind, EventType::NodeDataChanged);
        let at = self.paths.iter().position(|known| *known == path).unwrap();
        assert!(self.watched[at].take().is_some(), "{path} was not watched");
    }

    fn expect_the_rest(mut self) {
        while self.watched.iter().any(Option::is_some) {
            let event = self.client.answer();
            self.note(&event);
        }
    }
}
