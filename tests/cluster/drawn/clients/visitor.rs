//! A client that agreed to be served without a quorum. It reads and tries to write, and takes a new
//! session soon.

use innkeeper_proto::ErrorCode;

use super::super::super::common::{get, set};
use super::super::caller::Caller;
use super::{REGISTERS, data, leave, register};

/// It asks again after up to so long.
const REST_MS: u64 = 150;

pub async fn run(mut caller: Caller) {
    caller.agrees_to_read_only = true;
    while !caller.history.is_over() {
        caller.connect().await;
        let is_read_only = caller.is_read_only();
        let path = register(caller.draw(REGISTERS));
        let mut requests = vec![get(&path, false)];
        if is_read_only {
            requests.push(set(&path, b"never"));
        }
        let talk = caller.ask(&requests).await;
        let mut answers = talk.answers();
        if let Some(read) = answers.next() {
            // Without a quorum it may be as old as the group, but it is no other state.
            if !is_read_only || read.err != ErrorCode::NoNode {
                data(read);
            }
            caller.history.note(|all| match is_read_only {
                true => all.counts.read_only += 1,
                false => all.counts.plain_reads += 1,
            });
        }
        if let Some(written) = answers.next() {
            assert_eq!(written.err, ErrorCode::NotReadOnly, "{written:?}");
        }
        if caller.draw(8) == 0 {
            caller.close().await;
        }
        caller.rest(REST_MS).await;
    }
    caller.agrees_to_read_only = false;
    caller.close().await;
    leave(caller).await;
}
