//! The hosts of a simulated world, and what ends them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::clock::{Rate, WALL_START_MS, WorldClock};
use super::disk::SimDisk;
use super::life::Life;
use super::net::Network;
use super::wires::HostId;
use crate::{Instant, Latest, TaskPanic};

/// How a host differs from another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// How much faster than true time the host's clocks run, in millionths; a negative number is
    /// slower. A quartz is wrong by up to 100, and the number must be greater than -1,000,000.
    pub clock_ppm: i32,
    /// How far the host's wall clock is ahead at the start, in milliseconds.
    pub wall_offset_ms: i64,
}

/// How a life ended, as the rest of the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The process ended by itself: its tasks close their sockets.
    Exit,
    /// The process was killed: its machine resets its connections and keeps its unsynced writes.
    Kill,
    /// The machine lost power: it says nothing, and the seed decides about unsynced writes.
    PowerCut,
}

/// One host: everything that outlives its lives.
///
/// Invariants:
/// - At most one life runs at a time.
/// - Only a disk handle of the present life works.
pub(super) struct Machine {
    pub(super) id: HostId,
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    net: Arc<Network>,
    seed: u64,
    rate: Rate,
    wall_offset_ms: AtomicI64,
    random: Arc<Mutex<ChaCha8Rng>>,
    failure: Latest<Option<String>>,
    state: Mutex<State>,
}

struct State {
    life: Option<Arc<Life>>,
    disks: BTreeMap<PathBuf, SimDisk>,
    /// Do the disks end the host when they cut the power?
    is_cut_by_disks: bool,
    /// Has the machine lost power since the last start?
    is_dark: bool,
    /// Is a panic of this host part of the test, so that it is kept here instead of failing the
    /// run?
    expects_panic: bool,
    panics: Vec<String>,
}

