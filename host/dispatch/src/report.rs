//! What this node has seen of each binding, beyond the replicated state. It is for people: the
//! binding's status shows it (`status`), and some of it goes into the node's log (`entry`).
//!
//! **Invariant:** a chain of more than 32 reactions is cut, and that is said: a line in the log,
//! a count in the binding's status and in `/metrics`. (test:
//! `a_cascade_that_is_cut_is_counted_in_the_bindings_status`)

mod entry;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use innkeeper_runtime::Instant;
use innkeeper_sandbox::{GuestText, LogLine, Usage};
use innkeeper_server::delivery::binding_listener::Cut;
use innkeeper_tree::binding::Definition;
use innkeeper_tree::queue::MAX_CASCADE_DEPTH;
use innkeeper_tree::{Binding, Zxid};
use parking_lot::Mutex;

use self::entry::Report;
use super::flow::Flow;
use super::health::{BREAKER_FAILURES, Breaker};

pub use self::status::BindingStatus;

/// The binding that a report is about. The name alone may be that of a later binding.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// The binding's name.
    pub(super) name: Arc<str>,
    /// A zxid at which the binding was there: of its activation, its wish, its events.
    pub(super) as_of: Zxid,
}

impl Who {
    /// The binding as a view shows it.
    pub(super) fn of(binding: &Binding) -> Who {
        Who {
            name: Arc::clone(&binding.name),
            as_of: binding.wish,
        }
    }
}

/// The shortest time between two lines about cut cascades of one binding, in milliseconds.
const CUTS_PAUSE_MS: u64 = 1_000;

/// The reports of all bindings.
///
/// Invariant: what is reported of a binding as of a zxid below the `created` of the report is
/// dropped: it is about a binding of that name that was deleted.
pub(super) struct Reports {
    by_name: Mutex<BTreeMap<Arc<str>, Report>>,
    /// What all bindings together write into the node's log. Locked inside the other lock.
    lines: Mutex<Flow>,
    errors: Mutex<Flow>,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

impl Reports {
    /// `now` is the runtime's clock: what reaches the node's log is bounded per second.
    pub(super) fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Reports {
        Reports {
            by_name: Mutex::default(),
            lines: Mutex::default(),
            errors: Mutex::default(),
            now: Box::new(now),
        }
    }

    /// Begins the report of a binding whose znode was created at `created`. What was reported of
    /// an earlier binding of that name goes.
    pub(super) fn begin(&self, name: &Arc<str>, created: Zxid) {
        let mut reports = self.by_name.lock();
        let report = reports.entry(Arc::clone(name)).or_default();
        if report.created < created {
            *report = Report {
                created,
                ..Report::default()
            };
        }
    }

    /// Changes the report, if the binding is still the one that `who` means.
    fn with(&self, who: &Who, change: impl FnOnce(&mut Report)) {
        let mut reports = self.by_name.lock();
        if let Some(report) = reports.get_mut(&who.name)
            && report.created <= who.as_of
        {
            change(report);
        }
    }

    pub(super) fn invoked(&self, who: &Who, usage: Usage) {
        self.with(who, |report| {
            report.invocations += 1;
            report.last_usage = usage;
        });
    }

    /// Shows the use of an invocation that failed.
    pub(super) fn used(&self, who: &Who, usage: Usage) {
        self.with(who, |report| report.last_usage = usage);
    }

    pub(super) fn conflicted(&self, who: &Who) {
        self.with(who, |report| report.conflicts += 1);
    }

    pub(super) fn failed(&self, who: &Who, now_ms: u64, error: impl Into<GuestText>) {
        let (now, error) = ((self.now)(), error.into());
        let name = &who.name;
        self.with(who, |report| {
            report.failures += 1;
            report.error(&mut self.errors.lock(), name, now, now_ms, error);
        });
    }

    /// The host could not invoke it; that is shown, and is no failure of the guest's.
    pub(super) fn lacked(&self, who: &Who, now_ms: u64, error: impl Into<GuestText>) {
        let (now, error) = ((self.now)(), error.into());
        self.with(who, |report| {
            report.error(&mut self.errors.lock(), &who.name, now, now_ms, error);
        });
    }

    pub(super) fn not_activated(
        &self,
        who: &Who,
        wish: Zxid,
        now_ms: u64,
        error: impl Into<GuestText>,
    ) {
        let error = error.into();
        self.with(who, |report| {
            report.not_activated = Some((wish, error.clone()))
        });
        self.failed(who, now_ms, error);
    }

