//! What the store costs: sets, creates and gets at 1,000,000 znodes of depth 5, with and
//! without a view held, beside std's HashMap in the same run.
//!
//! ```sh
//! cargo run --release -p innkeeper-tree --example store_bench [ZNODES]
//! ```
//!
//! Every set is a whole command through `apply`, published at once: the session's numbering,
//! the ACL, the znode, `subtree_zxid` of its ancestors, the event, the rolling hash. Stats
//! are CPU time of the measuring thread (`/proc/thread-self/schedstat`), so that a busy
//! machine disturbs them only through its caches. The paths
//! asked for are laid out in the order of asking, as they would be in the buffers of a server.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

/// CPU time of this thread.
struct Cpu(Duration);

impl Cpu {
    fn start() -> Cpu {
        Cpu(Cpu::now())
    }

    fn elapsed(&self) -> Duration {
        Cpu::now() - self.0
    }

    fn now() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat")
            .expect("Linux tells a thread's CPU time");
        let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
        Duration::from_nanos(nanos.expect("the first field is nanoseconds on the CPU"))
    }
}

use innkeeper_proto::CreateMode;
use innkeeper_tree::command::{SessionRequest, Write, WriteOp};
use innkeeper_tree::{Command, Identity, Operation, SessionId, Ticket, Tree, acl};

const SETS: usize = 1_000_000;
const SESSION: SessionId = SessionId(1);

struct Bench {
    tree: Tree,
    seq: u64,
    identities: Vec<Identity>,
    paths: Vec<String>,
}

/// xorshift: the same run every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn main() {
    let znodes = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let mut bench = Bench {
        tree: Tree::new(),
        seq: 0,
        identities: vec![Identity {
            scheme: "ip".to_owned(),
            id: "127.0.0.1".to_owned(),
        }],
        paths: Vec::new(),
    };
    bench.apply(Operation::CreateSession {
        ticket: Ticket(1),
        session: SESSION,
        password: [0; 16],
        timeout_ms: 10_000,
        local: false,
    });
    bench.tree.publish();

    let before = resident_bytes();
    bench.fill(znodes);
    let each = (resident_bytes() - before) / bench.tree.stats().znodes as u64;
    println!("{each} bytes resident per znode, the benchmark's own list of paths included");
    let std = std_hash_map(&bench.paths);
    println!(
        "std HashMap: a set {} ns, a get {} ns",
        std.0.as_nanos(),
        std.1.as_nanos()
    );
    bench.creates_and_deletes();
    bench.gets("no view held");
    bench.sets("no view held, each published", 1);
    bench.sets("no view held, published by 64", 64);
    let view = bench.tree.reader().view();
    bench.sets("one view held throughout", 1);
    bench.gets("newest, beside the view held");
    let start = Cpu::start();
    let old = black_box(view.get(&bench.paths[0]));
    println!(
        "a get from the old view: {} ns ({:?})",
        start.elapsed().as_nanos(),
        old.map(|znode| znode.stat.version)
    );
    println!("kept for the view: {:?}", bench.tree.stats());
    let start = Cpu::start();
    drop(view);
    println!("dropping the view: {} ns", start.elapsed().as_nanos());
    bench.sets("while what the view left is freed", 1);
    println!("left then: {:?}", bench.tree.stats());
    bench.view_taken();
    bench.under_readers();
}

impl Bench {
    fn apply(&mut self, operation: Operation) {
        black_box(self.tree.apply(&Command {
            time_ms: 1,
            operation,
        }));
    }

    fn write(&mut self, write: WriteOp) {
        self.seq += 1;
        let request = SessionRequest::Write {
            identities: self.identities.clone(),
            policy_zxid: Some(innkeeper_tree::Zxid(0)),
            write: Write::Single(write),
            enforce_quota: false,
            upgrade_local: false,
        };
        self.apply(Operation::Session {
            session: SESSION,
            attachment: 1,
            seq: self.seq,
            request,
        });
    }

    fn create(&mut self, path: String) {
        self.write(WriteOp::Create {
            path,
            data: Some("some data of a znode".into()),
            acl: acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        });
    }

    /// Depth 5 with the same fan-out at each level.
    fn fill(&mut self, znodes: usize) {
        let fan = (znodes as f64).powf(0.2).round() as usize;
        let mut level = vec![String::new()];
        let start = Cpu::start();
        let mut made = 0;
        for depth in 0..5 {
            let mut next = Vec::with_capacity(level.len() * fan);
            for parent in &level {
                for child in 0..fan {
                    let path = format!("{parent}/level{depth}-{child:03}");
                    self.create(path.clone());
                    next.push(path);
                    made += 1;
                    if made % 64 == 0 {
                        self.tree.publish();
                    }
                }
            }
            level = next;
        }
        self.tree.publish();
        self.paths = level;
        let each = start.elapsed() / made as u32;
        println!(
            "{made} znodes, {} of them at depth 5: {} ns per create, published by 64",
            self.paths.len(),
            each.as_nanos()
        );
    }

