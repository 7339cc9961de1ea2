//! A client with a persistent, recursive watch on everything that the creators make.

use innkeeper_proto::request::{Request, SetWatches};
use innkeeper_proto::{AddWatchMode, ErrorCode, EventType, xid};

use super::super::super::common::{Answer, add_watch, exists};
use super::super::caller::Caller;
use super::super::invariants::recursive::Heard;
use super::{CREATED, leave, set_watches};

/// It looks again after up to so long.
const REST_MS: u64 = 150;

pub async fn run(mut caller: Caller) {
    caller.may_stay_long();
    // The connection that has the watch, and where what it hears is noted.
    let mut set: Option<(u64, usize)> = None;
    while !caller.history.is_over() {
        caller.connect().await;
        let line = caller.line();
        let stream = match set.filter(|(known, _)| *known == line) {
            Some((_, stream)) => stream,
            None => {
                let request = watch(&caller);
                let talk = caller.ask(&[request]).await;
                if !talk.is_whole {
                    continue;
                }
                let is_answer = |message: &Answer| message.xid != xid::NOTIFICATION;
                let before = talk.messages.iter().position(is_answer);
                let before = before.expect("it was answered");
                let answer = &talk.messages[before];
                assert_eq!(answer.err, ErrorCode::Ok, "{answer:?}");
                let session = caller.session().expect("it was answered");
                let stream = caller
                    .history
                    .note(|all| all.streams.set(session, answer.zxid, before));
                set = Some((line, stream));
                for message in &talk.messages {
                    hears(&caller, stream, message);
                }
                stream
            }
        };
        let talk = caller.ask(&[exists(CREATED, false)]).await;
        for message in &talk.messages {
            hears(&caller, stream, message);
        }
        // What comes after a gap counts even if the connection ends before the next answer.
        for message in &caller.listen(REST_MS).await {
            hears(&caller, stream, message);
        }
        caller.may_hang_up(15);
    }
    leave(caller).await;
}

/// Sets the watch: as a new one, or as one that the client had on another connection.
fn watch(caller: &Caller) -> Request {
    if caller.draw(2) == 0 {
        return add_watch(CREATED, AddWatchMode::PersistentRecursive);
    }
    let session = caller.session().unwrap_or_default();
    let former = SetWatches {
        relative_zxid: caller.history.note(|all| all.zxids.last(session)),
        persistent_recursive: vec![CREATED.into()],
        ..SetWatches::default()
    };
    set_watches(caller, former)
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
