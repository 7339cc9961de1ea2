//! **Each operation does what it says.** Whether it succeeds, and what is there afterwards, follow
//! from the operations before it alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use innkeeper_proto::ErrorCode;
use innkeeper_tree::applied::{Applied, OpReply, Outcome, Reply, TicketResult};

use crate::clients::{Wish, register, value};
use crate::common::path_of;
use crate::history::Submission;
use crate::invariants::members::Members;

/// Data, zxid of creation and zxid of the last change by path.
pub type Znodes = BTreeMap<String, (Bytes, u64, u64)>;

#[derive(Debug, PartialEq)]
enum Result {
    Created,
    Set,
    Configured,
    Failed(ErrorCode),
    Void,
}

/// Does an operation, and returns what must come of it.
fn step(znodes: &mut Znodes, wish: Wish, ticket: u64, zxid: u64) -> Result {
    let (path, data) = match wish {
        Wish::LeadersOwn => return Result::Void,
        Wish::Configure => unreachable!("it changes no znode"),
        Wish::Create => (path_of(ticket), Bytes::from(format!("{ticket}"))),
        Wish::CreateRegister(which) | Wish::Set(which) => (register(which), value(ticket)),
    };
    match (wish, znodes.get_mut(&path)) {
        (Wish::Set(_), Some(znode)) => {
            (znode.0, znode.2) = (data, zxid);
            Result::Set
        }
        (Wish::Set(_), None) => Result::Failed(ErrorCode::NoNode),
        (_, Some(_)) => Result::Failed(ErrorCode::NodeExists),
        (_, None) => {
            znodes.insert(path, (data, zxid, zxid));
            Result::Created
        }
    }
}

fn told(applied: &Applied) -> Result {
    let Outcome::Ticket { result, .. } = &applied.outcome else {
        panic!("nobody waits for {applied:?}");
    };
    match result {
        TicketResult::Admin(Reply::Single(Ok(OpReply::Created { .. }))) => Result::Created,
        TicketResult::Admin(Reply::Single(Ok(OpReply::Set(_)))) => Result::Set,
        TicketResult::Admin(Reply::Single(Err(error))) => Result::Failed(*error),
        TicketResult::Void => Result::Void,
        TicketResult::Configured(Ok(version)) if *version == applied.zxid => Result::Configured,
        TicketResult::Configured(Err(error)) => Result::Failed(*error),
        other => panic!("nobody asked for {other:?}"),
    }
}

fn walk(
    submissions: &[Submission],
    all: &[Applied],
    mut each: impl FnMut(&Applied, Result),
) -> Znodes {
    let mut znodes = Znodes::new();
    let mut members = Members::default();
    for applied in all {
        let zxid = applied.zxid.0;
        if let Outcome::Ticket { ticket, .. } = &applied.outcome {
            let submission = &submissions[ticket.0 as usize];
            let result = match &submission.change {
                Some(change) if members.change(change, zxid) => Result::Configured,
                Some(_) => Result::Failed(ErrorCode::BadVersion),
                None => step(&mut znodes, submission.wish, ticket.0, zxid),
            };
            each(applied, result);
        } else {
            members.founded(zxid, []);
        }
    }
    znodes
}

/// Compares the results of all applied operations with what must come of them.
pub fn check(submissions: &[Submission], all: &[Applied]) {
    walk(submissions, all, |applied, expected| {
        assert_eq!(told(applied), expected, "{applied:?}");
    });
}

/// The znodes after all applied operations.
pub fn znodes(submissions: &[Submission], all: &[Applied]) -> Znodes {
    walk(submissions, all, |_, _| {})
}
