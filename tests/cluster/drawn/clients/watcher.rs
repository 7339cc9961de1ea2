//! A client that watches a shared znode by its reads, and takes its watch from node to node.

use innkeeper_proto::{EventType, xid};

use super::super::super::common::{Answer, get, set_watches};
use super::super::caller::Caller;
use super::super::invariants::once_before_data::Watch;
use super::{REGISTERS, data, leave, register};

/// It looks again after up to so long.
const REST_MS: u64 = 150;

pub async fn run(mut caller: Caller) {
    let key = caller.draw(REGISTERS);
    let path = register(key);
    let mut watch = Watch::default();
    let (mut line, mut session) = (0, None);
    while !caller.history.is_over() {
        caller.connect().await;
        if caller.session() != session {
            watch.is_gone();
        } else if caller.line() != line && watch.is_set() {
            // The session has another connection, which knows nothing of its watch yet.
            let seen = caller.session().unwrap_or_default();
            let seen = caller.history.note(|all| all.zxids.last(seen));
            (line, session) = (caller.line(), caller.session());
            let talk = caller.ask(&[set_watches(seen, &[&path], &[], &[])]).await;
            for message in talk.messages.iter().filter(|it| is_event(it)) {
                fires(&caller, &mut watch, message, &path);
            }
            if !talk.is_whole {
                // Whether the watch was set is told by nobody: it is set again.
                line = 0;
            }
            continue;
        }
        (line, session) = (caller.line(), caller.session());
        let sets = !watch.is_set();
        let talk = caller.ask(&[get(&path, sets)]).await;
        for message in &talk.messages {
            if is_event(message) {
                fires(&caller, &mut watch, message, &path);
                continue;
            }
            let (value, stat) = data(message);
            match sets {
                true => watch.set(stat.version),
                false => watch.read(stat.version),
            }
            caller.history.note(|all| {
                let session = session.expect("it was answered");
                all.registers.read(session, key, value, &stat, message.zxid);
            });
        }
        if caller.draw(12) == 0 {
            caller.hang_up();
        }
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}

fn is_event(message: &Answer) -> bool {
    message.xid == xid::NOTIFICATION
}

fn fires(caller: &Caller, watch: &mut Watch, message: &Answer, path: &str) {
    let event = message.event();
    assert_eq!(event, (EventType::NodeDataChanged, path.to_owned()));
    watch.fires();
    caller.history.note(|all| all.counts.fired += 1);
}
