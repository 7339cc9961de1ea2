//! The differences from ZooKeeper that are deliberate, with their reasons, and the situations that
//! are not compared.
//!
//! A rule describes the request and the two answers; any other difference at the same place counts
//! as a difference.

use crate::op::{AclEntry, Busy, CreateOp, Op, PathOp, Request, Slot, Step};
use crate::run::{HAS_EXPIRED, LIVES, Lines};

/// A deliberate difference.
pub struct Rule {
    /// Its name in the count.
    pub name: &'static str,
    /// The reason for the difference.
    pub reason: &'static str,
    /// Whether the two states differ afterwards, so that the rest of the case proves nothing.
    pub ends: bool,
    /// Whether it explains these two answers.
    applies: fn(Option<&Step>, &Lines, &Lines) -> bool,
}

/// All deliberate differences.
pub const RULES: &[Rule] = &[
    Rule {
        name: "the configuration of a group",
        reason: "a lone ZooKeeper has nothing in /zookeeper/config; a follower shows the members of its group, in a \
                 znode of the version -1, as a ZooKeeper of an ensemble does",
        ends: true,
        applies: |step, _, ours| {
            let names = |request: &Request| request.op.to_string().contains("/zookeeper/config");
            let shows = ["v=-1 ", "BadVersion", "NodeDataChanged"];
            requests(step).any(names) && shows.iter().any(|what| says(ours, what))
        },
    },
    Rule {
        name: "null texts",
        reason: "ZooKeeper does not expect null where a text belongs: its answer is what becomes of a \
                 NullPointerException, and depends on how far it had come. Here a null path cannot be read \
                 (MarshallingError), and any other null text is an empty one, which is what kazoo means by it",
        ends: true,
        applies: |step, theirs, _| {
            requests(step).any(|request| has_null(&request.op))
                && [
                    "MarshallingError",
                    "BadArguments",
                    "AuthFailed",
                    "closed instead",
                    "path=null",
                ]
                .iter()
                .any(|answer| says(theirs, answer))
        },
    },
    Rule {
        name: "sequential containers",
        reason: "ZooKeeper makes a container with a number behind its name of a createContainer that says so, \
                 and checks it as an ephemeral where the flags say that; no client library sends either, and \
                 here both are BadArguments",
        ends: true,
        applies: |step, _, ours| {
            requests(step).any(|request| is_odd_container(&request.op))
                && says(ours, "BadArguments")
        },
    },
    Rule {
        name: "deleteContainer and ACLs",
        reason: "ZooKeeper asks no ACL before a client's deleteContainer, so that anyone can delete any childless \
                 znode but an ephemeral; here it takes DELETE on the parent, as a delete does",
        ends: true,
        applies: |step, theirs, ours| {
            let sweeps = |op: &Op| {
                matches!(
                    op,
                    Op::Path {
                        op: PathOp::DeleteContainer,
                        ..
                    }
                )
            };
            requests(step).any(|request| sweeps(&request.op))
                && says(ours, "NoAuth")
                && !says(theirs, "NoAuth")
        },
    },
    Rule {
        name: "setWatches and ACLs",
        reason: "ZooKeeper asks no ACL before it sends the events that a setWatches finds due, so that it tells \
                 anyone of znodes that it would not show; here these events are judged as all others are",
        ends: true,
        applies: |step, theirs, ours| {
            requests(step).any(|request| matches!(request.op, Op::SetWatches { .. }))
                && lacks_only_events(&plain(theirs), &plain(ours))
        },
    },
    Rule {
        name: "the order in which auth is expanded",
        reason: "ZooKeeper keeps a connection's identities in a hash set; here they stand as the client proved \
                 them",
        ends: false,
        applies: |step, theirs, ours| {
            let is_acl = |op: &Op| {
                matches!(
                    op,
                    Op::Path {
                        op: PathOp::GetAcl,
                        ..
                    }
                )
            };
            requests(step).any(|request| is_acl(&request.op))
                && theirs.len() == ours.len()
                && theirs
                    .iter()
                    .zip(ours)
                    .all(|(theirs, ours)| same_but_for_order(&theirs.1, &ours.1))
        },
    },
    Rule {
        name: "characters beyond the basic plane, and what is not UTF-8",
        reason: "ZooKeeper writes such a character as two surrogates of three bytes each, which is not UTF-8, and \
                 replaces bytes that are not UTF-8 by fewer U+FFFD; no path of a znode holds either",
        ends: false,
        applies: |_, theirs, ours| plain(theirs) == plain(ours),
    },
    Rule {
        name: "setWatches of the empty path",
        reason: "ZooKeeper's tree knows its root under an empty path as well, which the reads here follow; but \
                 no event ever comes of that path, and a watch on it is answered as on one that is missing",
        ends: true,
        applies: |step, theirs, ours| {
            let empty = Some(Vec::new());
            requests(step).any(
                |request| matches!(&request.op, Op::SetWatches { paths, .. } if paths.iter().flatten().any(|path| *path == empty)),
            ) && without_empty(&plain(theirs)) == without_empty(&plain(ours))
        },
    },
    Rule {
        name: "a request that arrives slowly",
        reason: "ZooKeeper hears of a request when it is whole: one whose bytes take longer than the session's \
                 timeout to arrive finds its session expired; here its bytes are signs of life",
        ends: true,
        applies: |step, theirs, ours| {
            let Some(Step::Busy(sessions)) = step else {
                return false;
            };
            let is_slow = |slot: Slot| {
                let is_this =
                    |(of, busy): &(Slot, Busy)| *of == slot && matches!(busy, Busy::Dribbles(_));
                sessions.iter().any(is_this)
            };
            theirs.len() == ours.len()
                && theirs.iter().zip(ours).all(|(theirs, ours)| {
                    theirs == ours
                        || (theirs.0 == ours.0
                            && is_slow(ours.0)
                            && (theirs.1.as_str(), ours.1.as_str()) == (HAS_EXPIRED, LIVES))
                })
        },
    },
    Rule {
        name: "createSession from a client",
        reason: "with the opcode by which servers create sessions among themselves, a client can make \
                 ZooKeeper send it a second handshake; here it is Unimplemented, as all that is no \
                 client's request",
        ends: true,
        applies: |step, _, _| requests(step).any(|request| request.op.code() == CREATE_SESSION),
    },
];

