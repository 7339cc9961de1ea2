//! Which thread a task runs on.
//!
//! **Invariant:** a role that may block has threads of its own, and a job waits only behind jobs
//! of its own role. So a guest that loops, or a module that is loaded, costs no client and no
//! heartbeat. (tests: `blocking_roles_hold_up_only_themselves`,
//! `threads_have_the_name_and_priority_of_their_role`)
//!
//! **Invariant:** a panic in `raft`, `fsync` or `checkpoint` that nobody awaits ends the process:
//! without its core a node would keep its clients waiting. (test:
//! `a_lost_core_panic_ends_the_process`)

use std::fmt;

/// The closed list of what tasks are for, and with it of the threads a node has.
///
/// Invariants:
/// - A future of a role that [may block](ThreadRole::may_block) holds up only tasks of its own role.
/// - A future of any other role never blocks: it awaits.
/// - In simulation every role is a task of the one executor, so nothing may wait for another
///   task by blocking, whatever its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadRole {
    /// openraft, its network and the door: one current-thread runtime on a thread of its own.
    /// What runs here may use the static functions of [`Runtime::Raft`](crate::Runtime::Raft).
    Raft,
    /// The log's writes and syncs: one thread that does nothing else.
    Fsync,
    /// redb commits, checkpoints, module storage: one thread, so that their syncs never stand in
    /// the way of the log's.
    Checkpoint,
    /// Client connections: a pool of workers. An authorizer runs inside its connection's task.
    Client,
    /// Admin HTTP and the admin socket. They share the workers of [`ThreadRole::Client`].
    Admin,
    /// Recipes, assignors and procedures: threads of lower priority.
    Guest,
    /// Those of them that compute for long: threads that run only where a processor has nothing
    /// else to do.
    Spare,
    /// Compilation of modules: one thread of the lowest priority.
    Compile,
}

impl ThreadRole {
    /// Whether a future of this role may block its thread (a sync, a compilation, a guest that
    /// computes for long).
    pub fn may_block(self) -> bool {
        match self {
            ThreadRole::Fsync
            | ThreadRole::Checkpoint
            | ThreadRole::Guest
            | ThreadRole::Spare
            | ThreadRole::Compile => true,
            ThreadRole::Raft | ThreadRole::Client | ThreadRole::Admin => false,
        }
    }

    /// Whether the node cannot go on without a task of this role: if one that nobody awaits
    /// panics, the process ends, since a node with a dead core would keep its clients waiting.
    pub fn is_core(self) -> bool {
        match self {
            ThreadRole::Raft | ThreadRole::Fsync | ThreadRole::Checkpoint => true,
            ThreadRole::Client
            | ThreadRole::Admin
            | ThreadRole::Guest
            | ThreadRole::Spare
            | ThreadRole::Compile => false,
        }
    }

    /// The role in one lower-case word; also the name of its threads.
    pub fn name(self) -> &'static str {
        match self {
            ThreadRole::Raft => "raft",
            ThreadRole::Fsync => "fsync",
            ThreadRole::Checkpoint => "checkpoint",
            ThreadRole::Client => "client",
            ThreadRole::Admin => "admin",
            ThreadRole::Guest => "guest",
            ThreadRole::Spare => "spare",
            ThreadRole::Compile => "compile",
        }
    }
}

impl fmt::Display for ThreadRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
