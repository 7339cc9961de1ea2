//! A policy that forbids writes and allows them again in turn, and clients that write meanwhile.

use innkeeper_proto::request::{Request, SetData};
use innkeeper_proto::{ErrorCode, OpCode};

use super::super::super::common::{get, set};
use super::super::super::guests::{push, request};
use super::super::super::stage::Clients;
use super::super::caller::Caller;
use super::{leave, stat};

/// The policy. Its even versions allow everything.
pub const POLICY: &str = "/policy";
pub const ALLOWS: &[u8] = br#"{"rules":[]}"#;
const FORBIDS: &[u8] =
    br#"{"rules":[{"effect":"deny","operations":["write"],"path":"/guarded/**"}]}"#;
/// The parent of what the policy is about.
pub const GUARDED: &str = "/guarded";
/// How many znodes are below it.
pub const DOORS: u64 = 2;
/// The policy stands for up to so long.
const FLIP_MS: u64 = 400;
/// A writer rests up to so long.
const REST_MS: u64 = 60;

/// A znode that the policy is about.
pub fn door(key: u64) -> String {
    format!("{GUARDED}/{key}")
}

/// Pushes the authorizer at a node and waits until it is active.
pub async fn bind(clients: &Clients, node: u64) {
    let module = push(clients, node, "path-rules").await;
    let path = "/v1/bindings/rules?wait=activated";
    let binding = format!(
        r#"{{"world":"authorizer","module":"{module}","watch":["{GUARDED}/**"],
            "policy":["{POLICY}"],"config":{{"rules":"{POLICY}"}}}}"#
    );
    request(clients, node, "PUT", path, binding.as_bytes()).await;
}

/// Flips the policy. Nobody else sets it, so that the zxid of each flip becomes known.
pub async fn flip(mut caller: Caller) {
    let mut version = 0;
    while !caller.history.is_over() {
        let forbids = version % 2 == 0;
        let flip = Request::SetData(SetData {
            path: POLICY.into(),
            data: Some(if forbids { FORBIDS } else { ALLOWS }.into()),
            version,
        });
        let now = caller.history.now();
        caller.history.note(|all| all.policies.flips(forbids, now));
        // If the answer is lost, the znode tells what came of it.
        let mzxid = loop {
            let talk = caller.ask(std::slice::from_ref(&flip)).await;
            match talk.answers().next() {
                Some(answer) if answer.err == ErrorCode::Ok => {
                    break stat(OpCode::SetData, answer).mzxid;
                }
                Some(answer) => assert_eq!(answer.err, ErrorCode::BadVersion, "{answer:?}"),
                None => {}
            }
            let requests = [Request::Sync(POLICY.into()), get(POLICY, false)];
            let talk = caller.ask(&requests).await;
            if let Some(answer) = talk.answers().nth(1) {
                let found = super::stat_of_data(answer);
                if found.version > version {
                    break found.mzxid;
                }
            }
        };
        version += 1;
        let now = caller.history.now();
        caller.history.note(|all| {
            all.counts.flips += 1;
            all.policies.flipped(mzxid, forbids, now);
        });
        caller.rest(FLIP_MS).await;
    }
    leave(caller).await;
}

/// Sets what the policy is about, several times at once.
pub async fn write(mut caller: Caller) {
    while !caller.history.is_over() {
        let path = door(caller.draw(DOORS));
        let count = 1 + caller.draw(4);
        let requests: Vec<_> = (0..count).map(|_| set(&path, b"x")).collect();
        let sent = caller.history.now();
        let talk = caller.ask(&requests).await;
        let now = caller.history.now();
        for answer in talk.answers() {
            caller.history.note(|all| match answer.err {
                ErrorCode::Ok => {
                    let stat = stat(OpCode::SetData, answer);
                    all.counts.allowed += 1;
                    all.policies.wrote(stat.mzxid);
                }
                ErrorCode::NoAuth => {
                    all.counts.denied += 1;
                    all.policies.refused(sent, now);
                }
                other => panic!("a guarded write is answered with {other:?}"),
            });
        }
        if caller.draw(20) == 0 {
            caller.hang_up();
        }
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}
