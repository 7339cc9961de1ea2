//! The handshake, four-letter words, and the errors that end one connection and disturb no other.
#![allow(clippy::disallowed_methods)] // Raw sockets on purpose.

mod common;

use std::io::Write;

use bytes::{BufMut, BytesMut};
use common::asked::word;
use common::*;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::frame::FourLetterWord;
use innkeeper_proto::request::{Auth, Request};
use innkeeper_proto::{ErrorCode, OpCode, xid};

#[test]
fn timeouts_are_clamped_to_2_and_20_ticks() {
    let server = Running::start_with(|settings| settings.server.tick_time_ms = 500);
    for (asked, given) in [(1, 1000), (3000, 3000), (1_000_000, 10_000), (-5, 1000)] {
        let client = Client::connect(server.addr, asked);
        assert_eq!(client.connected.timeout_ms, given);
        assert_ne!(client.connected.session_id, 0);
        assert_eq!(client.connected.session_id >> 56, 1);
        assert_ne!(client.connected.password, [0; 16]);
    }
}

#[test]
fn the_read_only_byte_is_answered_only_to_those_who_sent_it() {
    let server = Running::start();
    for read_only in [None, Some(false), Some(true)] {
        let request = ConnectRequest {
            read_only,
            ..connect_request(10_000)
        };
        let client = Client::connect_as(server.addr, &request).unwrap();
        assert_eq!(client.connected.read_only, read_only.map(|_| false));
    }
}

#[test]
fn a_session_is_taken_over_by_id_and_password_and_its_old_connection_is_closed() {
    let server = Running::start();
    let mut old = server.client();
    old.must(create_as("/e", b"1", 1));
    let mut new = Client::connect_as(server.addr, &old.reattach_request()).unwrap();
    assert_eq!(new.connected.session_id, old.connected.session_id);
    assert_eq!(new.connected.password, old.connected.password);
    assert!(old.is_closed());
    assert_eq!(new.must(get("/e", false)).data(), b"1");
    // Xids start anew with each attachment.
    new.must(set("/e", b"2"));
    assert_eq!(new.must(get("/e", false)).data(), b"2");
    let mut other = server.client();
    new.close();
    assert_eq!(other.ask(get("/e", false)).err, ErrorCode::NoNode);
}

