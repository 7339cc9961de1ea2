//! Persistent and recursive watches: which clients get which events, and for how long.
#![allow(clippy::disallowed_methods)] // Raw sockets and threads on purpose.

mod common;
#[path = "../guarantees/support.rs"]
mod support;

use std::io::Write;

use bytes::BytesMut;
use common::*;
use innkeeper_proto::request::{Multi, MultiOp, Request, SetData, SetWatches};
use innkeeper_proto::{Acl, AddWatchMode, ErrorCode, EventType, OpCode, Perms, WatcherType, xid};
use support::NodeProcess;

use AddWatchMode::{Persistent, PersistentRecursive};
use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

#[test]
fn a_persistent_watch_hears_of_everything_again_and_again() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    let answer = watcher.must(add_watch("/a", Persistent));
    assert_eq!(&answer.body[..], [0; 4]);
    for _ in 0..2 {
        writer.must(create("/a", b""));
        writer.must(set("/a", b"1"));
        writer.must(set("/a", b"2"));
        writer.must(create("/a/b", b""));
        writer.must(set("/a/b", b"not watched"));
        writer.must(delete("/a/b"));
        writer.must(delete("/a"));
        watcher.only_events(&[
            (NodeCreated, "/a"),
            (NodeDataChanged, "/a"),
            (NodeDataChanged, "/a"),
            (NodeChildrenChanged, "/a"),
            (NodeChildrenChanged, "/a"),
            (NodeDeleted, "/a"),
        ]);
    }
}

#[test]
fn a_recursive_watch_hears_of_all_below_and_of_no_list_of_children() {
    let server = Running::start();
    let (mut watcher, mut root, mut writer) = (server.client(), server.client(), server.client());
    watcher.must(add_watch("/a", PersistentRecursive));
    root.must(add_watch("/", PersistentRecursive));
    writer.must(create("/ab", b""));
    for _ in 0..2 {
        writer.must(create("/a", b""));
        writer.must(create("/a/b", b""));
        writer.must(create("/a/b/c", b""));
        writer.must(set("/a/b/c", b"1"));
        writer.must(delete("/a/b/c"));
        writer.must(delete("/a/b"));
        writer.must(delete("/a"));
        watcher.only_events(&[
            (NodeCreated, "/a"),
            (NodeCreated, "/a/b"),
            (NodeCreated, "/a/b/c"),
            (NodeDataChanged, "/a/b/c"),
            (NodeDeleted, "/a/b/c"),
            (NodeDeleted, "/a/b"),
            (NodeDeleted, "/a"),
        ]);
    }
    writer.must(set("/", b"1"));
    for expected in [(NodeCreated, "/ab"), (NodeCreated, "/a")] {
        let event = root.answer();
        assert_eq!(event.event(), (expected.0, expected.1.to_owned()));
    }
    for _ in 0..12 {
        root.answer();
    }
    assert_eq!(root.answer().event(), (NodeDeleted, "/a".to_owned()));
    root.only_events(&[(NodeDataChanged, "/")]);
}

#[test]
fn modes_stand_side_by_side_and_one_event_comes() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.must(create("/a", b""));
    watcher.must(get("/a", true));
    watcher.must(children("/a", true));
    watcher.must(add_watch("/a", Persistent));
    watcher.must(add_watch("/a", PersistentRecursive));
    watcher.must(add_watch("/", PersistentRecursive));
    writer.must(set("/a", b"1"));
    writer.must(create("/a/b", b""));
    watcher.only_events(&[
        (NodeDataChanged, "/a"),
        (NodeCreated, "/a/b"),
        (NodeChildrenChanged, "/a"),
    ]);
    // The one-shot watches are gone, the others are not.
    let check = |kind| Request::CheckWatches(watches("/a", kind));
    assert_eq!(
        watcher.ask(check(WatcherType::Data)).err,
        ErrorCode::NoWatcher
    );
    assert_eq!(
        watcher.ask(check(WatcherType::Children)).err,
        ErrorCode::NoWatcher
    );
    watcher.must(check(WatcherType::Persistent));
    watcher.must(check(WatcherType::PersistentRecursive));
    // Without the persistent watch, the recursive one still gets events, but none of children.
    watcher.must(Request::RemoveWatches(watches(
        "/a",
        WatcherType::Persistent,
    )));
    writer.must(set("/a", b"2"));
    writer.must(delete("/a/b"));
    writer.must(delete("/a"));
    watcher.only_events(&[
        (NodeDataChanged, "/a"),
        (NodeDeleted, "/a/b"),
        (NodeDeleted, "/a"),
    ]);
}

