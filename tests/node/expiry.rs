//! Sessions whose clients are silent, and their ephemerals.
#![allow(clippy::disallowed_methods)] // Clocks of tests.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use common::*;
use innkeeper_proto::request::{Auth, Request};
use innkeeper_proto::{ErrorCode, EventType, xid};

fn quick() -> Running {
    Running::start_with(|settings| settings.server.tick_time_ms = 100)
}

#[test]
fn a_silent_session_expires_with_its_ephemerals_and_its_connection() {
    let server = quick();
    let mut silent = Client::connect(server.addr, 500);
    silent.must(create_as("/e", b"", 1));
    let mut watcher = Client::connect(server.addr, 2000);
    watcher.must(exists("/e", true));
    let since = Instant::now();
    let event = loop {
        watcher.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        watcher.send_as(xid::PING, &Request::Ping);
        let answer = watcher.answer();
        if answer.xid == xid::NOTIFICATION {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(event.event(), (EventType::NodeDeleted, "/e".to_owned()));
    // On a slow machine it may be later, but never earlier.
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(450), "too early: {took:?}");
    assert!(silent.is_closed());
    let back = Client::connect_as(server.addr, &silent.reattach_request()).unwrap();
    assert_eq!(back.connected.session_id, 0);
}

#[test]
fn pings_and_requests_keep_a_session_and_a_reattach_in_time_does_too() {
    let server = quick();
    let mut client = Client::connect(server.addr, 600);
    client.must(create_as("/e", b"", 1));
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(100));
        client.send_as(xid::PING, &Request::Ping);
        assert_eq!(client.answer().xid, xid::PING);
    }
    for _ in 0..10 {
        let back = client.reattach_request();
        drop(client);
        std::thread::sleep(Duration::from_millis(250));
        client = Client::connect_as(server.addr, &back).unwrap();
        assert_eq!(client.connected.session_id, back.session_id);
    }
    assert_eq!(client.ask(exists("/e", false)).err, ErrorCode::Ok);
}

/// ZooKeeper does not count credentials: kazoo with SASL options, which sends its first token again
/// and again to a server without SASL, would keep its session for ever.
#[test]
fn credentials_keep_no_session_alive() {
    let server = quick();
    let auth = |_| {
        Request::Auth(Auth {
            auth_type: 0,
            scheme: "digest".into(),
            auth: Bytes::from_static(b"ann:secret"),
        })
    };
    let sasl = |_| Request::Sasl(Bytes::new());
    // A request behind credentials in the same packet counts, and so does one between two of them.
    let mixed = |n| match n % 4 {
        3 => exists("/", false),
        _ => auth(n),
    };
    type Nth<'a> = &'a (dyn Fn(u32) -> Request + Sync);
    let kinds: [(&str, Nth<'_>, bool); 3] = [
        ("auth", &auth, false),
        ("sasl", &sasl, false),
        ("mixed", &mixed, true),
    ];
    std::thread::scope(|scope| {
        for (what, request, lives) in kinds {
            let addr = server.addr;
            scope.spawn(move || {
                let mut client = Client::connect(addr, 600);
                let back = client.reattach_request();
                for n in 0..40 {
                    std::thread::sleep(Duration::from_millis(50));
                    client.send_as(xid::AUTH, &request(n));
                    if client.frame().is_none() {
                        break;
                    }
                }
                let back = Client::connect_as(addr, &back).unwrap();
                assert_eq!(back.connected.session_id != 0, lives, "{what}");
            });
        }
    });
}

#[test]
fn a_request_that_arrives_slowly_keeps_its_session_alive() {
    let server = quick();
    let mut client = Client::connect(server.addr, 600);
    let mut request = BytesMut::new();
    create_as("/slow", b"", 1).encode(&mut request, 1);
    let pause = Duration::from_millis(40);
    assert!(pause * request.len() as u32 > 3 * Duration::from_millis(600));
    for byte in &request {
        std::thread::sleep(pause);
        client.stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.answer().err, ErrorCode::Ok);
    client.must(exists("/slow", false));
}

/// While answers wait the node reads nothing, so it learns that the client has left when it looks for
/// a sign of life.
#[test]
fn a_session_expires_whose_connection_ends_while_it_is_asked() {
    let server = quick();
    let mut leaves = Client::connect(server.addr, 500);
    leaves.must(create_as("/e", b"", 1));
    leaves.must(create("/large", &[0; 900_000]));
    let requests: Vec<_> = (0..40).map(|_| get("/large", false)).collect();
    leaves.send(&requests);
    leaves.stream.peek(&mut [0]).unwrap();
    leaves.stream.shutdown(Shutdown::Write).unwrap();
    let mut other = Client::connect(server.addr, 10_000);
    eventually("the session has expired", || {
        other.ask(exists("/e", false)).err == ErrorCode::NoNode
    });
}

#[test]
fn a_restart_gives_every_session_its_full_timeout() {
    let server = quick();
    let mut client = Client::connect(server.addr, 1500);
    client.must(create_as("/e", b"", 1));
    let back = client.reattach_request();
    std::thread::sleep(Duration::from_millis(1000));
    let folder = server.stop();
    let server = Running::start_in(folder, |settings| settings.server.tick_time_ms = 100);
    std::thread::sleep(Duration::from_millis(1000));
    let mut client = Client::connect_as(server.addr, &back).unwrap();
    assert_eq!(client.connected.session_id, back.session_id);
    assert_eq!(client.ask(exists("/e", false)).err, ErrorCode::Ok);
}
