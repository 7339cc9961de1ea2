//! The run of a schedule: does what is planned, and undoes it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cast::Cast;
use super::draw::Pauses;
use super::fault::{Effect, Fault, Seconds};
use super::kind::FaultKind;
use super::layers::Layers;
use super::record::Record;
use crate::sim::disk::SimDisk;
use crate::sim::faults::CutAt;
use crate::sim::link::LinkSettings;
use crate::sim::net::ClosedPorts;
use crate::sim::sync_time::SyncTime;
use crate::{Disk, Instant, Select2, select2};

/// Holds a server that ended by itself off until its pause is over; no fault has this number.
const SUPERVISOR: usize = usize::MAX;
/// A run is over when each server has run for so long after everything has healed.
const STEADY: Duration = Duration::from_secs(1);
/// A server that ends so often after everything has healed will not stay up.
const ENDS_MAX: u64 = 20;

/// A schedule that runs.
pub(super) struct Storm<'a> {
    faults: &'a [Fault],
    pauses: Pauses,
    cast: &'a mut Cast,
    begun: Instant,
    /// What is to be done next, in the order in which it was planned.
    due: BTreeMap<(Instant, u64), Step>,
    planned: u64,
    servers: BTreeMap<usize, ServerState>,
    links: BTreeMap<(usize, usize), LinkState>,
    record: Record,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(usize),
    End(usize),
    /// A server that ended by itself starts again.
    Restart(usize),
}

/// What faults do to a server.
#[derive(Debug, Default)]
struct ServerState {
    /// The process is dead.
    off: Layers<()>,
    /// The machine has no power.
    is_dark: bool,
    stopped: Layers<()>,
    closed: Layers<ClosedPorts>,
    syncs: Layers<SyncTime>,
    capacity: Layers<u64>,
    flips: Layers<u64>,
    failing: Option<AtSync>,
    cutting: Option<AtSync>,
}

/// What is ordered for one of the next syncs. A later order takes the place of an earlier one.
#[derive(Debug)]
struct AtSync {
    fault: usize,
    /// The number of the sync among all syncs of the disk.
    sync: u64,
}

/// What faults do to one direction between two hosts.
#[derive(Debug, Default)]
struct LinkState {
    cut: Layers<()>,
    changed: Layers<LinkSettings>,
    /// The settings without faults.
    before: Option<LinkSettings>,
}

/// The reason why a fault has no effect.
type Void = &'static str;

impl<'a> Storm<'a> {
    pub(super) fn new(faults: &'a [Fault], pauses: Pauses, cast: &'a mut Cast) -> Self {
        let begun = cast.world().now();
        let mut storm = Self {
            faults,
            pauses,
            begun,
            due: BTreeMap::new(),
            planned: 0,
            servers: BTreeMap::new(),
            links: BTreeMap::new(),
            record: Record::default(),
            cast,
        };
        for (number, fault) in faults.iter().enumerate() {
            storm.plan(begun + fault.at, Step::Begin(number));
        }
        storm
    }

    pub(super) fn journal(self, line: String) -> Self {
        self.cast.world().journal(line);
        self
    }

    fn plan(&mut self, at: Instant, step: Step) {
        self.due.insert((at, self.planned), step);
        self.planned += 1;
    }

    fn note(&mut self, what: String) {
        let now = self.cast.world().now();
        self.cast.world().journal(&what);
        self.record.lines.push((now - self.begun, what));
    }

    pub(super) async fn run(mut self, length: Duration) -> Record {
        self.cast.start();
        let world = self.cast.world().clone();
        let end = self.begun + length;
        loop {
            let next = self.due.first_key_value().map(|((at, _), _)| *at);
            let until = next.map_or(end, |next| next.min(end));
            let time = world.sleep(until.since(world.now()));
            match select2(self.cast.next_end(), time).await {
                Select2::First(server) => self.ended_by_itself(server),
                // All faults have ended by the end, and pauses end with it.
                Select2::Second(()) => match self.due.pop_first() {
                    Some(((at, _), step)) if at <= end => self.step(step),
                    _ => break,
                },
            }
        }
        self.heal().await;
        self.record
    }

