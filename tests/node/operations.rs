//! The answer to every operation, compared byte for byte where clients read it. These tests run
//! against a real ZooKeeper, too (`common`).

mod common;

use common::*;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::reply::{MultiResult, Reply};
use innkeeper_proto::request::{CreateTtl, Multi, MultiOp, MultiRead, ReadOp, Reconfig, Request};
use innkeeper_proto::{Acl, ByteString, ErrorCode, EventType, OpCode, Perms, Stat};

const NULL: [u8; 4] = [0xff; 4];

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// ZooKeeper answers with MarshallingError, and the connection stays; but it ends after credentials
/// that cannot be read.
#[test]
fn a_body_that_cannot_be_read_is_answered_and_the_connection_stays() {
    let server = Running::start();
    let mut client = server.client();
    let negative = [0xff, 0xff, 0xff, 0xf0, 0];
    let long_list = [&[0; 8][..], &[0x7f, 0, 0, 0]].concat();
    let mut multi_of_77 = 77i32.to_be_bytes().to_vec();
    multi_of_77.extend([0, 0xff, 0xff, 0xff, 0xff]);
    let mut multi_in_multi = 14i32.to_be_bytes().to_vec();
    multi_in_multi.extend([0, 0xff, 0xff, 0xff, 0xff]);
    for (op, body) in [
        (OpCode::GetData, &b""[..]),
        (OpCode::GetData, &string("/")),
        (OpCode::GetData, &negative),
        (OpCode::Create, &string("/x")),
        (
            OpCode::Create,
            &[&string("/x")[..], &[0, 0, 0, 5, 1]].concat(),
        ),
        (OpCode::CreateTtl, &string("/x")),
        (OpCode::SetData, &string("/x")),
        (OpCode::Delete, &string("/x")),
        (OpCode::Sync, &[0, 0]),
        (OpCode::SetWatches, &long_list),
        (OpCode::SetWatches2, &[0; 20]),
        (OpCode::AddWatch, &string("/x")),
        (OpCode::CheckWatches, &string("/x")),
        (OpCode::GetEphemerals, b""),
        (OpCode::Reconfig, &NULL),
        (OpCode::Multi, &multi_of_77),
        (OpCode::Multi, &multi_in_multi),
        (OpCode::Multi, &multi_of_77[..7]),
        (OpCode::MultiRead, &multi_of_77),
    ] {
        let answer = client.ask_raw(op.as_i32(), body);
        assert_eq!(answer.err, ErrorCode::MarshallingError, "{op:?} {body:?}");
        assert!(answer.body.is_empty(), "{op:?} {body:?}");
    }
    assert_eq!(client.ask(get("/x", false)).err, ErrorCode::NoNode);
    for op in [OpCode::Auth, OpCode::Sasl] {
        let mut client = server.client();
        client.send_raw(op.as_i32(), &[0, 0]);
        assert!(client.is_closed());
    }
}

#[test]
fn a_null_path_cannot_be_read() {
    let server = Running::start();
    let mut client = server.client();
    for op in [
        OpCode::GetData,
        OpCode::Exists,
        OpCode::GetAcl,
        OpCode::GetChildren,
        OpCode::GetAllChildrenNumber,
        OpCode::Create,
        OpCode::Delete,
    ] {
        let body = [&NULL[..], &[0; 24]].concat();
        let answer = client.ask_raw(op.as_i32(), &body);
        assert_eq!(answer.err, ErrorCode::MarshallingError, "{op:?}");
    }
    let body = [&NULL[..], &[0; 8]].concat();
    let answer = client.ask_raw(OpCode::SetData.as_i32(), &body);
    assert_eq!(answer.err, ErrorCode::BadArguments);
    // Where the field is not a path, null means an empty value.
    assert_eq!(
        client.ask_raw(OpCode::GetEphemerals.as_i32(), &NULL).err,
        ErrorCode::Ok
    );
}

