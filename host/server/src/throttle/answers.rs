//! Bounds what long answers take together, and logs each path that has an answer too long.
//!
//! ZooKeeper sends answers of any length, since `jute.maxbuffer` bounds only what it reads. A node
//! does so, too, up to [`ServerSettings::longest_answer_bytes`]; but a long answer is in memory until
//! its client has read it, and many clients may ask for one.
//!
//! 1. A session that is about to write an answer of more than [`LARGE_ANSWER_BYTES`] asks for room
//!    ([`LargeAnswers::ask`]). If there is none, it waits in line, without its answer, and is woken
//!    when there is room.
//! 2. The room is given back when so little of the answer is left as any connection may have.
//! 3. While others wait, a client that takes too little of its answer is cut off
//!    ([`LargeAnswers::cut_off_stalled`]), so that it does not hold up those that read.
//!
//! [`LARGE_ANSWER_BYTES`]: crate::settings::LARGE_ANSWER_BYTES
//! [`ServerSettings::longest_answer_bytes`]: crate::settings::ServerSettings::longest_answer_bytes

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::HashSet;
use innkeeper_runtime::Instant;
use innkeeper_tree::SessionId;
use parking_lot::Mutex;

use crate::delivery::outbox::{Close, Outbox};
use crate::settings::{PATHS_TOLD, STALLED_ANSWER_BYTES, STALLED_ANSWER_LOOK_MS};

/// The room of all large answers of a node.
///
/// Invariants:
/// - The rooms that are granted take at most `most_bytes` together, or there is only one.
/// - Rooms are granted in the order in which they were asked for.
#[derive(Debug)]
pub(crate) struct LargeAnswers {
    most_bytes: usize,
    state: Mutex<State>,
    /// Hashes of the paths that were logged, made with the random seed of the set, since clients
    /// choose the paths.
    told: Mutex<HashSet<u64>>,
}

#[derive(Debug, Default)]
struct State {
    granted_bytes: usize,
    granted: Vec<Granted>,
    waiting: VecDeque<Arc<Place>>,
}

#[derive(Debug)]
struct Granted {
    place: Arc<Place>,
    /// The time of the last check while others waited, and the bytes that were left then.
    seen: Option<(Instant, usize)>,
}

#[derive(Debug)]
struct Place {
    bytes: usize,
    /// The bytes that the client has not taken.
    left_bytes: AtomicUsize,
    is_granted: AtomicBool,
    outbox: Arc<Outbox>,
}

/// Room for one large answer, or a place in line for it; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct AnswerRoom {
    all: Arc<LargeAnswers>,
    place: Arc<Place>,
}

impl LargeAnswers {
    /// All large answers together may take `most_bytes`.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            state: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Asks for room. If there is none, `outbox` is woken when there is.
    pub(crate) fn ask(self: &Arc<Self>, bytes: usize, outbox: &Arc<Outbox>) -> AnswerRoom {
        let place = Arc::new(Place {
            bytes,
            left_bytes: AtomicUsize::new(bytes),
            is_granted: AtomicBool::new(false),
            outbox: outbox.clone(),
        });
        let mut state = self.state.lock();
        state.waiting.push_back(place.clone());
        let granted = state.grant(self.most_bytes);
        drop(state);
        // The caller asks for the result at once; only the other connections must be woken.
        for other in granted.iter().filter(|other| !Arc::ptr_eq(other, &place)) {
            other.outbox.wake();
        }
        let all = self.clone();
        AnswerRoom { all, place }
    }

    /// While others wait, closes the connections that took less than [`STALLED_ANSWER_BYTES`] since
    /// they were checked [`STALLED_ANSWER_LOOK_MS`] or more ago.
    pub(crate) fn cut_off_stalled(&self, now: Instant) {
        let mut stalled = Vec::new();
        let mut state = self.state.lock();
        let others_wait = !state.waiting.is_empty();
        for granted in &mut state.granted {
            let left = granted.place.left_bytes.load(Ordering::Relaxed);
            match granted.seen {
                _ if !others_wait => granted.seen = None,
                None => granted.seen = Some((now, left)),
                Some((at, _)) if now - at < Duration::from_millis(STALLED_ANSWER_LOOK_MS) => {}
                Some((_, before)) => {
                    granted.seen = Some((now, left));
                    if before.saturating_sub(left) < STALLED_ANSWER_BYTES {
                        stalled.push(granted.place.clone());
                    }
                }
            }
        }
        drop(state);
        for place in stalled {
            place.outbox.close(Close::Stalled);
        }
    }

    /// Logs, once for each path, that an answer is longer than a Java client takes by default, or
    /// longer than this node sends at all.
    pub(crate) fn tell(&self, session: SessionId, path: &str, bytes: usize, longest_bytes: usize) {
        let is_sent = bytes <= longest_bytes;
        let mut told = self.told.lock();
        let hash = told.hasher().hash_one((path, is_sent));
        if told.len() >= PATHS_TOLD || !told.insert(hash) {
            return;
        }
        let last = told.len() == PATHS_TOLD;
        drop(told);
        let path = innkeeper_tree::text::shown(path, 1024);
        match is_sent {
            true => tracing::warn!(
                %session,
                path,
                bytes,
                "an answer is longer than a Java client takes by default: it closes its connection \
                 instead of reading it, and asks again. Raise jute.maxbuffer at Java clients, or \
                 spread the znodes over several parents. This is said once for each path"
            ),
            false => tracing::warn!(
                %session,
                path,
                bytes,
                longest_bytes,
                "an answer was not sent, because it would be longer than this node sends any: the \
                 client got MarshallingError instead. Raise --max-answer-mib, or spread the znodes \
                 over several parents. This is said once for each path"
            ),
        }
        if last {
            tracing::warn!("too many answers are that long: nothing is said of further paths");
        }
    }

