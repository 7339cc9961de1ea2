//! Guests and the order of one session: decisions of authorizers that depend on the session's own
//! writes, all of them in flight at once, and writes that are held back for a recipe.

mod common;
#[path = "../guests.rs"]
mod guests;
#[path = "../guarantees/support.rs"]
mod support;

use bytes::Bytes;
use common::{Answer, Client, add_watch, create, exists, get, multi, set, set_acl};
use guests::guest;
use innkeeper_proto::reply::{MultiResult, Reply};
use innkeeper_proto::request::{Auth, MultiOp, MultiRead, ReadOp, Request};
use innkeeper_proto::{Acl, AddWatchMode, ErrorCode, EventType, OpCode, Perms};
use support::NodeProcess;

const FORBIDS: &[u8] =
    br#"{"rules":[{"effect":"deny","operations":["write","create"],"path":"/data/**"}]}"#;
const HIDES: &[u8] = br#"{"rules":[{"effect":"deny","operations":["read"],"path":"/data/**"}]}"#;
const ALLOWS: &[u8] = br#"{"rules":[]}"#;

/// A node whose authorizer decides by the znode `/policy`, which at first forbids nothing.
fn guarded() -> (NodeProcess, Client, tempfile::TempDir) {
    let rules = guest("path-rules");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let module = node.push(&rules);
    let mut client = Client::connect(node.zookeeper, 30_000);
    client.must(create("/policy", ALLOWS));
    client.must(create("/data", b"0"));
    let document = format!(
        r#"{{"world":"authorizer","module":"{module}","watch":["/data/**"],"policy":["/policy"],
            "config":{{"rules":"/policy"}}}}"#
    );
    node.bind("rules", &document);
    (node, client, folder)
}

/// Sends all requests at once; the answers come in order.
fn pipelined(client: &mut Client, requests: &[Request]) -> Vec<Answer> {
    let xids = client.send(requests);
    let answers: Vec<_> = xids.iter().map(|_| client.answer()).collect();
    let answered: Vec<_> = answers.iter().map(|answer| answer.xid).collect();
    assert_eq!(answered, xids);
    answers
}

fn errors(answers: &[Answer]) -> Vec<ErrorCode> {
    answers.iter().map(|answer| answer.err).collect()
}

#[test]
fn a_denial_waits_for_the_earlier_writes_of_its_session() {
    let (_node, mut client, _folder) = guarded();
    for round in 0..50 {
        let (forbidden, allowed) = (format!("f{round}"), format!("a{round}"));
        // The writes are decided on while each of these policies is still in flight.
        let answers = pipelined(
            &mut client,
            &[
                set("/policy", FORBIDS),
                set("/data", forbidden.as_bytes()),
                set("/policy", ALLOWS),
                set("/data", allowed.as_bytes()),
                create(&format!("/data/{round}"), b""),
                get("/data", false),
            ],
        );
        assert_eq!(
            errors(&answers),
            [
                ErrorCode::Ok,
                ErrorCode::NoAuth,
                ErrorCode::Ok,
                ErrorCode::Ok,
                ErrorCode::Ok,
                ErrorCode::Ok
            ],
            "round {round}"
        );
        assert_eq!(answers[5].data(), allowed.as_bytes());
    }
}

#[test]
fn a_bounced_write_keeps_its_place_before_those_behind_it() {
    let (_node, mut client, _folder) = guarded();
    for round in 0..50 {
        // Each change of the policy bounces the writes in flight behind it, though it allows them.
        let mut requests = Vec::new();
        for n in 0..20 {
            if n % 5 == 0 {
                let policy = format!(
                    r#"{{"rules":[{{"effect":"deny","operations":["write"],"path":"/x{n}"}}]}}"#
                );
                requests.push(set("/policy", policy.as_bytes()));
            }
            requests.push(set("/data", format!("{round}-{n}").as_bytes()));
        }
        requests.push(get("/data", false));
        let answers = pipelined(&mut client, &requests);
        let (last, writes) = answers.split_last().unwrap();
        for pair in writes.windows(2) {
            assert_eq!(pair[0].err, ErrorCode::Ok);
            assert!(
                pair[0].zxid < pair[1].zxid,
                "order by zxid is order of asking"
            );
        }
        assert_eq!(last.data(), format!("{round}-19").as_bytes());
    }
}

#[test]
fn a_bounced_write_is_judged_by_the_credentials_before_it() {
    let (node, mut owner, _folder) = guarded();
    owner.log_in(b"ann:secret");
    let own = Acl {
        perms: Perms::ALL,
        scheme: "auth".into(),
        id: "".into(),
    };
    owner.must(create("/data/own", b""));
    owner.must(set_acl("/data/own", vec![own]));
    let login = || {
        Request::Auth(Auth {
            auth_type: 0,
            scheme: "digest".into(),
            auth: Bytes::from_static(b"ann:secret"),
        })
    };
    for round in 0..20 {
        let mut client = Client::connect(node.zookeeper, 30_000);
        let policy = format!(
            r#"{{"rules":[{{"effect":"deny","operations":["write"],"path":"/x{round}"}}]}}"#
        );
        // The change of the policy bounces the write behind it, when the login has already been
        // taken.
        let requests = [
            set("/policy", policy.as_bytes()),
            set("/data/own", b"before"),
            login(),
            set("/data/own", b"behind"),
        ];
        let expected = [
            ErrorCode::Ok,
            ErrorCode::NoAuth,
            ErrorCode::Ok,
            ErrorCode::Ok,
        ];
        let answers = pipelined(&mut client, &requests);
        assert_eq!(errors(&answers), expected, "round {round}");
    }
}

