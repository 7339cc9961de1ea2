//! A client that holds a lock by an ephemeral for a while, and gives it up: by deleting it, by
//! closing its session, or by falling silent.

use innkeeper_proto::{ErrorCode, OpCode};

use super::super::super::common::{create_as, delete, exists};
use super::super::caller::Caller;
use super::{LOCKS, leave, stat};

/// The flag of an ephemeral.
const EPHEMERAL: i32 = 1;
/// So many locks for all.
const KEYS: u64 = 2;
/// It looks at its lock after up to so long.
const REST_MS: u64 = 150;

pub async fn run(mut caller: Caller) {
    while !caller.history.is_over() {
        let key = caller.draw(KEYS);
        let path = format!("{LOCKS}/{key}");
        caller.ask(&[create_as(&path, b"", EPHEMERAL)]).await;
        let mut looks = 1 + caller.draw(15);
        let mut is_noted = false;
        while let Some(czxid) = look(&mut caller, key, &path, &mut is_noted).await {
            if looks == 0 || caller.history.is_over() {
                give_up(&mut caller, &path, czxid).await;
                break;
            }
            looks -= 1;
            if caller.draw(15) == 0 {
                caller.hang_up();
            }
            caller.rest(REST_MS).await;
        }
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}

/// Looks whether the lock is this client's until there is an answer. Returns the zxid that created
/// it if it is.
async fn look(caller: &mut Caller, key: u64, path: &str, is_noted: &mut bool) -> Option<i64> {
    loop {
        let talk = caller.ask(&[exists(path, false)]).await;
        let Some(answer) = talk.answers().next() else {
            continue;
        };
        if answer.err == ErrorCode::NoNode {
            return None;
        }
        let stat = stat(OpCode::Exists, answer);
        let session = caller.session().expect("it was answered");
        if stat.ephemeral_owner != session {
            return None;
        }
        let now = caller.history.now();
        caller.history.note(|all| {
            if !std::mem::replace(is_noted, true) {
                all.counts.held += 1;
                all.ephemerals.created(path, session, stat.czxid);
                all.one_owner.taken(key, stat.czxid, now);
            }
            all.one_owner.confirmed(stat.czxid, talk.begun.at);
        });
        return Some(stat.czxid);
    }
}

async fn give_up(caller: &mut Caller, path: &str, czxid: i64) {
    let session = caller.session().expect("it holds a lock");
    match caller.draw(3) {
        0 => {
            caller
                .history
                .note(|all| all.ephemerals.given_up(path, session));
            let talk = caller.ask(&[delete(path)]).await;
            // The session may have ended on the way, and the lock may be another one's.
            let answer = talk.answers().next();
            if caller.session() == Some(session)
                && let Some(answer) = answer
            {
                let is_gone = [ErrorCode::Ok, ErrorCode::NoNode].contains(&answer.err);
                assert!(is_gone, "{path} of {czxid}: {answer:?}");
            }
        }
        1 => caller.close().await,
        _ => {
            // The connection stays open for a while, and nothing is sent on it.
            let silence = caller.timeout() * 2;
            caller.sleep(silence).await;
            caller.forget();
        }
    }
}
