//! Counts ticks and ends sessions that stay silent.
//!
//! Only the established leader decides that a session of the whole service is silent, and only
//! while a quorum acknowledges it ([`crate::expiry`]). It first asks the nodes that are in contact
//! with it ([`crate::reports`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use innkeeper_raft::Replica;
use innkeeper_runtime::{Runtime, Select2, ThreadRole, select2};
use innkeeper_tree::{Operation, SessionId};

use crate::delivery::fanout::told_expired;
use crate::delivery::outbox::Close;
use crate::expiry::{Step, Suspect};
use crate::reports::{Answer, Found, Question, SESSIONS_MAX};
use crate::service::Service;

/// Runs until the node stops.
pub(crate) async fn run<R: Runtime>(service: Arc<Service<R>>) {
    let period = Duration::from_millis(u64::from(service.expiry.tick_ms()));
    let mut interval = service.runtime.interval(period);
    // The last term in which this node led and gave every session its full timeout.
    let mut renewed = None;
    loop {
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
        let Ok(replica) = service.replica() else {
            return;
        };
        service.answers.cut_off_stalled(service.runtime.now());
        let leads = replica.leads_under_lease();
        if leads.is_some() && leads != renewed {
            service.expiry.renew_all();
            renewed = leads;
        }
        let mut proposals = Vec::new();
        let mut elsewhere = Vec::new();
        for step in service.expiry.tick(leads.is_some()) {
            match step {
                Step::Probe(session) => match service.fanout.outbox_of(session) {
                    Some(outbox) => outbox.probe(),
                    None => elsewhere.extend(service.expiry.suspect(session)),
                },
                Step::Expire(session, attachment) => {
                    match service.local_sessions.expire(session, &service.expiry) {
                        Some(true) => {
                            told_expired(session);
                            if let Some(outbox) = service.fanout.outbox_of(session) {
                                outbox.close(Close::Ended);
                            }
                        }
                        Some(false) => {}
                        None => proposals.push(Operation::ExpireSession {
                            session,
                            attachment,
                        }),
                    }
                }
            }
        }
        if !elsewhere.is_empty() {
            ask_elsewhere(&service, &replica, elsewhere);
        }
        drop(replica);
        // The next leader owes these sessions their full timeout, even if this node is the next one.
        if let Some(term) = leads {
            service.proposals.submit_in(term, proposals).await;
        }
    }
}

/// Asks the nodes in contact whether sessions are silent that this node does not serve. A node that
/// has not reported for a third of a session's timeout does not serve it any more.
fn ask_elsewhere<R: Runtime>(
    service: &Arc<Service<R>>,
    replica: &Arc<Replica<R>>,
    suspects: Vec<Suspect>,
) {
    let mut of_node: BTreeMap<u64, Vec<SessionId>> = BTreeMap::new();
    for session in suspects.iter().map(Suspect::session) {
        let patience = service.expiry.patience_ticks(session);
        for node in service.fanout.reporters.since(patience, &service.expiry) {
            of_node.entry(node).or_default().push(session);
        }
    }
    if of_node.is_empty() {
        return judge(service, &suspects, &[]);
    }
    let (asking, replica) = (service.clone(), replica.clone());
    let asked = async move {
        let parts: Vec<_> = of_node
            .iter()
            .flat_map(|(node, all)| all.chunks(SESSIONS_MAX).map(|part| (*node, part.to_vec())))
            .collect();
        let questions = parts.into_iter().map(|(node, part)| {
            let replica = &replica;
            async move {
                let question = Question::AreSilent(part.clone()).encode();
                let answer = replica.ask(node, question).await.ok();
                let answer = answer.and_then(|body| Answer::decode(&body).ok());
                (node, part, answer)
            }
        });
        let stop = asking.stopping.wait();
        if let Select2::Second(answers) = select2(stop, join_all(questions)).await {
            judge(&asking, &suspects, &answers);
        }
    };
    service.runtime.spawn(ThreadRole::Client, asked).detach();
}

/// Judges sessions by the answers of other nodes; an answer that did not come is `None`.
fn judge<R: Runtime>(
    service: &Service<R>,
    suspects: &[Suspect],
    answers: &[(u64, Vec<SessionId>, Option<Answer>)],
) {
    let expiry = &service.expiry;
    let mut found: BTreeMap<SessionId, Found> = BTreeMap::new();
    let mut note = |session: SessionId, what| {
        let known = found.entry(session).or_insert(Found::Silent);
        if *known != Found::Heard && what != Found::Silent {
            *known = what;
        }
    };
    for (node, part, answer) in answers {
        match answer {
            Some(Answer::Found(each)) if each.len() == part.len() => {
                for (session, what) in part.iter().zip(each) {
                    note(*session, *what);
                }
            }
            _ => {
                for session in part {
                    let patience = expiry.patience_ticks(*session);
                    if service
                        .fanout
                        .reporters
                        .has_reported(*node, patience, expiry)
                    {
                        note(*session, Found::Looking);
                    }
                }
            }
        }
    }
    for suspect in suspects {
        let found = found.get(&suspect.session()).copied();
        expiry.judge(suspect, found.unwrap_or(Found::Silent));
    }
}
