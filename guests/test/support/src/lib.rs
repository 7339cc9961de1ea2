//! What the test guests share.

mod misbehaviour;
mod stamp;

pub use misbehaviour::Misbehaviour;
pub use stamp::Stamp;