/// Reads look a path up as it was sent. The root has a second name, and exists refuses one
/// character.
#[test]
fn reads_judge_paths_as_zookeeper_does() {
    let server = Running::start();
    let mut client = server.client();
    client.must(create("/a", b"x"));
    let root = client.must(exists("/", false)).body;
    assert_eq!(client.must(exists("", false)).body, root);
    assert_eq!(
        client.must(children("", false)).reply(OpCode::GetChildren),
        client.must(children("/", false)).reply(OpCode::GetChildren)
    );
    client.must(get("", false));
    client.must(Request::GetAcl("".into()));
    for path in ["a", "/a/", "//a", "/a/../a", "/b\0"] {
        assert_eq!(client.ask(get(path, true)).err, ErrorCode::NoNode, "{path}");
    }
    assert_eq!(client.ask(exists("/a/", false)).err, ErrorCode::NoNode);
    assert_eq!(
        client.ask(exists("/b\0", true)).err,
        ErrorCode::BadArguments
    );
}

#[test]
fn an_acl_is_masked_for_clients_that_may_not_change_it() {
    let server = Running::start();
    let (mut owner, mut reader) = (server.client(), server.client());
    owner.log_in(b"ann:pw");
    owner.must(create("/a", b""));
    owner.must(set_acl(
        "/a",
        vec![
            Acl::world(Perms::READ),
            Acl::new(Perms::ALL, "auth", ""),
            Acl::new(Perms::WRITE, "digest", "bob:abc"),
            Acl::new(Perms::WRITE, "ip", "10.0.0.0/8"),
        ],
    ));
    let ids = |client: &mut Client| {
        let answer = client.must(Request::GetAcl("/a".into()));
        let Reply::Acl(acl, _) = answer.reply(OpCode::GetAcl) else {
            panic!("{answer:?}");
        };
        let ids: Vec<String> = acl.iter().map(|entry| entry.id.to_string()).collect();
        ids
    };
    let whole = ids(&mut owner);
    assert!(
        whole[1].starts_with("ann:") && whole[1] != "ann:x",
        "{whole:?}"
    );
    assert_eq!(whole[2], "bob:abc");
    assert_eq!(ids(&mut reader), ["anyone", "ann:x", "bob:x", "10.0.0.0/8"]);
    owner.must(set_acl("/a", vec![Acl::new(Perms::ALL, "auth", "")]));
    assert_eq!(
        reader.ask(Request::GetAcl("/a".into())).err,
        ErrorCode::NoAuth
    );
}

fn multi_read(ops: Vec<ReadOp>) -> Request {
    Request::MultiRead(MultiRead { ops })
}

#[test]
fn a_multi_read_answers_each_read_by_itself() {
    let server = Running::start();
    let mut client = server.client();
    client.log_in(b"ann:pw");
    client.must(create("/a", b"1"));
    client.must(create("/a/b", b"2"));
    client.must(create("/secret", b"3"));
    client.must(set_acl("/secret", vec![Acl::new(Perms::ALL, "auth", "")]));
    let mut stranger = server.client();
    let answer = stranger.must(multi_read(vec![
        ReadOp::GetData("/a".into()),
        ReadOp::GetChildren("/a".into()),
        ReadOp::GetData("/none".into()),
        ReadOp::GetChildren("/none".into()),
        ReadOp::GetData("/secret".into()),
        ReadOp::GetChildren("/secret".into()),
        ReadOp::GetData("/a/b".into()),
    ]));
    let Reply::Multi(results) = answer.reply(OpCode::MultiRead) else {
        panic!("{answer:?}");
    };
    assert!(matches!(&results[0], MultiResult::GetData(Some(data), stat)
        if &data[..] == b"1" && stat.num_children == 1));
    assert_eq!(results[1], MultiResult::GetChildren(vec!["b".into()]));
    for (at, error) in [
        (2, ErrorCode::NoNode),
        (3, ErrorCode::NoNode),
        (4, ErrorCode::NoAuth),
        (5, ErrorCode::NoAuth),
    ] {
        assert_eq!(results[at], MultiResult::Error(error));
    }
    assert!(matches!(&results[6], MultiResult::GetData(Some(data), _) if &data[..] == b"2"));
    assert_eq!(
        stranger
            .must(multi_read(Vec::new()))
            .reply(OpCode::MultiRead),
        Reply::Multi(Vec::new())
    );
    // It is answered after the session's own earlier writes, like every read.
    let xids = client.send(&[
        set("/a", b"new"),
        multi_read(vec![ReadOp::GetData("/a".into())]),
    ]);
    assert_eq!(client.answer().xid, xids[0]);
    let Reply::Multi(results) = client.answer().reply(OpCode::MultiRead) else {
        panic!("no results");
    };
    assert!(matches!(&results[0], MultiResult::GetData(Some(data), _) if &data[..] == b"new"));
}

