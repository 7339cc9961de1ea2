//! Byte for byte: what kazoo and ZooKeeper's own classes write, we read and write too.
//!
//! The expected bytes are in `tests/golden/`, made by the scripts in `tests/proto` of this repository; no encoder of
//! ours had a part in them. Every line of both files is looked at by some test here, and
//! `every_golden_line_is_compared` says so.

mod common;

use bytes::{Bytes, BytesMut};
use common::{KAZOO, ZOOKEEPER, golden};
use innkeeper_proto::codec::{DecodeError, Reader};
use innkeeper_proto::connect::{ConnectRequest, ConnectResponse};
use innkeeper_proto::frame::{FrameDecoder, Inbound};
use innkeeper_proto::reply::{self, Encoded, MultiResult, Reply, ReplyHeader};
use innkeeper_proto::request::{
    Auth, Create, Multi, MultiOp, PathVersion, PathWatch, Reconfig, RemoveWatches, Request, SetAcl,
    SetData, SetWatches,
};
use innkeeper_proto::{
    Acl, ErrorCode, EventType, KeeperState, OpCode, Perms, Stat, WatcherEvent, WatcherType, event,
    xid,
};

fn lookup(file: &str, name: &str) -> Vec<u8> {
    let found = golden(file).into_iter().find(|(line, _)| line == name);
    found
        .unwrap_or_else(|| panic!("there is no golden line {name}"))
        .1
}

/// The body of the one frame that these bytes are.
fn body(bytes: &[u8]) -> Bytes {
    let mut buf = BytesMut::from(bytes);
    match FrameDecoder::new(1 << 20).decode(&mut buf) {
        Ok(Some(Inbound::Frame(frame))) if buf.is_empty() => frame,
        other => panic!("not one frame: {other:?}"),
    }
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut buf = BytesMut::new();
    encode(&mut buf);
    buf.to_vec()
}

/// A reply's frame, appended to what stands there already; its encoder knows its length and error.
fn replied(err: ErrorCode, encode: impl FnOnce(&mut BytesMut) -> Encoded) -> Vec<u8> {
    let mut buf = BytesMut::from("another frame");
    let before = buf.len();
    let known = encode(&mut buf);
    let frame = buf.split_off(before).to_vec();
    let bytes = frame.len();
    assert_eq!(known, Encoded { bytes, err });
    frame
}

/// What is expected of our encoder for the same message.
#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    /// The same bytes.
    Same,
    /// Other bytes: a null that we read as empty and write as empty.
    NullBecomesEmpty,
}
use Encoding::{NullBecomesEmpty, Same};

fn world() -> Vec<Acl> {
    vec![Acl::world(Perms::ALL)]
}

fn digest_ip_auth() -> Vec<Acl> {
    vec![
        Acl::new(Perms::ALL, "digest", "alice:x1nq8J5GOJVPY6zgzhtTtA9izLc="),
        Acl::new(Perms::READ, "ip", "127.0.0.1/8"),
        Acl::new(Perms::ALL, "auth", ""),
    ]
}

fn create(path: &'static str, data: Option<&'static [u8]>, acl: Vec<Acl>, flags: i32) -> Create {
    Create {
        path: path.into(),
        data: data.map(Bytes::from_static),
        acl,
        flags,
    }
}

fn read(path: &'static str, watch: bool) -> PathWatch {
    PathWatch {
        path: path.into(),
        watch,
    }
}

fn versioned(path: &'static str, version: i32) -> PathVersion {
    PathVersion {
        path: path.into(),
        version,
    }
}

fn set_data(data: Option<&'static [u8]>, version: i32) -> SetData {
    SetData {
        path: "/a".into(),
        data: data.map(Bytes::from_static),
        version,
    }
}