/// The situations in which the runner does not compare the servers, and the reasons.
pub const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "whether a reattach with a wrong password closes the owner's connection",
        "ZooKeeper closes the session's connection before it looks at the password, so that a client that guesses a \
         session's number disconnects its owner; here the owner stays. The runner drops the connection on both",
    ),
    (
        "the zxid in the header of a reply that shows no transaction",
        "it is what the server had processed by then; Innkeeper's sessions and failed requests take a zxid \
         each, ZooKeeper's nearly all do",
    ),
    (
        "the order of children, ephemerals, identities, and of the events of a session's end",
        "ZooKeeper keeps them in hash sets: their order is chance",
    ),
    (
        "times, but for 0 and for what lies in one transaction",
        "two requests fall into one millisecond by chance",
    ),
    (
        "requests pipelined behind a setACL, and behind what changes a quota or what it counts",
        "ZooKeeper judges them by the state before, as long as it is not applied: their answer is chance",
    ),
    (
        "when containers and times to live are swept",
        "chance; deleteContainer, which does the same, is compared",
    ),
];

const CREATE_SESSION: i32 = -10;

/// The one such character in the cases, as Java writes it and in UTF-8.
const SURROGATES: &str = "\\xed\\xa0\\xbd\\xed\\xb8\\x80";
const CHARACTER: &str = "\\xf0\\x9f\\x98\\x80";
/// U+FFFD, as it is printed.
const REPLACED: &str = "\\xef\\xbf\\xbd";

/// The rule that explains two different answers, if there is one.
pub fn rule(step: Option<&Step>, theirs: &Lines, ours: &Lines) -> Option<&'static Rule> {
    RULES.iter().find(|rule| (rule.applies)(step, theirs, ours))
}

fn says(lines: &Lines, what: &str) -> bool {
    lines.iter().any(|(_, line)| line.contains(what))
}

/// Lines in which all text that is not UTF-8 is written in the same way.
fn plain(lines: &Lines) -> Lines {
    lines
        .iter()
        .map(|(slot, line)| {
            let mut line = line.replace(SURROGATES, CHARACTER);
            let two = REPLACED.repeat(2);
            while line.contains(&two) {
                line = line.replace(&two, REPLACED);
            }
            (*slot, line)
        })
        .collect()
}

/// The lines without events of the empty path.
fn without_empty(lines: &Lines) -> Lines {
    lines
        .iter()
        .filter(|(_, line)| !line.contains(" \"\" state="))
        .cloned()
        .collect()
}

fn same_but_for_order(one: &str, other: &str) -> bool {
    let entries = |line: &str| {
        let mut entries: Vec<String> = line
            .split(['[', ']', ','])
            .map(|entry| entry.trim().to_owned())
            .collect();
        entries.sort();
        entries
    };
    entries(one) == entries(other)
}

/// Whether every line that only ZooKeeper has is an event of a znode that exists.
fn lacks_only_events(theirs: &Lines, ours: &Lines) -> bool {
    let mut ours = ours.iter().peekable();
    let withheld = |line: &str| {
        ["NodeCreated", "NodeDataChanged", "NodeChildrenChanged"]
            .iter()
            .any(|kind| line.starts_with(&format!("event {kind} ")))
    };
    let explained = theirs.iter().all(|line| {
        if ours.peek() == Some(&line) {
            ours.next();
            true
        } else {
            withheld(&line.1)
        }
    });
    explained && ours.next().is_none()
}

