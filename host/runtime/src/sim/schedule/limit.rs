//! How many servers may be out of action at once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fault::{Effect, Fault};

/// Takes out of a plan, whose faults are in the order in which they begin, each fault with which
/// there would not always be all but `down_max` servers that run, and that reach each other in both
/// directions. A server that may end by itself in a fault counts as down until it has been started
/// again, at most `pause` after the fault's end.
pub(super) fn keep_limit(
    faults: Vec<Fault>,
    servers: &[usize],
    down_max: usize,
    pause: Duration,
) -> Vec<Fault> {
    let mut lasting: Vec<(Duration, Harm)> = Vec::new();
    let mut kept = Vec::new();
    for fault in faults {
        let Some(harm) = Harm::of(&fault.effect, servers) else {
            kept.push(fault);
            continue;
        };
        lasting.retain(|(until, _)| *until > fault.at);
        let pause = match &harm {
            Harm::Ends(_) => pause,
            Harm::Down(_) | Harm::Cuts(_) => Duration::ZERO,
        };
        // Faults that begin later are looked at later; until then some of these end.
        lasting.push((fault.at + fault.lasts + pause, harm));
        if is_within(lasting.iter().map(|(_, harm)| harm), down_max) {
            kept.push(fault);
        } else {
            lasting.pop();
        }
    }
    kept
}

/// What a fault does to the servers as a group.
#[derive(Debug)]
enum Harm {
    /// A server is down.
    Down(usize),
    /// A server may end, and is started again later.
    Ends(usize),
    /// These pairs of servers do not reach each other in both directions.
    Cuts(Vec<(usize, usize)>),
}

impl Harm {
    fn of(effect: &Effect, servers: &[usize]) -> Option<Harm> {
        match effect {
            // Nothing that the others send gets to a server whose ports are closed.
            Effect::Kill(server)
            | Effect::PowerCut(server)
            | Effect::Stop(server)
            | Effect::ClosePorts { server, .. } => Some(Harm::Down(*server)),
            Effect::Full { server, .. }
            | Effect::FailSync { server, .. }
            | Effect::CutAtSync { server, .. }
            | Effect::FlipBits { server, .. } => Some(Harm::Ends(*server)),
            Effect::Cut(pairs) => {
                let both = |(a, b): &&(usize, usize)| servers.contains(a) && servers.contains(b);
                Some(Harm::Cuts(pairs.iter().filter(both).copied().collect()))
            }
            Effect::JumpClock { .. } | Effect::Reset(..) | Effect::Link(..) | Effect::Syncs(..) => {
                None
            }
        }
    }
}

fn is_within<'a>(harms: impl Iterator<Item = &'a Harm>, down_max: usize) -> bool {
    let (mut down, mut cuts) = (BTreeSet::new(), Vec::new());
    for harm in harms {
        match harm {
            Harm::Down(server) | Harm::Ends(server) => _ = down.insert(*server),
            Harm::Cuts(pairs) => cuts.extend(pairs),
        }
    }
    enough_without(down, &cuts, down_max)
}

/// Do at most `down_max` servers, those that are down among them, touch all cuts? Then the others
/// run and reach each other.
fn enough_without(down: BTreeSet<usize>, cuts: &[(usize, usize)], down_max: usize) -> bool {
    if down.len() > down_max {
        return false;
    }
    let open = cuts
        .iter()
        .find(|(a, b)| !down.contains(a) && !down.contains(b));
    open.is_none_or(|(a, b)| {
        [a, b].into_iter().any(|server| {
            let mut down = down.clone();
            down.insert(*server);
            enough_without(down, cuts, down_max)
        })
    })
}
