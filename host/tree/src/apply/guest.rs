//! A guest's transaction: checked as a whole, then done as a whole. The checks are:
//!
//! 1. The binding's activation is still the one under which the guest ran, and so are the
//!    activations of the assignors that it called.
//! 2. Everything in the read set is unchanged.
//! 3. Each consumed event is still in the queue; otherwise another transaction has consumed it.
//! 4. All writes are within the binding's grants, and succeed.
//! 5. If all this holds, the writes are kept and the events are removed, under one zxid.
//!
//! **Invariant:** the acknowledgement of events is a precondition and a part of the transaction
//! that they caused. This is why each event is handled exactly once: neither a crash nor two
//! dispatchers can handle an event twice or lose it. (tests:
//! `ten_thousand_events_are_counted_exactly_once_over_twenty_kills`,
//! `a_transaction_whose_events_were_consumed_conflicts`, `every_event_is_consumed_exactly_once`)
//!
//! **Invariant:** a guest's transaction commits only under the activation under which it ran.
//! (tests: `a_hundred_swaps_under_load_have_one_change_over_each`,
//! `a_transaction_of_an_older_activation_conflicts`)
//!
//! **Invariant:** guests never run inside apply, and apply alone decides whether a transaction is
//! valid. The earlier refusal of a proposal only saves work. So a slow or nondeterministic guest,
//! or another release of wasmtime, cannot stop replicas or make them differ. (tests:
//! `doomed_means_that_apply_refuses`,
//! `a_transaction_that_a_write_in_flight_dooms_is_refused_and_takes_no_zxid`,
//! `after_three_lost_races_others_wait_for_it_but_not_for_long`)

use std::collections::BTreeSet;
use std::sync::Arc;

use innkeeper_proto::ErrorCode;

use super::Cause;
use super::change::{Authority, Change, Stated};
use crate::applied::{Applied, Conflict, TicketResult};
use crate::binding::Definition;
use crate::owner::Owner;
use crate::queue::QueueKey;
use crate::transaction::{Ack, GuestWrite, Read, Transaction};
use crate::{SessionId, Tree, World};

impl Tree {
    pub(super) fn transact(
        &mut self,
        transaction: &Transaction,
        applied: &mut Applied,
    ) -> TicketResult {
        match self.try_transact(transaction, applied) {
            Ok(()) => TicketResult::Committed,
            Err(Refused::Conflict(conflict)) => TicketResult::Conflict(conflict),
            Err(Refused::Rejected(error, text)) => TicketResult::Rejected(error, text),
        }
    }

    fn try_transact(
        &mut self,
        transaction: &Transaction,
        applied: &mut Applied,
    ) -> Result<(), Refused> {
        let bindings = self.bindings.clone();
        let active = bindings
            .active(&transaction.binding)
            .filter(|active| active.definition.world == World::Recipe)
            .ok_or(Refused::Conflict(Conflict::Activation))?;
        // Without this comparison a transaction of the old module would commit after the swap.
        if cfg!(not(innkeeper_break = "activation-check"))
            && active.activation != transaction.activation
        {
            return Err(Refused::Conflict(Conflict::Activation));
        }
        for (name, activation) in &transaction.called {
            // Zero means that no such binding was active, which belongs to the read set, too.
            let active = bindings.active(name).map(|active| active.activation);
            if active.unwrap_or_default() != *activation {
                return Err(Refused::Conflict(Conflict::Assignor(name.clone())));
            }
        }
        for read in &transaction.reads {
            self.validate(read).map_err(Refused::Conflict)?;
        }
        if !self.acks_hold(&transaction.binding, &transaction.acks) {
            return Err(Refused::Conflict(Conflict::Ack));
        }

        self.owners_may_own(transaction)?;

        let store = self.store.clone();
        let mut change = self.change(&store);
        let written = change.write_all(transaction, &active.definition);
        if let Err(refused) = written {
            change.undo();
            drop(change);
            self.mix(b"rejected");
            return Err(refused);
        }
        let done = change.commit(&store, &self.horizon);
        let cause = Cause {
            recipe: Some(&transaction.binding),
            depth: transaction.depth,
        };
        self.acknowledge(&transaction.binding, &transaction.acks, applied);
        self.finish(done, cause, applied);
        let called: Vec<Arc<str>> = transaction
            .called
            .iter()
            .map(|(name, _)| Arc::from(name.as_str()))
            .collect();
        if bindings
            .get(&transaction.binding)
            .is_some_and(|binding| binding.called != called)
        {
            self.edit_binding(&transaction.binding, |binding, _| binding.called = called);
        }
        Ok(())
    }

