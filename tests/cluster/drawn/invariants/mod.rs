//! What holds whatever happens, one invariant in each file.

pub mod ephemerals;
pub mod healed;
pub mod leading;
pub mod lost;
pub mod once_before_data;
pub mod one_owner;
pub mod owed;
pub mod policies;
pub mod reactions;
pub mod real_time;
pub mod recursive;
pub mod registers;
pub mod same;
pub mod served;
pub mod timeouts;
pub mod zxids;
