//! Draws the faults of a schedule from its seed.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::cast::Cast;
use super::fault::{Effect, Fault};
use super::kind::{FaultKind, Scope};
use super::rates::{FaultRate, Rates};
use crate::sim::faults::CutAt;
use crate::sim::link::{LinkSettings, Tail};
use crate::sim::net::ClosedPorts;
use crate::sim::sync_time::SyncTime;

/// Makes a schedule's randomness differ from that of a world with the same seed.
const SALT: u64 = 0x5c4e_d01e_5c4e_d01e;
/// The greatest jump of a wall clock.
const JUMP_MAX_MS: u64 = 3_600_000;
/// One of so many next syncs fails, or meets a power cut.
const SYNCS_AHEAD_MAX: u64 = 20;
/// So much room may be left on a full disk.
const SPARE_BYTES_MAX: u64 = 64 << 10;

/// Draws the faults of all kinds, in the order in which they begin.
///
/// Each kind has a random stream of its own for each server, pair or cast. So a kind that is left
/// out changes nothing about the others.
pub(super) fn draw(seed: u64, length: Duration, rates: &Rates, cast: &Cast) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, kind) in FaultKind::ALL.into_iter().enumerate() {
        let Some(rate) = rates.of(kind) else {
            continue;
        };
        for (a, b) in targets(kind, cast) {
            let mut dice = Dice::new(seed, number, a, b);
            let mut at_ms = 0.0;
            loop {
                at_ms += dice.gap_ms(rate);
                let at = Duration::from_millis(at_ms as u64);
                if at >= length {
                    break;
                }
                let (effect, what) = dice.effect(kind, a, b, cast);
                faults.push(Fault {
                    kind,
                    at,
                    lasts: dice.duration(&rate.lasts).min(length - at),
                    effect,
                    what,
                });
            }
        }
    }
    // Faults of one moment stay in the order of their kinds and hosts.
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// The random stream for the pauses of a server that ended by itself.
pub(super) struct Pauses {
    dice: Dice,
    range: RangeInclusive<Duration>,
}

impl Pauses {
    pub(super) fn new(seed: u64, range: &RangeInclusive<Duration>) -> Self {
        Self {
            dice: Dice::new(seed, FaultKind::ALL.len(), 0, 0),
            range: range.clone(),
        }
    }

    pub(super) fn draw(&mut self) -> Duration {
        self.dice.duration(&self.range)
    }
}

/// What a kind can happen to: a server, twice; a pair of hosts; or, for the cast, a stand-in.
fn targets(kind: FaultKind, cast: &Cast) -> Vec<(usize, usize)> {
    let numbers = 0..cast.len();
    match kind.scope() {
        Scope::Server => cast.servers().into_iter().map(|it| (it, it)).collect(),
        Scope::Disk => {
            let servers = cast.servers().into_iter();
            let with_disk = servers.filter(|server| cast.has_disk(*server));
            with_disk.map(|it| (it, it)).collect()
        }
        Scope::Pair => numbers
            .clone()
            .flat_map(|a| numbers.clone().map(move |b| (a, b)))
            .filter(|(a, b)| a < b && (cast.is_server(*a) || cast.is_server(*b)))
            .collect(),
        Scope::Cast if cast.len() < 2 => Vec::new(),
        Scope::Cast => vec![(0, 0)],
    }
}

/// One random stream of a schedule.
struct Dice {
    random: ChaCha8Rng,
}

impl Dice {
    fn new(seed: u64, kind: usize, a: usize, b: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ SALT);
        random.set_stream((kind as u64) << 48 | (a as u64) << 24 | b as u64);
        Self { random }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    fn one_of(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    fn is_heads(&mut self) -> bool {
        self.below(2) == 0
    }

    /// The time to the next fault: of independent faults with the given mean number.
    fn gap_ms(&mut self, rate: &FaultRate) -> f64 {
        // 53 bits are a number in [0, 1) without rounding.
        let number = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - number).ln() * 60_000.0 / rate.per_minute
    }

