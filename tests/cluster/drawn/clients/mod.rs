//! What the clients do. Each of them goes on until the faults are over, comes to an end of what it
//! does, and closes its session or leaves it to its timeout.

mod creator;
mod holder;
mod listener;
mod policy;
mod recipe;
mod sleeper;
mod stubborn;
mod user;
mod visitor;
mod watcher;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use innkeeper_proto::OpCode;
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::{Request, SetWatches};
use innkeeper_proto::{ErrorCode, Stat};
use innkeeper_runtime::{Runtime, ThreadRole};

use super::super::common::{Answer, create, get};
use super::super::stage::Clients;
use super::caller::{Caller, Talk};
use super::history::History;

/// The parent of what the creators make.
pub const CREATED: &str = "/in";
/// The parent of the locks.
pub const LOCKS: &str = "/l";
/// Where a recipe counts the creates.
pub use recipe::{TALLY, bind as bind_recipe};
// What a policy is about.
pub use policy::{DOORS, bind as bind_policy, door};
/// How many znodes all users share.
pub const REGISTERS: u64 = 3;

/// A shared znode.
pub fn register(key: u64) -> String {
    format!("/r{key}")
}

/// What a creator makes.
pub fn znode(by: usize, number: u64) -> String {
    format!("{CREATED}/{by}-{number}")
}

/// Makes what all clients need.
pub async fn prepare(clients: Arc<Clients>, history: History) {
    let mut caller = Caller::new(&clients, &history, 0);
    let mut missing = vec![create(CREATED, b""), create(LOCKS, b"")];
    missing.extend((0..REGISTERS).map(|key| create(&register(key), b"0")));
    missing.extend([
        create(policy::POLICY, policy::ALLOWS),
        create(policy::GUARDED, b""),
    ]);
    missing.extend((0..DOORS).map(|key| create(&door(key), b"")));
    loop {
        let talk = caller.ask(&missing).await;
        for answer in talk.answers() {
            let is_there = [ErrorCode::Ok, ErrorCode::NodeExists].contains(&answer.err);
            assert!(is_there, "{answer:?}");
        }
        if talk.is_whole {
            break;
        }
    }
    caller.close().await;
}

/// What one client does.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The clients of one host, until all have come to their end. With guests there is a policy, too.
pub async fn work(clients: Arc<Clients>, history: History, host: usize, guests: bool) {
    let number = |place: usize| host * 20 + place + 1;
    let caller = |place| Caller::new(&clients, &history, number(place));
    let mut all: Vec<Work> = vec![
        Box::pin(creator::run(caller(0))),
        Box::pin(user::run(caller(1))),
        Box::pin(user::run(caller(2))),
        Box::pin(holder::run(caller(3))),
        Box::pin(watcher::run(caller(4))),
        Box::pin(listener::run(caller(5))),
        Box::pin(stubborn::run(caller(6))),
        Box::pin(sleeper::run(caller(7))),
        Box::pin(visitor::run(caller(8))),
    ];
    if guests {
        all.push(Box::pin(policy::write(caller(9))));
        all.push(Box::pin(policy::write(caller(10))));
    }
    if guests && host == 0 {
        all.push(Box::pin(policy::flip(caller(11))));
    }
    let spawn = |work| clients.runtime.spawn(ThreadRole::Client, work);
    let tasks: Vec<_> = all.into_iter().map(spawn).collect();
    for task in tasks {
        task.await.expect("the client comes to its end");
    }
    // All nodes serve.
    for node in 1..=clients.nodes() {
        let mut client = clients.connect(node, 4_000).await;
        let requests = [Request::Sync(CREATED.into()), get(CREATED, false)];
        client.send(&requests).await;
        assert_eq!(client.answers(2).await, [ErrorCode::Ok; 2], "node {node}");
        client.send(&[Request::CloseSession]).await;
        client.answers(1).await;
    }
}

/// Sets watches again, as older clients do, or as newer ones.
fn set_watches(caller: &Caller, former: SetWatches) -> Request {
    let is_old = former.persistent.is_empty() && former.persistent_recursive.is_empty();
    match is_old && caller.draw(2) == 0 {
        true => Request::SetWatches(former),
        false => Request::SetWatches2(former),
    }
}

/// The Stat in the answer to a set or an exists.
fn stat(op: OpCode, answer: &Answer) -> Stat {
    match answer.reply(op) {
        Reply::Stat(stat) => stat,
        other => panic!("{other:?}"),
    }
}

/// The Stat in the answer to a get.
fn stat_of_data(answer: &Answer) -> Stat {
    assert_eq!(answer.err, ErrorCode::Ok, "{answer:?}");
    match answer.reply(OpCode::GetData) {
        Reply::Data(_, stat) => stat,
        other => panic!("{other:?}"),
    }
}

/// The value and the Stat of a shared znode.
fn data(answer: &Answer) -> (u64, Stat) {
    assert_eq!(answer.err, ErrorCode::Ok, "{answer:?}");
    let Reply::Data(data, stat) = answer.reply(OpCode::GetData) else {
        panic!("{answer:?}");
    };
    let data = data.expect("it has data");
    let text = std::str::from_utf8(&data).expect("a number");
    (text.parse().expect("a number"), stat)
}

/// Reads a shared znode after a sync. `None` if no answer came.
async fn confirmed_read(caller: &mut Caller, key: u64) -> Option<Stat> {
    let path = register(key);
    let requests = [Request::Sync(path.as_str().into()), get(&path, false)];
    let talk: Talk = caller.ask(&requests).await;
    let answer = talk.answers().nth(1)?;
    let (value, stat) = data(answer);
    let session = caller.session()?;
    caller.history.note(|all| {
        all.counts.confirmed_reads += 1;
        all.real_time.read(talk.begun.known, answer.zxid);
        all.registers.read(session, key, value, &stat, answer.zxid);
    });
    Some(stat)
}

/// The end of a client: it has been served once more after everything has healed.
async fn leave(mut caller: Caller) {
    while confirmed_read(&mut caller, 0).await.is_none() {}
    if caller.stays_long || caller.draw(2) == 0 {
        caller.close().await;
    }
}
