//! Everything that clients and replicas did in a run, in the order in which it happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use innkeeper_raft::{Delivery, Refusal};
use innkeeper_runtime::sim::Record;
use innkeeper_tree::applied::{Applied, Outcome};
use innkeeper_tree::group::GroupChange;
use innkeeper_tree::{Operation, View};
use parking_lot::Mutex;

use crate::clients::Wish;
use crate::invariants::answers::{self, Answer};
use crate::invariants::members::{Change, Members};
use crate::invariants::model::{self, Znodes};
use crate::invariants::once;
use crate::invariants::one_history::OneHistory;
use crate::invariants::real_time::RealTime;
use crate::invariants::zxids::Zxids;
use crate::stage::Sum;

/// One operation of a client. Its ticket is its number in the history.
pub struct Submission {
    /// The life of the replica that it was submitted to.
    pub life: usize,
    /// The submitter, whose operations must be applied in their order.
    pub by: usize,
    pub wish: Wish,
    /// The configuration that is wanted.
    pub change: Option<Change>,
    /// A write must come after this zxid: it was known when the operation was submitted.
    pub after: u64,
    pub answer: Option<Answer>,
    /// A snapshot was installed on its replica before it was answered. If it was sent by then, it
    /// may be in the snapshot or lost, and nobody can tell its client.
    pub may_stay_open: bool,
}

/// The history of a run. Clones are the same one.
#[derive(Clone)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    is_over: bool,
    lives: usize,
    submitters: usize,
    submissions: Vec<Submission>,
    one: OneHistory,
    real_time: RealTime,
    installs: u64,
    /// The members with whom the group is founded.
    founders: Members,
    /// The configuration that was asked for last.
    wanted: Arc<Members>,
    /// What came of the changes of the configuration, by ticket.
    changed: BTreeMap<u64, bool>,
}

