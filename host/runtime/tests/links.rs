//! The links between simulated hosts: each fault has its effect, and its effect ends.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use innkeeper_runtime::sim::{
    ClosedPorts, Host, LinkSettings, SimListener, SimStream, Tail, Window, first_difference,
};
use innkeeper_runtime::{
    Elapsed, Instant, Listener, Runtime, Simulated, Stream, ThreadRole, World,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 2181;
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Two hosts; the second one listens.
struct Scene {
    world: World,
    a: Host,
    b: Host,
    a_rt: Simulated,
    b_rt: Simulated,
    listener: SimListener,
}

impl Scene {
    fn run<F: Future<Output = ()>>(seed: u64, story: impl FnOnce(Scene) -> F) {
        World::run(seed, async |world| {
            let (a, b) = (world.host("a"), world.host("b"));
            let (a_rt, b_rt) = (a.boot(), b.boot());
            let everywhere = (Ipv4Addr::UNSPECIFIED, PORT).into();
            let listener = b_rt.listen_tcp(everywhere).await.expect("a free port");
            let scene = Scene {
                world,
                a,
                b,
                a_rt,
                b_rt,
                listener,
            };
            story(scene).await;
        });
    }

    fn addr(&self) -> SocketAddr {
        (self.b.address(), PORT).into()
    }

    /// A connection: the end on `a` and the end on `b`.
    async fn connection(&self) -> (SimStream, SimStream) {
        let near = self
            .a_rt
            .connect_tcp(self.addr())
            .await
            .expect("it listens");
        (near, self.listener.accept().await.expect("a client came"))
    }

    /// How long a byte takes from one end to the other.
    async fn takes(&self, from: &mut SimStream, to: &mut SimStream) -> Duration {
        let before = self.world.now();
        from.write_all(b"x").await.expect("open");
        to.read_u8().await.expect("open");
        self.world.now() - before
    }

    /// Nothing is to be read for so long.
    async fn is_silent(&self, stream: &mut SimStream, time: Duration) -> bool {
        let read = self.a_rt.timeout(time, stream.read_u8()).await;
        matches!(read, Err(Elapsed))
    }
}

fn delay(delay: Duration, jitter: Duration) -> LinkSettings {
    LinkSettings {
        delay,
        jitter,
        ..LinkSettings::default()
    }
}

#[test]
fn each_direction_has_its_own_delay_and_jitter() {
    Scene::run(1, async |scene| {
        let (mut near, mut far) = scene.connection().await;
        let there = delay(20 * MS, 10 * MS);
        scene.world.set_link(&scene.a, &scene.b, there);
        scene
            .world
            .set_link(&scene.b, &scene.a, delay(3 * MS, Duration::ZERO));
        let mut seen = Vec::new();
        for _ in 0..50 {
            let took = scene.takes(&mut near, &mut far).await;
            assert!(took >= 20 * MS && took <= 30 * MS, "{took:?}");
            seen.push(took);
            assert_eq!(scene.takes(&mut far, &mut near).await, 3 * MS);
        }
        let spread = *seen.iter().max().unwrap() - *seen.iter().min().unwrap();
        assert!(spread > 5 * MS, "{spread:?}");
        let before = scene.world.now();
        let second = scene.connection().await;
        let took = scene.world.now() - before;
        assert!(took >= 23 * MS && took <= 33 * MS, "{took:?}");
        drop(second);

        scene
            .world
            .set_link(&scene.a, &scene.b, LinkSettings::default());
        assert!(scene.takes(&mut near, &mut far).await < MS);
    });
}

/// Reads everything and returns when the end came.
fn drain(scene: &Scene, mut stream: SimStream) -> impl Future<Output = (Instant, usize)> {
    let world = scene.world.clone();
    let task = scene.b_rt.spawn(ThreadRole::Client, async move {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("an end");
        (world.now(), bytes.len())
    });
    async move { task.await.expect("no panic") }
}

#[test]
fn throughput_is_shared_by_all_connections_of_a_link() {
    Scene::run(1, async |scene| {
        let slow = LinkSettings {
            bytes_per_s: Some(1_000_000),
            ..LinkSettings::default()
        };
        scene.world.set_link(&scene.a, &scene.b, slow);
        let (mut first, far_first) = scene.connection().await;
        let (mut second, far_second) = scene.connection().await;
        let before = scene.world.now();
        let reading = (drain(&scene, far_first), drain(&scene, far_second));
        let writing = [&mut first, &mut second].map(|stream| async move {
            stream.write_all(&[7; 500_000]).await.expect("open");
            stream.shutdown().await.expect("open");
        });
        futures_util::future::join_all(writing).await;
        let (first_end, first_bytes) = reading.0.await;
        let (second_end, second_bytes) = reading.1.await;
        assert_eq!((first_bytes, second_bytes), (500_000, 500_000));
        let took = first_end.max(second_end) - before;
        assert!(took >= SECOND && took < SECOND * 11 / 10, "{took:?}");

        // The other direction is not slow, and neither is this one afterwards.
        scene
            .world
            .set_link(&scene.a, &scene.b, LinkSettings::default());
        let (mut near, far) = scene.connection().await;
        let before = scene.world.now();
        let reading = drain(&scene, far);
        near.write_all(&[7; 500_000]).await.expect("open");
        drop(near);
        let (end, bytes) = reading.await;
        assert_eq!(bytes, 500_000);
        assert!(end - before < SECOND / 10);
    });
}

#[test]
fn bytes_wait_while_one_direction_is_cut_and_then_come_in_order() {
    Scene::run(1, async |scene| {
        let (mut near, mut far) = scene.connection().await;
        let hour = 3_600 * SECOND;
        near.write_all(b"0").await.expect("open");
        scene.world.sleep(MS).await;
        near.write_all(b"1").await.expect("open");
        scene.world.cut(&scene.a, &scene.b);
        near.write_all(b"23").await.expect("it waits");
        assert_eq!(far.read_u8().await.expect("it had arrived"), b'0');
        assert!(scene.is_silent(&mut far, hour).await);
        assert!(scene.takes(&mut far, &mut near).await < MS, "one way only");
        near.write_all(b"4").await.expect("it waits");

        scene.world.heal(&scene.a, &scene.b);
        let mut rest = [0; 4];
        far.read_exact(&mut rest).await.expect("open");
        assert_eq!(&rest, b"1234");
        assert!(scene.takes(&mut near, &mut far).await < MS);
    });
}

#[test]
fn a_connect_over_a_cut_link_waits_and_times_out() {
    for back in [false, true] {
        Scene::run(1, async |scene| {
            let (from, to) = match back {
                false => (&scene.a, &scene.b),
                true => (&scene.b, &scene.a),
            };
            scene.world.cut(from, to);
            let before = scene.world.now();
            let timed_out = scene.a_rt.connect_tcp(scene.addr()).await;
            let error = timed_out.expect_err("cut");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(scene.world.now() - before, 127 * SECOND);

            let (rt, addr) = (scene.a_rt.clone(), scene.addr());
            let waiting = scene.a_rt.spawn(ThreadRole::Client, async move {
                rt.connect_tcp(addr).await.map(|stream| stream.local_addr())
            });
            scene.world.sleep(60 * SECOND).await;
            scene.world.heal_all();
            let connected = waiting.await.expect("no panic").expect("healed");
            if back {
                // The server heard of the first attempt, too, and that it was given up.
                let mut given_up = scene.listener.accept().await.expect("somebody came");
                assert_eq!(given_up.read(&mut [0; 1]).await.expect("an end"), 0);
            }
            let accepted = scene.listener.accept().await.expect("a client came");
            assert_eq!(accepted.peer_addr(), connected);
        });
    }
}

#[test]
fn a_parted_host_hears_of_a_death_when_the_link_heals() {
    Scene::run(1, async |scene| {
        let (mut near, _far) = scene.connection().await;
        scene.world.part(&scene.a, &scene.b);
        scene.b.kill();
        assert!(scene.is_silent(&mut near, 3_600 * SECOND).await);
        near.write_all(b"into the void").await.expect("it waits");
        scene.world.heal_all();
        let error = near.read_u8().await.expect_err("dead");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_writer_without_room_hears_of_a_reset() {
    for parted in [false, true] {
        Scene::run(1, async |scene| {
            let (mut near, _far) = scene.connection().await;
            if parted {
                // What the reader had not got stays on this side.
                scene.world.cut(&scene.a, &scene.b);
            }
            let writing = scene.a_rt.spawn(ThreadRole::Client, async move {
                near.write_all(&[7; 1 << 20]).await
            });
            scene.world.sleep(SECOND).await;
            scene.b.kill();
            let failed = scene.a_rt.timeout(SECOND, writing).await;
            let error = failed.expect("soon").expect("no panic").expect_err("dead");
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }
}

#[test]
fn a_reset_breaks_both_ends_and_only_the_connections_of_two_hosts() {
    Scene::run(1, async |scene| {
        let (mut near, mut far) = scene.connection().await;
        let c = scene.world.host("c").boot();
        let mut other = c.connect_tcp(scene.addr()).await.expect("it listens");
        let mut far_other = scene.listener.accept().await.expect("a client came");
        near.write_all(b"lost").await.expect("open");
        scene.world.reset_connections(&scene.b, &scene.a);
        for end in [&mut near, &mut far] {
            let error = end.read_u8().await.expect_err("broken");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert!(end.write_all(b"x").await.is_err());
        }
        assert!(scene.takes(&mut other, &mut far_other).await < MS);
        let (mut near, mut far) = scene.connection().await;
        assert!(scene.takes(&mut near, &mut far).await < MS);
    });
}

/// One connection keeps its order, while another one overtakes it.
#[test]
fn a_heavy_tail_delays_some_pieces_and_keeps_their_order() {
    Scene::run(1, async |scene| {
        let settings = LinkSettings {
            tail: Some(Tail {
                one_in: 10,
                least: 10 * MS,
                most: 640 * MS,
            }),
            ..LinkSettings::default()
        };
        scene.world.set_link(&scene.a, &scene.b, settings);
        let mut took = Vec::new();
        let (mut near, mut far) = scene.connection().await;
        for _ in 0..2_000 {
            took.push(scene.takes(&mut near, &mut far).await);
        }
        let slower = |than| took.iter().filter(|took| **took >= than).count();
        let late = slower(10 * MS);
        assert!((140..260).contains(&late), "{late} of 2000 are late");
        assert!((60..140).contains(&slower(20 * MS)));
        assert!((10..60).contains(&slower(80 * MS)));
        assert!(slower(640 * MS) > 0 && slower(641 * MS) == 0);

        let (mut second, mut far_second) = scene.connection().await;
        let mut overtakes = 0;
        for number in 0..200 {
            near.write_u8(number).await.expect("open");
            second.write_u8(number).await.expect("open");
            let world = scene.world.clone();
            let clock = world.clone();
            let first_read = async {
                let read = far.read_u8().await.expect("open");
                (read, world.now())
            };
            let second_read = async {
                let read = far_second.read_u8().await.expect("open");
                (read, clock.now())
            };
            let (first, later) = futures_util::join!(first_read, second_read);
            assert_eq!((first.0, later.0), (number, number));
            overtakes += usize::from(later.1 < first.1);
        }
        assert!(overtakes > 10, "{overtakes}");

        scene
            .world
            .set_link(&scene.a, &scene.b, LinkSettings::default());
        for _ in 0..200 {
            assert!(scene.takes(&mut near, &mut far).await < MS);
        }
    });
}

/// Three hosts talk while links break and heal and hosts die; returns all that was seen.
async fn stormy(world: World) -> Vec<(u64, usize)> {
    let hosts = ["a", "b", "c"].map(|name| world.host(name));
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    for round in 0..12 {
        for host in &hosts {
            if host.is_running() {
                continue;
            }
            let (peers, seen) = (hosts.clone(), seen.clone());
            let own = host.name().to_owned();
            let talk = move |rt: Simulated| async move {
                let everywhere = (Ipv4Addr::UNSPECIFIED, PORT).into();
                let listener = rt.listen_tcp(everywhere).await.expect("a free port");
                let server = rt.clone();
                rt.spawn(ThreadRole::Client, async move {
                    while let Ok(stream) = listener.accept().await {
                        let (mut reader, mut writer) = stream.split();
                        let echo =
                            async move { _ = tokio::io::copy(&mut reader, &mut writer).await };
                        server.spawn(ThreadRole::Client, echo).detach();
                    }
                })
                .detach();
                loop {
                    rt.sleep(3 * MS).await;
                    for peer in peers.iter().filter(|peer| peer.name() != own) {
                        let to = (peer.address(), PORT).into();
                        let Ok(mut stream) = rt.connect_tcp(to).await else {
                            continue;
                        };
                        let number = rt.random_u64();
                        let exchange = async {
                            stream.write_u64(number).await?;
                            stream.read_u64().await
                        };
                        if let Ok(Ok(back)) = rt.timeout(SECOND, exchange).await {
                            assert_eq!(back, number);
                            seen.lock().push((rt.now().as_nanos() ^ number, round));
                        }
                    }
                }
            };
            host.start(talk).detach();
        }
        world.sleep(50 * MS).await;
        match round % 4 {
            0 => world.part(&hosts[0], &hosts[1]),
            1 => _ = hosts[2].kill(),
            2 => _ = hosts[1].cut_power(),
            _ => world.heal_all(),
        }
    }
    seen.lock().clone()
}

#[test]
fn one_seed_is_one_world() {
    let run = |seed, window| World::run_traced(seed, window, stormy);
    let difference = first_difference(|window| run(3, window).1);
    assert_eq!(difference, None);
    let (seen, trace) = run(3, Window::default());
    assert!(seen.len() > 50, "{} exchanges", seen.len());
    assert_eq!((seen.clone(), trace.clone()), run(3, Window::default()));
    let (other_seen, other_trace) = run(4, Window::default());
    assert_ne!(seen, other_seen);
    assert_ne!(trace, other_trace);
}

#[test]
fn closed_ports_refuse_or_drop_what_others_dial_and_nothing_else() {
    Scene::run(2, async |scene| {
        let Scene { world, a, b, .. } = &scene;
        // `b` dials `a`, too, and itself.
        let everywhere = (Ipv4Addr::UNSPECIFIED, PORT).into();
        let other = scene
            .a_rt
            .listen_tcp(everywhere)
            .await
            .expect("a free port");
        let addr = (a.address(), PORT).into();
        let mut own = scene.b_rt.connect_tcp(addr).await.expect("it listens");
        let mut of_a = other.accept().await.expect("a client came");
        let here = scene.b_rt.connect_tcp(scene.addr()).await;
        let mut here = here.expect("it listens");
        let mut inside = scene.listener.accept().await.expect("a client came");

        // What is dropped waits, and arrives later. What goes the other way arrives.
        let (mut near, mut far) = scene.connection().await;
        world.close_ports(b, ClosedPorts::Drop);
        near.write_all(b"1").await.expect("it is open");
        assert!(scene.is_silent(&mut far, SECOND).await);
        assert!(scene.takes(&mut far, &mut near).await < MS);
        let dialed = scene
            .a_rt
            .timeout(SECOND, scene.a_rt.connect_tcp(scene.addr()));
        assert!(matches!(dialed.await, Err(Elapsed)));
        let works = async |own: &mut SimStream, of_a: &mut SimStream| {
            assert!(scene.takes(own, of_a).await < MS);
            assert!(scene.takes(of_a, own).await < MS);
        };
        works(&mut own, &mut of_a).await;
        works(&mut here, &mut inside).await;
        // The end of a cut lets nothing through that is dropped, nor the other way round.
        world.part(a, b);
        world.heal_all();
        assert!(scene.is_silent(&mut far, SECOND).await);
        world.cut(a, b);
        world.open_ports(b);
        assert!(scene.is_silent(&mut far, SECOND).await);
        world.heal(a, b);
        assert_eq!(far.read_u8().await.expect("it is open"), b'1');

        // Refused connections break at both ends, also those that were dropped before.
        world.close_ports(b, ClosedPorts::Drop);
        near.write_all(b"2").await.expect("it is open");
        world.close_ports(b, ClosedPorts::Refuse);
        for end in [&mut near, &mut far] {
            let error = end.read_u8().await.expect_err("it broke");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        let refused = scene.a_rt.connect_tcp(scene.addr()).await;
        let refused = refused.expect_err("the ports are closed").kind();
        assert_eq!(refused, io::ErrorKind::ConnectionRefused);
        works(&mut own, &mut of_a).await;
        works(&mut here, &mut inside).await;
        let again = scene.b_rt.connect_tcp(addr).await;
        drop(again.expect("its own dials work"));
        world.open_ports(b);
        let (mut near, mut far) = scene.connection().await;
        assert!(scene.takes(&mut near, &mut far).await < MS);
    });
}
