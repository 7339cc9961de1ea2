//! A randomised differential test: the same requests to Innkeeper and to a real ZooKeeper, every
//! answer compared.
//!
//! 1. [`servers`] starts both from one `zoo.cfg`; they serve all cases.
//! 2. [`generate`] makes a case of a seed: two to four sessions, some dozens of requests of every
//!    kind over a few paths, with everything that can be wrong wrong now and then.
//!    [`directed`] has the few cases that chance would take too long to find.
//! 3. [`run`] does it on both servers at once, below a root of its own, and [`answer`] puts what
//!    came into words that two servers can share.
//! 4. [`compare`] looks for the first step whose words differ, unless [`deliberate`] says why they
//!    may. [`shrink`] leaves out what the difference does not need.
//! 5. [`coverage`] counts which operation was answered with which error code, and knows which pairs
//!    there are: one that never came means that the generator no longer reaches it.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a testing client stands outside the host, on the real clock, disk and sockets"
)]

pub mod answer;
pub mod compare;
pub mod connection;
pub mod coverage;
pub mod deliberate;
pub mod directed;
pub mod generate;
pub mod op;
pub mod random;
pub mod run;
pub mod servers;
pub mod shrink;
pub mod wire;
