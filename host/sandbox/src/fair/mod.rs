//! Decides which binding gets a thread, a place in the pool, and memory next: the one that used
//! least.
//!
//! 1. Each binding that is invoked has an [`Account`]. It says how far the binding has come in
//!    virtual time: the fuel that it used, counted from the moment at which it joined. What the
//!    host does for a guest is charged in fuel, so fuel is all that is counted.
//! 2. An invocation first takes a [`Place`]: the right to one instance, and the memory that its
//!    limit allows. Only then does its caller take events and a view, so waiting for a place is
//!    no part of anything that is measured.
//! 3. It runs in turns ([`in_turns`]): at most as many light invocations run at a time as there
//!    are guest threads, and as many heavy ones, which the caller runs
//!    ([`Account::wants_spare_thread`]) on threads that get what is left of the processors. Each
//!    yields after a slice of fuel, is charged for it, and queues again.
//! 4. Places and turns are [`Shares`]: those that wait stand in the order of their accounts, the
//!    least used first.
//!
//! Virtual time is that of the invocation which got the last turn. A new binding starts there, and
//! so does one that comes back: it is equal to the least used of the present ones, and cannot save
//! up a right to more, except for about a millisecond's worth, which makes small reactions quick.
//! So there is no need for a clock, an idle hour earns nothing, and a binding that used much is
//! passed over only while others are present.
//!
//! Fuel of a binding that keeps failing counts more with each failure in a row
//! ([`Account::failed`]), so that the binding goes last. Bindings that have not had one good
//! invocation yet, or fail, may hold half of the places and of the memory at most, so that a
//! binding in good standing soon finds a place.
//!
//! A recipe waits for an assignor's place without a view, too: where there is none at the moment of
//! its call, its reaction ends, and runs again once it has one ([`AssignorPlace`]).
//!
//! There is no tokio semaphore here, because it hands its permits out first come, first served.
//!
//! **Invariant:** one binding's use of threads, places and memory costs the others no more than
//! their share of it. The binding that used least is first, one that keeps failing is last, and
//! those without a good invocation behind them hold half of the places at most. A hundred endless
//! loops beside one good recipe once took its reaction from 2 ms to 7 s. (tests:
//! `a_modest_guest_waits_for_two_slices_of_a_hundred_loops_and_not_for_a_hundred`,
//! `those_in_doubtful_standing_hold_half_and_one_in_good_standing_finds_a_place`,
//! `a_good_recipe_goes_on_beside_a_hundred_endless_loops`)

mod account;
mod shares;
mod turns;

pub use account::Account;
pub(crate) use account::VirtualTime;
pub(crate) use shares::{Held, Shares, Stock, Want};
pub(crate) use turns::in_turns;

use std::sync::Arc;

use innkeeper_tree::binding::Limits;

/// The right to one instance, with the memory that its binding's limit allows. Dropping it gives
/// both to the next that waits.
#[derive(Debug)]
pub struct Place {
    account: Arc<Account>,
    _held: Held,
}

/// The right to an instance of any assignor whose limit allows no more memory than this. Dropping
/// it gives both to the next that waits.
#[derive(Debug)]
pub struct AssignorPlace {
    memory_bytes: u64,
    _held: Held,
}

impl AssignorPlace {
    pub(crate) fn new(memory_bytes: u64, held: Held) -> AssignorPlace {
        AssignorPlace {
            memory_bytes,
            _held: held,
        }
    }

    /// Whether an assignor with that limit has room in it.
    pub(crate) fn has_room_for(&self, limits: &Limits) -> bool {
        limits.memory_bytes <= self.memory_bytes
    }
}

impl Place {
    pub(crate) fn new(account: Arc<Account>, held: Held) -> Place {
        Place {
            account,
            _held: held,
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}
