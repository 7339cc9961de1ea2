//! A client that stays on its connection until the node closes it, however long that says nothing.
//! It goes on asking after its session's timeout has passed, which other clients do not.

use super::super::super::common::get;
use super::super::caller::Caller;
use super::{REGISTERS, data, leave, register};

/// It asks again after up to so long.
const REST_MS: u64 = 100;
/// It waits for an answer for so many thirds of its session's timeout.
const PATIENCE_THIRDS: u32 = 9;

pub async fn run(mut caller: Caller) {
    caller.patience_thirds = PATIENCE_THIRDS;
    let key = caller.draw(REGISTERS);
    while !caller.history.is_over() {
        let talk = caller.ask(&[get(&register(key), false)]).await;
        for answer in talk.answers() {
            let (value, stat) = data(answer);
            let session = caller.session().expect("it was answered");
            caller.history.note(|all| {
                all.counts.plain_reads += 1;
                all.registers.read(session, key, value, &stat, answer.zxid);
            });
        }
        if !talk.is_whole && caller.draw(2) == 0 {
            caller.forget();
        }
        caller.rest(REST_MS).await;
    }
    caller.patience_thirds = 2;
    leave(caller).await;
}