    /// Events were kept from it. The log gets a line a second at most.
    pub(super) fn cut(&self, cut: &Cut) {
        let who = Who {
            name: Arc::clone(&cut.binding),
            as_of: cut.zxid,
        };
        self.with(&who, |report| {
            report.cascades_cut += 1;
            let due_ms = report.cut_told_ms.map_or(0, |told| told + CUTS_PAUSE_MS);
            if cut.time_ms < due_ms {
                report.cuts_untold += 1;
                return;
            }
            report.cut_told_ms = Some(cut.time_ms);
            let untold = std::mem::take(&mut report.cuts_untold);
            tracing::warn!(
                binding = &*who.name,
                not_logged = untold,
                "events were kept from the binding, because they come from a chain of more than \
                 {MAX_CASCADE_DEPTH} reactions; most likely recipes answer each other without an end: \
                 look at what each of them watches and writes"
            );
        });
    }

    /// Shows whether it is being invoked, by `caller` if it is an assignor.
    pub(super) fn breaker(&self, who: &Who, caller: Option<&Arc<str>>, breaker: Breaker) {
        self.with(who, |report| {
            if breaker == Breaker::Open && report.breaker() != Breaker::Open {
                tracing::error!(
                    event = "binding-given-up",
                    binding = &*who.name,
                    "the binding failed {BREAKER_FAILURES} times in a row and is hardly invoked any more; \
                     see `innkeeper binding status`, mend its module or its policy, and write the binding again"
                );
            }
            match breaker {
                Breaker::Closed => report.breakers.remove(&caller.cloned()),
                open => report.breakers.insert(caller.cloned(), open),
            };
        });
    }

    /// Takes what an invocation logged.
    pub(super) fn log(&self, who: &Who, lines: Vec<LogLine>) {
        if lines.is_empty() {
            return;
        }
        let (now, name) = ((self.now)(), &who.name);
        self.with(who, |report| {
            let mut node = self.lines.lock();
            for line in lines {
                report.line(&mut node, name, now, line);
            }
        });
    }

    pub(super) fn forget(&self, name: &str) {
        if self.by_name.lock().remove(name).is_some() {
            tracing::info!(
                event = "binding-deleted",
                binding = name,
                "the binding {name} is deleted"
            );
        }
    }

    /// Tells the node's log what is wished of a binding and what acts for it, as far as that is
    /// newer than `since`, the state that the node started with, and than what was told before.
    pub(super) fn tell(&self, binding: &Binding, since: Zxid) {
        let name = &*binding.name;
        self.with(&Who::of(binding), |report| {
            if binding.wish > report.told_wish.max(since) {
                let Definition { world, module, .. } = &*binding.wished;
                tracing::info!(
                    event = "binding-set",
                    binding = name,
                    zxid = binding.wish.0,
                    "the binding {name} is set: it wishes for {world} {module}"
                );
            }
            report.told_wish = binding.wish;
            if let Some(active) = &binding.active {
                if active.activation > report.told_activation.max(since) {
                    let Definition { world, module, .. } = &*active.definition;
                    tracing::info!(
                        event = "binding-active",
                        binding = name,
                        zxid = active.activation.0,
                        "{world} {module} acts for the binding {name}"
                    );
                }
                report.told_activation = active.activation;
            }
        });
    }

