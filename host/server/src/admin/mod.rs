//! The operators' surface: HTTP, ZooKeeper's four-letter words and commands, and metrics.

pub mod commands;
pub(crate) mod four_letter_words;
pub mod http;
pub mod metrics;
pub mod surface;
