//! What clients of three processes have seen, at the end of a run in which the leader was killed,
//! stopped and cut off.
//!
//! 1. Each worker is a client library in small: it has one session, tries one node after the other,
//!    reattaches where it can, and gives up a node that is silent. It repeats a write whose fate it
//!    does not know until it knows it.
//! 2. Each step creates a znode, sets the worker's own one, reads it back, and looks at the
//!    session's ephemeral.
//! 3. At the end every node has, after a sync, everything that was acknowledged, the ephemerals of
//!    the living sessions and none of those that had expired.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::reply::Reply;
use innkeeper_proto::request::Request;
use innkeeper_proto::{ErrorCode, OpCode};
use rustix::process::Signal;

use super::Process;
use super::common::{
    Answer, Client, children, connect_request, create, create_as, eventually_within, exists, get,
    set,
};
use super::group::{connected, start, whole};
use super::world::{World, enter};

const NODES: u8 = 3;
/// For what takes a fail-over and a restart, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(120);
/// A worker gives up a node that says nothing for so long. Shorter than a client library's two
/// thirds of 30 s, so that the test need not wait for them.
const SILENCE: Duration = Duration::from_secs(3);
/// The sessions of the workers.
const TIMEOUTS_MS: [i32; 6] = [2_000, 30_000, 2_000, 30_000, 2_000, 30_000];
/// The steps of each worker between two faults.
const STEPS: u64 = 20;

/// What a worker did, and what it may rely on.
struct Worker<'a> {
    number: usize,
    nodes: &'a [SocketAddr],
    /// The node that it is at.
    at: usize,
    /// The request by which it comes back to its session.
    request: ConnectRequest,
    /// The number of the session, from 0 on.
    generation: u64,
    /// The ephemeral of the session was acknowledged.
    has_ephemeral: bool,
    client: Option<Client>,
    /// The newest zxid in any answer.
    zxid: i64,
    /// How many steps were acknowledged to the end.
    steps: u64,
}

impl<'a> Worker<'a> {
    fn new(number: usize, nodes: &'a [SocketAddr]) -> Self {
        Self {
            number,
            nodes,
            at: number % nodes.len(),
            request: connect_request(TIMEOUTS_MS[number]),
            generation: 0,
            has_ephemeral: false,
            client: None,
            zxid: 0,
            steps: 0,
        }
    }

    fn own(&self) -> String {
        format!("/own-{}", self.number)
    }

    fn ephemeral(&self, generation: u64) -> String {
        format!("/session-{}-{generation}", self.number)
    }

    /// One attempt at the next node.
    fn attach(&mut self) {
        self.at = (self.at + 1) % self.nodes.len();
        self.request.last_zxid_seen = self.zxid;
        let Ok(client) = Client::try_connect(self.nodes[self.at], &self.request, SILENCE) else {
            // A node that is not there refuses at once.
            std::thread::sleep(Duration::from_millis(10));
            return;
        };
        if client.connected.session_id == 0 {
            // It has expired: the next attempt asks for another one.
            self.request = connect_request(TIMEOUTS_MS[self.number]);
            self.generation += u64::from(self.has_ephemeral);
            self.has_ephemeral = false;
            return;
        }
        self.request = ConnectRequest {
            read_only: Some(false),
            ..client.reattach_request()
        };
        self.client = Some(client);
    }

    /// Asks until there is an answer. Also says whether an earlier attempt may have been done.
    fn ask(&mut self, request: &Request) -> (Answer, bool) {
        let mut again = false;
        let until = Instant::now() + LONG;
        loop {
            let number = self.number;
            assert!(
                Instant::now() < until,
                "worker {number}: no node answers {request:?}"
            );
            let Some(client) = &mut self.client else {
                self.attach();
                continue;
            };
            match client.try_ask(request) {
                Ok(answer) if answer.err == ErrorCode::SessionExpired => self.client = None,
                Ok(answer) => {
                    let newest = self.zxid;
                    assert!(
                        answer.zxid >= newest,
                        "worker {number} had seen {newest:#x}: {answer:?} to {request:?}"
                    );
                    self.zxid = answer.zxid;
                    return (answer, again);
                }
                Err(_) => self.client = None,
            }
            again = true;
        }
    }

