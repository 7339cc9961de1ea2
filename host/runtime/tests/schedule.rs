//! The schedule of faults: drawn from a seed at stated rates, seen by an echo server and its client
//! while it runs, and healed at its end.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use innkeeper_runtime::sim::{
    Cast, Fault, FaultKind, Host, LinkSettings, Rates, Record, Schedule, ScheduleSettings, Scope,
    SimStream, SyncTime, Window, first_difference,
};
use innkeeper_runtime::{
    Disk, File, Listener, Open, Runtime, Select2, Simulated, ThreadRole, World, select2,
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 2181;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const FOLDER: &str = "/data";
/// A client gives up an answer after so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn addr(host: &Host) -> SocketAddr {
    (host.address(), PORT).into()
}

/// What an echo server says about itself.
#[derive(Debug, Default)]
struct Health {
    /// How long its last sync took.
    sync_ms: AtomicU64,
    /// Writes that found no room.
    full: AtomicU64,
    /// Reads that were not what was written.
    flipped: AtomicU64,
}

/// Writes to its disk, reads it back and syncs it, until a sync fails or the disk is gone.
async fn use_disk(rt: &Simulated, health: &Health) -> io::Result<()> {
    let disk = rt.disk(FOLDER.as_ref())?;
    let file = disk.open("file", Open::Create)?;
    let word = *b"innkeeper";
    let begin = file.len()?;
    for round in 0_u64.. {
        rt.sleep(5 * MS).await;
        let offset = begin + round * 4_096;
        if let Err(error) = file.write_at(&word, offset) {
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
            health.full.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let mut read = [0; 9];
        file.read_at(&mut read, offset)?;
        let is_wrong = u64::from(read != word);
        health.flipped.fetch_add(is_wrong, Ordering::Relaxed);
        let began = rt.now();
        file.sync()?;
        disk.settled().await?;
        let took = rt.now() - began;
        health
            .sync_ms
            .store(took.as_millis() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Answers each byte with what the server knows of itself. It ends with its disk.
async fn echo(rt: Simulated) {
    let life = rt.random_u64();
    let health = Arc::new(Health::default());
    let everywhere = (Ipv4Addr::UNSPECIFIED, PORT).into();
    let listener = rt.listen_tcp(everywhere).await.expect("a free port");
    let (server, known) = (rt.clone(), health.clone());
    rt.spawn(ThreadRole::Client, async move {
        while let Ok(stream) = listener.accept().await {
            let answering = answer(server.clone(), stream, life, known.clone());
            server.spawn(ThreadRole::Client, answering).detach();
        }
    })
    .detach();
    // A supervisor starts it again.
    _ = use_disk(&rt, &health).await;
}

async fn answer(rt: Simulated, mut stream: SimStream, life: u64, health: Arc<Health>) {
    while stream.read_u8().await.is_ok() {
        let [sync_ms, full, flipped] =
            [&health.sync_ms, &health.full, &health.flipped].map(|it| it.load(Ordering::Relaxed));
        for number in [life, rt.wall_ms(), sync_ms, full, flipped] {
            if stream.write_u64(number).await.is_err() {
                return;
            }
        }
    }
}

/// What a client saw of one exchange with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    at_ms: u64,
    took: Duration,
    /// The error that broke the connection.
    broken: Option<io::ErrorKind>,
    life: u64,
    /// By how much the server's wall clock is wrong.
    wrong_by: Duration,
    sync_ms: u64,
    full: u64,
    flipped: u64,
}

async fn ask(rt: &Simulated, stream: &mut SimStream) -> io::Result<[u64; 5]> {
    let exchange = async {
        stream.write_u8(7).await?;
        let mut answer = [0; 5];
        for number in &mut answer {
            *number = stream.read_u64().await?;
        }
        Ok(answer)
    };
    let answer = rt.timeout(PATIENCE, exchange).await;
    answer.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Asks a server every 10 ms, over one connection as long as it lasts.
async fn watch(rt: Simulated, server: SocketAddr, samples: Arc<Mutex<Vec<Sample>>>) {
    let mut connection: Option<SimStream> = None;
    let mut known = Sample {
        at_ms: 0,
        took: Duration::ZERO,
        broken: None,
        life: 0,
        wrong_by: Duration::ZERO,
        sync_ms: 0,
        full: 0,
        flipped: 0,
    };
    loop {
        rt.sleep(10 * MS).await;
        if connection.is_none() {
            connection = rt.connect_tcp(server).await.ok();
        }
        let Some(stream) = &mut connection else {
            continue;
        };
        let before = rt.now();
        let answer = ask(&rt, stream).await;
        known.took = rt.now() - before;
        known.at_ms = before.since_start().as_millis() as u64;
        known.broken = answer.as_ref().err().map(io::Error::kind);
        match answer {
            Ok([life, wall_ms, sync_ms, full, flipped]) => {
                let wrong_by_ms = wall_ms.abs_diff(rt.wall_ms());
                known.wrong_by = Duration::from_millis(wrong_by_ms);
                (known.life, known.sync_ms, known.full, known.flipped) =
                    (life, sync_ms, full, flipped);
            }
            Err(_) => connection = None,
        }
        samples.lock().push(known.clone());
    }
}

fn settings(length: Duration, rates: Rates) -> ScheduleSettings {
    ScheduleSettings {
        length,
        rates,
        ..ScheduleSettings::default()
    }
}

/// The handles of the servers' present lives, by their names.
type Handles = Arc<Mutex<BTreeMap<String, Simulated>>>;

/// A world with echo servers and one client.
struct Scene {
    world: World,
    servers: Vec<Host>,
    client: Host,
    cast: Cast,
    handles: Handles,
}

impl Scene {
    fn new(world: World, servers: usize) -> Self {
        let names = ["a", "b", "c", "d", "e"];
        let servers: Vec<_> = names[..servers].iter().map(|it| world.host(it)).collect();
        let client = world.host("client");
        let mut cast = Cast::new(&world);
        let handles = Handles::default();
        for server in &servers {
            let handles = handles.clone();
            let start = move |host: &Host| {
                let (handles, name) = (handles.clone(), host.name().to_owned());
                host.start(move |rt| {
                    handles.lock().insert(name, rt.clone());
                    echo(rt)
                })
            };
            cast.server_with_disk(server, FOLDER, SyncTime::default(), start);
        }
        cast.client(&client);
        Self {
            world,
            servers,
            client,
            cast,
            handles,
        }
    }

    /// Servers without a program, to draw plans for.
    fn of_no_programs(world: World, servers: usize) -> Self {
        let mut scene = Self::new(world, servers);
        scene.cast = Cast::new(&scene.world);
        for server in &scene.servers {
            let start = |host: &Host| host.start(|_| pending());
            scene
                .cast
                .server_with_disk(server, FOLDER, SyncTime::default(), start);
        }
        scene.cast.client(&scene.client);
        scene
    }
}

/// What one run showed: the samples of each server, what was done, and when the run was over.
struct Shown {
    samples: Vec<Vec<Sample>>,
    record: Record,
    end_ms: u64,
}

/// Runs a schedule on two servers, while a client asks both.
async fn show(world: World, seed: u64, settings: ScheduleSettings) -> Shown {
    let mut scene = Scene::new(world, 2);
    let rt = scene.client.boot();
    let watchers: Vec<_> = scene
        .servers
        .iter()
        .map(|server| {
            let samples = Arc::new(Mutex::new(Vec::new()));
            let watching = watch(rt.clone(), addr(server), samples.clone());
            rt.spawn(ThreadRole::Client, watching).detach();
            samples
        })
        .collect();
    let schedule = Schedule::draw(seed, settings, &scene.cast);
    let record = schedule.run(&mut scene.cast).await;
    // Until the last late piece has arrived.
    scene.world.sleep(10 * SECOND).await;
    Shown {
        samples: watchers
            .iter()
            .map(|samples| samples.lock().clone())
            .collect(),
        record,
        end_ms: scene.world.now().since_start().as_millis() as u64,
    }
}

/// Does the client see a fault of this kind in two exchanges that follow each other?
fn is_seen(kind: FaultKind, before: &Sample, sample: &Sample) -> bool {
    let Sample { took, broken, .. } = sample;
    let is_another_life = before.life != sample.life && before.life != 0;
    let is_same_life = before.life == sample.life && broken.is_none();
    match kind {
        FaultKind::Kill => is_another_life || *broken == Some(io::ErrorKind::ConnectionReset),
        // The silence ends with a reset when the machine is on again.
        FaultKind::PowerCut => *took > SECOND && *broken == Some(io::ErrorKind::ConnectionReset),
        FaultKind::Stop
        | FaultKind::Isolate
        | FaultKind::Cut
        | FaultKind::Part
        | FaultKind::Split => is_same_life && *took > SECOND,
        FaultKind::ClockJump => sample.wrong_by > SECOND,
        FaultKind::Reset => {
            *took < SECOND && broken.is_some_and(|it| it != io::ErrorKind::UnexpectedEof)
        }
        FaultKind::ClosedPorts => match broken {
            Some(broken) => *broken == io::ErrorKind::ConnectionReset,
            None => *took > SECOND,
        },
        FaultKind::SlowLink => is_same_life && *took >= 20 * MS,
        FaultKind::HeavyTail => is_same_life && *took >= 50 * MS,
        FaultKind::SlowSyncs => sample.sync_ms >= 20,
        FaultKind::StallingSyncs => sample.sync_ms >= 50,
        FaultKind::FullDisk => sample.full > before.full,
        // The process ends by itself, and its sockets are closed.
        FaultKind::FailedSync => is_another_life,
        FaultKind::CutAtSync => is_another_life || broken.is_some(),
        FaultKind::FlippedBits => sample.flipped > before.flipped,
    }
}

#[test]
fn a_client_sees_each_kind_of_fault_and_its_end() {
    for kind in FaultKind::ALL {
        let rates = Rates::none().with(kind, 10.0, 2_000..=3_000);
        let shown = World::run(1, |world| show(world, 1, settings(30 * SECOND, rates)));
        assert!(shown.record.count(kind) > 0, "{kind}: {}", shown.record);
        let others = FaultKind::ALL.iter().filter(|other| **other != kind);
        assert!(
            others
                .into_iter()
                .all(|other| shown.record.count(*other) == 0)
        );
        let mut seen = 0;
        for samples in &shown.samples {
            let pairs = samples.windows(2);
            seen += pairs
                .filter(|pair| is_seen(kind, &pair[0], &pair[1]))
                .count();
            // Nothing is seen of it in the last moments.
            let late = samples.iter().filter(|it| it.at_ms > shown.end_ms - 900);
            let late: Vec<_> = late.collect();
            assert!(late.len() > 50, "{kind}: {} samples", late.len());
            for sample in &late {
                assert_eq!(sample.life, late[0].life, "{kind}");
                assert_eq!(sample.broken, None, "{kind}");
                assert!(sample.took < 5 * MS, "{kind}: {sample:?}");
                assert!(sample.wrong_by < SECOND, "{kind}: {sample:?}");
                assert!(sample.sync_ms < 5, "{kind}: {sample:?}");
                assert_eq!(sample.full, late[0].full, "{kind}");
                assert_eq!(sample.flipped, late[0].flipped, "{kind}");
            }
        }
        assert!(seen > 0, "{kind} has no effect: {}", shown.record);
    }
    // Without faults nothing of the kind is seen.
    let quiet = World::run(1, |world| {
        show(world, 1, settings(30 * SECOND, Rates::none()))
    });
    for samples in &quiet.samples {
        for pair in samples.windows(2) {
            let seen = |kind: &&FaultKind| is_seen(**kind, &pair[0], &pair[1]);
            assert_eq!(FaultKind::ALL.iter().find(seen), None, "{pair:?}");
        }
    }
}

#[test]
fn each_kind_happens_as_often_and_as_long_as_stated() {
    const SEEDS: u64 = 200;
    World::run(1, async |world| {
        let scene = Scene::of_no_programs(world, 3);
        let mut rates = Rates::none();
        for (number, kind) in FaultKind::ALL.into_iter().enumerate() {
            rates = rates.with(kind, 0.5 + number as f64 / 4.0, 100..=4_000);
        }
        let mut found: BTreeMap<FaultKind, Vec<Duration>> = BTreeMap::new();
        for seed in 0..SEEDS {
            let schedule = Schedule::draw(seed, settings(60 * SECOND, rates.clone()), &scene.cast);
            let faults = schedule.faults();
            assert!(faults.is_sorted_by_key(Fault::at));
            for fault in faults {
                assert!(fault.at() + fault.lasts() <= 60 * SECOND);
                // What would last beyond the end is cut short.
                if fault.at() < 56 * SECOND {
                    found.entry(fault.kind()).or_default().push(fault.lasts());
                }
            }
        }
        for kind in FaultKind::ALL {
            let targets = match kind.scope() {
                Scope::Server | Scope::Disk => 3.0,
                // Three pairs of servers, and each server with the client.
                Scope::Pair => 6.0,
                Scope::Cast => 1.0,
            };
            let per_minute = rates.of(kind).expect("a rate").per_minute;
            let mean = SEEDS as f64 * targets * per_minute * 56.0 / 60.0;
            let lasts = &found[&kind];
            let off = (lasts.len() as f64 - mean) / mean.sqrt();
            assert!(off.abs() < 4.0, "{kind}: {} times, not {mean}", lasts.len());
            let (least, most) = (lasts.iter().min(), lasts.iter().max());
            assert!(*least.expect("some") >= 100 * MS && *most.expect("some") <= 4_000 * MS);
            let mean_s = lasts.iter().sum::<Duration>().as_secs_f64() / lasts.len() as f64;
            // A uniform draw from 3.9 s has a standard deviation of 1.13 s.
            let error_s = (mean_s - 2.05).abs() * (lasts.len() as f64).sqrt();
            assert!(error_s < 4.0 * 1.13, "{kind}: {mean_s} s on average");
        }
    });
}

#[test]
fn one_seed_is_one_plan_whatever_runs_and_whatever_else_may_happen() {
    let plan = |seed, idle: bool, rates: Rates| {
        World::run(seed + 5, async |world| {
            let scene = match idle {
                true => Scene::of_no_programs(world, 3),
                false => Scene::new(world, 3),
            };
            let schedule = Schedule::draw(seed, settings(60 * SECOND, rates), &scene.cast);
            schedule.to_string()
        })
    };
    let first = plan(1, false, Rates::rough());
    assert!(first.lines().count() > 50, "{first}");
    assert_eq!(first, plan(1, true, Rates::rough()));
    assert_ne!(first, plan(2, false, Rates::rough()));
    let kills = plan(
        1,
        false,
        Rates::none().with(FaultKind::Kill, 2.0, 100..=4_000),
    );
    let among_others = first.lines().filter(|line| line.contains(": kill"));
    assert!(kills.lines().eq(among_others), "{kills}");
}

#[test]
fn one_seed_is_one_list_and_one_trace() {
    let run = |seed, window| {
        World::run_traced(3, window, |world| async move {
            let rates = Rates::rough().times(4.0);
            show(world, seed, settings(10 * SECOND, rates)).await.record
        })
    };
    let difference = first_difference(|window| run(7, window).1);
    assert_eq!(difference, None);
    let (list, trace) = run(7, Window::default());
    assert_eq!((list.clone(), trace.clone()), run(7, Window::default()));
    assert!(list.to_string().lines().count() > 50, "{list}");
    let (other_list, other_trace) = run(8, Window::default());
    assert_ne!(list, other_list);
    assert_ne!(trace, other_trace);
}

/// Connects from one host to a server and asks it once.
async fn exchange(world: &World, rt: &Simulated, to: &Host) -> [u64; 5] {
    let before = world.now();
    let mut stream = rt.connect_tcp(addr(to)).await.expect("it listens");
    let answer = ask(rt, &mut stream).await.expect("it answers");
    assert!(world.now() - before < 5 * MS, "{rt:?} to {to:?}");
    answer
}

/// One bad day of three servers, and a look at everything after it.
async fn heal(world: World, seed: u64) -> Record {
    let mut scene = Scene::new(world, 3);
    let client_rt = scene.client.boot();
    for server in &scene.servers {
        let watching = watch(client_rt.clone(), addr(server), Arc::default());
        client_rt.spawn(ThreadRole::Client, watching).detach();
    }
    let rates = Rates::rough()
        .with(FaultKind::FlippedBits, 1.0, 100..=4_000)
        .with(FaultKind::ClosedPorts, 1.0, 100..=4_000);
    let settings = settings(10 * SECOND, rates.times(5.0));
    let schedule = Schedule::draw(seed, settings, &scene.cast);
    let record = schedule.run(&mut scene.cast).await;
    // A sync that has stalled ends when it was to end.
    scene.world.sleep(10 * SECOND).await;

    let Scene {
        world,
        servers,
        client,
        handles,
        ..
    } = &scene;
    let mut hosts = vec![(client, client_rt.clone())];
    for server in servers {
        hosts.push((server, handles.lock()[server.name()].clone()));
    }
    for to in servers {
        let [life, _, _, full, flipped] = exchange(world, &client_rt, to).await;
        for (from, rt) in hosts.iter().filter(|(from, _)| from.name() != to.name()) {
            let answer = exchange(world, rt, to).await;
            let [life_later, wall_ms, sync_ms, full_later, flipped_later] = answer;
            assert!(wall_ms.abs_diff(rt.wall_ms()) < 5, "{to:?} is at {wall_ms}");
            assert_eq!(
                (life_later, sync_ms, full_later, flipped_later),
                (life, 0, full, flipped)
            );
            assert_eq!(world.link(from, to), LinkSettings::default());
            assert!(!world.is_cut(from, to) && !world.is_cut(to, from));
        }
        let used = to.disk(FOLDER).used();
        world.sleep(SECOND).await;
        assert!(to.disk(FOLDER).used() > used, "{to:?} writes");
    }
    record
}

#[test]
fn everything_has_healed_at_the_end() {
    let mut all = Record::default();
    for seed in 0..100 {
        all.add(&World::run(seed, |world| heal(world, seed)));
    }
    for kind in FaultKind::ALL {
        assert!(all.count(kind) > 20, "{kind}: {}", all.count(kind));
    }
    assert!(all.ended_by_itself() > 20 && all.restarts() > all.ended_by_itself());
}

#[test]
fn no_more_servers_are_dead_or_stopped_than_the_limit() {
    let most_dead = |down_max| {
        let (mut most, mut cuts) = (0, 0);
        for seed in 0..10 {
            World::run(seed, async |world| {
                let mut scene = Scene::new(world.clone(), 3);
                let settings = ScheduleSettings {
                    down_max,
                    ..settings(20 * SECOND, Rates::rough().times(3.0))
                };
                let schedule = Schedule::draw(seed, settings, &scene.cast);
                let servers = scene.servers.clone();
                let count = async {
                    loop {
                        world.sleep(7 * MS).await;
                        let dead = servers.iter().filter(|it| !it.is_running()).count();
                        most = most.max(dead);
                    }
                };
                match select2(schedule.run(&mut scene.cast), count).await {
                    Select2::First(record) => cuts += record.count(FaultKind::CutAtSync),
                    Select2::Second(never) => never,
                }
            });
        }
        assert!(cuts > 10, "{cuts}");
        most
    };
    assert_eq!(most_dead(Some(1)), 1);
    assert_eq!(most_dead(None), 3);
}

#[test]
#[should_panic(expected = "a does not stay up after everything has healed")]
fn a_server_that_does_not_stay_up_fails_the_run() {
    World::run(1, async |world| {
        let host = world.host("a");
        let mut cast = Cast::new(&world);
        cast.server(&host, |host| {
            host.start(|rt| async move { rt.sleep(MS).await })
        });
        Schedule::draw(1, ScheduleSettings::default(), &cast)
            .run(&mut cast)
            .await
    });
}

/// Set for the process that a test starts to see it fail.
const CHILD: &str = "INNKEEPER_TEST_CHILD";

#[test]
#[ignore = "run as a process of its own"]
fn a_run_that_fails() {
    let how = std::env::var(CHILD).unwrap_or_default();
    World::run(77, async |world| {
        let mut scene = Scene::new(world.clone(), 1);
        let settings = settings(10 * SECOND, Rates::rough().times(4.0));
        let schedule = Schedule::draw(1, settings, &scene.cast);
        if how == "host" {
            let rt = scene.client.boot();
            rt.clone()
                .spawn(ThreadRole::Raft, async move {
                    rt.sleep(5 * SECOND).await;
                    panic!("the client has had enough");
                })
                .detach();
        }
        schedule.run(&mut scene.cast).await;
        assert_ne!(how, "test", "the test has had enough");
    });
}

#[test]
fn a_run_that_fails_shows_its_seed_and_what_was_done() {
    for (how, lines_min) in [("host", 5), ("test", 15)] {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "a_run_that_fails", "--ignored", "--nocapture"])
            .env(CHILD, how)
            .stdout(Stdio::null())
            .output()
            .expect("it starts");
        assert!(!child.status.success());
        let shown = String::from_utf8_lossy(&child.stderr);
        assert!(shown.contains("has had enough"), "{shown}");
        assert!(
            shown.contains("The world of seed 77 failed after"),
            "{shown}"
        );
        assert!(shown.contains("the schedule of seed 1 begins"), "{shown}");
        let done = shown
            .lines()
            .filter(|line| line.starts_with("  ") && line.contains(" s: "));
        assert!(done.count() > lines_min, "{shown}");
    }
}
