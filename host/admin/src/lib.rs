//! The operators' surface of a node: HTTP, ZooKeeper's admin commands and four-letter words, and
//! metrics.
//!
//! One look of an operator:
//! 1. [`http`] takes a request from a TCP port or from the admin socket, and finds who may ask. A
//!    four-letter word comes from a client's connection through
//!    [`FourLetterWords`](innkeeper_server::four_letter_words::FourLetterWords).
//! 2. The handler asks the [`Surface`](surface::Surface): the service's
//!    [`inspect`](innkeeper_server::inspect), the replica's state, the guests' status.
//! 3. [`metrics`], `commands` or `four_letter_words` render what it got, by ZooKeeper's names. What
//!    may be long is made while it is sent (`pieces`).
//!
//! **Invariant:** no client waits for an operator's question.
//! (test: `the_lock_is_free_between_the_runs_of_a_report`)

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod commands;
mod ensemble;
mod four_letter_words;
pub mod http;
pub mod metrics;
mod pieces;
pub mod settings;
pub mod surface;
