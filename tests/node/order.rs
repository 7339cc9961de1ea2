//! The order of one session's requests, their answers, and the events between them.
#![allow(clippy::disallowed_methods)] // Raw sockets on purpose.

mod common;

use common::*;
use innkeeper_proto::reply::{MultiResult, Reply};
use innkeeper_proto::request::{MultiOp, PathVersion, Request};
use innkeeper_proto::{AddWatchMode, ErrorCode, EventType, OpCode, xid};

#[test]
fn pipelined_reads_see_what_was_written_before_them_and_nothing_later() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/n", b"start"));
    let mut requests = Vec::new();
    for round in 0..200 {
        requests.push(set("/n", format!("{round}").as_bytes()));
        requests.push(get("/n", false));
        requests.push(Request::Sync("/n".into()));
        requests.push(get("/n", false));
    }
    let xids = client.send(&requests);
    let mut last_zxid = 0;
    for (at, xid) in xids.into_iter().enumerate() {
        let answer = client.answer();
        assert_eq!((answer.xid, answer.err), (xid, ErrorCode::Ok));
        assert!(answer.zxid >= last_zxid, "zxids of replies never go back");
        last_zxid = answer.zxid;
        if at % 2 == 1 {
            assert_eq!(answer.data(), format!("{}", at / 4).as_bytes());
        }
    }
}

#[test]
fn many_writes_are_in_flight_and_are_numbered_in_order() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/s", b""));
    let creates: Vec<_> = (0..3000).map(|_| create_as("/s/n-", b"x", 2)).collect();
    let xids = client.send(&creates);
    for (at, xid) in xids.into_iter().enumerate() {
        let answer = client.answer();
        assert_eq!(answer.xid, xid);
        let path = format!("/s/n-{at:010}");
        assert_eq!(
            answer.reply(OpCode::Create),
            Reply::Path(path.as_str().into())
        );
    }
}

#[test]
fn failed_writes_answer_in_their_place() {
    let server = Running::start();
    let mut client = server.client();
    let failing_multi = multi(vec![
        MultiOp::Create(creation("/m", b"", 0)),
        MultiOp::Check(PathVersion {
            path: "/a".into(),
            version: 17,
        }),
        MultiOp::Delete(PathVersion {
            path: "/a".into(),
            version: -1,
        }),
    ]);
    let bad_flags_in_multi = multi(vec![
        MultiOp::Create(creation("/m", b"", 0)),
        MultiOp::Create2(creation("/m2", b"", 9)),
    ]);
    let xids = client.send(&[
        create("/a", b"1"),
        create("/a", b"2"),
        create_as("/b", b"", 9),
        delete("/none"),
        failing_multi,
        bad_flags_in_multi,
        set("/a", b"3"),
    ]);
    let expected = [
        ErrorCode::Ok,
        ErrorCode::NodeExists,
        ErrorCode::BadArguments,
        ErrorCode::NoNode,
        ErrorCode::Ok,
        ErrorCode::MarshallingError,
        ErrorCode::Ok,
    ];
    let answers: Vec<_> = xids.iter().map(|_| client.answer()).collect();
    for ((answer, xid), error) in answers.iter().zip(&xids).zip(expected) {
        assert_eq!((answer.xid, answer.err), (*xid, error));
    }
    let results = |codes: &[ErrorCode]| {
        Reply::Multi(codes.iter().map(|code| MultiResult::Error(*code)).collect())
    };
    assert_eq!(
        answers[4].reply(OpCode::Multi),
        results(&[
            ErrorCode::Ok,
            ErrorCode::BadVersion,
            ErrorCode::RuntimeInconsistency
        ])
    );
    assert_eq!(client.must(get("/a", false)).data(), b"3");
    assert_eq!(client.ask(exists("/m", false)).err, ErrorCode::NoNode);
}

#[test]
fn a_multi_answers_each_operation_in_its_own_way() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/a", b""));
    let answer = client.must(multi(vec![
        MultiOp::Check(PathVersion {
            path: "/a".into(),
            version: 0,
        }),
        MultiOp::Create(creation("/a/b", b"", 0)),
        MultiOp::Create2(creation("/a/c", b"", 0)),
        MultiOp::Delete(PathVersion {
            path: "/a/b".into(),
            version: -1,
        }),
    ]));
    let Reply::Multi(results) = answer.reply(OpCode::Multi) else {
        panic!()
    };
    assert_eq!(results[0], MultiResult::Check);
    assert_eq!(results[1], MultiResult::Create("/a/b".into()));
    assert!(
        matches!(&results[2], MultiResult::Create2(path, stat) if path == "/a/c" && stat.czxid == answer.zxid)
    );
    assert_eq!(results[3], MultiResult::Delete);
}

