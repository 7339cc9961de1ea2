//! A binding under one activation, as those know it who invoke its guest.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime};
use innkeeper_sandbox::{Account, FailureKind, GuestFailure, Usage};
use innkeeper_tree::{World, Zxid};
use parking_lot::Mutex;

use super::Guests;
use super::health::Breaker;
use super::health::{Health, Leave};
use super::report::Who;

/// What is known of a binding under one activation: a swap or a successor of the same name gets
/// a new one, so that whatever comes in late is booked on the old one and hurts nobody.
pub(super) struct Member {
    /// Whom its reports are about.
    pub(super) who: Who,
    /// The recipe that calls it, if it is an assignor: each caller has a health of its own with
    /// it, since a recipe could make an assignor fail for itself.
    caller: Option<Arc<str>>,
    health: Mutex<Health>,
    /// The shared resources that it used. An assignor's account stays empty: its callers pay.
    pub(super) account: Arc<Account>,
}

impl Member {
    /// The activation that it stands for.
    pub(super) fn activation(&self) -> Zxid {
        self.who.as_of
    }

    /// How much longer it is left alone; see [`Health::rests`].
    pub(super) fn rests(&self, now: Instant) -> Option<Duration> {
        self.health.lock().rests(now)
    }

    /// Asks for leave to invoke it; see [`Health::begin`].
    pub(super) fn begin(self: &Arc<Self>, now: Instant, policy: Zxid) -> Option<Invoking> {
        let leave = self.health.lock().begin(now, policy)?;
        Some(Invoking {
            member: Arc::clone(self),
            leave,
        })
    }

    /// Invokes it whether it rests or not.
    pub(super) fn begin_anyway(self: &Arc<Self>) -> Invoking {
        Invoking {
            member: Arc::clone(self),
            leave: Leave::WithOthers,
        }
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.health.lock().failures()
    }
}

/// An invocation of a binding of which several may run side by side. Dropping it ends a try.
pub(super) struct Invoking {
    pub(super) member: Arc<Member>,
    leave: Leave,
}

impl Drop for Invoking {
    fn drop(&mut self) {
        if self.leave == Leave::Alone {
            self.member.health.lock().end_try();
        }
    }
}

impl<R: Runtime> Guests<R> {
    /// A binding that was activated at `activation`, as `caller` knows it if it is an assignor.
    pub(super) fn member(
        &self,
        name: &Arc<str>,
        activation: Zxid,
        world: World,
        caller: Option<&Arc<str>>,
    ) -> Arc<Member> {
        Arc::new(Member {
            who: Who {
                name: Arc::clone(name),
                as_of: activation,
            },
            caller: caller.cloned(),
            health: Mutex::new(Health::new(world)),
            account: self.shared.sandbox.account(),
        })
    }

    /// Books an invocation that ended well.
    pub(super) fn book_success(&self, member: &Member, usage: Usage) {
        self.shared.reports.invoked(&member.who, usage);
        member.account.succeeded();
        if member.health.lock().succeeded() {
            self.show_breaker(member, Breaker::Closed);
        }
    }

    /// Books an invocation that did not, of one at a time. What the host lacked is shown, and
    /// counts against nobody.
    pub(super) fn book_failure(&self, member: &Member, failure: &GuestFailure) {
        self.book(member, failure, |health, now| health.failed(now, Zxid(0)));
    }

    /// As [`Guests::book_failure`], of one that may have run beside others, with the policy as of
    /// `policy`.
    pub(super) fn book_failure_of(
        &self,
        invoking: &Invoking,
        policy: Zxid,
        failure: &GuestFailure,
    ) {
        self.book(&invoking.member, failure, |health, now| {
            health.failed_with(invoking.leave, now, policy)
        });
    }

    fn book(
        &self,
        member: &Member,
        failure: &GuestFailure,
        failed: impl FnOnce(&mut Health, Instant) -> Breaker,
    ) {
        let shared = &self.shared;
        let now_ms = shared.runtime.wall_ms();
        if failure.kind == FailureKind::Host {
            shared
                .reports
                .lacked(&member.who, now_ms, failure.to_string());
            return;
        }
        shared
            .reports
            .failed(&member.who, now_ms, failure.to_string());
        let (breaker, failures) = {
            let mut health = member.health.lock();
            let breaker = failed(&mut health, shared.runtime.now());
            (breaker, health.failures())
        };
        member.account.failed(failures);
        self.show_breaker(member, breaker);
    }

    /// Shows how it is doing; what several callers see of an assignor is shown at its worst.
    pub(super) fn show_breaker(&self, member: &Member, breaker: Breaker) {
        let caller = member.caller.as_ref();
        self.shared.reports.breaker(&member.who, caller, breaker);
    }
}