#[test]
fn the_kinds_of_watches_are_checked_and_removed_one_by_one() {
    use WatcherType::{Any, Children, Data};
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/a", b""));
    let set = |client: &mut Client, kind| match kind {
        Data => client.must(get("/a", true)),
        Children => client.must(children("/a", true)),
        WatcherType::Persistent => client.must(add_watch("/a", Persistent)),
        _ => client.must(add_watch("/a", PersistentRecursive)),
    };
    let kinds = [
        Data,
        Children,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ];
    for kind in kinds {
        set(&mut client, kind);
        for asked in kinds {
            let expected = if asked == kind {
                ErrorCode::Ok
            } else {
                ErrorCode::NoWatcher
            };
            let check = Request::CheckWatches(watches("/a", asked));
            assert_eq!(client.ask(check).err, expected, "{kind:?} {asked:?}");
            if asked != kind {
                let remove = Request::RemoveWatches(watches("/a", asked));
                assert_eq!(client.ask(remove).err, expected, "{kind:?} {asked:?}");
            }
        }
        client.must(Request::CheckWatches(watches("/a", Any)));
        client.must(Request::RemoveWatches(watches("/a", kind)));
        let again = Request::RemoveWatches(watches("/a", kind));
        assert_eq!(client.ask(again).err, ErrorCode::NoWatcher);
    }
    for kind in kinds {
        set(&mut client, kind);
    }
    client.must(Request::RemoveWatches(watches("/a", Any)));
    for kind in [Data, Children, Any] {
        let check = Request::CheckWatches(watches("/a", kind));
        assert_eq!(client.ask(check).err, ErrorCode::NoWatcher);
    }
    for unknown in [0, 6, -1] {
        let mut body = vec![0, 0, 0, 2, b'/', b'a'];
        body.extend(i32::to_be_bytes(unknown));
        for op in [OpCode::CheckWatches, OpCode::RemoveWatches] {
            let answer = client.ask_raw(op.as_i32(), &body);
            assert_eq!(answer.err, ErrorCode::MarshallingError);
        }
    }
}

/// Client libraries make the events of removal from the reply.
#[test]
fn removing_a_watch_sends_no_event() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.must(create("/a", b""));
    watcher.must(get("/a", true));
    watcher.must(children("/a", true));
    watcher.must(add_watch("/a", Persistent));
    watcher.must(add_watch("/a", PersistentRecursive));
    for kind in [
        WatcherType::Data,
        WatcherType::Children,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ] {
        watcher.must(Request::RemoveWatches(watches("/a", kind)));
        watcher.only_events(&[]);
    }
    writer.must(set("/a", b""));
    writer.must(create("/a/b", b""));
    writer.must(delete("/a/b"));
    writer.must(delete("/a"));
    watcher.only_events(&[]);
}

#[test]
fn add_watch_takes_any_path() {
    let server = Running::start();
    let mut client = server.client();
    for path in ["/none", "/none/deeper", "", "no path", "/a/"] {
        client.must(add_watch(path, Persistent));
        client.must(add_watch(path, PersistentRecursive));
        client.must(Request::RemoveWatches(watches(path, WatcherType::Any)));
    }
    for unknown in [2, -1] {
        let mut body = vec![0, 0, 0, 2, b'/', b'a'];
        body.extend(i32::to_be_bytes(unknown));
        let answer = client.ask_raw(OpCode::AddWatch.as_i32(), &body);
        assert_eq!(answer.err, ErrorCode::MarshallingError);
    }
    client.only_events(&[]);
}