    fn must(&mut self, request: &Request) -> Answer {
        let (answer, _) = self.ask(request);
        assert_eq!(answer.err, ErrorCode::Ok, "{request:?}");
        answer
    }

    /// A create, which may have been done by an attempt that was not answered.
    fn create(&mut self, request: &Request) {
        let (answer, again) = self.ask(request);
        let done = answer.err == ErrorCode::Ok || again && answer.err == ErrorCode::NodeExists;
        assert!(done, "{answer:?} to {request:?}");
    }

    fn step(&mut self) {
        let (own, text) = (self.own(), self.steps.to_string());
        self.create(&create(&format!("{own}/{text}"), b""));
        self.must(&set(&own, text.as_bytes()));
        let seen = self.must(&get(&own, false)).data();
        assert_eq!(
            seen,
            text.as_bytes(),
            "worker {}: its own write",
            self.number
        );
        self.keep_ephemeral();
        self.steps += 1;
    }

    /// Sees that the session's ephemeral is there, or creates it.
    fn keep_ephemeral(&mut self) {
        let path = self.ephemeral(self.generation);
        let (answer, again) = self.ask(&exists(&path, false));
        let lives = answer.err == ErrorCode::Ok;
        // Between two attempts the session may have become another one.
        if !again && self.has_ephemeral {
            assert!(lives, "worker {}: {path} of a living session", self.number);
        }
        if !lives && path == self.ephemeral(self.generation) {
            let (answer, again) = self.ask(&create_as(&path, b"", 1));
            let exists = answer.err == ErrorCode::NodeExists;
            assert!(answer.err == ErrorCode::Ok || again && exists, "{answer:?}");
            self.has_ephemeral = true;
        }
    }
}

/// What happens to the leader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Killed,
    Stopped,
    CutOff,
}

/// How far a run is.
#[derive(Default)]
struct Progress {
    /// The steps of each worker.
    steps: [AtomicU64; TIMEOUTS_MS.len()],
    /// The workers begin no further step, and keep their sessions.
    worked: AtomicBool,
    /// They end.
    checked: AtomicBool,
}

impl Progress {
    fn steps(&self) -> Vec<u64> {
        let steps = self.steps.iter();
        steps.map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// Lets the workers end, also after a panic.
struct End<'a>(&'a Progress);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.worked.store(true, Ordering::Relaxed);
        self.0.checked.store(true, Ordering::Relaxed);
    }
}

/// What a worker had done when it stopped working.
struct Done {
    number: usize,
    steps: u64,
    generation: u64,
}

/// Works, says what it has done, and keeps its session until all is checked. Returns the number of
/// the session that it has then.
fn work(number: usize, nodes: &[SocketAddr], progress: &Progress, said: &Sender<Done>) -> u64 {
    let mut worker = Worker::new(number, nodes);
    worker.create(&create(&worker.own(), b""));
    while !progress.worked.load(Ordering::Relaxed) {
        worker.step();
        progress.steps[number].store(worker.steps, Ordering::Relaxed);
    }
    while !worker.has_ephemeral {
        worker.keep_ephemeral();
    }
    let done = Done {
        number,
        steps: worker.steps,
        generation: worker.generation,
    };
    // Nobody listens after a panic.
    let _ = said.send(done);
    while !progress.checked.load(Ordering::Relaxed) {
        worker.keep_ephemeral();
        std::thread::sleep(Duration::from_millis(50));
    }
    worker.keep_ephemeral();
    worker.generation
}

