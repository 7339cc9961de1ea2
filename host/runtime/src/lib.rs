//! The outside world, handed in: clock, randomness, sockets, threads and files.
//!
//! Every other crate of the host is generic over [`Runtime`] and [`Disk`] and touches the world
//! through nothing else, so that a whole node runs unchanged either on real threads and sockets
//! ([`Real`]) or, single-threaded, on a virtual clock with a disk that forgets ([`Simulated`]).
//!
//! How one durable write of a client passes through this crate:
//!
//! 1. [`Runtime::listen_tcp`] gave the server a [`Listener`]; each accepted [`Stream`] becomes a
//!    task of [`ThreadRole::Client`] by [`Runtime::spawn`].
//! 2. The task decodes a request and sends a command to the door, which lives with openraft on
//!    the thread of [`ThreadRole::Raft`]; openraft's own timers and channels come from
//!    [`Runtime::Raft`].
//! 3. The log hands the batch to its task of [`ThreadRole::Fsync`], which writes through a [`File`] of
//!    the node's [`Disk`] and calls [`File::sync`]: the one blocking call on the path, on a
//!    thread that does nothing else.
//! 4. A module that somebody pushes is compiled by a [`Program`] beside the node
//!    ([`Runtime::run_program`]), under limits of its own ([`confine`]).
//! 5. Recipes that react run as tasks of [`ThreadRole::Guest`], at a lower priority.
//! 6. Session time advances by an [`Interval`], in which a late tick counts as one.
//!
//! Randomness is [`Runtime::fill_random`], waiting for the first of several things is
//! [`select2`] and its like (always polled in the order written), telling many tasks something
//! once is a [`Signal`], and showing them a changing value is a [`Latest`].
//!
//! **Invariant:** outside `real/` nothing in the host calls tokio's timers, sockets, spawns,
//! `watch` or `select!`, nor std's threads, clocks or file writes. A whole node must be able to
//! run on one thread in virtual time, and a simulation that is added later is a rewrite. clippy's
//! `disallowed-methods` refuses the calls. (test: `one_seed_is_one_run_and_another_seed_another`)

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod calendar;
mod child;
mod clock;
mod disk;
mod latest;
mod net;
pub mod real;
mod runtime;
mod select;
mod signal;
pub mod sim;
pub mod streams;
mod task;
pub mod terminal;
mod thread_role;

pub use child::{COMPLAINT_BYTES_MAX, Confinement, Ended, Ending, Program};
pub use clock::{Elapsed, Instant, Interval};
pub use disk::{Disk, File, Open};
pub use latest::{Latest, LatestReader};
pub use net::{Listener, Stream};
pub use real::{Real, RealConfig, SocketPath, Threads, confine};
pub use runtime::Runtime;
pub use select::{Select2, Select3, Select4, select2, select3, select4};
pub use signal::Signal;
pub use sim::{Sim, SimDisk, Simulated};
pub use task::{AbortOnDrop, Task, TaskError, TaskPanic};
pub use thread_role::ThreadRole;
