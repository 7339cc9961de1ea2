//! **One history.** The command with a zxid is the same on all replicas and in all their lives,
//! with the same time, result and events. What a read shows is the state at its zxid.

use std::collections::BTreeMap;

use innkeeper_tree::View;
use innkeeper_tree::applied::{Applied, OpReply, Outcome, Reply, TicketResult};

use crate::clients::{REGISTERS, Wish, register, value};

/// The commands as the first replica that applied them did it.
#[derive(Default)]
pub struct OneHistory {
    /// The command with the zxid 1 is the first.
    all: Vec<Applied>,
    /// The changes of each register: zxids with the tickets.
    registers: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl OneHistory {
    /// A replica has applied a command.
    pub fn applied(&mut self, node: u64, applied: Applied, wish: Wish) {
        let place = applied.zxid.0 as usize - 1;
        if let Some(known) = self.all.get(place) {
            assert_eq!(*known, applied, "node {node} has another history");
            return;
        }
        assert_eq!(place, self.all.len(), "node {node} leaves a zxid out");
        self.note_register(&applied, wish);
        self.all.push(applied);
    }

    fn note_register(&mut self, applied: &Applied, wish: Wish) {
        let (Wish::CreateRegister(which) | Wish::Set(which)) = wish else {
            return;
        };
        if let Outcome::Ticket {
            ticket,
            result:
                TicketResult::Admin(Reply::Single(Ok(OpReply::Created { .. } | OpReply::Set(_)))),
        } = &applied.outcome
        {
            let changes = self.registers.entry(which).or_default();
            changes.push((applied.zxid.0, ticket.0));
        }
    }

    /// A view shows each register as it was at the view's zxid.
    pub fn shows(&self, node: u64, view: &View) {
        let zxid = view.zxid().0;
        assert!(zxid <= self.last_zxid(), "node {node} shows {zxid}");
        for which in 0..REGISTERS {
            let changes = self.registers.get(&which).map_or(&[][..], Vec::as_slice);
            let seen = changes.partition_point(|(changed, _)| *changed <= zxid);
            let expected = seen.checked_sub(1).map(|last| value(changes[last].1));
            let shown = view.get(&register(which)).and_then(|znode| znode.data);
            assert_eq!(shown, expected, "register {which} on node {node} at {zxid}");
        }
    }

    pub fn last_zxid(&self) -> u64 {
        self.all.len() as u64
    }

    /// All commands in their order.
    pub fn all(&self) -> &[Applied] {
        &self.all
    }

    /// The tickets of all commands, with their zxids.
    pub fn tickets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.all
            .iter()
            .filter_map(|applied| match &applied.outcome {
                Outcome::Ticket { ticket, .. } => Some((ticket.0, applied.zxid.0)),
                Outcome::Session { .. } | Outcome::Nobody => None,
            })
    }
}
