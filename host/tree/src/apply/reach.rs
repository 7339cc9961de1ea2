//! How much work a command is, before it is applied.

use crate::Tree;
use crate::command::{Command, Operation, SessionRequest, Write, WriteOp};
use crate::ids::SessionId;
use crate::quota::{STATS, subject};

impl Tree {
    /// How many znodes applying the command visits at most, apart from old versions that it frees.
    /// It is cheap to know and takes no part in the result: whoever applies the command decides by
    /// it where to do so. (test: `commands_that_visit_many_znodes_are_known`)
    pub fn reach(&self, command: &Command) -> usize {
        match &command.operation {
            Operation::Session {
                session,
                request: SessionRequest::Close,
                ..
            }
            | Operation::ExpireSession { session, .. } => self.ephemerals_of(*session),
            Operation::Session {
                request: SessionRequest::Write { write, .. },
                ..
            }
            | Operation::Admin { write, .. } => self.reach_of_write(write),
            Operation::Transaction { transaction, .. } => {
                transaction.reads.len() + transaction.writes.len()
            }
            Operation::CreateSession { .. }
            | Operation::Reattach { .. }
            | Operation::RegisterModule { .. }
            | Operation::Activate { .. }
            | Operation::Sweep(_)
            | Operation::RaiseLevel { .. }
            | Operation::Group(_) => 1,
        }
    }

    fn ephemerals_of(&self, session: SessionId) -> usize {
        let sessions = self.store.sessions.read();
        sessions.get(session).map_or(0, |known| known.owned())
    }

    fn reach_of_write(&self, write: &Write) -> usize {
        let operations = write.operations();
        // Statistics that begin are counted once, and only the znodes below the quota. How many
        // these are is known after the count.
        let counts = operations.iter().any(|operation| {
            matches!(operation, WriteOp::Create { path, .. } if subject(path, STATS).is_some())
        });
        let counted = if counts {
            self.store.nodes.read().len()
        } else {
            0
        };
        operations.len() + counted
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_proto::CreateMode;

    use super::*;
    use crate::command::Identity;
    use crate::{Ticket, acl};

    const SESSION: SessionId = SessionId(0x0100_0000_0000_0007);

    fn create(path: &str, mode: CreateMode) -> WriteOp {
        WriteOp::Create {
            path: path.to_owned(),
            data: None,
            acl: acl::open(),
            mode,
            ttl_ms: 0,
        }
    }

    fn command(operation: Operation) -> Command {
        Command {
            time_ms: 0,
            operation,
        }
    }

    fn of_session(seq: u64, request: SessionRequest) -> Command {
        command(Operation::Session {
            session: SESSION,
            attachment: 1,
            seq,
            request,
        })
    }

    fn admin(write: Write) -> Command {
        command(Operation::Admin {
            ticket: Ticket(1),
            identities: vec![Identity {
                scheme: "super".to_owned(),
                id: String::new(),
            }],
            write,
            enforce_quota: false,
        })
    }

    #[test]
    fn commands_that_visit_many_znodes_are_known() {
        let mut tree = Tree::new();
        let close = of_session(2, SessionRequest::Close);
        assert_eq!(tree.reach(&close), 0, "there is no such session");
        tree.apply(&command(Operation::CreateSession {
            ticket: Ticket(1),
            session: SESSION,
            password: [0; 16],
            timeout_ms: 10_000,
            local: false,
        }));
        let creates = (0..40).map(|at| create(&format!("/e{at}"), CreateMode::Ephemeral));
        let multi = of_session(
            1,
            SessionRequest::Write {
                identities: Vec::new(),
                policy_zxid: None,
                write: Write::Multi(creates.collect()),
                enforce_quota: false,
                upgrade_local: false,
            },
        );
        assert_eq!(tree.reach(&multi), 40);
        tree.apply(&multi);
        assert_eq!(tree.reach(&close), 40);
        let expire = command(Operation::ExpireSession {
            session: SESSION,
            attachment: 1,
        });
        assert_eq!(tree.reach(&expire), 40);
        let one = |path: &str| admin(Write::Single(create(path, CreateMode::Persistent)));
        assert_eq!(tree.reach(&one("/a")), 1);
        let stats = one("/zookeeper/quota/zookeeper_stats");
        assert!(tree.reach(&stats) > 40, "it counts the whole tree");
        tree.apply(&close);
        assert_eq!(tree.reach(&close), 0);
    }
}
