//! Reports to the leader which sessions were heard, and closes the connections that were served
//! without a quorum for too long ([`crate::reports`], [`crate::quorum`]).
//!
//! 1. A report is made every half of ZooKeeper's tick, or every ninth of the shortest timeout that
//!    a session has or can get if that is less, and when a leader is established.
//! 2. One report is under way at a time. It is given up when another node leads, and its sessions
//!    go into the next one.
//! 3. The time at which an acknowledged report was made counts, not that of the answer.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use innkeeper_raft::{Replica, Standing};
use innkeeper_runtime::{Instant, Runtime, Select2, Select3, select2, select3};

use crate::delivery::outbox::Close;
use crate::expiry::Heartbeat;
use crate::quorum::Held;
use crate::reports::{Answer, Question, SESSIONS_MAX};
use crate::service::Service;
use crate::settings::{QUORUM_LOST_ELECTIONS, REPORT_LEAST_MS};

/// Whether all parts of a report were acknowledged.
type Acknowledged = Pin<Box<dyn Future<Output = bool> + Send>>;

/// A report that is under way.
struct Report {
    made: Instant,
    /// What this node was when it was made.
    standing: Standing,
    sessions: Vec<Arc<Heartbeat>>,
    acknowledged: Acknowledged,
}

/// Runs until the node stops.
pub(crate) async fn run<R: Runtime>(service: Arc<Service<R>>) {
    let Ok(mut standings) = service.replica().map(|replica| replica.standings()) else {
        return;
    };
    let mut due = service.runtime.now();
    let mut under_way: Option<Report> = None;
    loop {
        let Ok(replica) = service.replica() else {
            return;
        };
        let (now, pause) = (service.runtime.now(), pause(&service));
        if let Some(report) = under_way.take_if(|report| report.standing != replica.standing()) {
            service.expiry.not_reported(report.sessions);
        }
        if under_way.is_none() && now >= due {
            under_way = make(&service, replica);
            due = now + pause;
        }
        look(&service);
        let answered = async {
            match &mut under_way {
                Some(report) => (&mut report.acknowledged).await,
                None => pending().await,
            }
        };
        let again = match now >= due {
            true => now + pause,
            false => due,
        };
        let time_comes = service.runtime.sleep_until(again);
        let happens = select3(answered, standings.changed(), time_comes);
        match select2(service.stopping.wait(), happens).await {
            Select2::First(()) => return,
            Select2::Second(Select3::First(acknowledged)) => {
                if let Some(report) = under_way.take() {
                    settle(&service, report, acknowledged);
                }
            }
            Select2::Second(Select3::Second(_)) => due = service.runtime.now(),
            Select2::Second(Select3::Third(())) => {}
        }
    }
}

/// The time between two reports.
fn pause<R: Runtime>(service: &Service<R>) -> Duration {
    let granted_ms = service.settings.timeout_range_ms().0;
    let shortest_ms = service.expiry.shortest_ms().unwrap_or(granted_ms);
    let ms = (service.settings.tick_time_ms / 2).min(granted_ms.min(shortest_ms) / 9);
    Duration::from_millis(u64::from(ms.max(REPORT_LEAST_MS)))
}

/// Makes a report. A leader acknowledges its own at once.
fn make<R: Runtime>(service: &Service<R>, replica: Arc<Replica<R>>) -> Option<Report> {
    let made = service.runtime.now();
    let standing = replica.standing();
    match standing {
        Standing::Waits => None,
        Standing::Leads { alone: true, .. } => {
            contact(service, standing, made);
            service.quorum.votes_alone();
            service.expiry.reported(&service.expiry.take_unreported());
            None
        }
        Standing::Leads { .. } => {
            if replica.leads_under_lease().is_some() {
                contact(service, standing, made);
                service.expiry.reported(&service.expiry.take_unreported());
            }
            None
        }
        Standing::Follows { leader, .. } => {
            let sessions = service.expiry.take_unreported();
            let ids: Vec<_> = sessions.iter().map(|heard| heard.session).collect();
            let parts = ids.chunks(SESSIONS_MAX).map(<[_]>::to_vec);
            let mut parts: Vec<_> = parts.collect();
            if parts.is_empty() {
                // Even a report of nothing asks for its acknowledgement.
                parts.push(Vec::new());
            }
            let parts = parts.into_iter().map(Question::Report);
            let parts: Vec<_> = parts.map(|part| part.encode()).collect();
            let asked = async move {
                let asked = parts.into_iter().map(|part| replica.ask(leader, part));
                let answers = join_all(asked).await;
                answers.into_iter().all(|answer| {
                    let answer = answer.ok().and_then(|body| Answer::decode(&body).ok());
                    answer == Some(Answer::Acknowledged(true))
                })
            };
            Some(Report {
                made,
                standing,
                sessions,
                acknowledged: Box::pin(asked),
            })
        }
    }
}

/// A leader with a quorum acknowledged a report that was made at this time. Says so if it is another
/// one than before.
fn contact<R: Runtime>(service: &Service<R>, standing: Standing, made: Instant) {
    let now = service.runtime.now();
    let age = service.quorum.contact_age(now);
    service.quorum.acknowledged(made);
    let leaders = &service.fanout.reporters.leaders;
    let (Some((term, leader)), Ok(replica)) = (service.leader_of(standing), service.replica())
    else {
        return;
    };
    if !leaders.is_new(term) {
        return;
    }
    let reported = age.map(|age| now - age);
    let contact = reported.max(replica.heard_before(term));
    let wall_ms = service.runtime.wall_ms();
    if let Some(seen) = leaders.leads(term, leader, contact, now, wall_ms) {
        tracing::info!(
            event = "fail-over",
            term,
            "node {} leads in term {term} after node {}: for {} ms this node saw no leader with a quorum",
            seen.to.cast_signed(),
            seen.from.cast_signed(),
            seen.without_ms
        );
    }
}

fn settle<R: Runtime>(service: &Service<R>, report: Report, acknowledged: bool) {
    match acknowledged {
        true => {
            contact(service, report.standing, report.made);
            service.expiry.reported(&report.sessions);
        }
        false => service.expiry.not_reported(report.sessions),
    }
}

/// Judges the quorum, and closes the connections that may not be served any more.
fn look<R: Runtime>(service: &Service<R>) {
    let now = service.runtime.now();
    // The newest acknowledged report may be as old as the pause between two.
    let lost_after = service.settings.election() * QUORUM_LOST_ELECTIONS + pause(service);
    if service.quorum.look(now, lost_after) {
        match service.quorum.state() {
            Held::Lost => tracing::warn!(
                event = "quorum-lost",
                "no leader with a quorum answers: connections are closed when a third of their session's timeout has passed"
            ),
            Held::Held => {
                tracing::info!(event = "quorum-held", "a leader with a quorum answers");
                service.end_read_only();
            }
        }
    }
    // Without this a node that is cut off goes on serving, and a test must fail.
    if cfg!(innkeeper_break = "cut-off-closes") {
        return;
    }
    let quorum = &service.quorum;
    // Whoever is served with the shortest timeout is served with any.
    let shortest_ms = service.expiry.shortest_ms();
    if shortest_ms.is_none_or(|shortest_ms| quorum.serves(shortest_ms, now)) {
        return;
    }
    service
        .fanout
        .close_unless(Close::Quorum, |timeout_ms| quorum.serves(timeout_ms, now));
}
