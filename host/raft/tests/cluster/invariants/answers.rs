//! **Answered truthfully.** Each operation is answered at most once. "Applied" names the zxid at
//! which all replicas have it. "Refused" means that it is nowhere in the history and never will be:
//! a client that is told "not done" of what is done does it twice.

use std::collections::BTreeMap;

use innkeeper_raft::Refusal;

use crate::clients::Wish;
use crate::history::Submission;

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Applied at this zxid.
    Applied(u64),
    /// Not done.
    Refused,
}

/// Notes an answer; there is at most one.
pub fn note(to: &mut Option<Answer>, answer: Answer) {
    let before = to.replace(answer);
    assert_eq!(before, None, "answered again: {answer:?}");
}

/// A follower refuses what only a leader decides, and a replica that has failed refuses everything.
/// Nothing else is refused: not for want of a leader, and not for a lapsed lease.
pub fn check_refusal(wish: Wish, refusal: &Refusal) {
    match refusal {
        Refusal::Stopped(_) => {}
        Refusal::NotLeader => assert_eq!(wish, Wish::LeadersOwn),
        other => panic!("{wish:?} is refused: {other}"),
    }
}

/// Compares all answers with the zxids at which tickets were applied.
pub fn check(submissions: &[Submission], zxids: &BTreeMap<u64, u64>) {
    for (ticket, submission) in submissions.iter().enumerate() {
        let applied = zxids.get(&(ticket as u64)).copied();
        match submission.answer {
            Some(Answer::Applied(zxid)) => assert_eq!(applied, Some(zxid), "ticket {ticket}"),
            Some(Answer::Refused) => {
                assert_eq!(applied, None, "ticket {ticket} was refused and applied");
            }
            None => {}
        }
    }
}
