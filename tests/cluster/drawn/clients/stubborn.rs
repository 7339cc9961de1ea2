//! A client that stays on its connection until the node closes it, however long that says nothing.
//! It goes on asking after its session's timeout has passed, which other clients do not. Sometimes it
//! says nothing for so long that its session is about to expire, and speaks again.

use std::time::Duration;

use super::super::super::common::get;
use super::super::caller::Caller;
use super::{REGISTERS, data, leave, register};

/// It asks again after up to so long.
const REST_MS: u64 = 100;
/// It falls silent after one in so many answers.
const SILENT_ONE_IN: u64 = 8;
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
        match caller.draw(SILENT_ONE_IN) {
            0 => fall_silent(&caller).await,
            _ => caller.rest(REST_MS).await,
        }
    }
    caller.patience_thirds = 2;
    leave(caller).await;
}

/// Says nothing for between a third and twice its session's timeout.
async fn fall_silent(caller: &Caller) {
    let third = caller.timeout() / 3;
    let more = caller.draw(5 * third.as_millis() as u64);
    caller.sleep(third + Duration::from_millis(more)).await;
}
