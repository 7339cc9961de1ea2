//! The roles of tasks, which decide on which threads they run.
//!
//! **Invariant:** a role that may block has threads of its own, and a job waits only behind jobs
//! of its own role. So a guest that loops, or a module that is loaded, costs no client and no
//! heartbeat. (tests: `blocking_roles_hold_up_only_themselves`,
//! `threads_have_the_name_and_priority_of_their_role`)
//!
//! **Invariant:** a panic in `raft`, `fsync`, `checkpoint` or `reading` that nobody awaits ends the process:
//! without its core a node would keep its clients waiting. (test:
//! `a_lost_core_panic_ends_the_process`)

use std::fmt;

/// What a task is for. The roles are also the list of a node's threads.
///
/// Invariants:
/// - A future of a role that [may block](ThreadRole::may_block) delays only tasks of its own role.
/// - A future of any other role must not block.
/// - In simulation the tasks of all roles run on one executor, so no task of any role may block
///   while it waits for another task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadRole {
    /// openraft, its network and the proposer: one thread with a current-thread runtime. Its tasks
    /// may use the static functions of [`Runtime::Raft`](crate::Runtime::Raft).
    Raft,
    /// The log's writes and syncs: one thread that does nothing else.
    Fsync,
    /// redb commits, checkpoints and module storage: one thread, so that their syncs do not delay
    /// the syncs of the log.
    /// Changed key stores of TLS are read here as well.
    Checkpoint,
    /// Reading of old log entries, for peers that lag and after a start: one thread, so that a read
    /// delays neither heartbeats nor syncs, and does not wait for a checkpoint. It also starts the
    /// processes that compile modules, which takes a millisecond or two each. The configuration is
    /// read here before all that.
    Reading,
    /// Client connections: a pool of threads. Authorizers run inside the tasks of connections.
    Client,
    /// Admin HTTP and the admin socket. They share the threads of [`ThreadRole::Client`].
    Admin,
    /// Recipes, assignors and procedures: threads of lower priority.
    Guest,
    /// Guests that compute for long: threads that run only while a processor has nothing else to
    /// do. They are started when there is such a guest, and end when there is none.
    Spare,
    /// Loading of modules: one thread of a low priority, which is started when there is a module to
    /// load.
    Compile,
}

impl ThreadRole {
    /// May a task of this role block its thread, by a sync, a compilation or a long computation?
    pub fn may_block(self) -> bool {
        match self {
            ThreadRole::Fsync
            | ThreadRole::Checkpoint
            | ThreadRole::Reading
            | ThreadRole::Guest
            | ThreadRole::Spare
            | ThreadRole::Compile => true,
            ThreadRole::Raft | ThreadRole::Client | ThreadRole::Admin => false,
        }
    }

    /// Does the node need every task of this role? If such a task panics and no other task awaits
    /// it, the process ends, since otherwise clients would wait for ever.
    pub fn is_core(self) -> bool {
        match self {
            ThreadRole::Raft | ThreadRole::Fsync | ThreadRole::Checkpoint | ThreadRole::Reading => {
                true
            }
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
            ThreadRole::Reading => "reading",
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