    /// Starts all servers that are off, and waits until each has run for a while.
    async fn heal(&mut self) {
        self.note("everything heals".to_owned());
        for server in self.cast.servers() {
            self.server(server).off.clear();
            self.start_if_free(server);
        }
        let world = self.cast.world().clone();
        let mut ends = 0;
        loop {
            match select2(self.cast.next_end(), world.sleep(STEADY)).await {
                Select2::First(server) => {
                    ends += 1;
                    let name = self.name(server);
                    assert!(
                        ends < ENDS_MAX,
                        "{name} does not stay up after everything has healed: see why it ends"
                    );
                    self.process_is_gone(server);
                    self.record.surprises += 1;
                    self.note(format!("{name} has ended by itself"));
                    self.start_if_free(server);
                }
                Select2::Second(()) => return,
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin(number) => self.begin(number),
            Step::End(number) => self.end(number),
            Step::Restart(server) => {
                self.server(server).off.take(SUPERVISOR);
                self.start_if_free(server);
            }
        }
    }

    fn begin(&mut self, number: usize) {
        let fault = &self.faults[number];
        let done = self.harm(number, &fault.effect);
        // A sync that fails counts when it has failed.
        let is_pending = matches!(fault.kind, FaultKind::FailedSync | FaultKind::CutAtSync);
        let words = fault.words();
        self.note(match done {
            Ok(()) => words,
            Err(why) => format!("{words}: {why}"),
        });
        if done.is_ok() && !is_pending {
            *self.record.effects.entry(fault.kind).or_default() += 1;
        }
        if fault.kind != FaultKind::Reset {
            let end = self.begun + fault.at + fault.lasts;
            self.plan(end, Step::End(number));
        }
    }

    fn end(&mut self, number: usize) {
        let fault = &self.faults[number];
        self.note(format!("over: {}", fault.what));
        self.undo(number, &fault.effect);
    }

    fn server(&mut self, server: usize) -> &mut ServerState {
        self.servers.entry(server).or_default()
    }

    fn link(&mut self, from: usize, to: usize) -> &mut LinkState {
        self.links.entry((from, to)).or_default()
    }

    fn name(&self, number: usize) -> String {
        self.cast.host(number).name().to_owned()
    }

    /// Begins a fault. The error says why it has no effect.
    fn harm(&mut self, fault: usize, effect: &Effect) -> Result<(), Void> {
        match effect {
            Effect::Kill(server) => {
                self.server(*server).off.put(fault, ());
                let ran = self.cast.host(*server).is_running();
                self.process_is_gone(*server);
                self.cast.host(*server).kill();
                ran.then_some(()).ok_or("it is dead already")
            }
            Effect::PowerCut(server) => {
                self.server(*server).off.put(fault, ());
                self.process_is_gone(*server);
                let was_dark = std::mem::replace(&mut self.server(*server).is_dark, true);
                self.cast.host(*server).cut_power();
                (!was_dark).then_some(()).ok_or("it is off already")
            }
            Effect::Stop(server) => {
                let host = self.cast.host(*server).clone();
                if !host.is_running() {
                    return Err("it is dead");
                }
                if !self.server(*server).stopped.put(fault, ()) {
                    return Err("it is stopped already");
                }
                host.stop();
                Ok(())
            }
            Effect::JumpClock { server, by_ms } => {
                self.cast.host(*server).jump_wall_clock(*by_ms);
                Ok(())
            }
            Effect::Cut(ways) => {
                let mut cut_one = false;
                for (from, to) in ways {
                    if self.link(*from, *to).cut.put(fault, ()) {
                        cut_one = true;
                        let [from, to] = [*from, *to].map(|it| self.cast.host(it));
                        self.cast.world().cut(from, to);
                    }
                }
                cut_one.then_some(()).ok_or("there was no way left to cut")
            }
            Effect::ClosePorts { server, how } => {
                self.server(*server).closed.put(fault, *how);
                self.set_ports(*server);
                Ok(())
            }
            Effect::Reset(a, b) => {
                let [a, b] = [*a, *b].map(|it| self.cast.host(it));
                let broken = self.cast.world().reset_connections(a, b);
                (broken > 0).then_some(()).ok_or("there was none")
            }
            Effect::Link(a, b, settings) => {
                for (from, to) in [(*a, *b), (*b, *a)] {
                    let [from_host, to_host] = [from, to].map(|it| self.cast.host(it).clone());
                    let before = self.cast.world().link(&from_host, &to_host);
                    let link = self.link(from, to);
                    link.before.get_or_insert(before);
                    link.changed.put(fault, settings.clone());
                    self.cast
                        .world()
                        .set_link(&from_host, &to_host, settings.clone());
                }
                Ok(())
            }
            Effect::Syncs(server, time) => {
                self.server(*server).syncs.put(fault, time.clone());
                self.set_disk(*server);
                Ok(())
            }
            Effect::Full {
                server,
                spare_bytes,
            } => {
                let used = self.disk(*server).used();
                let capacity = used + spare_bytes;
                self.server(*server).capacity.put(fault, capacity);
                self.set_disk(*server);
                Ok(())
            }
            Effect::FlipBits { server, one_in } => {
                self.server(*server).flips.put(fault, *one_in);
                self.set_disk(*server);
                Ok(())
            }
            Effect::FailSync { server, nth } => {
                self.look_at_syncs(*server);
                let disk = self.disk(*server);
                disk.fail_sync(*nth);
                let sync = disk.sync_count() + nth;
                self.server(*server).failing = Some(AtSync { fault, sync });
                Ok(())
            }
            Effect::CutAtSync { server, nth, at } => {
                self.look_at_syncs(*server);
                let disk = self.disk(*server);
                disk.cut_at_sync(*nth, *at);
                let sync = disk.sync_count() + nth;
                self.server(*server).cutting = Some(AtSync { fault, sync });
                Ok(())
            }
        }
    }

    /// Ends a fault, unless another one holds what it held.
    fn undo(&mut self, fault: usize, effect: &Effect) {
        match effect {
            Effect::Kill(server) | Effect::PowerCut(server) => {
                if self.server(*server).off.take(fault) {
                    self.start_if_free(*server);
                }
            }
            Effect::Stop(server) => {
                if self.server(*server).stopped.take(fault) {
                    self.cast.host(*server).resume();
                }
            }
            Effect::JumpClock { server, by_ms } => {
                self.cast.host(*server).jump_wall_clock(-by_ms);
            }
            Effect::Cut(ways) => {
                for (from, to) in ways {
                    if self.link(*from, *to).cut.take(fault) {
                        let [from, to] = [*from, *to].map(|it| self.cast.host(it));
                        self.cast.world().heal(from, to);
                    }
                }
            }
            Effect::ClosePorts { server, .. } => {
                self.server(*server).closed.take(fault);
                self.set_ports(*server);
            }
            Effect::Reset(..) => {}
            Effect::Link(a, b, _) => {
                for (from, to) in [(*a, *b), (*b, *a)] {
                    let link = self.link(from, to);
                    link.changed.take(fault);
                    let settings = link.changed.top().or(link.before.as_ref());
                    let settings = settings.expect("it was changed").clone();
                    if link.changed.is_empty() {
                        link.before = None;
                    }
                    let [from, to] = [from, to].map(|it| self.cast.host(it));
                    self.cast.world().set_link(from, to, settings);
                }
            }
            Effect::Syncs(server, _) => {
                self.server(*server).syncs.take(fault);
                self.set_disk(*server);
            }
            Effect::Full { server, .. } => {
                self.server(*server).capacity.take(fault);
                self.set_disk(*server);
            }
            Effect::FlipBits { server, .. } => {
                self.server(*server).flips.take(fault);
                self.set_disk(*server);
            }
            Effect::FailSync { server, .. } => {
                self.look_at_syncs(*server);
                let state = self.server(*server);
                if state.failing.take_if(|it| it.fault == fault).is_some() {
                    self.disk(*server).fail_sync(0);
                }
            }
            Effect::CutAtSync { server, .. } => {
                self.look_at_syncs(*server);
                let state = self.server(*server);
                if state.cutting.take_if(|it| it.fault == fault).is_some() {
                    self.disk(*server).cut_at_sync(0, CutAt::Before);
                }
            }
        }
    }

    /// A server's process ends or has ended, and the faults of the process with it.
    fn process_is_gone(&mut self, server: usize) {
        self.cast.forget_process(server);
        self.look_at_syncs(server);
        self.server(server).stopped.clear();
    }

    fn ended_by_itself(&mut self, server: usize) {
        self.process_is_gone(server);
        let pause = self.pauses.draw();
        let name = self.name(server);
        self.note(format!(
            "{name} has ended by itself, and starts again in {}",
            Seconds(pause)
        ));
        self.record.surprises += 1;
        self.server(server).off.put(SUPERVISOR, ());
        let at = self.cast.world().now() + pause;
        self.plan(at, Step::Restart(server));
    }

    /// Starts a server, unless it runs or a fault holds it off.
    fn start_if_free(&mut self, server: usize) {
        if !self.server(server).off.is_empty() || self.cast.host(server).is_running() {
            return;
        }
        self.cast.start_server(server);
        self.server(server).is_dark = false;
        self.record.restarts += 1;
        let name = self.name(server);
        self.note(format!("{name} starts"));
    }

    fn disk(&self, server: usize) -> SimDisk {
        let disk = self.cast.disk(server);
        disk.expect("a fault of a disk meets a server that has one")
            .0
    }

    /// Opens or closes a server's ports as the faults say that hold them.
    fn set_ports(&mut self, server: usize) {
        let how = self.server(server).closed.top().copied();
        let host = self.cast.host(server);
        match how {
            Some(how) => self.cast.world().close_ports(host, how),
            None => self.cast.world().open_ports(host),
        }
    }

    /// Makes a disk as slow, as full and as wrong as the faults say that hold it.
    fn set_disk(&mut self, server: usize) {
        let (disk, normal) = self.cast.disk(server).expect("a server with a disk");
        let state = self.server(server);
        disk.set_sync_time(state.syncs.top().cloned().unwrap_or(normal));
        disk.set_capacity(state.capacity.top().copied());
        disk.flip_bits_on_read(state.flips.top().copied());
    }

    /// Finds out whether what was ordered for a sync has happened.
    fn look_at_syncs(&mut self, server: usize) {
        let Some((disk, _)) = self.cast.disk(server) else {
            return;
        };
        let syncs = disk.sync_count();
        let has_come = |it: &mut AtSync| it.sync <= syncs;
        let name = self.name(server);
        let state = self.server(server);
        let failed = state.failing.take_if(has_come);
        let cut = state.cutting.take_if(has_come);
        state.is_dark |= cut.is_some();
        if failed.is_some() {
            self.happened(
                FaultKind::FailedSync,
                format!("a sync of {name} has failed"),
            );
        }
        if cut.is_some() {
            self.happened(
                FaultKind::CutAtSync,
                format!("{name} has lost power at a sync"),
            );
        }
    }

    fn happened(&mut self, kind: FaultKind, what: String) {
        *self.record.effects.entry(kind).or_default() += 1;
        self.note(what);
    }
}
