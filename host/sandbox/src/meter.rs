//! What host calls cost: fuel, the same fuel that the guest's own instructions cost.
//!
//! 1. Every host function begins with [`enter`]: the call is counted, its arguments are
//!    charged.
//! 2. What it does then is charged before it is done where its size is known, else run by run
//!    ([`work`]): so much per znode, child and byte. Fuel that is gone ends the invocation.
//! 3. Whenever a little fuel was used, by the guest or by calls, the clock is looked at: a look
//!    costs as much as a short call.
//! 4. A call that worked for as long as a guest may run in one go lets others run, and goes on.
//!
//! A charge is the time of the work in nanoseconds, one unit of fuel each, rather too high than too
//! low: 500,000,000 units are about half a second, however the guest spends them. The exact charges
//! do not matter, but all work that can grow must have one.
//! (test: `what_a_host_call_does_costs_fuel`)
//!
//! Fuel is set in the store itself, which is why host functions get the store and are linked by
//! hand (`link`). That refills the guest's fuel up to the next yield, so yields are counted here
//! as well.
//!
//! **Invariant:** what the host does for a guest costs the guest's fuel, in proportion to the
//! znodes, children and bytes that it touches. One `delete` that listed 100,000 children once
//! held every guest thread. (tests: `what_a_host_call_does_costs_fuel`,
//! `a_delete_costs_the_same_however_many_children_there_are`)

use wasmtime::StoreContextMut;

use crate::clock::yield_now;
use crate::failure::{FailureKind, LimitPassed};
use crate::state::State;

/// Any host call: crossing over, looking up a znode, recording that it was read.
const CALL: u64 = 500;

/// A write: checking it now, encoding it, applying it on every node.
pub(crate) const WRITE: u64 = 2_500;

/// A child's place that a listing looks at, and the child's name put in order.
pub(crate) const CHILD: u64 = 300;

/// A znode of a scan or a bulk read, put into the answer.
pub(crate) const ZNODE: u64 = 400;

/// An entry of a bulk call: lifting it out of the guest's memory.
pub(crate) const ENTRY: u64 = 50;

/// A call of an assignor: a store, an instance.
pub(crate) const ASSIGN: u64 = 30_000;

/// Bytes that are moved or compared for one unit.
const BYTES_PER_UNIT: usize = 2;

/// What moving so many bytes costs.
pub(crate) fn bytes(count: usize) -> u64 {
    (count / BYTES_PER_UNIT) as u64
}

/// Begins a host call in which the guest hands over so many bytes; `more` is the fuel of what is
/// known to be done beside.
pub(crate) async fn enter<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    handed_over: usize,
    more: u64,
) -> wasmtime::Result<()> {
    let budget = store.data_mut().budget();
    budget.begin_result();
    budget.charge(handed_over)?;
    work(store, call, CALL + bytes(handed_over) + more).await
}

/// Begins an entry of a bulk call, which counts as a call. What it hands over was charged with
/// the bulk call, and what it is handed is a part of that call's result.
pub(crate) async fn enter_entry<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    more: u64,
) -> wasmtime::Result<()> {
    store.data_mut().budget().charge(0)?;
    work(store, call, CALL + more).await
}

/// Charges work, looks at the clock if it is time, and lets others run if it is time.
pub(crate) async fn work<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    fuel: u64,
) -> wasmtime::Result<()> {
    let left = take(store, call, fuel)?;
    let budget = store.data_mut().budget();
    if budget.is_look_due(left) {
        budget.deadline().check()?;
    }
    if budget.is_turn_over(left) {
        // The caller of the poll looks at the clock again ([`crate::clock::until`]).
        yield_now().await;
    }
    Ok(())
}

/// Ends the invocation if work of that size could not be paid. It is charged as it is done.
pub(crate) fn afford<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    fuel: u64,
) -> wasmtime::Result<()> {
    if charged(fuel) > store.get_fuel()? {
        return Err(used_up(store, call));
    }
    Ok(())
}

/// Takes fuel; says how much is left.
fn take<T: State>(
    store: &mut StoreContextMut<'_, T>,
    call: &'static str,
    fuel: u64,
) -> wasmtime::Result<u64> {
    let Some(left) = store.get_fuel()?.checked_sub(charged(fuel)) else {
        return Err(used_up(store, call));
    };
    store.set_fuel(left)?;
    Ok(left)
}

#[cfg(not(innkeeper_break = "host-work-fuel"))]
fn charged(fuel: u64) -> u64 {
    fuel
}

/// The build that must fail: host work costs nothing.
#[cfg(innkeeper_break = "host-work-fuel")]
fn charged(_: u64) -> u64 {
    0
}

fn used_up<T: State>(store: &mut StoreContextMut<'_, T>, call: &'static str) -> wasmtime::Error {
    // All of it counts as used: the call would have taken it.
    let emptied = store.set_fuel(0);
    let fuel = store.data_mut().budget().limits().fuel;
    match emptied {
        Ok(()) => LimitPassed::raise(
            FailureKind::Fuel,
            format!(
                "it used up the {fuel} units of one invocation (limits.fuel) in the host call `{call}`: what the host does for a guest costs fuel, too, by the znodes, children and bytes that it touches"
            ),
        ),
        Err(error) => error,
    }
}