impl Machine {
    pub(super) fn new(
        id: HostId,
        name: String,
        world_seed: u64,
        settings: &HostSettings,
        net: Arc<Network>,
        failure: Latest<Option<String>>,
    ) -> Arc<Self> {
        let [high, low] = (id.0 + 1).to_be_bytes()[2..] else {
            unreachable!("a number of four bytes");
        };
        let address = Ipv4Addr::new(10, 0, high, low);
        net.add_host(id, address);
        // The first host has the world's seed, so a world of one host needs no other.
        let seed = world_seed.wrapping_add(u64::from(id.0) << 32);
        Arc::new(Self {
            id,
            name,
            address,
            net,
            seed,
            rate: Rate::new(settings.clock_ppm),
            wall_offset_ms: AtomicI64::new(settings.wall_offset_ms),
            random: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))),
            failure,
            state: Mutex::new(State {
                life: None,
                disks: BTreeMap::new(),
                is_cut_by_disks: false,
                is_dark: false,
                expects_panic: false,
                panics: Vec::new(),
            }),
        })
    }

    pub(super) fn net(&self) -> &Arc<Network> {
        &self.net
    }

    fn clock(&self) -> &Arc<WorldClock> {
        &self.net.clock
    }

    pub(super) fn wall_ms(&self) -> u64 {
        let since_start = self.clock().now() - Instant::default();
        let elapsed_ms = self.rate.local(since_start).as_millis() as u64;
        let offset_ms = self.wall_offset_ms.load(Ordering::Relaxed);
        (WALL_START_MS + elapsed_ms).saturating_add_signed(offset_ms)
    }

    pub(super) fn jump_wall_clock(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(super) fn fill_random(&self, bytes: &mut [u8]) {
        self.random.lock().fill_bytes(bytes);
        let count = bytes.len();
        self.clock()
            .note(format_args!("{} random bytes {count}", self.id));
    }

    /// The present life, if the host runs.
    pub(super) fn life(&self) -> Option<Arc<Life>> {
        self.state.lock().life.clone()
    }

    /// Begins a life; the machine is switched on for it.
    pub(super) fn begin(self: &Arc<Self>) -> Arc<Life> {
        assert!(
            self.life().is_none(),
            "the host {} runs already: end its life before the next one",
            self.name
        );
        self.net.light(self.id);
        let machine = Arc::downgrade(self);
        let on_lost_panic = Arc::new(move |panic: &TaskPanic| {
            tracing::error!("{panic}");
            if panic.role.is_core()
                && let Some(machine) = machine.upgrade()
            {
                machine.panicked(panic.to_string());
            }
        });
        self.clock().note(format_args!("{} starts", self.id));
        let life = Life::new(
            self.id,
            self.clock().clone(),
            self.rate,
            self.random.clone(),
            on_lost_panic,
        );
        let mut state = self.state.lock();
        state.is_dark = false;
        for disk in state.disks.values_mut() {
            if !disk.is_powered() {
                *disk = disk.reopen();
            }
        }
        state.life = Some(life.clone());
        life
    }

    /// Ends the present life. With [`Ends::Kill`] and [`Ends::PowerCut`] its sockets and disks are
    /// gone before its first task is dropped. Returns false if there is none.
    pub(super) fn end(&self, how: Ends) -> bool {
        let life = self.state.lock().life.take();
        match &life {
            Some(life) => {
                let rest = life.end();
                self.cut_off(how);
                rest.bury();
            }
            // A machine whose process has ended can still lose power.
            None if how == Ends::PowerCut => self.cut_off(how),
            None => {}
        }
        life.is_some()
    }

    /// A panic ends the host, and fails the run unless the test expects it. What panics because
    /// the power is gone did not happen.
    pub(super) fn panicked(&self, message: String) {
        if self.state.lock().is_dark {
            return;
        }
        self.end_within(Ends::Kill);
        let mut state = self.state.lock();
        if state.expects_panic {
            state.panics.push(message);
        } else {
            self.failure
                .set(Some(format!("host {}: {message}", self.name)));
        }
    }

    /// Ends the present life in the middle of a task's work, which goes on to its next await. The
    /// executor drops the tasks, since a lock may be held here that they want.
    fn end_within(&self, how: Ends) {
        let life = self.state.lock().life.take();
        let rest = life.map(|life| life.end());
        if rest.is_some() || how == Ends::PowerCut {
            self.cut_off(how);
        }
        if let Some(rest) = rest {
            rest.leave();
        }
    }

    /// From now on a disk that cuts its power cuts that of the whole machine.
    pub(super) fn follow_disks(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.is_cut_by_disks = true;
        for disk in state.disks.values() {
            self.follow(disk);
        }
    }

    fn follow(self: &Arc<Self>, disk: &SimDisk) {
        let machine = Arc::downgrade(self);
        disk.on_power_loss(Arc::new(move || {
            if let Some(machine) = machine.upgrade() {
                machine.end_within(Ends::PowerCut);
            }
        }));
    }

    fn cut_off(&self, how: Ends) {
        self.clock().note(format_args!("{} {how:?}", self.id));
        match how {
            Ends::Exit => {}
            Ends::Kill => self.net.hang_up(self.id),
            Ends::PowerCut => self.net.darken(self.id),
        }
        let mut state = self.state.lock();
        state.is_dark |= how == Ends::PowerCut;
        for disk in state.disks.values_mut() {
            match how {
                Ends::Exit | Ends::Kill => *disk = disk.after_kill(),
                Ends::PowerCut => disk.lose_power(),
            }
        }
    }

    pub(super) fn expect_panic(&self) {
        self.state.lock().expects_panic = true;
    }

    pub(super) fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().panics)
    }

    /// The disk at a folder; an empty one if there is none.
    pub(super) fn disk(self: &Arc<Self>, root: &Path) -> SimDisk {
        let present = self.state.lock().disks.get(root).cloned();
        present.unwrap_or_else(|| {
            let number = self.state.lock().disks.len() as u64;
            let disk = SimDisk::new(self.seed.wrapping_add(number));
            self.mount(root.to_owned(), disk.clone());
            disk
        })
    }

    pub(super) fn mount(self: &Arc<Self>, root: PathBuf, disk: SimDisk) {
        let mut state = self.state.lock();
        if state.is_cut_by_disks {
            self.follow(&disk);
        }
        state.disks.insert(root, disk);
    }
}

/// The error of a call through a handle whose life is over.
pub(super) fn is_over() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the simulated host was ended: a later life has a handle of its own",
    )
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