fn set_watches(relative_zxid: i64, data: &[&'static str], exist: &[&'static str]) -> Request {
    let paths = |paths: &[&'static str]| paths.iter().map(|path| (*path).into()).collect();
    Request::SetWatches(SetWatches {
        relative_zxid,
        data: paths(data),
        exist: paths(exist),
        child: vec![],
        ..SetWatches::default()
    })
}

fn auth(scheme: &'static str, auth: &'static [u8]) -> Request {
    Request::Auth(Auth {
        auth_type: 0,
        scheme: scheme.into(),
        auth: Bytes::from_static(auth),
    })
}

fn kazoo_requests() -> Vec<(&'static str, i32, Request, Encoding)> {
    let wide = create("/ü/日本/🦀", Some("Größe".as_bytes()), world(), 0);
    let set_acl = SetAcl {
        path: "/a".into(),
        acl: digest_ip_auth(),
        version: 2,
    };
    let multi = Multi {
        ops: vec![
            MultiOp::Check(versioned("/a", 5)),
            MultiOp::Create(create("/b", Some(b"1"), world(), 0)),
            MultiOp::Create2(create("/c", None, digest_ip_auth(), 2)),
            MultiOp::SetData(set_data(Some(b"2"), 5)),
            MultiOp::Delete(versioned("/d", -1)),
        ],
    };
    let reconfig = Reconfig {
        joining: Some("server.1=a:1:2".into()),
        // kazoo sends null for what is empty.
        leaving: None,
        new_members: None,
        config_id: 5,
    };
    vec![
        (
            "create_persistent",
            1,
            Request::Create(create("/a", Some(b"data"), world(), 0)),
            Same,
        ),
        (
            "create_ephemeral_sequential",
            2,
            Request::Create(create("/a/n-", Some(b""), world(), 3)),
            Same,
        ),
        (
            "create_null_data",
            3,
            Request::Create(create("/a", None, world(), 0)),
            Same,
        ),
        (
            "create_acls",
            4,
            Request::Create(create("/a", Some(b"x"), digest_ip_auth(), 1)),
            NullBecomesEmpty,
        ),
        (
            "create_no_acl",
            5,
            Request::Create(create("/a", Some(b"x"), vec![], 2)),
            Same,
        ),
        ("create_unicode", 6, Request::Create(wide), Same),
        (
            "create2",
            7,
            Request::Create2(create("/a", Some(b"data"), world(), 0)),
            Same,
        ),
        ("delete", 8, Request::Delete(versioned("/a", -1)), Same),
        (
            "delete_version",
            9,
            Request::Delete(versioned("/a", 7)),
            Same,
        ),
        ("exists", 10, Request::Exists(read("/a", false)), Same),
        ("exists_watch", 11, Request::Exists(read("/a", true)), Same),
        ("get_data", 12, Request::GetData(read("/a", false)), Same),
        (
            "get_data_watch",
            13,
            Request::GetData(read("/a", true)),
            Same,
        ),
        (
            "set_data",
            14,
            Request::SetData(set_data(Some(b"\x00\xff"), 3)),
            Same,
        ),
        (
            "set_data_null",
            15,
            Request::SetData(set_data(None, -1)),
            Same,
        ),
        ("get_acl", 16, Request::GetAcl("/a".into()), Same),
        ("set_acl", 17, Request::SetAcl(set_acl), NullBecomesEmpty),
        (
            "get_children",
            18,
            Request::GetChildren(read("/", false)),
            Same,
        ),
        (
            "get_children_watch",
            19,
            Request::GetChildren(read("/", true)),
            Same,
        ),
        (
            "get_children2",
            20,
            Request::GetChildren2(read("/", false)),
            Same,
        ),
        (
            "get_children2_watch",
            21,
            Request::GetChildren2(read("/", true)),
            Same,
        ),
        ("sync", 22, Request::Sync("/a".into()), Same),
        ("ping", xid::PING, Request::Ping, Same),
        ("multi", 23, Request::Multi(multi), NullBecomesEmpty),
        (
            "multi_empty",
            24,
            Request::Multi(Multi { ops: vec![] }),
            Same,
        ),
        ("auth", xid::AUTH, auth("digest", b"alice:secret"), Same),
        (
            "auth_empty",
            xid::AUTH,
            auth("world", b""),
            NullBecomesEmpty,
        ),
        ("close", 25, Request::CloseSession, Same),
        (
            "sasl",
            26,
            Request::Sasl(Bytes::from_static(b"token")),
            Same,
        ),
        ("reconfig", 27, Request::Reconfig(reconfig), Same),
    ]
}

fn zookeeper_requests() -> Vec<(&'static str, i32, Request, Encoding)> {
    let multi = Multi {
        ops: vec![
            MultiOp::Check(versioned("/a", 5)),
            MultiOp::SetData(set_data(Some(b"2"), 5)),
            MultiOp::Delete(versioned("/d", -1)),
        ],
    };
    let remove = RemoveWatches {
        path: "/a".into(),
        kind: WatcherType::Data.as_i32(),
    };
    let null_acl = create("/a", Some(b""), vec![], 0);
    vec![
        (
            "request_set_watches",
            xid::SET_WATCHES,
            set_watches(0x1_0000_0005, &["/a", "/b"], &["/c"]),
            Same,
        ),
        (
            "request_set_watches_null",
            xid::SET_WATCHES,
            set_watches(7, &[], &[]),
            NullBecomesEmpty,
        ),
        (
            "request_remove_watches",
            1,
            Request::RemoveWatches(remove),
            Same,
        ),
        (
            "request_create_null_acl",
            2,
            Request::Create(null_acl),
            NullBecomesEmpty,
        ),
        (
            "request_empty_path",
            3,
            Request::GetData(read("", true)),
            Same,
        ),
        (
            "request_auth",
            xid::AUTH,
            auth("digest", b"alice:secret"),
            Same,
        ),
        ("request_close", 5, Request::CloseSession, Same),
        ("request_multi", 6, Request::Multi(multi), Same),
    ]
}

fn compare_requests(file: &str, requests: Vec<(&'static str, i32, Request, Encoding)>) {
    for (name, xid, request, encoding) in requests {
        let expected = lookup(file, name);
        let (header, decoded) = Request::decode(body(&expected)).expect(name);
        assert_eq!(
            (header.xid, header.op),
            (xid, request.op_code().as_i32()),
            "{name}"
        );
        assert_eq!(decoded.as_ref(), Ok(&request), "{name}");
        let ours = encoded(|buf| request.encode(buf, xid));
        match encoding {
            Same => assert_eq!(hex::encode(&ours), hex::encode(&expected), "{name}"),
            NullBecomesEmpty => {
                assert_ne!(hex::encode(&ours), hex::encode(&expected), "{name}");
                assert_eq!(
                    Request::decode(body(&ours)),
                    Ok((header, decoded)),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn requests_match_kazoos_bytes() {
    compare_requests(KAZOO, kazoo_requests());
}

#[test]
fn requests_match_zookeepers_own_bytes() {
    compare_requests(ZOOKEEPER, zookeeper_requests());
}

fn connect_requests() -> Vec<(&'static str, &'static str, ConnectRequest)> {
    let connect =
        |last_zxid_seen, timeout_ms, session_id, password: [u8; 16], read_only| ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            timeout_ms,
            session_id,
            password: Bytes::copy_from_slice(&password),
            read_only: Some(read_only),
        };
    let counting = std::array::from_fn(|i| i as u8);
    vec![
        (KAZOO, "connect_new", connect(0, 10000, 0, [0; 16], false)),
        (
            KAZOO,
            "connect_again_read_only",
            connect(0x1_0000_0002, 40000, 0x1020_3040_5060_7080, counting, true),
        ),
        (
            ZOOKEEPER,
            "request_connect",
            connect(5, 10000, 0, [0; 16], true),
        ),
    ]
}

fn connect_responses() -> Vec<(&'static str, ConnectResponse)> {
    let granted = |read_only| ConnectResponse {
        protocol_version: 0,
        timeout_ms: 10000,
        session_id: 0x1020_3040_5060_7080,
        password: std::array::from_fn(|i| i as u8),
        read_only: Some(read_only),
    };
    vec![
        ("connect_response", granted(false)),
        ("connect_response_read_only", granted(true)),
        (
            "connect_response_refused",
            ConnectResponse::refused(Some(false)),
        ),
    ]
}

#[test]
fn handshakes_match_the_golden_bytes() {
    for (file, name, request) in connect_requests() {
        let expected = lookup(file, name);
        assert_eq!(
            ConnectRequest::decode(body(&expected)).as_ref(),
            Ok(&request),
            "{name}"
        );
        assert_eq!(
            hex::encode(encoded(|buf| request.encode(buf))),
            hex::encode(&expected),
            "{name}"
        );
    }
    for (name, response) in connect_responses() {
        let expected = lookup(ZOOKEEPER, name);
        assert_eq!(
            ConnectResponse::decode(body(&expected)).as_ref(),
            Ok(&response),
            "{name}"
        );
        assert_eq!(
            hex::encode(encoded(|buf| response.encode(buf))),
            hex::encode(&expected),
            "{name}"
        );
    }
}

/// A client from before 3.4 sends no such byte, and one more byte in the answer would break it.
#[test]
fn read_only_is_answered_only_to_those_who_sent_it() {
    // ZooKeeper omits the last byte, and counts one less.
    let old = |mut frame: Vec<u8>| {
        frame.pop();
        frame[3] -= 1;
        frame
    };
    for (file, name, mut request) in connect_requests() {
        let expected = old(lookup(file, name));
        request.read_only = None;
        assert_eq!(
            ConnectRequest::decode(body(&expected)).as_ref(),
            Ok(&request),
            "{name}"
        );
        assert_eq!(
            hex::encode(encoded(|buf| request.encode(buf))),
            hex::encode(&expected),
            "{name}"
        );
    }
    for (name, mut response) in connect_responses() {
        let expected = old(lookup(ZOOKEEPER, name));
        response.read_only = None;
        assert_eq!(
            ConnectResponse::decode(body(&expected)).as_ref(),
            Ok(&response),
            "{name}"
        );
        assert_eq!(
            hex::encode(encoded(|buf| response.encode(buf))),
            hex::encode(&expected),
            "{name}"
        );
    }
}

const STAT: Stat = Stat {
    czxid: 0x1_0000_0001,
    mzxid: 0x1_0000_0002,
    ctime: 1_700_000_000_001,
    mtime: 1_700_000_000_002,
    version: 3,
    cversion: 4,
    aversion: 5,
    ephemeral_owner: 0x1020_3040_5060_7080,
    data_length: 6,
    num_children: 7,
    pzxid: 0x1_0000_0003,
};

fn replies() -> Vec<(&'static str, i32, OpCode, Reply)> {
    let container = Stat {
        czxid: 1,
        mzxid: 2,
        ctime: 3,
        mtime: 4,
        version: 0,
        cversion: -1,
        aversion: 0,
        ephemeral_owner: i64::MIN,
        data_length: 0,
        num_children: 0,
        pzxid: 5,
    };
    let acl = vec![digest_ip_auth().swap_remove(0), Acl::world(Perms::READ)];
    let names = || vec!["a".into(), "b-0000000001".into(), "ü".into()];
    let multi = vec![
        MultiResult::Check,
        MultiResult::Create("/b".into()),
        MultiResult::Create2("/c0000000001".into(), STAT),
        MultiResult::SetData(STAT),
        MultiResult::Delete,
    ];
    vec![
        ("create", 1, OpCode::Create, Reply::Path("/a".into())),
        (
            "create2",
            2,
            OpCode::Create2,
            Reply::PathAndStat("/ü/日本".into(), STAT),
        ),
        ("exists", 3, OpCode::Exists, Reply::Stat(STAT)),
        (
            "exists_container_like",
            4,
            OpCode::Exists,
            Reply::Stat(container),
        ),
        (
            "get_data",
            5,
            OpCode::GetData,
            Reply::Data(Some(Bytes::from_static(&[0, 1, 0xff])), STAT),
        ),
        (
            "get_data_empty",
            6,
            OpCode::GetData,
            Reply::Data(Some(Bytes::new()), STAT),
        ),
        ("get_data_null", 7, OpCode::GetData, Reply::Data(None, STAT)),
        ("set_data", 8, OpCode::SetData, Reply::Stat(STAT)),
        ("get_acl", 9, OpCode::GetAcl, Reply::Acl(acl, STAT)),
        ("set_acl", 10, OpCode::SetAcl, Reply::Stat(STAT)),
        (
            "get_children",
            11,
            OpCode::GetChildren,
            Reply::Children(names()),
        ),
        (
            "get_children_none",
            12,
            OpCode::GetChildren,
            Reply::Children(vec![]),
        ),
        (
            "get_children2",
            13,
            OpCode::GetChildren2,
            Reply::Children2(names(), STAT),
        ),
        ("sync", 14, OpCode::Sync, Reply::Path("/a".into())),
        ("delete", 15, OpCode::Delete, Reply::Empty),
        ("ping", xid::PING, OpCode::Ping, Reply::Empty),
        (
            "set_watches",
            xid::SET_WATCHES,
            OpCode::SetWatches,
            Reply::Empty,
        ),
        ("multi", 18, OpCode::Multi, Reply::Multi(multi)),
        (
            "multi_failed",
            19,
            OpCode::Multi,
            Reply::Multi(MultiResult::failed(3, 1, ErrorCode::NodeExists)),
        ),
        ("multi_empty", 20, OpCode::Multi, Reply::Multi(vec![])),
    ]
}

const BARE: &[(&str, ReplyHeader)] = &[
    (
        "auth",
        ReplyHeader {
            xid: xid::AUTH,
            zxid: 0,
            err: ErrorCode::Ok,
        },
    ),
    (
        "auth_failed",
        ReplyHeader {
            xid: xid::AUTH,
            zxid: 0,
            err: ErrorCode::AuthFailed,
        },
    ),
    (
        "no_node",
        ReplyHeader {
            xid: 16,
            zxid: 0x1_0000_0005,
            err: ErrorCode::NoNode,
        },
    ),
    (
        "unimplemented",
        ReplyHeader {
            xid: 17,
            zxid: 0x1_0000_0005,
            err: ErrorCode::Unimplemented,
        },
    ),
];

#[test]
fn replies_match_zookeepers_own_bytes() {
    let zxid = 0x1_0000_0005;
    for (name, xid, op, reply) in replies() {
        let expected = lookup(ZOOKEEPER, name);
        let mut reader = Reader::new(body(&expected));
        assert_eq!(
            ReplyHeader::decode(&mut reader),
            Ok(ReplyHeader {
                xid,
                zxid,
                err: ErrorCode::Ok
            }),
            "{name}"
        );
        assert_eq!(
            Reply::decode(op, &mut reader).as_ref(),
            Ok(&reply),
            "{name}"
        );
        assert_eq!(reader.remaining(), 0, "{name}");
        assert_eq!(
            hex::encode(replied(ErrorCode::Ok, |buf| reply.encode(buf, xid, zxid))),
            hex::encode(&expected),
            "{name}"
        );
    }
    for (name, header) in BARE {
        let expected = lookup(ZOOKEEPER, name);
        assert_eq!(
            ReplyHeader::decode(&mut Reader::new(body(&expected))).as_ref(),
            Ok(header),
            "{name}"
        );
        let ours = replied(header.err, |buf| {
            reply::encode_error(buf, header.xid, header.zxid, header.err)
        });
        assert_eq!(hex::encode(&ours), hex::encode(&expected), "{name}");
    }
}

#[test]
fn events_match_zookeepers_own_bytes() {
    for event_type in EventType::ALL {
        let name = format!("event_{}", event_type.name());
        let expected = lookup(ZOOKEEPER, &name);
        let zxid = 0x1_0000_0006;
        let event = WatcherEvent {
            event_type: *event_type,
            state: KeeperState::SyncConnected,
            path: "/a/b".into(),
        };
        let mut reader = Reader::new(body(&expected));
        let header = ReplyHeader {
            xid: xid::NOTIFICATION,
            zxid,
            err: ErrorCode::Ok,
        };
        assert_eq!(ReplyHeader::decode(&mut reader), Ok(header), "{name}");
        assert_eq!(
            WatcherEvent::decode(&mut reader).as_ref(),
            Ok(&event),
            "{name}"
        );
        let mut bytes = 0;
        let ours = encoded(|buf| {
            bytes = event::encode(buf, zxid, *event_type, KeeperState::SyncConnected, "/a/b");
        });
        assert_eq!(bytes, expected.len(), "{name}");
        assert_eq!(hex::encode(&ours), hex::encode(&expected), "{name}");
        assert_eq!(
            hex::encode(event.to_frame(zxid)),
            hex::encode(&expected),
            "{name}"
        );
    }
}

/// `NODEEXISTS`, `NodeExists` and `nodeExists` are one name.
fn same_name(theirs: &str, ours: &str) -> bool {
    theirs.eq_ignore_ascii_case(ours)
}

fn compare_numbers(prefix: &str, ours: &[(&str, i32)]) {
    let theirs: Vec<_> = golden(ZOOKEEPER)
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    assert_eq!(theirs.len(), ours.len(), "{prefix}");
    for (name, number) in theirs {
        let name = &name[prefix.len()..];
        let number = i32::from_be_bytes(number.try_into().expect("four bytes"));
        let found = ours.iter().find(|(_, ours)| *ours == number);
        assert!(
            found.is_some_and(|(ours, _)| same_name(name, ours)),
            "{prefix}{name} is {number}, ours {found:?}"
        );
    }
}

#[test]
fn numbers_and_names_are_zookeepers() {
    let codes: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| (code.name(), code.code()))
        .collect();
    compare_numbers("code_", &codes);
    let states: Vec<_> = KeeperState::ALL
        .iter()
        .map(|state| (state.name(), state.as_i32()))
        .collect();
    compare_numbers("state_", &states);
    let kinds: Vec<_> = WatcherType::ALL
        .iter()
        .map(|kind| (kind.name(), kind.as_i32()))
        .collect();
    compare_numbers("watcher_type_", &kinds);
    let ops: Vec<_> = OpCode::ALL
        .iter()
        .map(|op| (op.name(), op.as_i32()))
        .collect();
    compare_numbers("op_", &ops);
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(code.code()), Some(*code));
        assert_eq!(code.to_string(), code.message());
    }
    assert_eq!(ErrorCode::from_code(-9), None);
}

/// A check outside a multi keeps its xid, so that the refusal can carry it.
#[test]
fn unknown_operations_and_check_alone_are_unimplemented() {
    let (header, refused) = Request::decode(body(&lookup(KAZOO, "check_alone"))).expect("a header");
    assert_eq!((header.xid, header.op), (28, 13));
    assert_eq!(refused, Err(DecodeError::Unimplemented { op: 13 }));
    for op in [0, -1, -10, 10, 99, 1000, i32::MIN] {
        let refused = Request::decode_body(op, &mut Reader::new(Bytes::from_static(&[0; 64])));
        assert_eq!(refused, Err(DecodeError::Unimplemented { op }));
        assert_eq!(
            DecodeError::Unimplemented { op }.error_code(),
            ErrorCode::Unimplemented
        );
    }
}

/// ZooKeeper fails on a null path with MarshallingError, wherever one stands.
#[test]
fn a_null_path_in_zookeepers_bytes_is_refused() {
    let frame = body(&lookup(ZOOKEEPER, "request_null_path"));
    let (header, refused) = Request::decode(frame).expect("a header");
    assert_eq!((header.xid, header.op), (4, OpCode::GetData.as_i32()));
    let refused = refused.expect_err("no path");
    assert_eq!(refused.error_code(), ErrorCode::MarshallingError);
}

#[test]
fn every_golden_line_is_compared() {
    let mut compared = vec!["check_alone".to_owned()];
    compared.extend(kazoo_requests().iter().map(|case| case.0.to_owned()));
    compared.extend(
        connect_requests()
            .iter()
            .filter(|case| case.0 == KAZOO)
            .map(|case| case.1.to_owned()),
    );
    let mut lines: Vec<String> = golden(KAZOO).into_iter().map(|(name, _)| name).collect();
    compared.sort();
    lines.sort();
    assert_eq!(compared, lines);

    let mut compared = vec!["request_null_path".to_owned()];
    compared.extend(zookeeper_requests().iter().map(|case| case.0.to_owned()));
    compared.extend(
        connect_requests()
            .iter()
            .filter(|case| case.0 == ZOOKEEPER)
            .map(|case| case.1.to_owned()),
    );
    compared.extend(connect_responses().iter().map(|case| case.0.to_owned()));
    compared.extend(replies().iter().map(|case| case.0.to_owned()));
    compared.extend(BARE.iter().map(|case| case.0.to_owned()));
    compared.extend(
        EventType::ALL
            .iter()
            .map(|event| format!("event_{}", event.name())),
    );
    let tables = ["code_", "state_", "watcher_type_", "op_"];
    let lines = golden(ZOOKEEPER).into_iter().map(|(name, _)| name);
    let mut lines: Vec<String> = lines
        .filter(|name| !tables.iter().any(|table| name.starts_with(table)))
        .collect();
    compared.sort();
    lines.sort();
    assert_eq!(compared, lines);
}
