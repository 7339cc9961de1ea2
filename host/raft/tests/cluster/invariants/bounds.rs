//! **Bounds are kept**, as `docs/bounds.md` states them, on every node, whatever it is at the
//! moment, and at each millisecond of the run:
//!
//! - a door holds at most `queued_operations` operations that it has taken and not answered, on
//!   the leader and elsewhere: what was sent to a leader that is gone keeps its room;
//! - an established leader has at most `batches_in_flight` batches in its log that are not applied,
//!   and the entry with which its term began;
//! - at most `appends_max` appends to each peer wait for their answer, with `append_bytes_max`
//!   bytes (one append may exceed it), and each has at most `append_entries_max` entries;
//! - the entries that are not applied or not synced take `held_bytes` of memory, and more only while
//!   they wait for their sync: the appends under way, and what a leader may have in flight;
//! - the commands that are applied and in no checkpoint have `lag_bytes`, and what was in a node's
//!   log, but not applied, when they reached it.
//!
//! The settings of the runs make these bounds small, and [`Full`] counts how often they were
//! reached: a bound that nothing comes near would be kept without its guard.

use std::cell::RefCell;
use std::collections::BTreeMap;

use innkeeper_raft::peer::PeerSettings;
use innkeeper_raft::{RaftRole, Settings, Status};

use crate::history::Door;

/// The encoded bytes of an entry of these runs. The few that change members may have more.
const ENTRY_BYTES: usize = 256;
/// The bytes for which it counts in the log's memory: twice its own, and the structs.
const ENTRY_MEMORY: usize = 2 * ENTRY_BYTES + 128;

/// The bounds of a run.
pub struct Bounds {
    settings: Settings,
    peers: PeerSettings,
    /// Entries that a leader may have in its log and not applied.
    in_flight: u64,
    /// Bytes of one append.
    append_bytes: usize,
    /// Bytes of memory of entries that are not applied or not synced.
    held: usize,
    /// By node: what was in its log, but not applied, when it last read what its leader sent.
    stored: RefCell<BTreeMap<u64, u64>>,
}

/// How many looks found a bound reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Full {
    /// A door has as many operations as it takes.
    pub doors: u64,
    /// A leader has as many batches in flight as it may.
    pub leaders: u64,
    /// A node that does not lead takes no further entries, since too many wait for a sync or for
    /// being applied.
    pub held: u64,
    /// It takes none, since too much is in no checkpoint.
    pub lags: u64,
    /// A leader sends a peer nothing more, since it has not answered to as many appends as it may.
    pub appends: u64,
    /// It sends nothing more, since they have as many bytes as they may.
    pub append_bytes: u64,
    /// The greatest values that were seen: held, lag, and bytes to a peer.
    pub most: [u64; 3],
}

impl Full {
    pub fn add(&mut self, other: &Full) {
        self.doors += other.doors;
        self.leaders += other.leaders;
        self.held += other.held;
        self.lags += other.lags;
        self.appends += other.appends;
        self.append_bytes += other.append_bytes;
        for (most, other) in self.most.iter_mut().zip(other.most) {
            *most = (*most).max(other);
        }
    }

    /// Was each bound reached?
    pub fn is_each(&self) -> bool {
        let counts = [
            self.doors,
            self.leaders,
            self.held,
            self.lags,
            self.appends,
            self.append_bytes,
        ];
        counts.iter().all(|count| *count > 0)
    }
}

impl Bounds {
    pub fn of(settings: &Settings, peers: &PeerSettings) -> Self {
        let in_flight = settings.batch_commands * settings.batches_in_flight + 1;
        let append_entries = settings.append_entries_max as usize;
        // A follower reads no further append when those that it has read take the whole bound.
        let under_way = settings.held_bytes + append_entries * ENTRY_MEMORY;
        let held = settings.held_bytes + under_way + in_flight * ENTRY_MEMORY;
        Self {
            settings: settings.clone(),
            peers: peers.clone(),
            in_flight: in_flight as u64,
            append_bytes: append_entries * ENTRY_BYTES,
            held,
            stored: RefCell::default(),
        }
    }

    /// Looks at a replica and its door, and notes the bounds that are reached.
    pub fn look(&self, status: &Status, door: &Door, full: &mut Full) {
        let (node, settings) = (status.node_id, &self.settings);
        let taken = door.held().unwrap_or(0);
        let room = settings.queued_operations as u64;
        assert!(
            taken <= room,
            "the door of node {node} holds {taken} operations"
        );
        full.doors += u64::from(taken == room);

        let is_established =
            status.role == RaftRole::Leader && status.applied_term == Some(status.term);
        if let (true, Some(last), Some(applied)) = (is_established, status.last_log, status.applied)
        {
            let in_flight = last.saturating_sub(applied);
            assert!(
                in_flight <= self.in_flight,
                "node {node} leads with {in_flight} entries in flight"
            );
            full.leaders += u64::from(in_flight + 1 >= self.in_flight);
        }
        self.look_at_appends(status, full);

        let (held, lag) = (status.log.held_bytes, status.lag_bytes);
        full.most[0] = full.most[0].max(held as u64);
        full.most[1] = full.most[1].max(lag);
        assert!(
            held <= self.held,
            "node {node} holds {held} bytes of entries: {status:?}"
        );
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let unapplied = next(status.last_log).saturating_sub(next(status.applied));
        let mut stored = self.stored.borrow_mut();
        let stored = stored.entry(node).or_default();
        if lag < settings.lag_bytes {
            *stored = unapplied;
        }
        // Some may have come since the last look. A command counts for less here than in memory.
        let most = settings.lag_bytes + *stored * ENTRY_BYTES as u64 + self.held as u64;
        assert!(
            lag <= most,
            "node {node} has {lag} bytes of commands in no checkpoint: {status:?}"
        );
        if status.role != RaftRole::Leader {
            full.held += u64::from(held >= settings.held_bytes);
            full.lags += u64::from(lag >= settings.lag_bytes);
        }
    }

    fn look_at_appends(&self, status: &Status, full: &mut Full) {
        let peers = &self.peers;
        for (to, unanswered) in &status.unanswered {
            full.most[2] = full.most[2].max(unanswered.bytes as u64);
            let is_within = unanswered.requests <= peers.appends_max
                && unanswered.bytes < peers.append_bytes_max + self.append_bytes
                && unanswered.entries
                    <= unanswered.requests * self.settings.append_entries_max as usize;
            assert!(
                is_within,
                "node {} waits for answers of node {to}: {unanswered:?}",
                status.node_id
            );
            full.appends += u64::from(unanswered.requests == peers.appends_max);
            full.append_bytes += u64::from(unanswered.bytes >= peers.append_bytes_max);
        }
    }
}