    /// What is shown of a binding.
    pub(super) fn status(&self, binding: &Binding, queued: usize) -> BindingStatus {
        let reports = self.by_name.lock();
        let none = Report::default();
        let report = reports.get(&binding.name).unwrap_or(&none);
        BindingStatus::of(binding, queued, report)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use innkeeper_runtime::{Runtime, Sim};
    use innkeeper_sandbox::LogLevel;

    use super::entry::LOG_LINES_KEPT;
    use super::*;

    fn lines(count: usize) -> Vec<LogLine> {
        let line = |number: usize| LogLine {
            level: LogLevel::Info,
            message: format!("line {number}").into(),
            dropped_after: 0,
        };
        (0..count).map(line).collect()
    }

    #[test]
    fn what_the_log_does_not_have_is_counted() {
        Sim::run(1, async |runtime| {
            let clock = runtime.clone();
            let reports = Reports::new(move || clock.now());
            let who = who(1);
            let name = &who.name;
            reports.begin(name, Zxid(1));
            let mut logged = lines(150);
            logged[149].dropped_after = 7;
            reports.log(&who, logged);
            for _ in 0..25 {
                reports.failed(&who, 5, "no");
            }
            let read = || {
                let reports = reports.by_name.lock();
                let report = &reports[name];
                (report.log_dropped, report.errors_dropped, report.failures)
            };
            assert_eq!(read(), (57, 15, 25));
            // The newest lines are kept in any case.
            {
                let reports = reports.by_name.lock();
                let log = &reports[name].log;
                assert_eq!(log.len(), LOG_LINES_KEPT);
                assert_eq!(&**log.back().expect("a line"), "line 149");
            }
            runtime.sleep(Duration::from_secs(1)).await;
            reports.log(&who, lines(100));
            reports.failed(&who, 6, "no");
            assert_eq!(read(), (57, 15, 26));
        });
    }

    #[test]
    fn what_all_write_into_the_log_is_bounded_and_a_modest_one_is_heard() {
        let reports = Reports::new(Instant::default);
        let begun = |name: String| {
            let who = Who {
                name: name.into(),
                as_of: Zxid(2),
            };
            reports.begin(&who.name, Zxid(1));
            who
        };
        let loud = |number: usize| {
            let who = begun(format!("loud-{number}"));
            reports.log(&who, lines(200));
            for _ in 0..50 {
                reports.failed(&who, 5, "no");
            }
        };
        (0..20).for_each(loud);
        let modest = begun("modest".to_owned());
        reports.log(&modest, lines(1));
        reports.failed(&modest, 5, "no");
        (20..100).for_each(loud);
        let all = reports.by_name.lock();
        let modest = &all["modest"];
        assert_eq!((modest.log_dropped, modest.errors_dropped), (0, 0));
        let lines: u64 = all.values().map(|report| report.log_dropped).sum();
        let errors: u64 = all.values().map(|report| report.errors_dropped).sum();
        assert_eq!(100 * 200 + 1 - lines, 500);
        assert_eq!(100 * 50 + 1 - errors, 500);
    }

    fn who(as_of: u64) -> Who {
        Who {
            name: "b".into(),
            as_of: Zxid(as_of),
        }
    }

    fn failures_of(reports: &Reports) -> (u64, Breaker) {
        let reports = reports.by_name.lock();
        let report = &reports["b"];
        (report.failures, report.breaker())
    }

    #[test]
    fn a_late_failure_of_a_deleted_binding_is_not_booked_on_its_successor() {
        let reports = Reports::new(Instant::default);
        let name: Arc<str> = "b".into();
        reports.begin(&name, Zxid(10));
        reports.failed(&who(12), 0, "its own");
        // A new document of the same binding changes nothing.
        reports.begin(&name, Zxid(10));
        assert_eq!(failures_of(&reports).0, 1);
        // Deleted and created again between two looks at it.
        reports.begin(&name, Zxid(20));
        assert_eq!(failures_of(&reports), (0, Breaker::Closed));
        reports.failed(&who(12), 0, "late");
        reports.invoked(&who(12), Usage::default());
        reports.breaker(&who(12), None, Breaker::Open);
        assert_eq!(failures_of(&reports), (0, Breaker::Closed));
        reports.failed(&who(21), 0, "its own");
        assert_eq!(failures_of(&reports).0, 1);
        reports.forget("b");
        reports.failed(&who(21), 0, "late");
        assert!(reports.by_name.lock().is_empty());
    }

    #[test]
    fn an_assignors_breaker_is_shown_as_its_worst_caller_finds_it() {
        let reports = Reports::new(Instant::default);
        let name: Arc<str> = "b".into();
        let [one, other]: [Arc<str>; 2] = ["one".into(), "other".into()];
        reports.begin(&name, Zxid(1));
        reports.breaker(&who(2), Some(&one), Breaker::Open);
        reports.breaker(&who(2), Some(&other), Breaker::BackingOff);
        assert_eq!(failures_of(&reports).1, Breaker::Open);
        reports.breaker(&who(2), Some(&other), Breaker::Closed);
        assert_eq!(failures_of(&reports).1, Breaker::Open);
        reports.breaker(&who(2), Some(&one), Breaker::Closed);
        assert_eq!(failures_of(&reports).1, Breaker::Closed);
    }

    #[test]
    fn a_flood_of_cut_cascades_is_a_line_a_second_and_all_are_counted() {
        let reports = Reports::new(Instant::default);
        let name: Arc<str> = "b".into();
        reports.begin(&name, Zxid(1));
        for time_ms in [5_000, 5_000, 5_999] {
            reports.cut(&Cut {
                binding: Arc::clone(&name),
                zxid: Zxid(3),
                time_ms,
            });
        }
        let report = &reports.by_name.lock()["b"];
        assert_eq!((report.cascades_cut, report.cuts_untold), (3, 2));
    }
}