impl History {
    pub fn new(founders: Members) -> Self {
        let inner = Inner {
            founders,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// A life of a replica begins.
    pub fn open_door(&self, node: u64) -> Door {
        let mut inner = self.inner.lock();
        inner.lives += 1;
        Door {
            node,
            life: inner.lives,
            history: self.inner.clone(),
            progress: Mutex::default(),
        }
    }

    /// From now on nothing more is submitted.
    pub fn end(&self) {
        self.inner.lock().is_over = true;
    }

    /// The highest zxid that any replica has applied.
    pub fn last_zxid(&self) -> u64 {
        self.inner.lock().one.last_zxid()
    }

    /// The configuration that was asked for last, among those that were applied somewhere. It has
    /// no members before the group is founded.
    pub fn wanted(&self) -> Arc<Members> {
        self.inner.lock().wanted.clone()
    }

    /// What came of a change of the configuration, as soon as some replica has applied it.
    pub fn has_changed(&self, ticket: u64) -> Option<bool> {
        self.inner.lock().changed.get(&ticket).copied()
    }

    /// How many operations of a life have no answer yet.
    pub fn unanswered(&self, life: usize) -> usize {
        let inner = self.inner.lock();
        let of_life = inner.submissions.iter().filter(|it| it.life == life);
        let open = of_life.filter(|it| it.answer.is_none() && !it.may_stay_open);
        open.count()
    }

    /// Judges everything that can be judged only at the end.
    pub fn check(&self) {
        let inner = self.inner.lock();
        let zxids = inner.zxids();
        once::check(&inner.submissions, inner.one.tickets(), &zxids);
        answers::check(&inner.submissions, &zxids);
        model::check(&inner.submissions, inner.one.all());
        for (ticket, submission) in inner.submissions.iter().enumerate() {
            if let Some(zxid) = zxids.get(&(ticket as u64)) {
                RealTime::comes_after(submission.after, *zxid);
            }
        }
    }

    /// The znodes that there must be in the end.
    pub fn znodes(&self) -> Znodes {
        let inner = self.inner.lock();
        model::znodes(&inner.submissions, inner.one.all())
    }

    pub fn sum(&self, record: Record, terms: u64) -> Sum {
        let inner = self.inner.lock();
        let is_refused = |it: &&Submission| matches!(it.answer, Some(Answer::Refused));
        Sum {
            record,
            applied: inner.one.all().len(),
            read: inner.real_time.reads(),
            refused: inner.submissions.iter().filter(is_refused).count(),
            terms,
            lives: inner.lives,
            installs: inner.installs,
            ..Sum::default()
        }
    }
}

impl Inner {
    /// The zxid of each ticket that was applied.
    fn zxids(&self) -> BTreeMap<u64, u64> {
        self.one.tickets().collect()
    }

    /// A replica has applied a command.
    fn applied(&mut self, node: u64, applied: Applied, wish: Wish) {
        let (before, zxid) = (self.one.last_zxid(), applied.zxid.0);
        let outcome = applied.outcome.clone();
        self.one.applied(node, applied, wish);
        if self.one.last_zxid() == before {
            return;
        }
        match outcome {
            Outcome::Ticket { ticket, .. } => {
                if let Some(change) = &self.submissions[ticket.0 as usize].change {
                    let is_done = Arc::make_mut(&mut self.wanted).change(change, zxid);
                    self.changed.insert(ticket.0, is_done);
                }
            }
            Outcome::Nobody => {
                Arc::make_mut(&mut self.wanted).founded(zxid, self.founders.all());
            }
            Outcome::Session { .. } => {}
        }
    }
}

/// The door of one life of a replica: what passes through it is noted in the history.
pub struct Door {
    node: u64,
    pub life: usize,
    history: Arc<Mutex<Inner>>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    zxids: Zxids,
    /// Operations that the door has taken.
    taken: u64,
    /// Operations that it has answered.
    answered: u64,
    /// A snapshot was installed. What was sent by then has given its room back and gets no answer.
    has_jumped: bool,
}

impl Door {
    /// One more client that submits here.
    pub fn submitter(self: &Arc<Self>) -> Submitter {
        let mut inner = self.history.lock();
        inner.submitters += 1;
        Submitter {
            number: inner.submitters,
            door: self.clone(),
        }
    }

    /// How many operations the door has taken and not answered; `None` after a snapshot, when
    /// nobody can tell.
    pub fn held(&self) -> Option<u64> {
        let progress = self.progress.lock();
        let held = progress.taken.saturating_sub(progress.answered);
        (!progress.has_jumped).then_some(held)
    }

    /// A client begins to read. Returns the zxid that it must see at least.
    pub fn begins_to_read(&self) -> u64 {
        self.history.lock().real_time.known()
    }

    /// A client has read after a confirmation.
    pub fn reads(&self, least: u64, view: &View) {
        let mut inner = self.history.lock();
        let zxid = view.zxid().0;
        inner.real_time.read(least, zxid);
        inner.one.shows(self.node, view);
    }
}

impl Delivery for Door {
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut()) {
        publish();
        let mut progress = self.progress.lock();
        let mut inner = self.history.lock();
        let inner = &mut *inner;
        for applied in batch {
            let zxid = applied.zxid.0;
            progress.zxids.next(self.node, zxid);
            let ticket = match &applied.outcome {
                Outcome::Ticket { ticket, .. } => Some(ticket.0),
                Outcome::Session { .. } | Outcome::Nobody => None,
            };
            let submitted = ticket.and_then(|ticket| inner.submissions.get(ticket as usize));
            let wish = submitted.map(|submission| submission.wish);
            if let (Some(ticket), Some(wish)) = (ticket, wish) {
                inner.applied(self.node, applied, wish);
                let submission = &mut inner.submissions[ticket as usize];
                if submission.life == self.life {
                    progress.answered += 1;
                    answers::note(&mut submission.answer, Answer::Applied(zxid));
                    RealTime::comes_after(submission.after, zxid);
                    inner.real_time.knows(zxid);
                }
            } else if applied.outcome == Outcome::Nobody {
                // The group was founded, or one of its members taken in.
                inner.applied(self.node, applied, Wish::LeadersOwn);
            } else {
                panic!(
                    "node {} has applied what nobody submitted: {applied:?}",
                    self.node
                );
            }
        }
    }

    fn installed(&self, before: &View, after: &View, publish: &mut dyn FnMut()) {
        publish();
        let mut progress = self.progress.lock();
        let mut inner = self.history.lock();
        let inner = &mut *inner;
        progress
            .zxids
            .jump(self.node, before.zxid().0, after.zxid().0);
        inner.one.shows(self.node, after);
        inner.installs += 1;
        progress.has_jumped = true;
        for submission in &mut inner.submissions {
            submission.may_stay_open |= submission.life == self.life && submission.answer.is_none();
        }
    }

    fn refused(&self, operation: Operation, refusal: Refusal) {
        let ticket = match operation {
            Operation::Admin { ticket, .. }
            | Operation::Activate { ticket, .. }
            | Operation::Group(GroupChange::Configure { ticket, .. }) => ticket,
            // What a leader does for the group by itself has no ticket.
            Operation::Group(_) => return,
            _ => panic!("nobody submitted {operation:?}"),
        };
        let mut progress = self.progress.lock();
        let mut inner = self.history.lock();
        let submission = &mut inner.submissions[ticket.0 as usize];
        progress.answered += 1;
        answers::check_refusal(submission.wish, &refusal);
        answers::note(&mut submission.answer, Answer::Refused);
    }
}

/// One client that submits at a door.
pub struct Submitter {
    number: usize,
    door: Arc<Door>,
}

impl Submitter {
    pub fn goes_on(&self) -> bool {
        !self.door.history.lock().is_over
    }

    /// The client is about to submit an operation. Returns its ticket.
    pub fn submits(&self, wish: Wish) -> u64 {
        self.submits_one(wish, None)
    }

    /// The operator is about to ask for another configuration. Returns the ticket.
    pub fn asks_for(&self, change: &Change) -> u64 {
        self.submits_one(Wish::Configure, Some(change.clone()))
    }

    fn submits_one(&self, wish: Wish, change: Option<Change>) -> u64 {
        let mut inner = self.door.history.lock();
        let after = inner.real_time.known();
        inner.submissions.push(Submission {
            life: self.door.life,
            by: self.number,
            wish,
            change,
            after,
            answer: None,
            may_stay_open: false,
        });
        inner.submissions.len() as u64 - 1
    }

    /// The door has taken so many operations.
    pub fn is_taken(&self, count: u64) {
        self.door.progress.lock().taken += count;
    }
}
