//! **Each operation is applied at most once, in its submitter's order, and none is left out.** If a
//! later operation of a submitter is applied, each earlier one was applied before it, or was
//! refused as something that only a leader decides. What a snapshot on its replica has left without
//! an answer may be lost, as with a connection that breaks: the server closes its clients' then.

use std::collections::BTreeMap;

use crate::clients::Wish;
use crate::history::Submission;

/// Judges a whole history: the tickets in it with their zxids, as they were applied and by ticket.
pub fn check(
    submissions: &[Submission],
    applied: impl Iterator<Item = (u64, u64)>,
    zxids: &BTreeMap<u64, u64>,
) {
    for (ticket, zxid) in applied {
        assert_eq!(zxids[&ticket], zxid, "ticket {ticket} was applied twice");
    }
    let mut by: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (ticket, submission) in submissions.iter().enumerate() {
        by.entry(submission.by).or_default().push(ticket as u64);
    }
    for (submitter, tickets) in by {
        let mut last = 0;
        let mut missing = None;
        for ticket in tickets {
            match zxids.get(&ticket) {
                Some(zxid) => {
                    assert!(
                        *zxid > last,
                        "submitter {submitter}: ticket {ticket} at {zxid} comes after {last}"
                    );
                    assert_eq!(
                        missing, None,
                        "submitter {submitter}: ticket {ticket} is applied and an earlier one is not"
                    );
                    last = *zxid;
                }
                None if submissions[ticket as usize].wish == Wish::LeadersOwn => {}
                None if submissions[ticket as usize].may_stay_open => {}
                None => missing = missing.or(Some(ticket)),
            }
        }
    }
}