/// The ACL is not checked when a persistent watch is set, but for each of its events.
#[test]
fn persistent_events_are_withheld_from_whom_the_acl_hides_them() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.log_in(b"ann:pw");
    writer.must(create("/a", b""));
    writer.must(set_acl("/a", vec![Acl::new(Perms::ALL, "auth", "")]));
    watcher.must(add_watch("/a", Persistent));
    watcher.must(add_watch("/a", PersistentRecursive));
    writer.must(set("/a", b"1"));
    writer.must(create("/a/open", b""));
    watcher.only_events(&[(NodeCreated, "/a/open")]);
    writer.must(set_acl("/a", open_acl()));
    writer.must(set("/a", b"2"));
    watcher.only_events(&[(NodeDataChanged, "/a")]);
}

fn set_watches_2(set: &SetWatches) -> Request {
    Request::SetWatches2(set.clone())
}

#[test]
fn set_watches_2_sets_persistent_watches_again() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    for path in ["/set", "/one", "/all", "/all/x"] {
        writer.must(create(path, b""));
    }
    let seen = watcher.must(exists("/set", false)).zxid;
    watcher.must(add_watch("/one", Persistent));
    let mut watcher = {
        let back = Client::connect_as(server.addr, &watcher.reattach_request()).unwrap();
        assert!(watcher.is_closed());
        back
    };
    writer.must(set("/set", b"1"));
    writer.must(set("/one", b"1"));
    writer.must(set("/all/x", b"1"));
    watcher.send_as(
        xid::SET_WATCHES,
        &set_watches_2(&SetWatches {
            relative_zxid: seen,
            data: vec!["/set".into()],
            persistent: vec!["/one".into(), "/later".into()],
            persistent_recursive: vec!["/all".into()],
            ..SetWatches::default()
        }),
    );
    // The client must read by itself what its persistent watches have missed.
    let event = watcher.answer();
    assert_eq!(event.event(), (NodeDataChanged, "/set".to_owned()));
    assert_eq!(event.zxid, -1);
    let answer = watcher.answer();
    assert_eq!((answer.xid, answer.err), (xid::SET_WATCHES, ErrorCode::Ok));
    writer.must(set("/one", b"2"));
    writer.must(create("/later", b""));
    writer.must(set("/all/x", b"2"));
    writer.must(set("/one", b"3"));
    watcher.only_events(&[
        (NodeDataChanged, "/one"),
        (NodeCreated, "/later"),
        (NodeDataChanged, "/all/x"),
        (NodeDataChanged, "/one"),
    ]);
}

/// Deliberate difference: ZooKeeper tells anybody in its answer to setWatches.
#[test]
fn set_watches_tells_nothing_of_what_may_not_be_read() {
    let server = Running::start_with(|_| {});
    let (mut watcher, mut writer) = (server.client(), server.client());
    writer.log_in(b"ann:pw");
    writer.must(create("/a", b""));
    writer.must(set_acl("/a", vec![Acl::new(Perms::ALL, "auth", "")]));
    watcher.send_as(xid::SET_WATCHES, &set_watches(0, &["/a"], &["/a"], &["/a"]));
    assert_eq!(watcher.answer().xid, xid::SET_WATCHES);
    writer.must(set("/a", b"1"));
    watcher.only_events(&[]);
}