/// Strikes the leader in every way that the machine allows, while all work.
fn strike_all(
    folder: &std::path::Path,
    world: &World,
    nodes: &mut [Option<Process>],
    progress: &Progress,
) {
    let all_go_on = |when: &str| {
        let before = progress.steps();
        eventually_within(LONG, &format!("all clients go on {when}"), || {
            let now = progress.steps();
            now.iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + STEPS)
        });
    };
    for fault in [Fault::Killed, Fault::Stopped, Fault::CutOff] {
        if fault == Fault::CutOff && !world.can_cut() {
            println!("no node is cut off: `unshare --net` is not allowed here");
            continue;
        }
        let leads = whole(nodes, LONG);
        all_go_on("before a fault");
        match fault {
            Fault::Killed => nodes[leads] = None,
            Fault::Stopped => nodes[leads].as_ref().unwrap().signal(Signal::STOP),
            Fault::CutOff => world.cut(leads).unwrap(),
        }
        all_go_on(&format!("while the leader is {fault:?}"));
        match fault {
            Fault::Killed => nodes[leads] = Some(start(folder, world, leads)),
            Fault::Stopped => nodes[leads].as_ref().unwrap().signal(Signal::CONT),
            Fault::CutOff => world.join(leads).unwrap(),
        }
    }
    whole(nodes, LONG);
    all_go_on("after the faults");
}

/// Looks at what a node has, once it has caught up. Returns the workers whose last ephemeral is not
/// there: their sessions may have expired meanwhile.
fn check(addr: SocketAddr, done: &[Done]) -> Vec<usize> {
    let mut client = connected(addr, &connect_request(30_000));
    client.must(Request::Sync("/".into()));
    let mut missing = Vec::new();
    for worker in done {
        let number = worker.number;
        let own = format!("/own-{number}");
        let found = match client
            .must(children(&own, false))
            .reply(OpCode::GetChildren)
        {
            Reply::Children(names) => names.len() as u64,
            other => panic!("{other:?}"),
        };
        // Each step has one name, and those after the last one were not begun.
        assert_eq!(found, worker.steps, "znodes below {own} at {addr}");
        let data = client.must(get(&own, false)).data();
        assert_eq!(
            data,
            (worker.steps - 1).to_string().into_bytes(),
            "{own} at {addr}"
        );
        for generation in 0..=worker.generation {
            let path = format!("/session-{number}-{generation}");
            match client.ask(exists(&path, false)).err {
                ErrorCode::Ok if generation == worker.generation => {}
                ErrorCode::NoNode if generation == worker.generation => missing.push(number),
                ErrorCode::NoNode => {}
                other => panic!("{path} of an expired session at {addr}: {other:?}"),
            }
        }
    }
    client.close();
    missing
}

const NAME: &str =
    "histories::the_histories_of_clients_hold_while_the_leader_is_killed_stopped_and_cut_off";

/// In a network namespace of its own, where the machine allows it.
#[test]
fn the_histories_of_clients_hold_while_the_leader_is_killed_stopped_and_cut_off() {
    let arguments = ["--exact", NAME, "--nocapture", "--test-threads", "1"];
    if let Some(code) = enter(arguments.map(Into::into)).unwrap() {
        assert_eq!(code, 0, "the same test in a network namespace failed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(0, NODES).unwrap();
    let mut nodes: Vec<_> = (0..usize::from(NODES))
        .map(|node| Some(start(folder.path(), &world, node)))
        .collect();
    let addresses: Vec<_> = nodes.iter().flatten().map(|node| node.addr).collect();
    whole(&nodes, LONG);
    let (progress, (said, says)) = (Progress::default(), channel());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..TIMEOUTS_MS.len())
            .map(|number| {
                let (addresses, progress, said) = (&addresses, &progress, said.clone());
                scope.spawn(move || work(number, addresses, progress, &said))
            })
            .collect();
        drop(said);
        let end = End(&progress);
        strike_all(folder.path(), &world, &mut nodes, &progress);
        progress.worked.store(true, Ordering::Relaxed);
        let mut done: Vec<_> = says.iter().take(workers.len()).collect();
        done.sort_by_key(|done| done.number);
        assert_eq!(done.len(), workers.len(), "a worker failed");
        let missing: Vec<_> = addresses
            .iter()
            .flat_map(|addr| check(*addr, &done))
            .collect();
        drop(end);
        for (worker, done) in workers.into_iter().zip(&done) {
            let generation = worker.join().unwrap();
            let lived = generation == done.generation;
            let number = done.number;
            assert!(
                !lived || !missing.contains(&number),
                "the ephemeral of worker {number}"
            );
            println!(
                "worker {number}: {} steps, {generation} sessions expired",
                done.steps
            );
        }
    });
}
