//! What holds of every runtime, checked on the real one and on a simulated one.

#![allow(clippy::disallowed_methods)] // A test may wait on the real clock.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::sim::{HostSettings, Window, first_difference};
use innkeeper_runtime::{
    Elapsed, Latest, Listener, Real, RealConfig, Runtime, Select2, Signal, Sim, Simulated, Stream,
    TaskError, ThreadRole, World, select2, select3,
};
use openraft_rt::AsyncRuntime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

const ROLES: [ThreadRole; 8] = [
    ThreadRole::Raft,
    ThreadRole::Fsync,
    ThreadRole::Checkpoint,
    ThreadRole::Reading,
    ThreadRole::Client,
    ThreadRole::Admin,
    ThreadRole::Guest,
    ThreadRole::Compile,
];

/// Runs one property on the real runtime, in a world of one host, and on one host of several.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod real { $(#[test] fn $name() { super::on_real(super::$name); })* }
        mod simulated { $(#[test] fn $name() { super::on_simulated(super::$name); })* }
        mod hosted { $(#[test] fn $name() { super::on_a_host(super::$name); })* }
    };
}

fn on_real<Fut: Future>(property: impl FnOnce(Real) -> Fut) {
    Real::run(RealConfig::default(), property).expect("the threads start");
}

fn on_simulated<Fut: Future>(property: impl Fn(Simulated) -> Fut) {
    for seed in 0..20 {
        Sim::run(seed, &property);
    }
}

/// On a host whose clocks are fast or slow, while another host is busy, dies and starts again.
fn on_a_host<Fut>(property: impl Fn(Simulated) -> Fut)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    for seed in 0..10 {
        World::run(seed, async |world| {
            let clock_ppm = [-300, 0, 200][seed as usize % 3];
            let settings = HostSettings {
                clock_ppm,
                wall_offset_ms: -5_000,
            };
            let other = world.host("other");
            let host = world.host_with("host", &settings);
            let mut process = host.start(&property);
            loop {
                other.start(async |rt| _ = busy_world(rt).await).detach();
                let pause = world.sleep(Duration::from_millis(7));
                if let Select2::First(ended) = select2(&mut process, pause).await {
                    return ended.expect("the property holds");
                }
                other.kill();
            }
        });
    }
}

on_both! {
    tasks_of_every_role_run_and_return
    tasks_wake_each_other
    a_panic_reaches_who_awaits
    an_aborted_task_ends
    a_guard_aborts_its_task
    timers_work_in_every_role
    openraft_runtime_works_in_the_raft_role
    a_result_beats_the_time_limit
    a_late_tick_counts_as_one
    an_early_tick_loses_nothing
    select_prefers_the_first
    a_signal_wakes_all_who_wait
    latest_shows_the_newest
    bytes_come_back
    half_closed_connections_still_answer
    a_gone_peer_is_noticed
    input_left_unread_is_a_reset
    a_slow_reader_stops_its_writer
    a_taken_port_is_refused_in_one_sentence
    all_addresses_are_those_of_both_families
    a_closed_port_refuses
    a_unix_socket_carries_bytes
    names_are_resolved
    randomness_differs
}

async fn tasks_of_every_role_run_and_return<R: Runtime>(rt: R) {
    for role in ROLES {
        let task = rt.spawn(role, async move { role.name().to_owned() });
        assert_eq!(task.await, Ok(role.name().to_owned()));
        assert!(rt.threads(role) >= 1);
    }
}

/// Many pairs of tasks hand a number to and fro; a lost wake would stop a pair for good, and a
/// task polled twice at once would lose count.
async fn tasks_wake_each_other<R: Runtime>(rt: R) {
    for (near, far) in [
        (ThreadRole::Guest, ThreadRole::Guest),
        (ThreadRole::Guest, ThreadRole::Client),
        (ThreadRole::Fsync, ThreadRole::Raft),
        (ThreadRole::Compile, ThreadRole::Checkpoint),
    ] {
        let pairs: Vec<_> = (0..20)
            .map(|_| {
                let (to_far, mut at_far) = mpsc::channel::<u32>(1);
                let (to_near, mut at_near) = mpsc::channel::<u32>(1);
                let far_task = rt.spawn(far, async move {
                    while let Some(number) = at_far.recv().await {
                        to_near.send(number + 1).await.expect("near waits");
                    }
                });
                let near_task = rt.spawn(near, async move {
                    let mut number = 0;
                    while number < 300 {
                        to_far.send(number).await.expect("far waits");
                        number = at_near.recv().await.expect("far answers");
                    }
                    number
                });
                (near_task, far_task)
            })
            .collect();
        for (near_task, far_task) in pairs {
            let limit = Duration::from_secs(20);
            assert_eq!(rt.timeout(limit, near_task).await, Ok(Ok(300)));
            assert_eq!(rt.timeout(limit, far_task).await, Ok(Ok(())));
        }
    }
}

async fn a_panic_reaches_who_awaits<R: Runtime>(rt: R) {
    for role in ROLES {
        let beds = 0_u32;
        let task = rt.spawn(role, async move { assert!(beds > 0, "no more beds") });
        let Err(TaskError::Panicked(panic)) = task.await else {
            panic!("a {role} task that panics gives an error");
        };
        assert_eq!(panic.role, role);
        assert_eq!(panic.message, "no more beds");
        assert!(panic.spawned_at.file().ends_with("both.rs"));
    }
}

async fn an_aborted_task_ends<R: Runtime>(rt: R) {
    for role in ROLES {
        let alive = Arc::new(());
        let seen = alive.clone();
        let task = rt.spawn(role, async move {
            std::future::pending::<()>().await;
            drop(seen);
        });
        task.abort();
        assert_eq!(task.await, Err(TaskError::Aborted));
        // What it held is dropped with it, on its own thread.
        while Arc::strong_count(&alive) > 1 {
            rt.sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn a_guard_aborts_its_task<R: Runtime>(rt: R) {
    let (sender, mut receiver) = mpsc::channel::<()>(1);
    let guard = rt
        .spawn(ThreadRole::Client, async move {
            std::future::pending::<()>().await;
            drop(sender);
        })
        .abort_on_drop();
    rt.sleep(Duration::from_millis(5)).await;
    assert!(receiver.try_recv() == Err(mpsc::error::TryRecvError::Empty));
    drop(guard);
    assert_eq!(receiver.recv().await, None);
}

async fn timers_work_in_every_role<R: Runtime>(rt: R) {
    for role in ROLES {
        let inner = rt.clone();
        let task = rt.spawn(role, async move {
            let before = inner.now();
            inner.sleep(Duration::from_millis(10)).await;
            inner.now() - before
        });
        let slept = task.await.expect("no panic");
        assert!(slept >= Duration::from_millis(10), "{role}: {slept:?}");
    }
}

async fn openraft_runtime_works_in_the_raft_role<R: Runtime>(rt: R) {
    let task = rt.spawn(ThreadRole::Raft, async {
        let joined = R::Raft::spawn(async {
            R::Raft::sleep(Duration::from_millis(2)).await;
            21
        });
        joined.await.expect("no panic") * 2
    });
    assert_eq!(task.await, Ok(42));
}

async fn a_result_beats_the_time_limit<R: Runtime>(rt: R) {
    let limit = Duration::from_millis(5);
    assert_eq!(rt.timeout(limit, async { 7 }).await, Ok(7));
    assert_eq!(rt.timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    let never = std::future::pending::<()>();
    assert_eq!(rt.timeout(limit, never).await, Err(Elapsed));
}

async fn a_late_tick_counts_as_one<R: Runtime>(rt: R) {
    let period = Duration::from_millis(20);
    let mut interval = rt.interval(period);
    // The process was stopped, as it were: seven periods go by without anyone looking.
    rt.sleep(period * 7).await;
    let resumed = rt.now();
    let late = interval.tick().await;
    assert!(late >= period * 6, "{late:?}");
    assert!(rt.now() - resumed < period, "the late tick comes at once");
    let first = rt.now();
    let late = interval.tick().await;
    assert!(rt.now() - first >= period, "the next one takes a period");
    assert!(late < period * 6);
}

async fn an_early_tick_loses_nothing<R: Runtime>(rt: R) {
    let period = Duration::from_millis(20);
    let started = rt.now();
    let mut interval = rt.interval(period);
    // Giving up on a tick and asking again gives the same tick.
    for _ in 0..3 {
        let short = Duration::from_millis(5);
        if rt.timeout(short, interval.tick()).await.is_ok() {
            break; // A busy machine was late here.
        }
    }
    interval.tick().await;
    assert!(rt.now() - started >= period);
}

async fn select_prefers_the_first<R: Runtime>(rt: R) {
    for _ in 0..100 {
        let both = select2(async { 1 }, async { 2 }).await;
        assert_eq!(both, Select2::First(1));
    }
    let slow = rt.sleep(Duration::from_secs(3600));
    let never = std::future::pending::<()>();
    let quick = async { "quick" };
    let selected = select3(slow, never, quick).await;
    assert_eq!(selected, innkeeper_runtime::Select3::Third("quick"));
}

async fn a_signal_wakes_all_who_wait<R: Runtime>(rt: R) {
    let signal = Signal::new();
    let waiting: Vec<_> = ROLES
        .iter()
        .map(|role| {
            let signal = signal.clone();
            rt.spawn(*role, async move { signal.wait().await })
        })
        .collect();
    rt.sleep(Duration::from_millis(5)).await;
    assert!(!signal.is_raised());
    signal.raise();
    signal.raise();
    for task in waiting {
        assert_eq!(task.await, Ok(()));
    }
    signal.wait().await;
}

async fn latest_shows_the_newest<R: Runtime>(rt: R) {
    let latest = Latest::new(0_u32);
    let mut reader = latest.reader();
    let writer = latest.clone();
    let clock = rt.clone();
    let task = rt.spawn(ThreadRole::Guest, async move {
        for value in 1..=50 {
            writer.set(value);
            if value % 10 == 0 {
                clock.sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut seen = 0;
    while seen < 50 {
        let value = reader.changed().await;
        assert!(value > seen, "values only go on");
        seen = value;
    }
    assert_eq!(task.await, Ok(()));
    assert_eq!(latest.wait_for(|value| *value == 50).await, 50);
    assert!(!latest.update(|_| false));
    let quiet = rt.timeout(Duration::from_millis(5), reader.changed()).await;
    assert_eq!(quiet, Err(Elapsed), "what was seen does not wake again");
}

fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A connected pair of streams: the client's and the server's.
async fn pair<R: Runtime>(rt: &R) -> (R::Stream, R::Stream) {
    let listener = rt.listen_tcp(anywhere()).await.expect("a free port");
    let addr = listener.local_addr().expect("TCP has an address");
    assert_ne!(addr.port(), 0);
    let clock = rt.clone();
    let client = rt.spawn(
        ThreadRole::Client,
        async move { clock.connect_tcp(addr).await },
    );
    let server = listener.accept().await.expect("a client came");
    let client = client.await.expect("no panic").expect("connected");
    assert_eq!(client.peer_addr(), Some(addr));
    assert_eq!(server.local_addr(), Some(addr));
    assert_eq!(server.peer_addr(), client.local_addr());
    (client, server)
}

async fn bytes_come_back<R: Runtime>(rt: R) {
    for role in [ThreadRole::Client, ThreadRole::Raft, ThreadRole::Guest] {
        let inner = rt.clone();
        // Sockets made and used on the threads of every role.
        let task = rt.spawn(role, async move {
            let (mut client, server) = pair(&inner).await;
            let (mut reader, mut writer) = server.split();
            let echo = inner.spawn(ThreadRole::Client, async move {
                tokio::io::copy(&mut reader, &mut writer).await
            });
            let sent: Vec<u8> = (0..100_000_u32).map(|i| (i * 7) as u8).collect();
            let mut received = vec![0; sent.len()];
            let mut at = 0;
            for piece in sent.chunks(1_000) {
                client.write_all(piece).await.expect("the echo reads");
                let end = at + piece.len();
                client
                    .read_exact(&mut received[at..end])
                    .await
                    .expect("the echo writes");
                at = end;
            }
            assert_eq!(received, sent);
            drop(client);
            assert_eq!(echo.await.expect("no panic").expect("closed"), 100_000);
        });
        assert_eq!(task.await, Ok(()), "{role}");
    }
}

async fn half_closed_connections_still_answer<R: Runtime>(rt: R) {
    let (mut client, mut server) = pair(&rt).await;
    client.write_all(b"question").await.expect("open");
    client.shutdown().await.expect("open");
    let mut question = Vec::new();
    server.read_to_end(&mut question).await.expect("open");
    assert_eq!(question, b"question");
    server.write_all(b"answer").await.expect("still open");
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("an end");
    assert_eq!(answer, b"answer");
    assert!(client.write_all(b"late").await.is_err());
}

async fn a_gone_peer_is_noticed<R: Runtime>(rt: R) {
    let (client, mut server) = pair(&rt).await;
    drop(client);
    let mut nothing = [0; 16];
    assert_eq!(server.read(&mut nothing).await.expect("an end"), 0);
    // The kernel may take the first bytes before it hears that nobody is there.
    let mut failed = None;
    for _ in 0..100 {
        if let Err(error) = server.write_all(b"anyone?").await {
            failed = Some(error.kind());
            break;
        }
        rt.sleep(Duration::from_millis(2)).await;
    }
    let failed = failed.expect("writing to nobody fails");
    assert!(matches!(
        failed,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    ));
}

async fn input_left_unread_is_a_reset<R: Runtime>(rt: R) {
    let (mut client, mut server) = pair(&rt).await;
    client.write_all(b"ignored").await.expect("open");
    let mut first = [0; 1];
    server.read_exact(&mut first).await.expect("it arrives");
    drop(server);
    let error = client.read(&mut first).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

async fn a_slow_reader_stops_its_writer<R: Runtime>(rt: R) {
    const TOTAL: usize = 64 * 1024 * 1024;
    let (mut client, server) = pair(&rt).await;
    let (mut reader, _writer) = server.split();
    let progress = Latest::new(0_usize);
    let told = progress.clone();
    let writer = rt.spawn(ThreadRole::Client, async move {
        let piece = vec![7; 256 * 1024];
        for sent in 1..=TOTAL / piece.len() {
            client.write_all(&piece).await.expect("open");
            told.set(sent * piece.len());
        }
    });
    rt.sleep(Duration::from_millis(200)).await;
    let sent = progress.get();
    assert!(sent < TOTAL / 2, "{sent} bytes went to nobody");
    let mut buffer = vec![0; 1024 * 1024];
    let mut received = 0;
    while received < TOTAL {
        received += reader.read(&mut buffer).await.expect("open");
    }
    assert_eq!(writer.await, Ok(()));
}

async fn a_taken_port_is_refused_in_one_sentence<R: Runtime>(rt: R) {
    let listener = rt.listen_tcp(anywhere()).await.expect("a free port");
    let addr = listener.local_addr().expect("TCP has an address");
    let error = rt.listen_tcp(addr).await.err().expect("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(
        error.to_string(),
        format!(
            "{addr} is in use by another process: stop it, or listen on another port (0 picks a free one)"
        )
    );
    drop(listener);
    rt.listen_tcp(addr).await.expect("free again");
}

/// In every spelling, on the port that was picked; and who comes by IPv4 is seen as such.
async fn all_addresses_are_those_of_both_families<R: Runtime>(rt: R) {
    let has_ipv6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    for spelling in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
        let ip: IpAddr = spelling.parse().expect("an address");
        let listener = rt.listen_tcp((ip, 0).into()).await.expect("a free port");
        let bound = listener.local_addr().expect("TCP has an address");
        let port = bound.port();
        assert_ne!(port, 0);
        for from in [Ipv4Addr::LOCALHOST.into(), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            if from.is_ipv6() && !has_ipv6 {
                continue;
            }
            let clock = rt.clone();
            let client = rt.spawn(ThreadRole::Client, async move {
                clock.connect_tcp((from, port).into()).await
            });
            let server = listener.accept().await.expect("a client came");
            let client = client.await.expect("no panic").expect("connected");
            assert_eq!(server.peer_addr().map(|peer| peer.ip()), Some(from));
            assert_eq!(server.peer_addr(), client.local_addr());
            assert_eq!(server.local_addr(), client.peer_addr());
            // The port is taken for each of them alone, too.
            let taken = rt.listen_tcp((from, port).into()).await.err();
            assert_eq!(taken.expect("taken").kind(), io::ErrorKind::AddrInUse);
        }
    }
}

async fn a_closed_port_refuses<R: Runtime>(rt: R) {
    let listener = rt.listen_tcp(anywhere()).await.expect("a free port");
    let addr = listener.local_addr().expect("TCP has an address");
    drop(listener);
    let error = rt.connect_tcp(addr).await.err().expect("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

async fn a_unix_socket_carries_bytes<R: Runtime>(rt: R) {
    let folder = tempfile::tempdir().expect("a folder");
    let short: PathBuf = folder.path().join("admin.sock");
    let deep = folder.path().join("deep/".repeat(60));
    std::fs::create_dir_all(&deep).expect("folders");
    let long = deep.join("admin.sock");
    // Twice: the second finds the file that the first left behind.
    for path in [&short, &short, &long, &long] {
        let listener = rt.listen_unix(path).await.expect("a socket");
        assert_eq!(listener.local_addr(), None);
        let (inner, to) = (rt.clone(), path.clone());
        let client = rt.spawn(ThreadRole::Admin, async move {
            let mut stream = inner.connect_unix(&to).await.expect("it listens");
            stream.write_all(b"open up").await.expect("open");
        });
        let mut stream = listener.accept().await.expect("a client came");
        assert_eq!(stream.peer_addr(), None);
        let mut words = String::new();
        stream.read_to_string(&mut words).await.expect("an end");
        assert_eq!(words, "open up");
        assert_eq!(client.await, Ok(()));
    }
}

async fn names_are_resolved<R: Runtime>(rt: R) {
    let found = rt.resolve("localhost").await.expect("every machine has it");
    assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    assert!(found.contains(&Ipv4Addr::LOCALHOST.into()));
    for digits in ["192.0.2.7", "2001:db8::7"] {
        let found = rt.resolve(digits).await.expect("an address");
        assert_eq!(found, [digits.parse::<IpAddr>().expect("an address")]);
    }
    let unknown = rt.resolve("no such name").await.expect_err("nobody's name");
    assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    let sentence = unknown.to_string();
    assert!(sentence.starts_with("no host has the name no such name"));
}

async fn randomness_differs<R: Runtime>(rt: R) {
    let mut bytes = [[0; 16]; 2];
    rt.fill_random(&mut bytes[0]);
    rt.fill_random(&mut bytes[1]);
    assert_ne!(bytes[0], bytes[1]);
    assert_ne!(rt.random_u64(), rt.random_u64());
    assert!(rt.wall_ms() > 1_700_000_000_000);
}

/// Roles that may block hold up nobody else, and several guests run side by side.
#[test]
fn blocking_roles_hold_up_only_themselves() {
    on_real(|rt| async move {
        let blocked: Vec<_> = [
            ThreadRole::Fsync,
            ThreadRole::Checkpoint,
            ThreadRole::Reading,
            ThreadRole::Guest,
            ThreadRole::Spare,
            ThreadRole::Compile,
        ]
        .into_iter()
        .map(|role| {
            let stuck = Arc::new(std::sync::Barrier::new(2));
            let until = stuck.clone();
            (rt.spawn(role, async move { _ = until.wait() }), stuck)
        })
        .collect();
        // One of two guest threads is stuck; the other one goes on.
        let wake = Arc::new(Notify::new());
        let woken = wake.clone();
        let second = rt.spawn(ThreadRole::Guest, async move { woken.notified().await });
        rt.sleep(Duration::from_millis(20)).await;
        wake.notify_one();
        for role in [
            ThreadRole::Raft,
            ThreadRole::Client,
            ThreadRole::Admin,
            ThreadRole::Guest,
        ] {
            let limit = Duration::from_secs(5);
            let task = rt.spawn(role, async {});
            let done = rt.timeout(limit, task).await;
            assert_eq!(done, Ok(Ok(())), "{role} is held up");
        }
        assert_eq!(rt.timeout(Duration::from_secs(5), second).await, Ok(Ok(())));
        for (task, stuck) in blocked {
            stuck.wait();
            assert_eq!(task.await, Ok(()));
        }
    });
}

/// Every role's task runs on a thread of its name, at its priority.
#[test]
fn threads_have_the_name_and_priority_of_their_role() {
    /// By its number in the kernel; 0 is the normal policy.
    const SCHED_IDLE: &str = "5";

    /// The calling thread's scheduling policy, which is field 41 of its state in proc(5).
    fn policy() -> String {
        let state = std::fs::read_to_string("/proc/thread-self/stat").expect("its state");
        let (_, behind_name) = state.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        fields[41 - 3].to_owned()
    }

    on_real(|rt| async move {
        let expected = [
            (ThreadRole::Raft, "raft", 0),
            (ThreadRole::Fsync, "fsync", 0),
            (ThreadRole::Checkpoint, "checkpoint", 0),
            (ThreadRole::Reading, "reading", 0),
            (ThreadRole::Client, "client", 0),
            (ThreadRole::Admin, "client", 0),
            (ThreadRole::Guest, "guest", 5),
            (ThreadRole::Spare, "spare", 0),
            (ThreadRole::Compile, "compile", 15),
        ];
        let base = rustix::process::getpriority_process(None).expect("a priority");
        for (role, name, nice) in expected {
            let task = rt.spawn(role, async {
                let nice = rustix::process::getpriority_process(None).expect("a priority");
                (
                    std::thread::current().name().map(str::to_owned),
                    nice,
                    policy(),
                )
            });
            let (thread, found, policy) = task.await.expect("no panic");
            assert_eq!(thread.as_deref(), Some(name));
            if role == ThreadRole::Spare {
                // With this policy the nice value means nothing.
                assert_eq!(policy, SCHED_IDLE);
                continue;
            }
            assert_eq!((found, &*policy), ((base + nice).min(19), "0"), "{role}");
        }
    });
}

/// A panic of a core task that nobody awaits ends a simulation, as it ends a process.
#[test]
#[should_panic(expected = "a fsync task")]
fn a_lost_core_panic_ends_the_simulation() {
    Sim::run(1, |rt| async move {
        rt.spawn(ThreadRole::Fsync, async { panic!("the disk is gone") })
            .detach();
        rt.sleep(Duration::from_secs(1)).await;
    });
}

/// A panic that came while the task was held, and dropped unseen, is not lost either.
#[test]
#[should_panic(expected = "the disk is gone")]
fn an_unseen_core_panic_ends_the_simulation() {
    Sim::run(1, |rt| async move {
        let task = rt.spawn(ThreadRole::Raft, async { panic!("the disk is gone") });
        rt.sleep(Duration::from_secs(1)).await;
        drop(task);
        rt.sleep(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_lost_client_panic_is_survived() {
    Sim::run(1, |rt| async move {
        rt.spawn(ThreadRole::Client, async { panic!("bad client") })
            .detach();
        rt.sleep(Duration::from_secs(1)).await;
    });
    on_real(|rt| async move {
        rt.spawn(ThreadRole::Guest, async { panic!("bad guest") })
            .detach();
        // The same threads serve the next ones.
        for _ in 0..4 {
            assert_eq!(rt.spawn(ThreadRole::Guest, async { 1 }).await, Ok(1));
        }
    });
}

/// Stopping the threads drops every task, wherever it was waiting.
#[test]
fn stopping_drops_every_task() {
    let held = Arc::new(());
    on_real(|rt| {
        let held = held.clone();
        async move {
            for role in ROLES {
                let held = held.clone();
                rt.spawn(role, async move {
                    std::future::pending::<()>().await;
                    drop(held);
                })
                .detach();
            }
            rt.sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(Arc::strong_count(&held), 1);
}

async fn busy_world<R: Runtime>(rt: R) -> Vec<u64> {
    let listener = rt.listen_tcp(anywhere()).await.expect("a free port");
    let addr = listener.local_addr().expect("TCP has an address");
    let server = rt.clone();
    rt.spawn(ThreadRole::Client, async move {
        while let Ok(stream) = listener.accept().await {
            let (mut reader, mut writer) = stream.split();
            let echo = async move { _ = tokio::io::copy(&mut reader, &mut writer).await };
            server.spawn(ThreadRole::Client, echo).detach();
        }
    })
    .detach();
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let clock = rt.clone();
            rt.spawn(ThreadRole::Client, async move {
                let mut stream = clock.connect_tcp(addr).await.expect("it listens");
                let mut bytes = [0; 200];
                for _ in 0..20 {
                    clock.fill_random(&mut bytes);
                    stream.write_all(&bytes).await.expect("open");
                    let mut back = [0; 200];
                    stream.read_exact(&mut back).await.expect("open");
                    assert_eq!(back, bytes);
                }
                clock.now().as_nanos() ^ clock.random_u64()
            })
        })
        .collect();
    let mut results = Vec::new();
    for client in clients {
        results.push(client.await.expect("no panic"));
    }
    results
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed, window| Sim::run_traced(seed, window, busy_world);
    let difference = first_difference(|window| run(42, window).1);
    assert_eq!(difference, None);
    let (first, first_trace) = run(42, Window::default());
    let (second, second_trace) = run(42, Window::default());
    assert_eq!(first, second);
    assert_eq!(first_trace, second_trace);
    assert!(first_trace.lines() > 300, "{first_trace:?}");
    let (other, other_trace) = run(43, Window::default());
    assert_ne!(first, other);
    assert_ne!(first_trace, other_trace, "the seed has no effect");
}

/// Two runs that part in the middle are told apart by the line where they do.
#[test]
fn a_difference_of_two_runs_is_shown_by_its_first_line() {
    let mut runs = 0_u64;
    let difference = first_difference(|window| {
        runs += 1;
        let is_odd = runs % 2;
        let story = |rt: Simulated| async move {
            for round in 0..3_000 {
                rt.sleep(Duration::from_millis(1)).await;
                if round == 2_000 {
                    rt.fill_random(&mut [0; 8][..4 + is_odd as usize]);
                }
            }
        };
        Sim::run_traced(1, window, story).1
    });
    let told = difference.expect("they differ");
    let expected = "differs: one run has \"2001000000 h0 random bytes 5\", another one \"2001000000 h0 random bytes 4\"";
    assert!(told.ends_with(expected), "{told}");
}

#[test]
fn an_hour_takes_no_time() {
    let started = std::time::Instant::now();
    let slept = Sim::run(7, |rt| async move {
        let (before, wall_ms) = (rt.now(), rt.wall_ms());
        rt.sleep(Duration::from_secs(3600)).await;
        assert_eq!(rt.wall_ms() - wall_ms, 3_600_000);
        rt.jump_wall_clock(-10_000);
        assert_eq!(rt.wall_ms() - wall_ms, 3_590_000);
        rt.now() - before
    });
    assert_eq!(slept, Duration::from_secs(3600));
    assert!(started.elapsed() < Duration::from_secs(10));
}
