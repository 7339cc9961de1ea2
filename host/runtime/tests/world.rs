//! The life, the death and the clocks of simulated hosts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use innkeeper_runtime::sim::{Died, Host, HostSettings, SimListener, SimRaft, SimStream, Unsynced};
use innkeeper_runtime::{
    Disk, Elapsed, File, Listener, Open, Runtime, Simulated, Stream, ThreadRole, World,
};
use openraft_rt::{AsyncRuntime, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 2181;
const SECOND: Duration = Duration::from_secs(1);

async fn listen(rt: &Simulated) -> SimListener {
    let everywhere = (Ipv4Addr::UNSPECIFIED, PORT).into();
    rt.listen_tcp(everywhere).await.expect("a free port")
}

fn addr(host: &Host) -> SocketAddr {
    (host.address(), PORT).into()
}

/// Two hosts, both running, with a connection between them: the client is on the first one.
struct Pair {
    client: Host,
    server: Host,
    client_rt: Simulated,
    server_rt: Simulated,
    listener: SimListener,
    near: SimStream,
    far: SimStream,
}

async fn pair(world: &World) -> Pair {
    let (client, server) = (world.host("client"), world.host("server"));
    let (client_rt, server_rt) = (client.boot(), server.boot());
    let listener = listen(&server_rt).await;
    let near = client_rt
        .connect_tcp(addr(&server))
        .await
        .expect("it listens");
    let far = listener.accept().await.expect("a client came");
    Pair {
        client,
        server,
        client_rt,
        server_rt,
        listener,
        near,
        far,
    }
}

/// A task that counts every second on its host's clock.
fn count_seconds(rt: &Simulated) -> Arc<AtomicU64> {
    let counted = Arc::new(AtomicU64::new(0));
    let (clock, count) = (rt.clone(), counted.clone());
    rt.spawn(ThreadRole::Client, async move {
        loop {
            clock.sleep(SECOND).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
    .detach();
    counted
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn hosts_find_each_other_by_name_and_have_loopbacks_of_their_own() {
    World::run(1, async |world| {
        let Pair {
            client,
            server,
            client_rt,
            server_rt,
            near,
            far,
            listener: _listener,
        } = pair(&world).await;
        assert_eq!(
            client_rt.resolve("server").await.unwrap(),
            [server.address()]
        );
        assert_eq!(near.peer_addr(), Some(addr(&server)));
        assert_eq!(
            far.peer_addr().map(|peer| peer.ip()),
            Some(client.address())
        );
        assert_eq!(far.peer_addr(), near.local_addr());
        let here = (Ipv4Addr::LOCALHOST, PORT).into();
        assert!(server_rt.connect_tcp(here).await.is_ok());
        let refused = client_rt.connect_tcp(here).await;
        assert_eq!(kind(refused), io::ErrorKind::ConnectionRefused);
        let elsewhere = client_rt.listen_tcp(addr(&server)).await;
        assert_eq!(kind(elsewhere), io::ErrorKind::AddrNotAvailable);
        let nobody = client_rt.connect_tcp(([10, 0, 9, 9], PORT).into()).await;
        assert_eq!(kind(nobody), io::ErrorKind::HostUnreachable);
    });
}

#[test]
fn hosts_have_clocks_of_their_own() {
    World::run(1, async |world| {
        let settings = HostSettings {
            clock_ppm: 100_000,
            wall_offset_ms: 7_000,
        };
        let (fast, exact) = (world.host_with("fast", &settings), world.host("exact"));
        world.sleep(SECOND).await;
        let (fast_rt, exact_rt) = (fast.boot(), exact.boot());
        assert_eq!(fast_rt.now().since_start(), Duration::ZERO);
        assert_eq!(fast_rt.wall_ms() - exact_rt.wall_ms(), 7_100);
        let raft_elapsed = fast_rt.spawn(ThreadRole::Raft, async {
            let started = <SimRaft as AsyncRuntime>::Instant::now();
            SimRaft::sleep(11 * SECOND).await;
            started.elapsed()
        });
        world.sleep(10 * SECOND).await;
        assert_eq!(fast_rt.now().since_start(), 11 * SECOND);
        assert_eq!(exact_rt.now().since_start(), 10 * SECOND);
        assert_eq!(raft_elapsed.await, Ok(11 * SECOND));
        let before = world.now();
        fast_rt.sleep(11 * SECOND).await;
        assert_eq!(world.now() - before, 10 * SECOND);

        fast.jump_wall_clock(-60_000);
        assert_eq!(
            exact_rt.wall_ms() - fast_rt.wall_ms(),
            60_000 - 7_000 - 2_100
        );
        assert_eq!(fast_rt.now().since_start(), 22 * SECOND);
        // The wall clock outlives a life; the monotonic clock does not.
        let wall_ms = fast_rt.wall_ms();
        fast.kill();
        let again = fast.boot();
        assert_eq!(again.wall_ms(), wall_ms);
        assert_eq!(again.now().since_start(), Duration::ZERO);
    });
}

#[test]
fn one_hosts_draws_leave_another_hosts_alone() {
    let draws = |others: usize| {
        World::run(5, async |world| {
            let (a, b) = (world.host("a").boot(), world.host("b").boot());
            let of_a: Vec<u64> = (0..others).map(|_| a.random_u64()).collect();
            let of_b = [b.random_u64(), b.random_u64()];
            assert!(of_a.iter().all(|number| !of_b.contains(number)));
            let raft = b.spawn(ThreadRole::Raft, async {
                rand_core::Rng::next_u64(&mut SimRaft::thread_rng())
            });
            (of_b, raft.await.expect("no panic"))
        })
    };
    assert_eq!(draws(1), draws(50));
}

#[test]
fn a_kill_takes_tasks_sockets_and_lock_in_one_step() {
    World::run(1, async |world| {
        let Pair {
            server,
            client_rt,
            server_rt,
            listener,
            mut near,
            far,
            ..
        } = pair(&world).await;
        let alive = Arc::new(());
        let disk = server_rt.disk("/data".as_ref()).unwrap();
        let lock = disk.lock().unwrap();
        let file = disk.open("f", Open::Create).unwrap();
        file.write_at(b"not synced", 0).unwrap();
        let held = (alive.clone(), listener, far, lock);
        let raft_held = alive.clone();
        server_rt
            .spawn(ThreadRole::Raft, async move {
                SimRaft::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(raft_held);
                });
                std::future::pending::<()>().await;
                drop(held);
            })
            .detach();
        world.sleep(SECOND).await;
        assert_eq!(Arc::strong_count(&alive), 3);

        assert!(server.kill());
        assert_eq!(Arc::strong_count(&alive), 1, "gone at once");
        assert!(!server.is_running());
        assert!(!server.kill());
        let reset = near.read(&mut [0; 1]).await;
        assert_eq!(kind(reset), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(near.write_all(b"x").await), io::ErrorKind::BrokenPipe);
        drop(near);
        assert_eq!(world.connection_count(), 0);
        let refused = client_rt.connect_tcp(addr(&server)).await;
        assert_eq!(kind(refused), io::ErrorKind::ConnectionRefused);

        // The old life's handles do nothing more.
        assert!(file.write_at(b"ghost", 0).is_err());
        assert_eq!(
            kind(server_rt.disk("/data".as_ref())),
            io::ErrorKind::NotConnected
        );
        let ghost = server_rt.spawn(ThreadRole::Client, async {});
        assert!(ghost.await.is_err());

        // The next one finds what was written, the lock and the port.
        let again = server.boot();
        let disk = again.disk("/data".as_ref()).unwrap();
        let _lock = disk.lock().unwrap();
        assert_eq!(disk.read_whole("f").unwrap(), b"not synced");
        let _listener = listen(&again).await;
        assert!(client_rt.connect_tcp(addr(&server)).await.is_ok());
    });
}

#[test]
fn a_power_cut_is_silent_until_the_machine_is_on_again() {
    World::run(1, async |world| {
        let Pair {
            server,
            client_rt,
            server_rt,
            listener,
            mut near,
            far,
            ..
        } = pair(&world).await;
        let quiet = client_rt
            .connect_tcp(addr(&server))
            .await
            .expect("it listens");
        let (mut quiet_reader, mut quiet_writer) = quiet.split();
        let disk = server_rt.disk("/data".as_ref()).unwrap();
        disk.set_unsynced(Unsynced::Lost);
        let file = disk.open("f", Open::Create).unwrap();
        disk.sync_folder("").unwrap();
        file.write_at(b"synced", 0).unwrap();
        file.sync().unwrap();
        file.write_at(b"forgotten", 0).unwrap();

        assert!(server.cut_power());
        drop((listener, far));
        let hour = 3_600 * SECOND;
        near.write_all(b"anyone?").await.expect("it waits");
        let silence = client_rt.timeout(hour, near.read(&mut [0; 1])).await;
        assert!(matches!(silence, Err(Elapsed)), "{silence:?}");
        let before = client_rt.now();
        let hangs = client_rt.connect_tcp(addr(&server)).await;
        assert_eq!(kind(hangs), io::ErrorKind::TimedOut);
        assert_eq!(client_rt.now() - before, 127 * SECOND);

        // A connect that waits is answered when the machine is on again, here by a refusal.
        let waiting = {
            let (client_rt, to) = (client_rt.clone(), addr(&server));
            client_rt.clone().spawn(ThreadRole::Client, async move {
                kind(client_rt.connect_tcp(to).await)
            })
        };
        world.sleep(SECOND).await;
        let again = server.boot();
        assert_eq!(waiting.await, Ok(io::ErrorKind::ConnectionRefused));
        // Bytes that had no answer are repeated, and the machine knows nothing of them.
        let reset = client_rt.timeout(SECOND, near.read(&mut [0; 1])).await;
        assert_eq!(kind(reset.expect("soon")), io::ErrorKind::ConnectionReset);
        // Without such bytes a connection hears nothing until it sends some.
        let silence = client_rt
            .timeout(hour, quiet_reader.read(&mut [0; 1]))
            .await;
        assert!(matches!(silence, Err(Elapsed)), "{silence:?}");
        quiet_writer.write_all(b"hello?").await.expect("sent");
        let reset = quiet_reader.read(&mut [0; 1]).await;
        assert_eq!(kind(reset), io::ErrorKind::ConnectionReset);
        let disk = again.disk("/data".as_ref()).unwrap();
        assert_eq!(disk.read_whole("f").unwrap(), b"synced");
    });
}

#[test]
fn a_stopped_host_does_nothing_while_its_clock_goes_on() {
    World::run(1, async |world| {
        let Pair {
            server,
            client_rt,
            server_rt,
            listener,
            mut near,
            mut far,
            ..
        } = pair(&world).await;
        let counted = count_seconds(&server_rt);
        let read = server_rt.spawn(ThreadRole::Client, async move {
            let mut bytes = [0; 2];
            far.read_exact(&mut bytes).await.expect("open");
            far.write_all(&bytes).await.expect("open");
            listener.accept().await.expect("somebody came").peer_addr()
        });
        world.sleep(SECOND * 10 + SECOND / 2).await;
        assert_eq!(counted.load(Ordering::Relaxed), 10);
        assert!(server.stop());
        near.write_all(b"hi").await.expect("the machine takes it");
        let second = client_rt.connect_tcp(addr(&server)).await;
        let second = second.expect("the machine takes it");
        let answer = client_rt.timeout(100 * SECOND, near.read_u16()).await;
        assert!(matches!(answer, Err(Elapsed)), "nobody answers");
        assert_eq!(counted.load(Ordering::Relaxed), 10);
        assert!(server_rt.now().since_start() > 110 * SECOND);

        assert!(server.resume());
        assert_eq!(near.read_u16().await.expect("open"), 0x6869);
        assert_eq!(read.await, Ok(second.local_addr()));
        assert_eq!(counted.load(Ordering::Relaxed), 11, "one late tick");
        world.sleep(SECOND * 10).await;
        assert_eq!(counted.load(Ordering::Relaxed), 21);
        // A stopped host can be killed, and its tasks are gone, too.
        server.stop();
        server.kill();
        assert_eq!(Arc::strong_count(&counted), 1);
        assert!(!server.resume());
    });
}

#[test]
fn a_process_ends_with_its_main_function() {
    World::run(1, async |world| {
        let (client, server) = (world.host("client"), world.host("server"));
        let alive = Arc::new(());
        let held = alive.clone();
        let process = server.start(move |rt| async move {
            rt.spawn(ThreadRole::Guest, async move {
                std::future::pending::<()>().await;
                drop(held);
            })
            .detach();
            let listener = listen(&rt).await;
            let mut stream = listener.accept().await.expect("a client came");
            stream.write_all(b"bye").await.expect("open");
            rt.now()
        });
        let client_rt = client.boot();
        let mut stream = client_rt
            .connect_tcp(addr(&server))
            .await
            .expect("it listens");
        let mut words = String::new();
        stream
            .read_to_string(&mut words)
            .await
            .expect("an orderly end");
        assert_eq!(words, "bye");
        assert!(process.await.expect("it returned").since_start() > Duration::ZERO);
        assert!(!server.is_running());
        assert_eq!(Arc::strong_count(&alive), 1);

        let killed = server.start(|_rt| std::future::pending::<()>());
        server.kill();
        assert_eq!(killed.await, Err(Died));
    });
}

#[test]
#[should_panic(expected = "host b: a fsync task")]
fn a_panic_ends_its_host_and_the_run() {
    World::run(1, async |world| {
        let _a = world.host("a").boot();
        let b = world.host("b").boot();
        b.spawn(ThreadRole::Fsync, async { panic!("the disk is gone") })
            .detach();
        world.sleep(SECOND).await;
    });
}

#[test]
#[should_panic(expected = "host a: its main function panicked: no more beds")]
fn a_panic_of_a_main_function_fails_the_run() {
    World::run(1, async |world| {
        let beds = 0_u32;
        let process = world
            .host("a")
            .start(move |_rt| async move { assert!(beds > 0, "no more beds") });
        process.await
    })
    .expect_err("the run fails first");
}

#[test]
fn an_expected_panic_ends_only_its_host() {
    World::run(1, async |world| {
        let Pair {
            client,
            server,
            server_rt,
            mut near,
            far: _far,
            ..
        } = pair(&world).await;
        server.expect_panic();
        let counted = count_seconds(&server_rt);
        let raft = server_rt.clone();
        server_rt
            .spawn(ThreadRole::Client, async move {
                raft.sleep(SECOND).await;
                raft.spawn(ThreadRole::Raft, async {
                    SimRaft::spawn(async { panic!("a vote went back") });
                })
                .detach();
            })
            .detach();
        let reset = near.read(&mut [0; 1]).await;
        assert_eq!(kind(reset), io::ErrorKind::ConnectionReset);
        assert!(!server.is_running());
        assert_eq!(Arc::strong_count(&counted), 1, "its tasks are gone");
        let panics = server.take_panics();
        assert_eq!(panics.len(), 1);
        assert!(
            panics[0].ends_with("panicked: a vote went back"),
            "{panics:?}"
        );
        assert!(client.is_running());
        server.boot();
    });
}

/// Hundreds of lives leave nothing behind.
#[test]
fn many_lives_leave_nothing_behind() {
    World::run(1, async |world| {
        let (client, server) = (world.host("client"), world.host("server"));
        let client_rt = client.boot();
        for round in 0..300 {
            let rt = server.boot();
            let counted = count_seconds(&rt);
            let listener = listen(&rt).await;
            let stream = client_rt
                .connect_tcp(addr(&server))
                .await
                .expect("it listens");
            let accepted = listener.accept().await.expect("a client came");
            if round % 2 == 0 {
                server.kill();
            } else {
                server.cut_power();
            }
            drop((stream, accepted, listener));
            assert_eq!(Arc::strong_count(&counted), 1);
            assert_eq!(world.connection_count(), 0);
        }
    });
}
