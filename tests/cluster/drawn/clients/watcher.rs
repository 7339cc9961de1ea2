//! A client that watches the data of a shared znode, or what the creators make, by its reads, and
//! takes its watch from node to node.

use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::{Request, SetWatches};
use innkeeper_proto::{ErrorCode, EventType, OpCode, xid};

use super::super::super::common::{Answer, get, path_watch};
use super::super::caller::Caller;
use super::super::invariants::once_before_data::Watch;
use super::{CREATED, REGISTERS, data, leave, register, set_watches};

/// It looks again after up to so long.
const REST_MS: u64 = 150;

/// What a client watches.
enum Watched {
    /// The data of a shared znode.
    Data(u64),
    /// The children of the creators' parent.
    Children,
}

impl Watched {
    fn path(&self) -> String {
        match self {
            Watched::Data(key) => register(*key),
            Watched::Children => CREATED.to_owned(),
        }
    }

    fn read(&self, sets: bool) -> Request {
        match self {
            Watched::Data(_) => get(&self.path(), sets),
            Watched::Children => Request::GetChildren2(path_watch(CREATED, sets)),
        }
    }

    /// The watch as a client names it that has another connection.
    fn former(&self, zxid: i64) -> SetWatches {
        let mut former = SetWatches {
            relative_zxid: zxid,
            ..SetWatches::default()
        };
        let path = self.path().as_str().into();
        match self {
            Watched::Data(_) => former.data.push(path),
            Watched::Children => former.child.push(path),
        }
        former
    }

    fn event(&self) -> EventType {
        match self {
            Watched::Data(_) => EventType::NodeDataChanged,
            Watched::Children => EventType::NodeChildrenChanged,
        }
    }

    /// The version in the answer to a read.
    fn version(&self, caller: &Caller, answer: &Answer) -> i32 {
        match self {
            Watched::Data(key) => {
                let (value, stat) = data(answer);
                let session = caller.session().expect("it was answered");
                caller.history.note(|all| {
                    all.registers.read(session, *key, value, &stat, answer.zxid);
                });
                stat.version
            }
            Watched::Children => {
                assert_eq!(answer.err, ErrorCode::Ok, "{answer:?}");
                let Reply::Children2(names, stat) = answer.reply(OpCode::GetChildren2) else {
                    panic!("{answer:?}");
                };
                assert_eq!(names.len(), stat.num_children as usize);
                stat.cversion
            }
        }
    }
}

pub async fn run(mut caller: Caller) {
    caller.may_stay_long();
    let watched = match caller.draw(REGISTERS + 1) {
        REGISTERS => Watched::Children,
        key => Watched::Data(key),
    };
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
            let former = watched.former(seen);
            let talk = caller.ask(&[set_watches(&caller, former)]).await;
            for message in talk.messages.iter().filter(|it| is_event(it)) {
                fires(&caller, &mut watch, message, &watched);
            }
            if !talk.is_whole {
                // Whether the watch was set is told by nobody: it is set again.
                line = 0;
            }
            continue;
        }
        (line, session) = (caller.line(), caller.session());
        let sets = !watch.is_set();
        let talk = caller.ask(&[watched.read(sets)]).await;
        for message in &talk.messages {
            if is_event(message) {
                fires(&caller, &mut watch, message, &watched);
                continue;
            }
            let version = watched.version(&caller, message);
            match sets {
                true => watch.set(version),
                false => watch.read(version),
            }
        }
        caller.may_hang_up(12);
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}

fn is_event(message: &Answer) -> bool {
    message.xid == xid::NOTIFICATION
}

fn fires(caller: &Caller, watch: &mut Watch, message: &Answer, watched: &Watched) {
    assert_eq!(message.event(), (watched.event(), watched.path()));
    watch.fires();
    caller.history.note(|all| all.counts.fired += 1);
}