    /// Checks that no created ephemeral would belong to a local session.
    fn owners_may_own(&self, transaction: &Transaction) -> Result<(), Refused> {
        for write in &transaction.writes {
            if let GuestWrite::Create {
                path,
                owner: Some(owner),
                ..
            } = write
                && let Some(known) = self.store.sessions.read().get(*owner)
                && known.is_local()
            {
                let error = ErrorCode::EphemeralOnLocalSession;
                let text =
                    format!("{path}: session {owner} is a local one, which has no ephemerals");
                return Err(Refused::Rejected(error, text));
            }
        }
        Ok(())
    }

    /// Checks that one thing in the read set is unchanged.
    fn validate(&self, read: &Read) -> Result<(), Conflict> {
        let nodes = self.store.nodes.read();
        let holds = |path: &str, unchanged: &dyn Fn(u32, &crate::store::Body) -> bool| {
            let slot = nodes.find(path);
            let body = slot.and_then(|slot| Some((slot, nodes.body(slot)?)));
            match body {
                Some((slot, body)) if unchanged(slot, body) => Ok(()),
                _ => Err(Conflict::Path(path.to_owned())),
            }
        };
        match read {
            Read::Node { path, mzxid } => holds(path, &|_, body| body.mzxid == mzxid.0),
            Read::Acl {
                path,
                czxid,
                aversion,
            } => holds(path, &|_, body| {
                body.czxid == czxid.0 && body.aversion == *aversion
            }),
            Read::Children { path, pzxid } => holds(path, &|_, body| body.pzxid == pzxid.0),
            Read::Subtree { path, seen } => {
                holds(path, &|slot, _| nodes.subtree_zxid(slot) <= seen.0)
            }
            Read::Absent { path } => match nodes.find(path) {
                None => Ok(()),
                Some(_) => Err(Conflict::Path(path.clone())),
            },
            Read::Session(session) => match self.store.sessions.read().get(*session) {
                Some(_) => Ok(()),
                None => Err(Conflict::Session(*session)),
            },
        }
    }

    #[cfg(not(innkeeper_break = "ack-in-transaction"))]
    fn acks_hold(&self, binding: &str, acks: &[Ack]) -> bool {
        if acks.is_empty() {
            return true;
        }
        let queues = self.store.queues.read();
        queues
            .get(binding)
            .is_some_and(|queue| acks.iter().all(|ack| queue.check(ack)))
    }

    #[cfg(not(innkeeper_break = "ack-in-transaction"))]
    fn acknowledge(&mut self, binding: &str, acks: &[Ack], applied: &mut Applied) {
        self.take_off(binding, acks, &mut applied.queued);
    }

    /// Nothing waits to be acknowledged outside its transaction.
    #[cfg(not(innkeeper_break = "ack-in-transaction"))]
    pub(super) fn settle_outside_acks(&mut self) {}

    /// With this cfg a test must fail: the events are removed from the queue by the command after
    /// the transaction, and whether they are still there is not checked.
    #[cfg(innkeeper_break = "ack-in-transaction")]
    fn acks_hold(&self, _binding: &str, _acks: &[Ack]) -> bool {
        true
    }

    #[cfg(innkeeper_break = "ack-in-transaction")]
    fn acknowledge(&mut self, binding: &str, acks: &[Ack], applied: &mut Applied) {
        // The dispatcher looks again at once, and finds what it has consumed.
        super::note(&mut applied.queued, &Arc::from(binding));
        self.outside_acks.push((binding.to_owned(), acks.to_vec()));
    }