    /// The bytes that are granted, and the number of connections that wait.
    #[cfg(test)]
    fn taken(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.granted_bytes, state.waiting.len())
    }
}

impl State {
    /// Grants room to those in line, as far as there is any. Returns the connections to wake.
    fn grant(&mut self, most_bytes: usize) -> Vec<Arc<Place>> {
        let mut granted = Vec::new();
        while let Some(first) = self.waiting.front() {
            if !self.granted.is_empty() && self.granted_bytes + first.bytes > most_bytes {
                break;
            }
            let Some(place) = self.waiting.pop_front() else {
                break;
            };
            self.granted_bytes += place.bytes;
            place.is_granted.store(true, Ordering::Release);
            granted.push(place.clone());
            self.granted.push(Granted { place, seen: None });
        }
        granted
    }
}

impl AnswerRoom {
    /// Whether the answer may be written.
    pub(crate) fn is_granted(&self) -> bool {
        self.place.is_granted.load(Ordering::Acquire)
    }

    /// Whether the room is, or will be, enough for an answer of that length.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.place.bytes
    }

    /// Notes the bytes that the client has not taken yet.
    pub(crate) fn left(&self, bytes: usize) {
        self.place.left_bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for AnswerRoom {
    fn drop(&mut self) {
        let mut state = self.all.state.lock();
        let is_this = |place: &Arc<Place>| Arc::ptr_eq(place, &self.place);
        let place = state.granted.iter().position(|it| is_this(&it.place));
        match place {
            Some(at) => {
                state.granted.swap_remove(at);
                state.granted_bytes -= self.place.bytes;
            }
            None => state.waiting.retain(|place| !is_this(place)),
        }
        let granted = state.grant(self.all.most_bytes);
        drop(state);
        for place in granted {
            place.outbox.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const MIB: usize = 1 << 20;

    fn answers(most_bytes: usize) -> Arc<LargeAnswers> {
        Arc::new(LargeAnswers::new(most_bytes))
    }

    fn ask(answers: &Arc<LargeAnswers>, bytes: usize) -> (AnswerRoom, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::default());
        (answers.ask(bytes, &outbox), outbox)
    }

    fn closed(outbox: &Outbox) -> Option<Close> {
        outbox.drain(&mut VecDeque::new()).err()
    }

    #[test]
    fn room_is_granted_in_order_up_to_the_bound_and_one_answer_always_fits() {
        let answers = answers(10 * MIB);
        let (first, _) = ask(&answers, 6 * MIB);
        let (second, _) = ask(&answers, 6 * MIB);
        // It is small enough, but it waits behind the other.
        let (third, _) = ask(&answers, MIB);
        let (fourth, _) = ask(&answers, 20 * MIB);
        let granted = [&first, &second, &third, &fourth].map(AnswerRoom::is_granted);
        assert_eq!(granted, [true, false, false, false]);
        assert_eq!(answers.taken(), (6 * MIB, 3));
        drop(first);
        assert!(second.is_granted() && third.is_granted() && !fourth.is_granted());
        assert_eq!(answers.taken(), (7 * MIB, 1));
        drop((second, third));
        assert!(fourth.is_granted(), "alone it may take more than the bound");
        let (fifth, _) = ask(&answers, 2 * MIB);
        let (sixth, _) = ask(&answers, 3 * MIB);
        drop(fifth);
        drop(fourth);
        assert!(
            sixth.is_granted(),
            "one that no longer waits holds up nobody"
        );
        drop(sixth);
        assert_eq!(answers.taken(), (0, 0));
    }

    #[test]
    fn who_takes_nothing_is_cut_off_while_others_wait_and_nobody_else_is() {
        let answers = answers(64 * MIB);
        let (stalled, its) = ask(&answers, 30 * MIB);
        let (reading, theirs) = ask(&answers, 30 * MIB);
        let mut now = Instant::from_nanos(0);
        let mut look = |answers: &LargeAnswers| {
            answers.cut_off_stalled(now);
            now = now + Duration::from_millis(STALLED_ANSWER_LOOK_MS);
        };
        for _ in 0..10 {
            look(&answers);
        }
        assert_eq!(closed(&its), None, "nobody waits");
        let (waiting, _) = ask(&answers, 30 * MIB);
        look(&answers);
        reading.left(30 * MIB - STALLED_ANSWER_BYTES);
        stalled.left(30 * MIB - STALLED_ANSWER_BYTES + 1);
        assert_eq!(closed(&its), None, "it has had no time yet");
        look(&answers);
        assert_eq!(closed(&its), Some(Close::Stalled));
        assert_eq!(closed(&theirs), None);
        drop(stalled);
        assert!(waiting.is_granted());
    }

    #[test]
    fn the_paths_that_the_log_has_told_of_are_bounded() {
        let answers = answers(0);
        for n in 0..2 * PATHS_TOLD {
            answers.tell(SessionId(1), &format!("/{n}"), 2 * MIB, 64 * MIB);
        }
        assert_eq!(answers.told.lock().len(), PATHS_TOLD);
    }
}
