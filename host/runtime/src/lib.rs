//! The outside world behind traits: clock, randomness, sockets, threads, processes and files.
//!
//! The other crates of the host are generic over [`Runtime`] and [`Disk`] and reach the outside
//! world only through these traits. So a whole node runs unchanged on real threads and sockets
//! ([`Real`]), or on one thread with a virtual clock and a disk that loses what was not synced
//! ([`Simulated`]).
//!
//! How a client's durable write uses this crate:
//!
//! 1. [`Runtime::listen_tcp`] gave the server a [`Listener`]; each accepted [`Stream`] becomes a
//!    task of [`ThreadRole::Client`] by [`Runtime::spawn`].
//! 2. The task decodes a request and proposes a command to the proposer's task, which runs with
//!    openraft on the thread of [`ThreadRole::Raft`]; openraft's own timers and channels come from
//!    [`Runtime::Raft`].
//! 3. The log hands the batch to its task of [`ThreadRole::Fsync`]. This task writes to a [`File`]
//!    of the node's [`Disk`] and calls [`File::sync`], the only blocking call of a write. Its
//!    thread does nothing else.
//!
//! Other work uses it like this: a pushed module is compiled by a [`Program`] in a process of its
//! own ([`Runtime::run_program`]), which limits itself ([`confine`]). Recipes run as tasks of
//! [`ThreadRole::Guest`] at a lower priority. Session time advances by an [`Interval`], in which a
//! late tick counts as one.
//!
//! Tools: [`Runtime::fill_random`] for randomness; [`select2`] and its like to wait for the first
//! of several futures, which are always polled in the written order; [`Signal`] to tell many tasks
//! something once; [`Latest`] to show them a changing value.
//!
//! **Invariant:** outside `real/` nothing in the host calls tokio's timers, sockets, spawns,
//! `watch` or `select!`, nor std's threads, clocks or file writes, so that a whole node can run on
//! one thread in virtual time. Adding a simulation later would be a rewrite. clippy's
//! `disallowed-methods` refuses the calls. (test: `one_seed_is_one_run_and_another_seed_another`)

// `println!` and its like panic when the reader of the output has closed it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod calendar;
mod child;
mod clock;
mod disk;
mod latest;
mod net;
mod polls;
pub mod real;
mod runtime;
mod select;
mod signal;
pub mod sim;
pub mod streams;
mod task;
pub mod terminal;
mod thread_role;
mod yield_now;

pub use child::{COMPLAINT_BYTES_MAX, Confinement, Ended, Ending, Program, STARVED};
pub use clock::{Elapsed, Instant, Interval};
pub use disk::{Disk, File, Open};
pub use latest::{Latest, LatestReader};
pub use net::{Listener, Stream};
pub use polls::Polls;
pub use real::{Real, RealConfig, SocketPath, Threads, confine};
pub use runtime::Runtime;
pub use select::{Select2, Select3, Select4, select2, select3, select4};
pub use signal::Signal;
pub use sim::{Sim, SimDisk, Simulated, World};
pub use task::{AbortOnDrop, Task, TaskError, TaskPanic};
pub use thread_role::ThreadRole;
pub use yield_now::yield_now;