    #[cfg(innkeeper_break = "ack-in-transaction")]
    pub(super) fn settle_outside_acks(&mut self) {
        for (binding, acks) in std::mem::take(&mut self.outside_acks) {
            self.take_off(&binding, &acks, &mut Vec::new());
        }
    }

    fn take_off(&mut self, binding: &str, acks: &[Ack], queued: &mut Vec<Arc<str>>) {
        let store = self.store.clone();
        let mut queues = store.queues.write();
        let Some((name, queue)) = queues
            .get_key_value(binding)
            .map(|(name, _)| name.clone())
            .and_then(|name| {
                let queue = queues.get_mut(&name)?;
                Some((name, queue))
            })
        else {
            return;
        };
        for ack in acks {
            if queue.acknowledge(ack) {
                let key = match ack {
                    Ack::Path { path, .. } => QueueKey::Path(path.as_str().into()),
                    Ack::Resync(_) => QueueKey::Resync,
                };
                self.dirty_queues.insert((name.clone(), key));
            }
        }
        // Newer events wait for the next reaction.
        if !queue.is_empty() {
            super::note(queued, &name);
        }
    }
}

impl Change<'_> {
    fn write_all(
        &mut self,
        transaction: &Transaction,
        definition: &Definition,
    ) -> Result<(), Refused> {
        let limit = definition.limits.transaction_ops;
        if transaction.writes.len() as u64 > limit {
            let text = format!(
                "the transaction has {} writes, its binding's limit is {limit}",
                transaction.writes.len()
            );
            return Err(Refused::Rejected(ErrorCode::BadArguments, text));
        }
        // A set, because a search through all reads for each ephemeral would be quadratic.
        let alive: BTreeSet<SessionId> = transaction
            .reads
            .iter()
            .filter_map(|read| match read {
                Read::Session(session) => Some(*session),
                _ => None,
            })
            .collect();
        for write in &transaction.writes {
            self.let_views_in();
            let path = write.path();
            if !definition.may_write(path) {
                let text = format!("the binding does not grant writing {path}");
                return Err(Refused::Rejected(ErrorCode::NoAuth, text));
            }
            let done = match write {
                GuestWrite::Create {
                    path,
                    data,
                    acl,
                    owner,
                } => {
                    let owner = owner_of(*owner, &alive)?;
                    let stated = acl.as_deref().map_or(Stated::Parents, Stated::List);
                    self.create(
                        path,
                        data.as_ref(),
                        stated,
                        false,
                        owner,
                        Authority::Granted,
                    )
                }
                GuestWrite::Set { path, data } => {
                    self.set_data(path, data.as_ref(), -1, Authority::Granted)
                }
                GuestWrite::Delete { path } => self.delete(path, -1, Authority::Granted),
            };
            done.map_err(|error| Refused::Rejected(error, format!("{path}: {error}")))?;
        }
        Ok(())
    }
}

/// The owner of a created znode. A session must be in the read set, whose check proves that it is
/// alive.
fn owner_of(owner: Option<SessionId>, alive: &BTreeSet<SessionId>) -> Result<Owner, Refused> {
    match owner {
        None => Ok(Owner::Nobody),
        Some(session) if alive.contains(&session) => Ok(Owner::Session(session)),
        Some(session) => {
            let text =
                format!("session {session} is to own an ephemeral, but is not in the read set");
            Err(Refused::Rejected(ErrorCode::BadArguments, text))
        }
    }
}

impl GuestWrite {
    /// The path of the written znode.
    pub fn path(&self) -> &str {
        match self {
            GuestWrite::Create { path, .. }
            | GuestWrite::Set { path, .. }
            | GuestWrite::Delete { path } => path,
        }
    }
}

/// Why a transaction did nothing.
enum Refused {
    Conflict(Conflict),
    Rejected(ErrorCode, String),
}
