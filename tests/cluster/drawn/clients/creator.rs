//! A client that creates znodes one after the other, several at once, and sends again what was not
//! answered.

use innkeeper_proto::ErrorCode;

use super::super::super::common::create;
use super::super::caller::Caller;
use super::{leave, znode};

/// So many at once at most.
const AT_ONCE: u64 = 8;
/// It rests up to so long between two batches.
const REST_MS: u64 = 120;

pub async fn run(mut caller: Caller) {
    let mut next = 0;
    while !caller.history.is_over() {
        let end = next + 1 + caller.draw(AT_ONCE);
        while next < end {
            let requests = (next..end).map(|it| create(&znode(caller.number, it), b"x"));
            let requests: Vec<_> = requests.collect();
            let talk = caller.ask(&requests).await;
            for answer in talk.answers() {
                let zxid = match answer.err {
                    ErrorCode::Ok => Some(answer.zxid),
                    // An earlier attempt, whose answer was lost, has made it.
                    ErrorCode::NodeExists => None,
                    other => panic!("a create is answered with {other:?}"),
                };
                caller.history.note(|all| {
                    all.counts.created += 1;
                    all.lost.created(caller.number, next, zxid);
                    all.real_time.wrote(talk.begun.known, answer.zxid);
                });
                next += 1;
            }
        }
        if caller.draw(20) == 0 {
            caller.hang_up();
        }
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}