fn requests(step: Option<&Step>) -> impl Iterator<Item = &Request> {
    match step {
        Some(Step::Call(_, request)) => std::slice::from_ref(request),
        Some(Step::Pipeline(_, requests)) => requests,
        _ => &[],
    }
    .iter()
}

fn has_null(op: &Op) -> bool {
    let null_acl = |acl: &Option<Vec<AclEntry>>| {
        acl.as_ref().is_none_or(|acl| {
            acl.iter()
                .any(|entry| entry.scheme.is_none() || entry.id.is_none())
        })
    };
    match op {
        Op::Create { path, acl, .. } | Op::SetAcl { path, acl, .. } => {
            path.is_none() || null_acl(acl)
        }
        Op::SetData { path, .. }
        | Op::Read { path, .. }
        | Op::Path { path, .. }
        | Op::Version { path, .. }
        | Op::Watch { path, .. } => path.is_none(),
        Op::Multi { ops, .. } => ops.iter().any(has_null),
        Op::SetWatches { paths, .. } => paths.iter().flatten().any(Option::is_none),
        Op::Auth {
            scheme,
            credentials,
        } => scheme.is_none() || credentials.is_none(),
        Op::Sasl { token } => token.is_none(),
        Op::Reconfig { .. } | Op::Ping | Op::WhoAmI | Op::Close | Op::Unknown { .. } => false,
    }
}

fn is_odd_container(op: &Op) -> bool {
    match op {
        Op::Create {
            op: CreateOp::Container,
            flags,
            ..
        } => *flags != 4,
        Op::Multi { ops, .. } => ops.iter().any(is_odd_container),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: Option<&[u8]>) -> Step {
        let op = Op::Path {
            op: PathOp::GetAcl,
            path: path.map(<[u8]>::to_vec),
        };
        Step::Call(0, op.into())
    }

    fn lines(line: &str) -> Lines {
        vec![(0, line.to_owned())]
    }

    #[test]
    fn only_events_of_what_is_there_may_be_withheld() {
        let event = |kind: &str| (0, format!("event {kind} \"~/a\" state=3 zxid=-1"));
        let reply = || (0, "setWatches: Ok(0) zxid=some".to_owned());
        let both = vec![event("NodeCreated"), event("NodeDeleted"), reply()];
        assert!(lacks_only_events(&both, &vec![both[1].clone(), reply()]));
        assert!(!lacks_only_events(&both, &vec![both[0].clone(), reply()]));
        assert!(!lacks_only_events(&both, &both[..2].to_vec()));
        // Innkeeper must not answer anything that ZooKeeper did not.
        assert!(!lacks_only_events(&vec![reply()], &both));
    }

    #[test]
    fn an_acl_may_be_in_another_order_and_no_other_acl() {
        assert!(same_but_for_order(
            "getAcl [a:1, b:2] stat",
            "getAcl [b:2, a:1] stat"
        ));
        assert!(!same_but_for_order(
            "getAcl [a:1, b:2] stat",
            "getAcl [b:1, a:2] stat"
        ));
    }

    #[test]
    fn slow_requests_alone_may_keep_what_has_expired_elsewhere() {
        let ping = || Request::from(Op::Ping);
        let step = Step::Busy(vec![
            (1, Busy::Repeats(ping())),
            (2, Busy::Dribbles(ping())),
        ]);
        let said = |first: &str, second: &str| vec![(1, first.to_owned()), (2, second.to_owned())];
        let excuses = |theirs, ours| rule(Some(&step), &theirs, &ours).is_some();
        assert!(excuses(said(LIVES, HAS_EXPIRED), said(LIVES, LIVES)));
        assert!(!excuses(said(HAS_EXPIRED, LIVES), said(LIVES, LIVES)));
        assert!(!excuses(said(LIVES, LIVES), said(LIVES, HAS_EXPIRED)));
    }

    #[test]
    fn a_rule_excuses_its_own_request_and_no_other() {
        let (theirs, ours) = (
            lines("getAcl: MarshallingError(-5)"),
            lines("getAcl: NoNode"),
        );
        let with_null = ask(None);
        assert_eq!(
            rule(Some(&with_null), &theirs, &ours).map(|rule| rule.name),
            Some("null texts")
        );
        assert!(rule(Some(&ask(Some(b"/a"))), &theirs, &ours).is_none());
        // Where ZooKeeper accepts the null, Innkeeper must, too.
        assert!(rule(Some(&with_null), &lines("getAcl: Ok(0)"), &ours).is_none());
        assert!(rule(None, &theirs, &ours).is_none());
    }
}