    fn sets(&mut self, what: &str, batch: usize) {
        let mut random = Random(42);
        // Commands are made beforehand: only apply and publish are measured.
        let mut spent = Duration::ZERO;
        let mut worst = Duration::ZERO;
        for round in 0..SETS / 10_000 {
            let commands: Vec<Command> = (0..10_000)
                .map(|_| {
                    self.seq += 1;
                    let path = self.paths[random.below(self.paths.len())].clone();
                    let data = Some(format!("value {round}").into());
                    let request = SessionRequest::Write {
                        identities: self.identities.clone(),
                        policy_zxid: Some(innkeeper_tree::Zxid(0)),
                        write: Write::Single(WriteOp::SetData {
                            path,
                            data,
                            version: -1,
                        }),
                        enforce_quota: false,
                        upgrade_local: false,
                    };
                    let operation = Operation::Session {
                        session: SESSION,
                        attachment: 1,
                        seq: self.seq,
                        request,
                    };
                    Command {
                        time_ms: 1,
                        operation,
                    }
                })
                .collect();
            // A pause would show in the slowest thousand; the clock is too dear to read for
            // each of them.
            for thousand in commands.chunks(1_000) {
                let start = Cpu::start();
                for chunk in thousand.chunks(batch) {
                    for command in chunk {
                        black_box(self.tree.apply(command));
                    }
                    self.tree.publish();
                }
                let elapsed = start.elapsed();
                spent += elapsed;
                worst = worst.max(elapsed);
            }
        }
        println!(
            "set, {what}: {} ns, the slowest thousand {} us",
            (spent / SETS as u32).as_nanos(),
            worst.as_micros()
        );
    }

    fn gets(&mut self, what: &str) {
        let view = self.tree.reader().view();
        let mut random = Random(43);
        let order: Vec<String> = (0..SETS)
            .map(|_| self.paths[random.below(self.paths.len())].clone())
            .collect();
        let start = Cpu::start();
        for path in &order {
            black_box(view.get(path));
        }
        let get = start.elapsed() / SETS as u32;
        let start = Cpu::start();
        for path in &order {
            black_box(view.exists(path));
        }
        let exists = start.elapsed() / SETS as u32;
        println!(
            "get, {what}: {} ns; exists: {} ns",
            get.as_nanos(),
            exists.as_nanos()
        );
    }

    fn creates_and_deletes(&mut self) {
        let mut random = Random(44);
        let parents: Vec<String> = (0..100_000)
            .map(|_| self.paths[random.below(self.paths.len())].clone())
            .collect();
        let start = Cpu::start();
        for (number, parent) in parents.iter().enumerate() {
            self.create(format!("{parent}/new-{number}"));
            self.tree.publish();
        }
        let create = start.elapsed() / parents.len() as u32;
        let start = Cpu::start();
        for (number, parent) in parents.iter().enumerate() {
            self.write(WriteOp::Delete {
                path: format!("{parent}/new-{number}"),
                version: -1,
            });
            self.tree.publish();
        }
        let delete = start.elapsed() / parents.len() as u32;
        println!(
            "create, each published: {} ns; delete: {} ns",
            create.as_nanos(),
            delete.as_nanos()
        );
    }

    fn view_taken(&mut self) {
        let reader = self.tree.reader();
        let start = Cpu::start();
        for _ in 0..SETS {
            black_box(reader.view());
        }
        println!(
            "taking and dropping a view: {} ns",
            (start.elapsed() / SETS as u32).as_nanos()
        );
    }

    /// Sets beside a thread that reads all the time and one that lists all the time.
    fn under_readers(&mut self) {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (reader, paths) = (self.tree.reader(), self.paths.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(45);
                let mut gets = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    black_box(reader.view().get(&paths[random.below(paths.len())]));
                    gets += 1;
                }
                println!("gets beside the sets: {gets}");
            });
            self.sets("beside a thread of gets", 64);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let start = Cpu::start();
        let mut seen = 0;
        self.tree.reader().view().scan("/", &mut |_, znode| {
            black_box(znode);
            seen += 1;
            std::ops::ControlFlow::Continue(())
        });
        println!(
            "scan of all {seen} znodes: {} ms",
            start.elapsed().as_millis()
        );
    }
}

fn resident_bytes() -> u64 {
    let statm =
        std::fs::read_to_string("/proc/self/statm").expect("Linux tells a process's memory");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse::<u64>().ok());
    pages.expect("the second field is resident pages") * 4096
}

/// A set and a get of std's map from paths to data, at the same paths in the same order.
fn std_hash_map(paths: &[String]) -> (Duration, Duration) {
    let mut map: HashMap<String, Vec<u8>> = paths
        .iter()
        .map(|path| (path.clone(), b"some data of a znode".to_vec()))
        .collect();
    let mut random = Random(42);
    let order: Vec<String> = (0..SETS)
        .map(|_| paths[random.below(paths.len())].clone())
        .collect();
    let start = Cpu::start();
    for path in &order {
        if let Some(data) = map.get_mut(path) {
            *data = black_box(b"value".to_vec());
        }
    }
    let set = start.elapsed() / SETS as u32;
    let start = Cpu::start();
    for path in &order {
        black_box(map.get(path).cloned());
    }
    (set, start.elapsed() / SETS as u32)
}