#[test]
fn reads_syncs_and_every_operation_of_a_multi_are_asked_about() {
    let (_node, mut client, _folder) = guarded();
    client.must(set("/policy", HIDES));
    assert_eq!(client.ask(get("/data", true)).err, ErrorCode::NoAuth);
    assert_eq!(client.ask(exists("/data", true)).err, ErrorCode::NoAuth);
    // A denied read leaves no watch, and does not tell whether the znode exists.
    assert_eq!(
        client.ask(exists("/data/none", true)).err,
        ErrorCode::NoAuth
    );
    client.must(create("/data/none", b""));
    client.must(set("/data", b"1"));
    client.must(set("/policy", FORBIDS));
    client.must(Request::Sync("/data".into()));
    let denied = client.must(multi(vec![
        MultiOp::Create(common::creation("/free", b"", 0)),
        MultiOp::Create(common::creation("/data/x", b"", 0)),
        MultiOp::Create(common::creation("/free2", b"", 0)),
    ]));
    let results = [
        ErrorCode::Ok,
        ErrorCode::NoAuth,
        ErrorCode::RuntimeInconsistency,
    ];
    assert_eq!(
        denied.reply(OpCode::Multi),
        Reply::Multi(results.into_iter().map(MultiResult::Error).collect())
    );
    assert_eq!(client.ask(exists("/free", false)).err, ErrorCode::NoNode);
}

#[test]
fn an_authorizer_is_asked_about_every_event_of_a_persistent_watch() {
    let (node, mut client, _folder) = guarded();
    let mut watcher = Client::connect(node.zookeeper, 30_000);
    // The authorizer does not cover the root, only the paths below it.
    watcher.must(add_watch("/", AddWatchMode::PersistentRecursive));
    watcher.must(add_watch("/data", AddWatchMode::Persistent));
    client.must(set("/data", b"1"));
    watcher.only_events(&[(EventType::NodeDataChanged, "/data")]);
    client.must(set("/policy", HIDES));
    client.must(set("/data", b"2"));
    client.must(create("/data/x", b""));
    client.must(create("/seen", b""));
    watcher.only_events(&[
        (EventType::NodeDataChanged, "/policy"),
        (EventType::NodeCreated, "/seen"),
    ]);
    let denied = watcher.ask(add_watch("/data", AddWatchMode::Persistent));
    assert_eq!(denied.err, ErrorCode::NoAuth);
    client.must(set("/policy", ALLOWS));
    client.must(set("/data", b"3"));
    watcher.only_events(&[
        (EventType::NodeDataChanged, "/policy"),
        (EventType::NodeDataChanged, "/data"),
    ]);
}

#[test]
fn an_authorizer_is_asked_about_each_read_of_a_multi_read() {
    let (_node, mut client, _folder) = guarded();
    client.must(set("/policy", HIDES));
    let answer = client.must(Request::MultiRead(MultiRead {
        ops: vec![
            ReadOp::GetChildren("/policy".into()),
            ReadOp::GetData("/data".into()),
            ReadOp::GetChildren("/policy".into()),
        ],
    }));
    let empty = || MultiResult::GetChildren(Vec::new());
    assert_eq!(
        answer.reply(OpCode::MultiRead),
        Reply::Multi(vec![
            empty(),
            MultiResult::Error(ErrorCode::NoAuth),
            empty()
        ])
    );
    let count = client.ask(Request::GetAllChildrenNumber("/data".into()));
    assert_eq!(count.err, ErrorCode::NoAuth);
}

/// A recipe that scans what clients write all the time loses races until other proposals are held
/// back for it: the clients' writes keep their order meanwhile.
#[test]
fn pipelined_writes_beside_a_recipe_that_loses_races_keep_their_order() {
    const CLIENTS: usize = 3;
    const MEMBERS: usize = 60;
    const ROUNDS: usize = 40;
    let (group, range) = (guest("group"), guest("range"));
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let (group, range) = (node.push(&group), node.push(&range));
    let mut owner = Client::connect(node.zookeeper, 30_000);
    for (path, data) in [
        ("/groups", ""),
        ("/groups/orders", ""),
        ("/groups/orders/members", ""),
        ("/groups/orders/assignments", ""),
        (
            "/groups/orders/resources",
            r#"{"topics": [{"name": "orders", "partitions": 64}]}"#,
        ),
    ] {
        owner.must(create(path, data.as_bytes()));
    }
    let assignor = format!(r#"{{"world":"assignor","module":"{range}"}}"#);
    node.bind("range", &assignor);
    let recipe = format!(
        r#"{{"world":"recipe","module":"{group}","watch":["/groups/*/members/*"],
            "read":["/groups/**"],"write":["/groups/*/assignments/*","/groups/*/generation"],
            "config":{{"groups":"/groups","strategy":"range"}}}}"#
    );
    node.bind("group", &recipe);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let address = node.zookeeper;
            scope.spawn(move || {
                let mut client = Client::connect(address, 30_000);
                let path = |member: usize| format!("/groups/orders/members/{number}-{member}");
                let joins: Vec<_> = (0..MEMBERS).map(|n| create(&path(n), b"")).collect();
                pipelined(&mut client, &joins);
                for _ in 0..ROUNDS {
                    // Some of them are held back, the others only wait behind those.
                    let writes: Vec<_> = (0..MEMBERS)
                        .flat_map(|n| [set(&path(n), b""), set("/groups", b"")])
                        .collect();
                    let answers = pipelined(&mut client, &writes);
                    let zxids: Vec<_> = answers.iter().map(|answer| answer.zxid).collect();
                    assert!(zxids.is_sorted(), "{zxids:?}");
                    assert!(answers.iter().all(|answer| answer.err == ErrorCode::Ok));
                }
            });
        }
    });
    let status = node.status("group");
    assert_ne!(status["conflicts"], 0, "it lost no race: {status}");
}
