//! Answers that are longer than most: what they may take together, and of whose the log tells.
//!
//! ZooKeeper sends an answer however long it is, since `jute.maxbuffer` bounds what it reads. So
//! does a node up to [`ServerSettings::longest_answer_bytes`]; but a long answer stands in memory
//! until its client has read it, and many clients may ask for one.
//!
//! 1. Who is about to write an answer of more than [`LARGE_ANSWER_BYTES`] asks for room
//!    ([`LargeAnswers::ask`]). Whoever finds none waits in line, without its answer, and is woken
//!    when there is room.
//! 2. The room is given back when so little of the answer is left as any connection may have.
//! 3. While others wait, a client that takes too little of its answer is cut off
//!    ([`LargeAnswers::cut_off_stalled`]): it must not hold up those that read.
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
/// - The rooms that are granted take `most_bytes` together, or there is only one.
/// - Rooms are granted in the order in which they were asked for.
#[derive(Debug)]
pub(crate) struct LargeAnswers {
    most_bytes: usize,
    state: Mutex<State>,
    /// Hashes of what was said, under the random seed of the set: clients choose the paths.
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
    /// When it was last looked at while others waited, and what was left then.
    seen: Option<(Instant, usize)>,
}

#[derive(Debug)]
struct Place {
    bytes: usize,
    /// What the client has not taken.
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
    /// So many bytes for all of them together.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            state: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Asks for room; where there is none yet, `outbox` is woken when there is.
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
        // Whoever asks looks at once; the others, if there are any, are to be woken.
        for other in granted.iter().filter(|other| !Arc::ptr_eq(other, &place)) {
            other.outbox.wake();
        }
        let all = self.clone();
        AnswerRoom { all, place }
    }

    /// While others wait: closes the connections that took less than [`STALLED_ANSWER_BYTES`]
    /// since they were looked at [`STALLED_ANSWER_LOOK_MS`] or more ago.
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

    /// Says once for each path that an answer is longer than what a Java client takes unless it
    /// is told otherwise, or than what this node sends at all.
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

    /// What is granted, in bytes, and how many wait.
    #[cfg(test)]
    fn taken(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.granted_bytes, state.waiting.len())
    }
}

impl State {
    /// Grants what can be granted; they are to be woken.
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

    /// Whether it is, or will be, enough for an answer of that length.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.place.bytes
    }

    /// Says how much the client has not taken yet.
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
        // Small enough, but behind the other.
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
