//! A client with a persistent, recursive watch on everything that the creators make.

use innkeeper_proto::{AddWatchMode, ErrorCode, EventType, xid};

use super::super::super::common::{Answer, add_watch, exists};
use super::super::caller::Caller;
use super::super::invariants::recursive::Heard;
use super::{CREATED, leave};

/// It looks again after up to so long.
const REST_MS: u64 = 150;

pub async fn run(mut caller: Caller) {
    // The connection that has the watch, and where what it hears is noted.
    let mut set: Option<(u64, usize)> = None;
    while !caller.history.is_over() {
        caller.connect().await;
        let line = caller.line();
        let stream = match set.filter(|(known, _)| *known == line) {
            Some((_, stream)) => stream,
            None => {
                let mode = AddWatchMode::PersistentRecursive;
                let talk = caller.ask(&[add_watch(CREATED, mode)]).await;
                let mut messages = talk.messages.iter();
                let Some(answer) = messages.next().filter(|_| talk.is_whole) else {
                    continue;
                };
                assert_eq!(answer.err, ErrorCode::Ok, "{answer:?}");
                let session = caller.session().expect("it was answered");
                let stream = caller
                    .history
                    .note(|all| all.streams.set(session, answer.zxid));
                set = Some((line, stream));
                for message in messages {
                    hears(&caller, stream, message);
                }
                stream
            }
        };
        let talk = caller.ask(&[exists(CREATED, false)]).await;
        for message in &talk.messages {
            hears(&caller, stream, message);
        }
        if caller.draw(15) == 0 {
            caller.hang_up();
        }
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}

fn hears(caller: &Caller, stream: usize, message: &Answer) {
    caller.history.note(|all| {
        if message.xid != xid::NOTIFICATION {
            return all.streams.hears(stream, Heard::Answer(message.zxid));
        }
        let (kind, path) = message.event();
        assert_eq!(kind, EventType::NodeCreated, "{path}");
        all.counts.recursive += 1;
        all.streams.hears(stream, Heard::Created(path));
    });
}
