//! A randomised differential test: the same requests are sent to Innkeeper and to a real ZooKeeper,
//! and every answer is compared.
//!
//! 1. [`servers`] starts both from one `zoo.cfg`; they serve all cases.
//! 2. [`generate`] makes a case from a seed: two to four sessions, and some dozens of requests of
//!    every kind for a few paths, of which some are wrong in every possible way. [`directed`] has
//!    the few cases that random choice would take too long to find.
//! 3. [`run`] runs the case on both servers at once, below a root of its own, and [`answer`] writes
//!    the answers so that they can be compared.
//! 4. [`compare`] finds the first step whose answers differ, unless [`deliberate`] explains the
//!    difference. [`shrink`] removes the steps that the difference does not need.
//! 5. [`coverage`] counts which operation was answered with which error code, and knows all
//!    possible pairs: a pair that never came means that the generator no longer reaches it.

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