#[test]
fn a_multi_read_sets_no_watches() {
    let server = Running::start();
    let (mut client, mut writer) = (server.client(), server.client());
    writer.must(create("/a", b"1"));
    // The same body, with the flag that sets a watch.
    let mut body = 4i32.to_be_bytes().to_vec();
    body.extend([0, 0xff, 0xff, 0xff, 0xff]);
    body.extend(string("/a"));
    body.push(1);
    body.extend((-1i32).to_be_bytes());
    body.extend([1, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(
        client.ask_raw(OpCode::MultiRead.as_i32(), &body).err,
        ErrorCode::Ok
    );
    writer.must(set("/a", b"2"));
    client.only_events(&[]);
}

#[test]
fn ephemerals_are_found_by_the_beginning_of_their_paths() {
    let server = Running::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.must(create("/a", b""));
    for path in ["/a/x", "/a/y", "/ab"] {
        client.must(create_as(path, b"", 1));
    }
    other.must(create_as("/a/other", b"", 1));
    let mut found = |prefix: &str| {
        let answer = client.must(Request::GetEphemerals(prefix.into()));
        let Reply::Children(paths) = answer.reply(OpCode::GetEphemerals) else {
            panic!("{answer:?}");
        };
        let mut paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        paths.sort();
        paths
    };
    for all in ["", "/", "  ", " / "] {
        assert_eq!(found(all), ["/a/x", "/a/y", "/ab"], "{all:?}");
    }
    assert_eq!(found("/a"), ["/a/x", "/a/y", "/ab"]);
    assert_eq!(found("/a/"), ["/a/x", "/a/y"]);
    assert_eq!(found("/a/x"), ["/a/x"]);
    assert!(found("a").is_empty());
}

#[test]
fn all_children_are_counted_for_clients_that_may_read_the_znode() {
    let server = Running::start();
    let mut client = server.client();
    client.log_in(b"ann:pw");
    for path in ["/a", "/a/b", "/a/b/c", "/a/d", "/ab"] {
        client.must(create(path, b""));
    }
    let mut count = |path: &str| {
        let answer = client.ask(Request::GetAllChildrenNumber(path.into()));
        (answer.err == ErrorCode::Ok).then(|| answer.reply(OpCode::GetAllChildrenNumber))
    };
    assert_eq!(count("/a"), Some(Reply::Number(3)));
    assert_eq!(count("/a/b/c"), Some(Reply::Number(0)));
    assert_eq!(count("/none"), None);
    // Below the root there are these five, /zookeeper, and the znodes below /zookeeper.
    assert_eq!(count("/"), Some(Reply::Number(8)));
    assert_eq!(count(""), Some(Reply::Number(9)));
    client.must(set_acl("/a", vec![Acl::new(Perms::ALL, "auth", "")]));
    assert_eq!(
        server
            .client()
            .ask(Request::GetAllChildrenNumber("/a".into()))
            .err,
        ErrorCode::NoAuth
    );
}

fn who_am_i(answer: &Answer) -> Vec<(String, String)> {
    let Reply::Identities(identities) = answer.reply(OpCode::WhoAmI) else {
        panic!("{answer:?}");
    };
    let mut known: Vec<_> = identities
        .iter()
        .map(|info| (info.scheme.to_string(), info.user.to_string()))
        .collect();
    known.sort();
    known
}

#[test]
fn who_am_i_tells_the_connections_identities_without_secrets() {
    let server = Running::start();
    let mut client = server.client();
    let address = ("ip".to_owned(), "127.0.0.1".to_owned());
    assert_eq!(
        who_am_i(&client.must(Request::WhoAmI)),
        std::slice::from_ref(&address)
    );
    client.log_in(b"ann:pw");
    client.log_in(b"bob:pw");
    assert_eq!(
        who_am_i(&client.must(Request::WhoAmI)),
        [
            ("digest".to_owned(), "ann".to_owned()),
            ("digest".to_owned(), "bob".to_owned()),
            address
        ]
    );
}

/// All requests are sent at once; the client has no identity of its own when the first read is
/// sent.
#[test]
fn a_read_is_judged_by_the_credentials_before_it() {
    let server = Running::start();
    let mut owner = server.client();
    owner.log_in(b"ann:pw");
    owner.must(create("/a", b"secret"));
    owner.must(set_acl("/a", vec![Acl::new(Perms::ALL, "auth", "")]));
    let auth = || {
        Request::Auth(innkeeper_proto::request::Auth {
            auth_type: 0,
            scheme: "digest".into(),
            auth: bytes::Bytes::from_static(b"ann:pw"),
        })
    };
    for _ in 0..50 {
        let mut client = server.client();
        let xids = client.send(&[
            get("/a", false),
            Request::WhoAmI,
            auth(),
            get("/a", false),
            Request::WhoAmI,
        ]);
        // ZooKeeper answers credentials before requests that came ahead of them.
        let mut answers: Vec<_> = xids.iter().map(|_| client.answer()).collect();
        answers.sort_by_key(|answer| answer.xid);
        let errors: Vec<_> = answers.iter().map(|answer| answer.err).collect();
        assert_eq!(errors[0], ErrorCode::NoAuth);
        assert_eq!(errors[1..], [ErrorCode::Ok; 4]);
        assert_eq!(who_am_i(&answers[1]).len(), 1);
        assert_eq!(answers[3].data(), b"secret");
        assert_eq!(who_am_i(&answers[4]).len(), 2);
    }
}

#[test]
fn reconfig_is_disabled_or_not_there() {
    let reconfig = || {
        Request::Reconfig(Reconfig {
            joining: Some("server.2=a:1:2;3".into()),
            leaving: None,
            new_members: None,
            config_id: -1,
        })
    };
    let server = Running::start();
    let mut client = server.client();
    assert_eq!(client.ask(reconfig()).err, ErrorCode::ReconfigDisabled);
    // This is the configuration of an ensemble, and there is no ensemble.
    let answer = client.must(get("/zookeeper/config", false));
    assert!(answer.data().is_empty());
    assert_eq!(
        client.ask(set("/zookeeper/config", b"mine")).err,
        ErrorCode::NoAuth
    );
    let enabled = Running::start_with(|settings| settings.server.reconfig_enabled = true);
    let mut client = enabled.client();
    assert_eq!(client.ask(reconfig()).err, ErrorCode::Unimplemented);
    client.must(exists("/", false));
}

fn ttl(path: &str, flags: i32, ttl_ms: i64) -> CreateTtl {
    CreateTtl {
        path: path.into(),
        data: Some(bytes::Bytes::new()),
        acl: open_acl(),
        flags,
        ttl_ms,
    }
}

fn created(answer: &Answer, op: OpCode) -> (String, Option<Stat>) {
    match answer.reply(op) {
        Reply::Path(path) => (path.to_string(), None),
        Reply::PathAndStat(path, stat) => (path.to_string(), Some(stat)),
        other => panic!("{other:?}"),
    }
}

/// Which request creates which kind of znode: the kind of the request decides when it stands alone,
/// its flags inside a multi. It also decides whether the answer has a Stat.
#[test]
fn create_modes_mean_what_they_mean_in_zookeeper() {
    let server = Running::start();
    let mut client = server.client();
    let made = created(&client.must(create("/plain", b"")), OpCode::Create);
    assert_eq!(made, ("/plain".to_owned(), None));
    let made = client.must(Request::Create2(creation("/two", b"", 0)));
    assert!(created(&made, OpCode::Create2).1.is_some());
    for flags in [0, 1, 4] {
        let path = format!("/container{flags}");
        let request = Request::CreateContainer(creation(&path, b"", flags));
        let (at, stat) = created(&client.must(request), OpCode::CreateContainer);
        assert_eq!((at, stat.unwrap().num_children), (path, 0));
    }
    let made = client.must(Request::Create2(creation("/four", b"", 4)));
    assert_eq!(
        created(&made, OpCode::Create2).1.unwrap().ephemeral_owner,
        0
    );
    for (request, error) in [
        (create_as("/x", b"", 7), ErrorCode::BadArguments),
        (create_as("/x", b"", -1), ErrorCode::BadArguments),
        (Request::CreateTtl(ttl("/x", 0, 5)), ErrorCode::BadArguments),
        (Request::CreateTtl(ttl("/x", 9, 5)), ErrorCode::BadArguments),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(client.ask(request).err, error, "{shown}");
    }
    let mut several = |ops: Vec<MultiOp>| {
        let answer = client.ask(Request::Multi(Multi { ops }));
        (answer.err == ErrorCode::Ok).then(|| match answer.reply(OpCode::Multi) {
            Reply::Multi(results) => results,
            other => panic!("{other:?}"),
        })
    };
    let results = several(vec![
        MultiOp::Create(creation("/m1", b"", 0)),
        MultiOp::Create2(creation("/m2", b"", 0)),
        MultiOp::Create(creation("/m3", b"", 4)),
        MultiOp::CreateContainer(creation("/m4", b"", 4)),
        MultiOp::CreateTtl(ttl("/m5", 0, 1000)),
        MultiOp::Delete(innkeeper_proto::request::PathVersion {
            path: "/m1".into(),
            version: -1,
        }),
    ])
    .unwrap();
    assert!(matches!(results[0], MultiResult::Create(_)));
    assert!(matches!(results[1], MultiResult::Create2(..)));
    assert!(matches!(results[2], MultiResult::Create2(..)));
    assert!(matches!(results[3], MultiResult::Create2(..)));
    assert!(matches!(results[4], MultiResult::Create(_)));
    assert_eq!(
        several(vec![MultiOp::CreateTtl(ttl("/n2", 9, 1000))]).unwrap(),
        [MultiResult::Error(ErrorCode::BadArguments)]
    );
    assert_eq!(
        several(vec![MultiOp::Create(creation("/n2", b"", 5))]),
        None
    );
    assert_eq!(
        several(vec![MultiOp::Create(creation("/n2", b"", 8))]),
        None
    );
}

/// A setting that a node lacks refuses an operation at its place in the multi: an operation that
/// fails before it is the one reported, and it is reported before operations behind it.
#[test]
fn times_to_live_are_refused_where_they_are_not_enabled() {
    let server = Running::start_with(|_| {});
    let mut client = server.client();
    client.must(create("/there", b""));
    for request in [
        create_as("/x", b"", 5),
        Request::CreateContainer(creation("/x", b"", 5)),
        Request::CreateTtl(ttl("/x", 5, 1000)),
        Request::CreateTtl(ttl("/x", 6, 0)),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(client.ask(request).err, ErrorCode::Unimplemented, "{shown}");
    }
    let mut failed = |ops: Vec<MultiOp>| {
        let answer = client.must(Request::Multi(Multi { ops }));
        let Reply::Multi(results) = answer.reply(OpCode::Multi) else {
            panic!("{answer:?}");
        };
        let codes = results.into_iter().map(|result| match result {
            MultiResult::Error(code) => code,
            other => panic!("{other:?}"),
        });
        codes.collect::<Vec<_>>()
    };
    assert_eq!(
        failed(vec![
            MultiOp::Create(creation("/n1", b"", 0)),
            MultiOp::CreateTtl(ttl("/n2", 5, 1000)),
            MultiOp::Create(creation("/n3", b"", 0)),
        ]),
        [
            ErrorCode::Ok,
            ErrorCode::Unimplemented,
            ErrorCode::RuntimeInconsistency
        ]
    );
    assert_eq!(
        failed(vec![
            MultiOp::Create(creation("/there", b"", 0)),
            MultiOp::CreateTtl(ttl("/n2", 5, 1000)),
        ]),
        [ErrorCode::NodeExists, ErrorCode::RuntimeInconsistency]
    );
}

#[test]
fn times_to_live_are_served_where_they_are_enabled() {
    let server = Running::start_like(|settings| settings.server.extended_types_enabled = true);
    let mut client = server.client();
    let made = client.must(Request::CreateTtl(ttl("/a", 5, 60_000)));
    assert!(created(&made, OpCode::CreateTtl).1.is_some());
    let made = client.must(Request::CreateTtl(ttl("/s", 6, 60_000)));
    let (path, _) = created(&made, OpCode::CreateTtl);
    assert!(path.starts_with("/s00000"), "{path}");
    for (request, error) in [
        (Request::CreateTtl(ttl("/x", 5, 0)), ErrorCode::BadArguments),
        (
            Request::CreateTtl(ttl("/x", 5, -1)),
            ErrorCode::BadArguments,
        ),
        (
            Request::CreateTtl(ttl("/x", 5, 1 << 40)),
            ErrorCode::BadArguments,
        ),
        (create_as("/x", b"", 5), ErrorCode::BadArguments),
    ] {
        assert_eq!(client.ask(request).err, error);
    }
    let ops = vec![
        MultiOp::CreateTtl(ttl("/m", 5, 60_000)),
        MultiOp::CreateTtl(ttl("/n", 5, 0)),
    ];
    let answer = client.must(Request::Multi(Multi { ops }));
    assert_eq!(
        answer.reply(OpCode::Multi),
        Reply::Multi(vec![
            MultiResult::Error(ErrorCode::Ok),
            MultiResult::Error(ErrorCode::BadArguments)
        ])
    );
}

/// In ZooKeeper, opcode 20 is for the leader's own use, but it is accepted from clients, too.
#[test]
fn a_container_is_deleted_on_request() {
    let server = Running::start();
    let mut client = server.client();
    client.must(Request::CreateContainer(creation("/c", b"", 4)));
    client.must(create("/c/x", b""));
    client.must(create_as("/e", b"", 1));
    let mut ask = |path: &str| client.ask(Request::DeleteContainer(path.into())).err;
    assert_eq!(ask("/c"), ErrorCode::NotEmpty);
    assert_eq!(ask("/none"), ErrorCode::NoNode);
    assert_eq!(ask("/e"), ErrorCode::BadVersion);
    assert_eq!(ask("rel"), ErrorCode::BadArguments);
    assert_eq!(ask("/zookeeper"), ErrorCode::BadArguments);
    assert_eq!(ask("/c/x"), ErrorCode::Ok);
    assert_eq!(ask("/c"), ErrorCode::Ok);
    assert_eq!(client.ask(exists("/c", false)).err, ErrorCode::NoNode);
}

/// An answer that a default Java client would not read, while other clients do.
#[test]
fn answers_may_be_longer_than_jute_maxbuffer() {
    let server = Running::start_with(|settings| settings.server.jute_max_buffer_bytes = 4096);
    let mut client = server.client();
    client.must(create("/parent", &[7; 3000]));
    let names: Vec<_> = (0..200).map(|n| format!("{n:040}")).collect();
    for name in &names {
        client.must(create_as(&format!("/parent/{name}"), b"", 1));
    }
    let sorted = |names: Vec<ByteString>| {
        let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let plain = client.must(children("/parent", true));
    let Reply::Children(found) = plain.reply(OpCode::GetChildren) else {
        panic!("{plain:?}");
    };
    assert_eq!(sorted(found), names);
    let with_stat = client.must(Request::GetChildren2(path_watch("/parent", false)));
    let Reply::Children2(found, stat) = with_stat.reply(OpCode::GetChildren2) else {
        panic!("{with_stat:?}");
    };
    assert_eq!((sorted(found), stat.num_children), (names.clone(), 200));
    let own = client.must(Request::GetEphemerals("/parent".into()));
    let Reply::Children(found) = own.reply(OpCode::GetEphemerals) else {
        panic!("{own:?}");
    };
    let path = |name: &String| format!("/parent/{name}");
    assert_eq!(sorted(found), names.iter().map(path).collect::<Vec<_>>());
    let several = client.must(multi_read(vec![
        ReadOp::GetData("/parent".into()),
        ReadOp::GetData("/parent".into()),
        ReadOp::GetChildren("/parent".into()),
    ]));
    let Reply::Multi(results) = several.reply(OpCode::MultiRead) else {
        panic!("{several:?}");
    };
    assert!(matches!(&results[1], MultiResult::GetData(Some(data), _) if data.len() == 3000));
    assert!(matches!(&results[2], MultiResult::GetChildren(found) if found.len() == 200));
    // The watch of the first list is set, and the connection is as good as before.
    server.client().must(delete(&path(&names[0])));
    client.only_events(&[(EventType::NodeChildrenChanged, "/parent")]);
}

/// A lower limit for answers, set for the node.
#[test]
fn an_answer_longer_than_the_longest_is_an_error() {
    const LIMIT: usize = 2000;
    let server = Running::start_with(|settings| {
        settings.server.jute_max_buffer_bytes = 1000;
        settings.server.max_answer_bytes = LIMIT;
    });
    let mut client = server.client();
    let list = |client: &mut Client, watch: bool| {
        let parent = path_watch("/parent", watch);
        let reads = [
            Request::GetChildren(parent.clone()),
            Request::GetChildren2(parent),
            multi_read(vec![ReadOp::GetChildren("/parent".into())]),
        ];
        reads.map(|read| {
            let answer = client.ask(read);
            assert!(answer.body.len() + 16 <= LIMIT);
            answer.err
        })
    };
    let (fits, too_large) = (ErrorCode::Ok, ErrorCode::MarshallingError);
    client.must(create("/parent", b""));
    // Each name takes 44 bytes, and the rest of the answer 20, 88 or 38.
    for n in 1..=46 {
        client.must(create(&format!("/parent/{n:040}"), b""));
        let expected = match n {
            ..=43 => [fits, fits, fits],
            44 => [fits, too_large, fits],
            45 => [fits, too_large, too_large],
            _ => [too_large; 3],
        };
        assert_eq!(list(&mut client, false), expected, "{n} children");
    }
    // The number of children alone shows that the list is too long.
    for n in 0..400 {
        client.must(create(&format!("/parent/{n:03}"), b""));
    }
    assert_eq!(list(&mut client, true), [too_large; 3]);
    // A client that got no list has no watch, and its connection is as good as before.
    client.must(create("/parent/last", b""));
    client.only_events(&[]);
    client.must(multi_read(vec![
        ReadOp::GetData("/parent".into()),
        ReadOp::GetChildren("/parent/last".into()),
    ]));
}

/// Reattaching moves a session: its last connection ends without an answer, whatever it asked.
#[test]
fn a_session_that_moved_is_closed_without_a_word() {
    let server = Running::start();
    let mut old = server.client();
    old.must(create("/a", b""));
    let mut new = Client::connect_as(server.addr, &old.reattach_request()).unwrap();
    assert_eq!(new.connected.session_id, old.connected.session_id);
    assert!(old.is_closed());
    new.must(get("/a", false));
}

/// Deliberate difference: in ZooKeeper, a client that knows a session's number can close its
/// owner's connection, since that comes before the password is checked. Here the password is
/// needed.
#[test]
fn a_wrong_password_does_not_disturb_the_session() {
    let server = Running::start_with(|_| {});
    let mut owner = server.client();
    owner.must(create("/a", b""));
    let wrong = ConnectRequest {
        password: vec![9; 16].into(),
        ..owner.reattach_request()
    };
    let mut guess = Client::connect_as(server.addr, &wrong).unwrap();
    assert_eq!(guess.connected.session_id, 0);
    assert!(guess.is_closed());
    owner.must(get("/a", false));
}

/// The newer operations are answered in order with the others.
#[test]
fn every_kind_of_request_is_answered_in_its_place() {
    let server = Running::start();
    let mut client = server.client();
    for round in 0..20 {
        let path = format!("/r{round}");
        let requests = [
            create(&path, b"1"),
            Request::CreateContainer(creation(&format!("{path}/c"), b"", 4)),
            Request::GetAllChildrenNumber(path.as_str().into()),
            add_watch("/none", innkeeper_proto::AddWatchMode::Persistent),
            create_as(&format!("{path}/e"), b"", 1),
            Request::GetEphemerals(path.as_str().into()),
            multi_read(vec![ReadOp::GetChildren(path.as_str().into())]),
            Request::WhoAmI,
            Request::CheckWatches(watches("/none", innkeeper_proto::WatcherType::Persistent)),
            delete(&format!("{path}/c")),
            Request::GetAllChildrenNumber(path.as_str().into()),
            Request::Sync(path.as_str().into()),
        ];
        let xids = client.send(&requests);
        let answers: Vec<_> = xids.iter().map(|_| client.answer()).collect();
        let answered: Vec<_> = answers.iter().map(|answer| answer.xid).collect();
        assert_eq!(answered, xids);
        assert!(answers.iter().all(|answer| answer.err == ErrorCode::Ok));
        let zxids: Vec<_> = answers.iter().map(|answer| answer.zxid).collect();
        assert!(zxids.is_sorted(), "{zxids:?}");
        let count = |at: usize| answers[at].reply(OpCode::GetAllChildrenNumber);
        assert_eq!(count(2), Reply::Number(1));
        assert_eq!(count(10), Reply::Number(1));
        let names = MultiResult::GetChildren(vec!["c".into(), "e".into()]);
        let listed = answers[6].reply(OpCode::MultiRead);
        let Reply::Multi(mut results) = listed else {
            panic!("{listed:?}");
        };
        if let MultiResult::GetChildren(found) = &mut results[0] {
            found.sort();
        }
        assert_eq!(results, [names]);
    }
}