#[test]
fn pings_carry_the_last_zxid_sent_and_close_is_the_last_answer() {
    let server = Running::start();
    let mut client = server.client();
    // (A real ZooKeeper answers with the server's last zxid.)
    client.send_as(xid::PING, &Request::Ping);
    let ping = client.answer();
    assert_eq!((ping.xid, ping.err), (xid::PING, ErrorCode::Ok));
    // Nothing was sent on the connection before, except the answer to the connect request.
    assert!(ping.zxid > 0);
    let zxid = client.must(create("/a", b"")).zxid;
    let mut other = server.client();
    other.must(create("/b", b""));
    client.send_as(xid::PING, &Request::Ping);
    assert_eq!(client.answer().zxid, zxid);
    let xids = client.send(&[
        create_as("/e", b"", 1),
        Request::CloseSession,
        get("/a", false),
    ]);
    assert_eq!(client.answer().xid, xids[0]);
    let closed = client.answer();
    assert_eq!((closed.xid, closed.err), (xids[1], ErrorCode::Ok));
    assert!(
        client.is_closed(),
        "what came behind the close is not answered"
    );
    assert_eq!(other.ask(exists("/e", false)).err, ErrorCode::NoNode);
}

#[test]
fn an_event_stands_before_the_reply_of_the_write_that_caused_it() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/a", b""));
    client.must(get("/a", true));
    let xids = client.send(&[set("/a", b"1"), get("/a", false)]);
    let event = client.answer();
    assert_eq!(event.event(), (EventType::NodeDataChanged, "/a".to_owned()));
    let reply = client.answer();
    assert_eq!(reply.xid, xids[0]);
    assert_eq!(event.zxid, reply.zxid, "the event names what caused it");
    assert_eq!(client.answer().xid, xids[1]);
}

/// A client that does not read its answers stops its own socket, and no other.
#[test]
fn an_answer_goes_before_the_events_of_later_requests() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/n", b""));
    client.must(add_watch("/n", AddWatchMode::Persistent));
    // These requests do not go to the log, so no results hold places in the queue.
    let unreadable = multi(vec![MultiOp::Create(creation("/x", b"", 7))]);
    for _ in 0..100 {
        let requests = [
            set("/n", b"1"),
            unreadable.clone(),
            Request::Ping,
            set("/n", b"2"),
        ];
        let xids = client.send(&requests);
        let changed = (EventType::NodeDataChanged, "/n".to_owned());
        assert_eq!(client.answer().event(), changed);
        assert_eq!(client.answer().xid, xids[0]);
        let refused = client.answer();
        assert_eq!(
            (refused.xid, refused.err),
            (xids[1], ErrorCode::MarshallingError)
        );
        assert_eq!(client.answer().xid, xid::PING);
        assert_eq!(client.answer().event(), changed);
        assert_eq!(client.answer().xid, xids[3]);
    }
}

#[test]
fn a_slow_reader_stops_itself_alone() {
    const BIG: usize = 900_000;
    const READS: usize = 300;
    let server = Running::start();
    let mut slow = server.client();
    slow.must(create("/big", &vec![7; BIG]));
    let mut sender = slow.stream.try_clone().unwrap();
    let asking = std::thread::spawn(move || {
        use std::io::Write;
        let mut out = bytes::BytesMut::new();
        for xid in 0..READS {
            get("/big", false).encode(&mut out, 1000 + xid as i32);
        }
        sender.write_all(&out).unwrap();
    });
    let mut quick = server.client();
    for round in 0..200 {
        quick.must(set("/big", &[round]));
        quick.must(get("/big", false));
    }
    let resident = resident_bytes();
    assert!(
        resident < 200 << 20,
        "the answers of a client that does not read fill {resident} bytes"
    );
    for xid in 0..READS {
        assert_eq!(slow.answer().xid, 1000 + xid as i32);
    }
    asking.join().unwrap();
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() * 1024
}