/// The watch is there from the reply on: no event comes before the reply, every one after it.
#[test]
fn every_change_after_the_reply_to_add_watch_has_its_event() {
    const ROUNDS: u32 = 300;
    let server = Running::start();
    let mut setup = server.client();
    setup.must(create("/n", b"0"));
    let mut writer = server.client();
    let writing = std::thread::spawn(move || {
        for n in 1..=20 * ROUNDS {
            writer.must(set("/n", n.to_string().as_bytes()));
        }
    });
    let number =
        |answer: &Answer| -> u32 { String::from_utf8(answer.data()).unwrap().parse().unwrap() };
    let mut watcher = server.client();
    for _ in 0..ROUNDS {
        // The read behind it sees at most as many changes more as events came between.
        let xids = watcher.send(&[
            add_watch("/n", Persistent),
            get("/n", false),
            get("/n", false),
        ]);
        assert_eq!(watcher.answer().xid, xids[0]);
        let (mut events, mut reads) = (0, Vec::new());
        while reads.len() < 2 {
            let answer = watcher.answer();
            if answer.xid == xid::NOTIFICATION {
                events += u32::from(reads.len() == 1);
            } else {
                reads.push(number(&answer));
            }
        }
        assert_eq!(reads[1] - reads[0], events);
        let remove = Request::RemoveWatches(watches("/n", WatcherType::Persistent));
        let removed = watcher.send(&[remove])[0];
        while watcher.answer().xid != removed {}
    }
    writing.join().unwrap();
}

/// Changes by other clients must not fill the node's memory: a client that does not read is
/// disconnected, reconnects, and reads anew. One-shot watches disconnect no client.
#[test]
fn a_client_that_does_not_read_its_persistent_events_is_closed_and_nobody_else() {
    const BATCHES: usize = 60;
    const OPS: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let node = NodeProcess::start_with_log(&folder.path().join("data"), &log);
    let connect = || Client::connect(node.zookeeper, 30_000);
    let name = format!("/{}", "n".repeat(400));
    let (mut asleep, mut awake, mut writer) = (connect(), connect(), connect());
    writer.must(create(&name, b""));
    let mut one_shot = connect();
    one_shot.must(get(&name, true));
    asleep.must(add_watch(&name, Persistent));
    awake.must(add_watch("/", PersistentRecursive));
    let reading = std::thread::spawn(move || {
        let mut events = 0;
        while events < BATCHES * OPS {
            assert_eq!(awake.answer().event().0, NodeDataChanged);
            events += 1;
        }
        awake
    });
    let op = || {
        MultiOp::SetData(SetData {
            path: name.as_str().into(),
            data: None,
            version: -1,
        })
    };
    for _ in 0..BATCHES {
        let ops = (0..OPS).map(|_| op()).collect();
        writer.must(Request::Multi(Multi { ops }));
    }
    let mut awake = reading.join().unwrap();
    awake.only_events(&[]);
    one_shot.only_events(&[(NodeDataChanged, &name)]);
    // Some of the events are in the sockets' buffers; then the stream ends.
    let mut got = 0;
    while asleep.frame().is_some() {
        got += 1;
    }
    assert!(got < BATCHES * OPS, "{got}");
    let mut back = Client::connect_as(node.zookeeper, &asleep.reattach_request()).unwrap();
    assert_eq!(back.connected.session_id, asleep.connected.session_id);
    back.must(get(&name, false));
    // The operator reads in the log which session it was, and no other session.
    let log = std::fs::read_to_string(&log).unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("8 MiB")).collect();
    let session = format!("session=0x{:x}", asleep.connected.session_id);
    assert!(
        matches!(told[..], [line] if line.contains(&session)),
        "{session}: {log}"
    );
}

/// A request sent in many pieces, to show that nothing depends on how it arrives.
#[test]
fn add_watch_may_arrive_byte_by_byte() {
    let server = Running::start();
    let (mut watcher, mut writer) = (server.client(), server.client());
    let mut frame = BytesMut::new();
    add_watch("/a", PersistentRecursive).encode(&mut frame, 5);
    for byte in &frame {
        watcher.stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(watcher.answer().xid, 5);
    writer.must(create("/a", b""));
    watcher.only_events(&[(NodeCreated, "/a")]);
}