    fn duration(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let ms = |duration: &Duration| duration.as_millis() as u64;
        Duration::from_millis(self.one_of(ms(range.start())..=ms(range.end())))
    }

    fn ms(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.one_of(range))
    }

    /// What a fault does, and the words for it. With a server, `a` and `b` are the same.
    fn effect(&mut self, kind: FaultKind, a: usize, b: usize, cast: &Cast) -> (Effect, String) {
        let [name, other] = [a, b].map(|number| cast.host(number).name());
        match kind {
            FaultKind::Kill => (Effect::Kill(a), format!("kill {name}")),
            FaultKind::PowerCut => (Effect::PowerCut(a), format!("cut the power of {name}")),
            FaultKind::Stop => (Effect::Stop(a), format!("stop {name}")),
            FaultKind::Isolate => self.isolation(a, cast),
            FaultKind::ClockJump => {
                let far_ms = self.one_of(1..=JUMP_MAX_MS) as i64;
                let by_ms = if self.is_heads() { far_ms } else { -far_ms };
                let what = format!("let the wall clock of {name} jump by {by_ms} ms");
                (Effect::JumpClock { server: a, by_ms }, what)
            }
            FaultKind::Cut => {
                let (from, to) = if self.is_heads() { (a, b) } else { (b, a) };
                let [name, other] = [from, to].map(|number| cast.host(number).name());
                (
                    Effect::Cut(vec![(from, to)]),
                    format!("cut the way from {name} to {other}"),
                )
            }
            FaultKind::Part => (
                Effect::Cut(vec![(a, b), (b, a)]),
                format!("part {name} and {other}"),
            ),
            FaultKind::Reset => (
                Effect::Reset(a, b),
                format!("reset the connections of {name} and {other}"),
            ),
            FaultKind::SlowLink => {
                let settings = LinkSettings {
                    delay: self.ms(10..=200),
                    jitter: self.ms(0..=100),
                    bytes_per_s: Some(self.one_of(10_000..=1_000_000)),
                    tail: None,
                };
                let what = format!(
                    "slow down {name} and {other} to {} ms and {} bytes/s",
                    settings.delay.as_millis(),
                    settings.bytes_per_s.unwrap_or(0)
                );
                (Effect::Link(a, b, settings), what)
            }
            FaultKind::HeavyTail => {
                let tail = self.tail();
                let what = format!("between {name} and {other} {}", Late("pieces", &tail));
                let settings = LinkSettings {
                    tail: Some(tail),
                    ..LinkSettings::default()
                };
                (Effect::Link(a, b, settings), what)
            }
            FaultKind::Split => self.split(cast),
            FaultKind::SlowSyncs => {
                let time = SyncTime {
                    least: self.ms(20..=200),
                    jitter: self.ms(0..=200),
                    stalls: None,
                };
                let least_ms = time.least.as_millis();
                let what = format!("slow down the syncs of {name} to {least_ms} ms and more");
                (Effect::Syncs(a, time), what)
            }
            FaultKind::StallingSyncs => {
                let tail = self.tail();
                let what = format!("on {name} {}", Late("syncs", &tail));
                let time = SyncTime {
                    least: self.ms(0..=10),
                    jitter: self.ms(0..=10),
                    stalls: Some(tail),
                };
                (Effect::Syncs(a, time), what)
            }
            FaultKind::FullDisk => {
                let spare_bytes = self.below(SPARE_BYTES_MAX + 1);
                let what = format!("fill the disk of {name} up to {spare_bytes} bytes");
                let server = a;
                (
                    Effect::Full {
                        server,
                        spare_bytes,
                    },
                    what,
                )
            }
            FaultKind::FailedSync => {
                let nth = self.one_of(1..=SYNCS_AHEAD_MAX);
                let what = format!("let the sync number {nth} of {name} from now on fail, waiting");
                (Effect::FailSync { server: a, nth }, what)
            }
            FaultKind::CutAtSync => {
                let nth = self.one_of(1..=SYNCS_AHEAD_MAX);
                let (at, side) = match self.is_heads() {
                    true => (CutAt::Before, "before"),
                    false => (CutAt::After, "after"),
                };
                let what = format!(
                    "cut the power of {name} {side} its sync number {nth} from now on, waiting"
                );
                let server = a;
                (Effect::CutAtSync { server, nth, at }, what)
            }
            FaultKind::FlippedBits => {
                let one_in = self.one_of(2..=50);
                let what = format!("flip a bit in one of {one_in} reads of {name}");
                (Effect::FlipBits { server: a, one_in }, what)
            }
            FaultKind::ClosedPorts => {
                let (how, what) = match self.is_heads() {
                    true => (
                        ClosedPorts::Refuse,
                        format!("let {name} refuse what others dial"),
                    ),
                    false => (
                        ClosedPorts::Drop,
                        format!("let {name} drop what others dial"),
                    ),
                };
                (Effect::ClosePorts { server: a, how }, what)
            }
        }
    }

    fn tail(&mut self) -> Tail {
        Tail {
            one_in: self.one_of(2..=20) as u32,
            least: self.ms(50..=200),
            most: self.ms(1_000..=4_000),
        }
    }

    fn isolation(&mut self, server: usize, cast: &Cast) -> (Effect, String) {
        let name = cast.host(server).name();
        let others = (0..cast.len()).filter(|other| *other != server);
        let sent = others.clone().map(|other| (server, other));
        let received = others.map(|other| (other, server));
        match self.below(4) {
            0 => (
                Effect::Cut(sent.collect()),
                format!("let nothing out of {name}"),
            ),
            1 => (
                Effect::Cut(received.collect()),
                format!("let nothing in to {name}"),
            ),
            _ => (
                Effect::Cut(sent.chain(received).collect()),
                format!("cut off {name}"),
            ),
        }
    }

    /// The cast in two groups, each with half of the servers.
    fn split(&mut self, cast: &Cast) -> (Effect, String) {
        let mut servers = cast.servers();
        for last in (1..servers.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            servers.swap(last, chosen);
        }
        let half = &servers[..servers.len() / 2];
        let (mut one, mut other) = (Vec::new(), Vec::new());
        // A cast with one server has a group of clients.
        while one.is_empty() || other.is_empty() {
            (one, other) = (0..cast.len()).partition(|number| match cast.is_server(*number) {
                true => half.contains(number),
                false => self.is_heads(),
            });
        }
        let there = one.iter().flat_map(|a| other.iter().map(|b| (*a, *b)));
        let names = |group: &[usize]| {
            let names: Vec<_> = group.iter().map(|it| cast.host(*it).name()).collect();
            names.join(", ")
        };
        let (one_names, other_names) = (names(&one), names(&other));
        match self.below(4) {
            0 => (
                Effect::Cut(there.collect()),
                format!("let nothing get from {one_names} to {other_names}"),
            ),
            1 => (
                Effect::Cut(there.map(|(a, b)| (b, a)).collect()),
                format!("let nothing get from {other_names} to {one_names}"),
            ),
            _ => (
                Effect::Cut(there.flat_map(|(a, b)| [(a, b), (b, a)]).collect()),
                format!("split {one_names} from {other_names}"),
            ),
        }
    }
}

/// The words for a heavy tail of delays.
struct Late<'a>(&'a str, &'a Tail);

impl fmt::Display for Late<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Late(things, tail) = self;
        let (least_ms, most_ms) = (tail.least.as_millis(), tail.most.as_millis());
        write!(
            f,
            "delay one of {} {things} by {least_ms} to {most_ms} ms",
            tail.one_in
        )
    }
}
