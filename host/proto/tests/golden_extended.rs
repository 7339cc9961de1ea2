//! Byte for byte, as `golden.rs`: the operations that came with ZooKeeper 3.5 and later.

mod common;

use bytes::{Bytes, BytesMut};
use common::{EXTENDED, golden};
use innkeeper_proto::codec::Reader;
use innkeeper_proto::reply::{MultiResult, Reply, ReplyHeader};
use innkeeper_proto::request::{
    AddWatch, Create, CreateTtl, Multi, MultiOp, MultiRead, ReadOp, Reconfig, RemoveWatches,
    Request, SetWatches,
};
use innkeeper_proto::{
    Acl, AddWatchMode, ByteString, ClientInfo, CreateMode, ErrorCode, OpCode, Perms, Stat,
    WatcherType, xid,
};

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

fn paths(paths: &[&'static str]) -> Vec<ByteString> {
    paths.iter().map(|path| (*path).into()).collect()
}

fn container(path: &'static str, data: &'static [u8]) -> Create {
    Create {
        path: path.into(),
        data: Some(Bytes::from_static(data)),
        acl: vec![Acl::world(Perms::ALL)],
        flags: CreateMode::Container.as_i32(),
    }
}

fn ttl(
    path: &'static str,
    data: Option<&'static [u8]>,
    mode: CreateMode,
    ttl_ms: i64,
) -> CreateTtl {
    CreateTtl {
        path: path.into(),
        data: data.map(Bytes::from_static),
        acl: vec![Acl::world(Perms::ALL)],
        flags: mode.as_i32(),
        ttl_ms,
    }
}

fn requests() -> Vec<(&'static str, i32, Request)> {
    let extended = vec![
        MultiOp::CreateContainer(container("/c", b"1")),
        MultiOp::CreateTtl(ttl("/t", Some(b"2"), CreateMode::PersistentTtl, 5000)),
    ];
    let sequential = ttl(
        "/a",
        None,
        CreateMode::PersistentSequentialTtl,
        0x11_2233_4455,
    );
    vec![
        (
            "create_container",
            1,
            Request::CreateContainer(container("/a", b"x")),
        ),
        ("create_ttl", 2, Request::CreateTtl(sequential)),
        ("delete_container", 3, Request::DeleteContainer("/a".into())),
        (
            "check_watches",
            4,
            Request::CheckWatches(RemoveWatches {
                path: "/a".into(),
                kind: WatcherType::Any.as_i32(),
            }),
        ),
        (
            "set_watches2",
            xid::SET_WATCHES,
            Request::SetWatches2(SetWatches {
                relative_zxid: 0x1_0000_0005,
                data: paths(&["/a", "/b"]),
                exist: paths(&["/c"]),
                child: vec![],
                persistent: paths(&["/d"]),
                persistent_recursive: paths(&["/e", "/f"]),
            }),
        ),
        (
            "add_watch",
            5,
            Request::AddWatch(AddWatch {
                path: "/a".into(),
                mode: AddWatchMode::PersistentRecursive.as_i32(),
            }),
        ),
        ("sasl", 6, Request::Sasl(Bytes::from_static(&[1, 2, 3]))),
        ("get_ephemerals", 7, Request::GetEphemerals("/a".into())),
        (
            "get_all_children_number",
            8,
            Request::GetAllChildrenNumber("/a".into()),
        ),
        ("who_am_i", 9, Request::WhoAmI),
        (
            "reconfig",
            10,
            Request::Reconfig(Reconfig {
                joining: Some("server.1=a:1:2;3".into()),
                leaving: None,
                new_members: Some("".into()),
                config_id: -1,
            }),
        ),
        (
            "multi_read",
            11,
            Request::MultiRead(MultiRead {
                ops: vec![
                    ReadOp::GetData("/a".into()),
                    ReadOp::GetChildren("/b".into()),
                ],
            }),
        ),
        (
            "multi_extended",
            12,
            Request::Multi(Multi { ops: extended }),
        ),
    ]
}

fn replies() -> Vec<(&'static str, i32, OpCode, Reply)> {
    let identities = [("ip", "127.0.0.1"), ("digest", "alice")];
    let reads = vec![
        MultiResult::GetData(Some(Bytes::from_static(&[0, 1])), STAT),
        MultiResult::GetData(None, STAT),
        MultiResult::GetChildren(paths(&["x", "y"])),
        MultiResult::Error(ErrorCode::NoNode),
    ];
    vec![
        (
            "create_ttl",
            1,
            OpCode::CreateTtl,
            Reply::PathAndStat("/a0000000001".into(), STAT),
        ),
        (
            "sasl",
            2,
            OpCode::Sasl,
            Reply::Token(Some(Bytes::from_static(&[4, 5]))),
        ),
        ("sasl_null", 3, OpCode::Sasl, Reply::Token(None)),
        ("add_watch", 4, OpCode::AddWatch, Reply::Number(0)),
        (
            "get_ephemerals",
            5,
            OpCode::GetEphemerals,
            Reply::Children(paths(&["/a", "/b"])),
        ),
        (
            "get_all_children_number",
            6,
            OpCode::GetAllChildrenNumber,
            Reply::Number(7),
        ),
        (
            "who_am_i",
            7,
            OpCode::WhoAmI,
            Reply::Identities(
                identities
                    .map(|(scheme, user)| ClientInfo {
                        scheme: scheme.into(),
                        user: user.into(),
                    })
                    .to_vec(),
            ),
        ),
        (
            "reconfig",
            8,
            OpCode::Reconfig,
            Reply::Data(Some(Bytes::from_static(b"v")), STAT),
        ),
        ("multi_read", 9, OpCode::MultiRead, Reply::Multi(reads)),
    ]
}

fn lookup(name: &str) -> Bytes {
    let found = golden(EXTENDED).into_iter().find(|(line, _)| line == name);
    Bytes::from(
        found
            .unwrap_or_else(|| panic!("there is no golden line {name}"))
            .1,
    )
}

#[test]
fn extended_requests_match_zookeepers_own_bytes() {
    for (name, xid, request) in requests() {
        let expected = lookup(&format!("request_{name}"));
        let (header, decoded) = Request::decode(expected.slice(4..)).expect(name);
        assert_eq!(
            (header.xid, header.op),
            (xid, request.op_code().as_i32()),
            "{name}"
        );
        assert_eq!(decoded.as_ref(), Ok(&request), "{name}");
        let mut ours = BytesMut::new();
        request.encode(&mut ours, xid);
        assert_eq!(ours, expected, "{name}");
    }
}

#[test]
fn extended_replies_match_zookeepers_own_bytes() {
    let zxid = 0x1_0000_0005;
    for (name, xid, op, reply) in replies() {
        let expected = lookup(name);
        let mut reader = Reader::new(expected.slice(4..));
        let header = ReplyHeader {
            xid,
            zxid,
            err: ErrorCode::Ok,
        };
        assert_eq!(ReplyHeader::decode(&mut reader), Ok(header), "{name}");
        assert_eq!(
            Reply::decode(op, &mut reader).as_ref(),
            Ok(&reply),
            "{name}"
        );
        assert_eq!(reader.remaining(), 0, "{name}");
        let mut ours = BytesMut::new();
        let known = reply.encode(&mut ours, xid, zxid);
        assert_eq!(known.bytes, expected.len(), "{name}");
        assert_eq!(ours, expected, "{name}");
    }
}

/// ZooKeeper's reads inside a multi carry a flag for a watch, which its server drops.
#[test]
fn a_multi_read_sets_no_watches() {
    let mut frame = lookup("request_multi_read").to_vec();
    let plain = Request::decode(Bytes::from(frame.clone()).slice(4..));
    // Length, xid and opcode; the header of the first read; the length of its path, and the path.
    let flag = 12 + 9 + 4 + 2;
    assert_eq!(frame[flag], 0);
    frame[flag] = 1;
    assert_eq!(Request::decode(Bytes::from(frame).slice(4..)), plain);
}

#[test]
fn every_extended_golden_line_is_compared() {
    let mut compared: Vec<String> = requests()
        .iter()
        .map(|case| format!("request_{}", case.0))
        .chain(replies().iter().map(|case| case.0.to_owned()))
        .collect();
    let mut lines: Vec<String> = golden(EXTENDED).into_iter().map(|(name, _)| name).collect();
    compared.sort();
    lines.sort();
    assert_eq!(compared, lines);
}
