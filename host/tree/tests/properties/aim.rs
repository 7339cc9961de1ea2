//! Puts the right numbers into random commands, so that they get past the first check: the
//! session's next seq, the binding's wish and activation, what is read as it is, what is
//! queued as it is queued.

use std::collections::BTreeMap;

use innkeeper_tree::applied::{Applied, Outcome, SessionResult, TicketResult};
use innkeeper_tree::command::{Operation, SessionRequest, Sweep};
use innkeeper_tree::transaction::{GuestWrite, Read, Transaction};
use innkeeper_tree::{QueueEntry, SessionId, Tree, View, Zxid};

/// Makes a sweep say what its znode is like.
pub fn aim_sweep(sweep: &mut Sweep, view: &View) {
    if let Some((stat, _)) = view.exists(&sweep.path) {
        (sweep.mzxid, sweep.pzxid) = (Zxid(stat.mzxid as u64), Zxid(stat.pzxid as u64));
    }
}

/// What the sessions' nodes know, and how often each outcome came about.
#[derive(Default)]
pub struct Aim {
    next: BTreeMap<SessionId, (u32, u64)>,
    pub outcomes: BTreeMap<&'static str, u32>,
}

impl Aim {
    /// To be called while nothing is applied that is not published.
    pub fn correct(&self, operation: &mut Operation, tree: &Tree) {
        let view = tree.reader().view();
        match operation {
            Operation::Session {
                session,
                attachment,
                seq,
                request,
            } => {
                if let Some((known, last)) = self.next.get(session) {
                    (*attachment, *seq) = (*known, last + 1);
                }
                if let SessionRequest::Write {
                    policy_zxid: Some(policy_zxid),
                    write,
                    ..
                } = request
                {
                    *policy_zxid = write
                        .paths()
                        .map(|path| view.bindings().policy_zxid_of(path))
                        .max()
                        .unwrap_or_default();
                }
            }
            Operation::Sweep(sweep) => aim_sweep(sweep, &view),
            Operation::Activate { binding, wish, .. } => {
                if let Some(binding) = view.bindings().get(binding) {
                    *wish = binding.wish;
                }
            }
            Operation::Transaction { transaction, .. } => {
                self.correct_transaction(transaction, tree)
            }
            _ => {}
        }
    }

    fn correct_transaction(&self, transaction: &mut Transaction, tree: &Tree) {
        let view = tree.reader().view();
        let activation = |name: &str| {
            view.bindings()
                .active(name)
                .map_or(Zxid(0), |active| active.activation)
        };
        transaction.activation = activation(&transaction.binding);
        for (name, called) in &mut transaction.called {
            *called = activation(name);
        }
        for read in &mut transaction.reads {
            let stat = |path: &str| view.exists(path).map(|(stat, _)| stat);
            match read {
                Read::Node { path, mzxid } => {
                    *mzxid = stat(path).map_or(*mzxid, |stat| Zxid(stat.mzxid as u64));
                }
                Read::Children { path, pzxid } => {
                    *pzxid = stat(path).map_or(*pzxid, |stat| Zxid(stat.pzxid as u64));
                }
                Read::Acl {
                    path,
                    czxid,
                    aversion,
                } => {
                    if let Some(stat) = stat(path) {
                        (*czxid, *aversion) = (Zxid(stat.czxid as u64), stat.aversion);
                    }
                }
                Read::Subtree { seen, .. } => *seen = view.zxid(),
                Read::Absent { .. } | Read::Session(_) => {}
            }
        }
        // A session that is to own a znode has to be read.
        for write in &transaction.writes {
            if let GuestWrite::Create {
                owner: Some(owner), ..
            } = write
            {
                transaction.reads.push(Read::Session(*owner));
            }
        }
        let queue = tree
            .reader()
            .queue(&transaction.binding, transaction.acks.len());
        transaction.acks = queue.iter().map(QueueEntry::ack).collect();
    }

    pub fn learn(&mut self, applied: &Applied) {
        let what = match &applied.outcome {
            Outcome::Nobody => "nobody",
            Outcome::Session {
                session,
                attachment,
                seq,
                result,
            } => match result {
                SessionResult::Done(_) => {
                    self.next.insert(*session, (*attachment, *seq));
                    "done"
                }
                SessionResult::Bounced => "bounced",
                SessionResult::Duplicate | SessionResult::Gap | SessionResult::Moved => {
                    "misnumbered"
                }
                SessionResult::Expired => "expired",
            },
            Outcome::Ticket { result, .. } => match result {
                TicketResult::Attached {
                    session,
                    attachment,
                    ..
                } => {
                    self.next.insert(*session, (*attachment, 0));
                    "attached"
                }
                TicketResult::Committed => "committed",
                TicketResult::Conflict(_) => "conflict",
                TicketResult::Rejected(..) => "rejected",
                TicketResult::Activated => "activated",
                TicketResult::Void => "void",
                TicketResult::NoSession => "no session",
                _ => "other",
            },
        };
        *self.outcomes.entry(what).or_default() += 1;
        if !applied.queued.is_empty() {
            *self.outcomes.entry("queued").or_default() += 1;
        }
    }
}