#[test]
fn a_wrong_password_or_an_unknown_session_gets_zeroes_and_the_end() {
    let server = Running::start();
    let alive = server.client();
    let good = alive.reattach_request();
    let wrong_password = ConnectRequest {
        password: vec![9; 16].into(),
        ..good.clone()
    };
    let short_password = ConnectRequest {
        password: vec![9; 3].into(),
        ..good.clone()
    };
    let unknown = ConnectRequest {
        session_id: 0x0100_0000_dead_beef,
        ..good
    };
    for request in [wrong_password, short_password, unknown] {
        let mut client = Client::connect_as(server.addr, &request).unwrap();
        assert_eq!(client.connected.session_id, 0);
        assert_eq!(client.connected.timeout_ms, 0);
        assert_eq!(client.connected.password, [0; 16]);
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_has_seen_the_future_is_sent_away() {
    let server = Running::start();
    let mut client = server.client();
    let zxid = client.must(create("/a", b"")).zxid;
    let seen = |last_zxid_seen| ConnectRequest {
        last_zxid_seen,
        ..connect_request(10_000)
    };
    assert!(Client::connect_as(server.addr, &seen(zxid + 1000)).is_none());
    // The zxid that the client got from this node is one that the node has.
    let here = Client::connect_as(server.addr, &seen(zxid)).unwrap();
    assert_ne!(here.connected.session_id, 0);
}

#[test]
fn bad_frames_end_their_connection_and_no_other() {
    let server = Running::start();
    let mut bystander = server.client();
    bystander.must(create("/a", b"x"));
    let mut too_long = BytesMut::new();
    too_long.put_i32(0x10_0000);
    let mut negative = BytesMut::new();
    negative.put_i32(-7);
    // ZooKeeper closes the connection without an answer if it cannot read credentials, unlike any
    // other request.
    let mut cut_off = BytesMut::new();
    cut_off.put_i32(10);
    cut_off.put_i32(1);
    cut_off.put_i32(OpCode::Auth.as_i32());
    cut_off.put_i16(3);
    let mut headless = BytesMut::new();
    headless.put_i32(3);
    headless.put_slice(b"abc");
    for bytes in [too_long, negative, cut_off, headless] {
        let mut first = Client::open(server.addr);
        first.stream.write_all(&bytes).unwrap();
        assert!(first.is_closed(), "as a first frame");
        let mut later = server.client();
        later.must(get("/a", false));
        later.stream.write_all(&bytes).unwrap();
        while later.frame().is_some() {}
        assert_eq!(bystander.must(get("/a", false)).data(), b"x");
    }
}

#[test]
fn an_operation_that_is_not_served_is_answered_and_then_the_connection_ends() {
    let server = Running::start();
    for op in [
        OpCode::Notification.as_i32(),
        OpCode::Check.as_i32(),
        OpCode::Error.as_i32(),
        10,
        23,
        99,
        108,
        i32::MIN,
    ] {
        let mut client = server.client();
        client.send(&[create("/once", b"")]);
        let mut frame = BytesMut::new();
        frame.put_i32(8);
        frame.put_i32(77);
        frame.put_i32(op);
        client.stream.write_all(&frame).unwrap();
        client.answer();
        let answer = client.answer();
        assert_eq!((answer.xid, answer.err), (77, ErrorCode::Unimplemented));
        assert_eq!(answer.zxid, -1);
        assert!(client.is_closed());
    }
}

#[test]
fn credentials_that_prove_nothing_are_refused_and_the_connection_ends() {
    let server = Running::start();
    let mut client = server.client();
    let auth = |scheme: &str| {
        Request::Auth(Auth {
            auth_type: 0,
            scheme: scheme.into(),
            auth: bytes::Bytes::from_static(b"ann:pw"),
        })
    };
    client.send_as(xid::AUTH, &auth("digest"));
    let answer = client.answer();
    assert_eq!((answer.xid, answer.err), (xid::AUTH, ErrorCode::Ok));
    client.send_as(xid::AUTH, &auth("sasl"));
    let answer = client.answer();
    assert_eq!((answer.xid, answer.err), (xid::AUTH, ErrorCode::AuthFailed));
    assert!(client.is_closed());
}

#[test]
fn credentials_are_answered_without_a_zxid() {
    let server = Running::start();
    let mut client = server.client();
    assert!(client.must(create("/a", b"")).zxid > 0);
    for (scheme, error) in [("digest", ErrorCode::Ok), ("none", ErrorCode::AuthFailed)] {
        let auth = Request::Auth(Auth {
            auth_type: 0,
            scheme: scheme.into(),
            auth: bytes::Bytes::from_static(b"ann:pw"),
        });
        client.send_as(xid::AUTH, &auth);
        let answer = client.answer();
        assert_eq!((answer.zxid, answer.err), (0, error));
    }
}

#[test]
fn a_reply_before_any_read_or_write_has_the_zxid_of_the_connection() {
    let server = Running::start();
    let made = server.client().must(create("/a", b"")).zxid;
    let mut other = server.client();
    other.send_as(xid::PING, &Request::Ping);
    assert!(other.answer().zxid > made);
}

#[test]
fn a_client_from_the_future_takes_no_session_over() {
    let server = Running::start();
    let mut owner = server.client();
    let ahead = ConnectRequest {
        last_zxid_seen: i64::MAX,
        ..owner.reattach_request()
    };
    assert!(Client::connect_as(server.addr, &ahead).is_none());
    owner.must(create("/a", b""));
}

#[test]
fn words_are_answered_if_they_are_on_the_list() {
    let server = Running::start();
    let srvr = word(server.addr, "srvr");
    assert!(
        srvr.starts_with("Zookeeper version: 3.9.5-innkeeper"),
        "{srvr}"
    );
    assert!(
        srvr.contains("\nMode: standalone\nNode count: 4\n"),
        "{srvr}"
    );
    assert_eq!(
        word(server.addr, "ruok"),
        "ruok is not executed because it is not in the whitelist.\n"
    );
    let open = Running::start_with(|settings| settings.admin.words = FourLetterWord::ALL.to_vec());
    assert_eq!(word(open.addr, "ruok"), "imok");
    assert!(word(open.addr, "stat").contains("Clients:\n /127.0.0.1:"));
    assert!(word(open.addr, "envi").starts_with("Environment:\nzookeeper.version=3.9.5-"));
    let mntr = word(open.addr, "mntr");
    for key in [
        "zk_version\t3.9.5-",
        "zk_znode_count\t4\n",
        "zk_watch_count\t0\n",
    ] {
        assert!(mntr.contains(key), "{mntr}");
    }
    assert!(mntr.lines().all(|line| line.starts_with("zk_")), "{mntr}");
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let server = Running::start_with(|settings| settings.server.max_client_connections = 2);
    takes_two_clients_and_no_more(&server);
}

#[test]
fn sessions_and_zxids_survive_a_restart() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create_as("/e", b"1", 1));
    let zxid = client.must(create("/p", b"2")).zxid;
    let back = client.reattach_request();
    let folder = server.stop();
    assert!(client.is_closed());
    let server = Running::start_in(folder, |_| {});
    let mut client = Client::connect_as(server.addr, &back).unwrap();
    assert_eq!(client.connected.session_id, back.session_id);
    assert_eq!(client.must(get("/e", false)).data(), b"1");
    assert!(client.must(set("/p", b"3")).zxid > zxid);
}
