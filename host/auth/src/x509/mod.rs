//! Certificates: whose are believed, what they are called, and what kind their keys are of.
//!
//! 1. A certificate that a client sends is parsed and checked ([`checks`]).
//! 2. It is believed if it stands in the trust store, or if a path leads from it to a certificate
//!    of the trust store ([`Trust`]; [`path`] searches, [`Anchors`](anchors::Anchors) are where it
//!    may end). Otherwise [`Distrust`] says why not, without repeating much of what the client
//!    wrote.
//! 3. Its subject, in the words in which Java prints it, is the client's identity ([`name`]).
//!
//! What the cryptography does not know is refused by its name ([`kinds`]).

mod anchors;
pub(crate) mod asn1;
mod checks;
mod distrust;
pub(crate) mod kinds;
pub(crate) mod name;
mod path;
mod trust;

#[cfg(test)]
pub(crate) mod tests;

pub use distrust::Distrust;
pub(crate) use distrust::shown;
pub(crate) use trust::{Trust, names_address};
