//! Denials by authorizers: a write is denied only by what nobody has been told to have changed.

use std::time::Duration;

use innkeeper_proto::reply::{MultiResult, Reply};
use innkeeper_proto::request::{MultiOp, PathVersion, Request, SetData};
use innkeeper_proto::{ErrorCode, OpCode};
use innkeeper_runtime::Runtime;

use super::common::simulated::SimClient;
use super::common::{create, get, multi, set};
use super::guests::{push, request, with_http};
use super::stage::{Clients, ask, play, read};

const POLICY: &str = "/policy";
const GUARDED: &str = "/guarded";
const BINDING: &str = "/v1/bindings/rules";

const FORBIDS: &[u8] =
    br#"{"rules":[{"effect":"deny","operations":["write","sync"],"path":"/guarded/**"}]}"#;
const ALLOWS: &[u8] = br#"{"rules":[]}"#;

/// How long a slow link takes.
const SLOW: Duration = Duration::from_millis(100);

/// Binds an authorizer whose policy forbids writes and syncs of [`GUARDED`]. Returns a client at the
/// leader.
async fn forbid(clients: &Clients, leader: u64) -> SimClient {
    let module = push(clients, leader, "path-rules").await;
    let mut operator = clients.connect(leader, 30_000).await;
    for (path, data) in [(GUARDED, &b"0"[..]), (POLICY, FORBIDS)] {
        assert_eq!(ask(&mut operator, create(path, data)).await, ErrorCode::Ok);
    }
    let document = format!(
        r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],
            "policy":["{POLICY}"],"config":{{"rules":"{POLICY}"}}}}"#
    );
    let path = format!("{BINDING}?wait=activated");
    request(clients, leader, "PUT", &path, document.as_bytes()).await;
    operator
}

/// A client that has learned at its node that it may not write.
async fn denied_client(clients: &Clients, node: u64, timeout_ms: i32) -> SimClient {
    let mut client = clients.connect(node, timeout_ms).await;
    assert_eq!(read(&mut client, POLICY).await, FORBIDS);
    assert_eq!(
        ask(&mut client, set(GUARDED, b"no")).await,
        ErrorCode::NoAuth
    );
    assert_eq!(
        ask(&mut client, Request::Sync(GUARDED.into())).await,
        ErrorCode::NoAuth
    );
    client
}

/// What the operator does so that the write is allowed.
#[derive(Clone, Copy, Debug)]
enum Change {
    Policy,
    Binding,
}

async fn allow(clients: &Clients, leader: u64, operator: &mut SimClient, change: Change) {
    match change {
        Change::Policy => assert_eq!(ask(operator, set(POLICY, ALLOWS)).await, ErrorCode::Ok),
        Change::Binding => {
            request(clients, leader, "DELETE", BINDING, b"").await;
        }
    }
}

/// Whether a multi was done.
fn is_done(reply: &Reply) -> bool {
    let failed = |result: &MultiResult| matches!(result, MultiResult::Error(_));
    matches!(reply, Reply::Multi(results) if !results.iter().any(failed))
}

/// The follower does not know of the change when the requests come, and denies them by the old
/// policy. What is pipelined behind the denied write keeps its place.
///
/// Fails in a build with `innkeeper_break="fresh-denial"`.
#[test]
fn a_denial_by_an_old_policy_is_decided_again_by_the_newest() {
    let changes = [Change::Policy, Change::Binding];
    for (seed, change) in (0..6).zip(changes.into_iter().cycle()) {
        play(seed, 3, with_http, async move |stage, clients| {
            let (leader, follower) = stage.leader_and_follower().await;
            let mut operator = forbid(&clients, leader).await;
            let mut writer = denied_client(&clients, follower, 30_000).await;
            let mut checker = denied_client(&clients, follower, 30_000).await;
            let mut syncer = denied_client(&clients, follower, 30_000).await;
            stage.slow_down(leader, follower, SLOW);
            allow(&clients, leader, &mut operator, change).await;
            let applied = |node| {
                let service = stage.service(node).expect("it runs");
                service.reader.view().zxid()
            };
            assert!(
                applied(follower) < applied(leader),
                "the follower is behind"
            );
            let pipeline = [
                set(GUARDED, b"1"),
                get(GUARDED, false),
                create("/after", b""),
                Request::Sync(GUARDED.into()),
            ];
            writer.send(&pipeline).await;
            let checks = [
                MultiOp::Check(PathVersion {
                    path: GUARDED.into(),
                    version: -1,
                }),
                MultiOp::SetData(SetData {
                    path: GUARDED.into(),
                    data: Some(b"1"[..].into()),
                    version: -1,
                }),
            ];
            checker.send(&[multi(checks.into())]).await;
            syncer.send(&[Request::Sync(GUARDED.into())]).await;
            assert_eq!(writer.answers(1).await, [ErrorCode::Ok], "seed {seed}");
            let seen = writer.try_answer().await.expect("the node is there");
            assert_eq!((seen.err, seen.data()), (ErrorCode::Ok, b"1".to_vec()));
            assert_eq!(writer.answers(2).await, [ErrorCode::Ok; 2], "seed {seed}");
            let checked = checker.try_answer().await.expect("the node is there");
            let checked = checked.reply(OpCode::Multi);
            assert!(is_done(&checked), "seed {seed}: {checked:?}");
            assert_eq!(syncer.answers(1).await, [ErrorCode::Ok], "seed {seed}");
        });
    }
}

/// Each denial by itself would take two hundred milliseconds.
#[test]
fn a_thousand_denials_in_a_pipeline_share_their_read_indexes() {
    play(7, 3, with_http, async |stage, clients| {
        let (leader, follower) = stage.leader_and_follower().await;
        let _operator = forbid(&clients, leader).await;
        let mut client = denied_client(&clients, follower, 30_000).await;
        stage.slow_down(leader, follower, SLOW);
        stage.slow_down(follower, leader, SLOW);
        let begun = clients.runtime.now();
        let requests = vec![set(GUARDED, b"no"); 1_000];
        client.send(&requests).await;
        for error in client.answers(requests.len()).await {
            assert_eq!(error, ErrorCode::NoAuth);
        }
        let took = clients.runtime.now() - begun;
        assert!(took >= SLOW * 2, "{took:?}: nobody was asked");
        assert!(took < SLOW * 20, "{took:?}");
    });
}

/// A node that is cut off cannot know whether its policy is the newest.
#[test]
fn a_node_without_its_quorum_denies_nothing() {
    for (seed, cuts_leader) in (0..4).map(|seed| (seed, seed % 2 == 0)) {
        play(seed, 3, with_http, async move |stage, clients| {
            let (leader, follower) = stage.leader_and_follower().await;
            let operator = forbid(&clients, leader).await;
            let cut = if cuts_leader { leader } else { follower };
            let mut denied = denied_client(&clients, cut, 6_000).await;
            drop(operator);
            stage.cut_off(cut);
            denied.send(&[set(GUARDED, b"1")]).await;
            let answer = denied.try_answer().await;
            assert!(
                answer.is_err(),
                "seed {seed}: {:?}",
                answer.map(|it| it.err)
            );
            let new = stage.leader().await;
            assert_ne!(new, cut);
            let mut operator = clients.connect(new, 30_000).await;
            allow(&clients, new, &mut operator, Change::Policy).await;
            stage.world.heal_all();
            let mut again = clients.connect(cut, 30_000).await;
            assert_eq!(ask(&mut again, set(GUARDED, b"2")).await, ErrorCode::Ok);
        });
    }
}
