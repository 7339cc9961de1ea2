//! The limits of a node's work, and how clients share them.
#![allow(clippy::disallowed_methods)] // Clients of tests have threads and sockets of their own.

mod common;
#[path = "../guarantees/support.rs"]
mod support;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::{BufMut, BytesMut};
use common::*;
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::{Auth, Create, MultiOp, Request, SetAcl};
use innkeeper_proto::{Acl, ErrorCode, OpCode, Perms, xid};
use innkeeper_server::settings::{
    ConnectionThrottleSettings, LARGE_ANSWERS, RequestThrottleSettings,
};
use support::NodeProcess;

const LIMIT: usize = 64;
const GREEDY: usize = 8;
const MODEST: usize = 50;

/// Eight clients send writes without end; a ninth sends one at a time. The writes that are
/// committed between two of its answers are bounded by the limit, not by the number that the others
/// have sent.
#[test]
fn a_greedy_client_does_not_hold_up_a_modest_one() {
    let server = Running::start_with(|settings| settings.server.global_outstanding_limit = LIMIT);
    let service = server.node.as_ref().unwrap().service().clone();
    let mut modest = server.client();
    modest.must(create("/greedy", b""));
    modest.must(create("/modest", b""));
    let answered = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for _ in 0..GREEDY {
        let mut greedy = server.client();
        let mut stream = greedy.stream.try_clone().unwrap();
        let stopped = stop.clone();
        threads.push(std::thread::spawn(move || {
            let mut batch = BytesMut::new();
            for _ in 0..200 {
                set("/greedy", &[b'x'; 100]).encode(&mut batch, 1);
            }
            while !stopped.load(Ordering::Relaxed) && stream.write_all(&batch).is_ok() {}
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }));
        let answered = answered.clone();
        threads.push(std::thread::spawn(move || {
            while greedy.frame().is_some() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    eventually("the greedy ones are at work", || {
        answered.load(Ordering::Relaxed) > 10 * GREEDY * LIMIT
    });
    let mut before = modest.must(set("/modest", b"0")).zxid;
    let (mut gaps, mut most) = (Vec::new(), 0);
    for _ in 0..MODEST {
        most = most.max(service.outstanding_requests());
        let zxid = modest.must(set("/modest", b"1")).zxid;
        gaps.push(zxid - before);
        before = zxid;
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    gaps.sort_unstable();
    assert!(gaps[MODEST / 2] > 1, "nobody was greedy: {gaps:?}");
    // Without the limit, each of the eight has up to 1,024 in flight.
    assert!(gaps[MODEST / 2] <= 4 * LIMIT as i64, "{gaps:?}");
    assert!(most <= 8 * LIMIT, "{most} requests were outstanding");
    eventually("all is given back", || service.outstanding_requests() == 0);
}

#[test]
fn a_frame_longer_than_jute_maxbuffer_ends_its_connection() {
    let server = Running::start_with(|settings| settings.server.jute_max_buffer_bytes = 2000);
    let mut client = server.client();
    client.must(create("/a", b""));
    let frame_of = |len: usize| {
        let mut out = BytesMut::new();
        set("/a", b"").encode(&mut out, 77);
        let data = vec![b'x'; len - (out.len() - 4)];
        out.clear();
        set("/a", &data).encode(&mut out, 77);
        assert_eq!(out.len() - 4, len);
        out
    };
    client.stream.write_all(&frame_of(2000)).unwrap();
    assert_eq!(client.answer().err, ErrorCode::Ok);
    client.stream.write_all(&frame_of(2001)).unwrap();
    assert!(client.is_closed());
    let mut first = Client::open(server.addr);
    let mut length = BytesMut::new();
    length.put_i32(2001);
    first.stream.write_all(&length).unwrap();
    assert!(first.is_closed());
}

#[test]
fn large_requests_have_a_limit_of_their_own() {
    let server = Running::start_with(|settings| {
        settings.server.large_request_threshold_bytes = Some(1000);
        settings.server.large_request_max_bytes = 3000;
    });
    let mut client = server.client();
    client.must(create("/a", b""));
    for _ in 0..5 {
        client.must(set("/a", &[b'x'; 2500]));
    }
    let mut other = server.client();
    client.send(&[set("/a", &[b'x'; 3500])]);
    assert!(client.is_closed());
    other.must(set("/a", &[b'x'; 2500]));
}

#[test]
fn all_addresses_together_have_so_many_connections() {
    let server = Running::start_with(|settings| settings.server.max_connections = 2);
    takes_two_clients_and_no_more(&server);
}

#[test]
fn connect_requests_beyond_the_bucket_are_closed_unanswered() {
    let server = Running::start_with(|settings| {
        settings.server.connection_throttle = ConnectionThrottleSettings {
            tokens: 2,
            fill_time_ms: 1_000_000,
            ..ConnectionThrottleSettings::default()
        };
    });
    let mut first = server.client();
    let _second = server.client();
    assert!(Client::connect_as(server.addr, &connect_request(10_000)).is_none());
    assert!(Client::connect_as(server.addr, &first.reattach_request()).is_none());
    first.must(create("/served", b""));
}

/// Each write waits behind a read that waits for the write before it.
#[test]
fn requests_that_waited_too_long_are_throttled() {
    let server = Running::start_with(|settings| {
        settings.server.request_throttle = RequestThrottleSettings {
            throttled_op_wait_ms: 1,
            ..RequestThrottleSettings::default()
        };
    });
    let mut client = server.client();
    client.must(create("/a", b""));
    let pairs = 400;
    let requests: Vec<_> = (0..pairs)
        .flat_map(|_| [set("/a", b"x"), get("/a", false)])
        .collect();
    client.send(&requests);
    client.send_as(xid::PING, &Request::Ping);
    let codes: Vec<_> = (0..2 * pairs).map(|_| client.answer().err).collect();
    assert_eq!(codes[0], ErrorCode::Ok);
    assert!(
        codes.contains(&ErrorCode::ThrottledOp),
        "none waited for a millisecond"
    );
    assert!(
        codes
            .iter()
            .all(|code| matches!(code, ErrorCode::Ok | ErrorCode::ThrottledOp)),
        "{codes:?}"
    );
    let ping = client.answer();
    assert_eq!(
        (ping.xid, ping.err),
        (xid::PING, ErrorCode::Ok),
        "a ping is never throttled"
    );
}

#[test]
fn session_timeouts_have_the_bounds_that_are_set() {
    let server = Running::start_with(|settings| {
        settings.server.min_session_timeout_ms = Some(1500);
        settings.server.max_session_timeout_ms = Some(5000);
    });
    for (asked, given) in [(1, 1500), (3000, 3000), (1_000_000, 5000), (-1, 1500)] {
        assert_eq!(
            Client::connect(server.addr, asked).connected.timeout_ms,
            given
        );
    }
}

/// The write gets no sequence number, so the writes behind it leave no gap.
#[test]
fn a_write_too_long_for_a_command_is_answered_in_its_place() {
    const MOST: usize = 2000;
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start_bounded(folder, |_| {}, Some(MOST));
    let mut client = server.client();
    let long = [b'x'; MOST];
    let (fits, too_long) = (ErrorCode::Ok, ErrorCode::MarshallingError);
    let requests = [
        (create("/a", b"1"), fits),
        (set("/a", &long), too_long),
        (
            multi(vec![MultiOp::Create(creation("/b", &long, 0))]),
            too_long,
        ),
        (set("/a", b"2"), fits),
        (create(&format!("/{}", "c".repeat(MOST)), b""), too_long),
        (get("/a", false), fits),
        (set("/a", b"3"), fits),
    ];
    let xids = client.send(&requests.clone().map(|(request, _)| request));
    for (xid, (request, error)) in xids.into_iter().zip(requests) {
        let answer = client.answer();
        assert_eq!((answer.xid, answer.err), (xid, error), "{request:?}");
        if let Request::GetData(_) = request {
            assert_eq!(answer.data(), b"2");
        }
    }
    // The longest write that is accepted is there after a restart; one byte more is refused.
    let taken = (MOST / 2..MOST).rev().find(|bytes| {
        let answer = client.ask(set("/a", &long[..*bytes]));
        assert!(matches!(
            answer.err,
            ErrorCode::Ok | ErrorCode::MarshallingError
        ));
        answer.err == fits
    });
    let taken = taken.expect("one is taken");
    assert!(taken > MOST - 200, "{taken}");
    assert_eq!(client.ask(set("/a", &long[..=taken])).err, too_long);
    let server = Running::start_in(server.stop(), |_| {});
    let mut client = server.client();
    assert_eq!(client.must(get("/a", false)).data(), &long[..taken]);
    assert_eq!(client.ask(exists("/b", false)).err, ErrorCode::NoNode);
}

/// The bound counts what apply stores: each `auth` entry becomes all identities of the client,
/// although the request and its command are small.
#[test]
fn a_multi_may_not_grow_beyond_what_a_command_may_have() {
    const MOST: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start_bounded(folder, |_| {}, Some(MOST));
    let mut client = server.client();
    let name = "n".repeat(8_000);
    client.must(Request::Auth(Auth {
        auth_type: 0,
        scheme: "digest".into(),
        auth: format!("{name}:secret").into_bytes().into(),
    }));
    let owned = |number: usize| {
        MultiOp::Create(Create {
            acl: vec![Acl::new(Perms::ALL, "auth", "")],
            ..creation(&format!("/{number}"), b"", 0)
        })
    };
    let many = client.ask(multi((0..20).map(owned).collect()));
    assert_eq!(many.err, ErrorCode::MarshallingError);
    assert_eq!(client.ask(exists("/0", false)).err, ErrorCode::NoNode);
    client.must(multi((0..9).map(owned).collect()));
    // The same is true of one ACL.
    let every = (1..=20).map(|perms| Acl::new(Perms(perms), "auth", ""));
    let one = Request::SetAcl(SetAcl {
        path: "/0".into(),
        acl: every.collect(),
        version: -1,
    });
    assert_eq!(client.ask(one).err, ErrorCode::MarshallingError);
    client.must(get("/0", false));
}

/// This is so for every limit of frames: the command is longer than the request, by the client's
/// identities.
#[test]
fn the_longest_request_that_jute_maxbuffer_lets_in_fits_into_a_command() {
    const LONGEST: usize = 17 << 20;
    let server = Running::start_with(|settings| settings.server.jute_max_buffer_bytes = LONGEST);
    let mut client = server.client();
    let frame_bytes = |request: &Request| {
        let mut frame = BytesMut::new();
        request.encode(&mut frame, 1);
        frame.len() - 4
    };
    let around = frame_bytes(&create("/a", b""));
    let longest = create("/a", &vec![b'x'; LONGEST - around]);
    assert_eq!(frame_bytes(&longest), LONGEST);
    client.must(longest);
    let server = Running::start_in(server.stop(), |settings| {
        settings.server.jute_max_buffer_bytes = 2 * LONGEST;
    });
    let data = server.client().must(get("/a", false)).data();
    assert_eq!(data.len(), LONGEST - around);
}

/// Clients ask for a long list of children and do not read it. A node has room for some of these
/// answers. A client that does not read while others wait is cut off, which is logged, and a client
/// that reads gets its list.
#[test]
fn clients_that_do_not_read_long_answers_hold_up_nobody() {
    const NAMES: usize = 60;
    const NAME_BYTES: usize = 500_000;
    const ANSWER_MIB: usize = 32;
    const ASLEEP: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mib = ANSWER_MIB.to_string();
    let arguments = ["--max-answer-mib", &mib, "--tick-time-ms", "1000"];
    let node = NodeProcess::start_logging(&folder.path().join("data"), &log, &arguments);
    let connect = || Client::connect(node.zookeeper, 30_000);
    let mut reader = connect();
    let mut owner = connect();
    owner.must(create("/long", b""));
    for n in 0..NAMES {
        owner.must(create(&format!("/long/{}{n}", "x".repeat(NAME_BYTES)), b""));
    }
    node.forget_peak();
    let before = node.peak_memory_bytes();
    let asleep: Vec<_> = (0..ASLEEP)
        .map(|_| {
            let mut asleep = connect();
            asleep.send(&[children("/long", false)]);
            asleep
        })
        .collect();
    let answer = reader.must(children("/long", false));
    let Reply::Children(names) = answer.reply(OpCode::GetChildren) else {
        panic!("{answer:?}");
    };
    assert_eq!(names.len(), NAMES);
    // While any connection waits, those that have room and do not read are cut off.
    let read_log = || std::fs::read_to_string(&log).unwrap();
    eventually("the sleepers are cut off", || {
        read_log().matches("large answer").count() >= ASLEEP - LARGE_ANSWERS
    });
    let log = read_log();
    let cut_off: Vec<_> = log
        .lines()
        .filter(|line| line.contains("large answer"))
        .collect();
    let is_one_of_them = |line: &&str| {
        let shown = |client: &Client| format!("session=0x{:x} ", client.connected.session_id);
        asleep.iter().any(|client| line.contains(&shown(client)))
    };
    assert!(cut_off.iter().all(is_one_of_them), "{cut_off:#?}");
    let told = log.matches("longer than a Java client takes").count();
    assert_eq!(told, 1, "once for the path, however many ask");
    // Beside the answers, each of some threads may have listed names for which there was no room.
    let peak_mib = (node.peak_memory_bytes() - before) >> 20;
    let bound_mib = (2 * LARGE_ANSWERS * ANSWER_MIB) as u64;
    assert!(peak_mib < bound_mib, "{peak_mib} MiB of {bound_mib}");
}

#[test]
fn answers_of_no_mib_or_of_too_many_cannot_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for mib in ["0", "1025"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_innkeeper"))
            .args(["serve", "--max-answer-mib", mib, "--data"])
            .arg(folder.path())
            .output()
            .unwrap();
        let sentence = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{sentence}");
        assert!(
            sentence.contains("--max-answer-mib") && sentence.contains("give 1 to 1024"),
            "{sentence}"
        );
    }
}
