//! Examines requests: credentials, syncs, and writes, which are authorized and proposed.
//!
//! The authorizers decide on a write with the view of the wake-up. It may lack earlier writes of the
//! session that are still in flight, and on a node of a group it may lack what clients of other nodes
//! were told long ago. A permission carries the policy_zxid that it was given under, and apply checks
//! that again. A denial has no such check, so it counts only from a view that lacks neither:
//! 1. A write or a sync that is denied stays where it is, and with it all requests behind it.
//! 2. In a group its read index is asked for, unless one that began after the request came has been
//!    answered. Without a quorum there is no answer: the request waits, as a write does, until its
//!    connection is closed for lack of contact. A node alone needs no read index, since it tells its
//!    clients nothing before a view shows it.
//! 3. When the read index is there and nothing of the session is in flight, the request is decided on
//!    again, and that verdict counts.
//!
//! So a denial costs the leader what a sync costs it, and less than the write would. However many are
//! denied: a connection has one read index under way, and each node asks the leader for one at a time.
//! ZooKeeper decides on writes at the leader. (tests:
//! `a_denial_by_an_old_policy_is_decided_again_by_the_newest`,
//! `a_thousand_denials_in_a_pipeline_share_their_read_indexes`,
//! `a_node_without_its_quorum_denies_nothing`)
//!
//! A write that is too long for one command is answered with MarshallingError in its place and gets
//! no sequence number, so that it leaves no gap. A request within `jute.maxbuffer` normally fits
//! into a command: it does not only where a client has uncommonly long identities, or where a multi
//! states `auth` so often that the resulting ACLs are too long. (tests:
//! `a_write_too_long_for_a_command_is_answered_in_its_place`,
//! `a_multi_may_not_grow_beyond_what_a_command_may_have`)

use innkeeper_auth::NONCE_BYTES;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::Request;
use innkeeper_raft::{Fitting, Refusal};
use innkeeper_runtime::Runtime;
use innkeeper_tree::command::SessionRequest;
use innkeeper_tree::{Access, Operation, View, Zxid};

use super::pipeline::{Body, Pending, State};
use super::{Session, SessionLoop, commands};
use crate::authorization::{AccessRequest, Verdict};
use crate::settings::MAX_SUBMIT;
use crate::socket::End;

/// The result of examining one request.
pub(super) enum Examined {
    /// It can be answered when its turn comes.
    As(State),
    /// It is a sync that is allowed.
    Sync,
    /// It is to be proposed.
    Write(SessionRequest),
    /// It was denied; of a multi, the operation at that index was.
    Denied(usize),
}

impl<R: Runtime> SessionLoop<R> {
    /// Examines requests in order. Returns true if any was examined.
    pub(super) async fn examine(&mut self, view: &View) -> Result<bool, End> {
        let mut batch = Vec::new();
        let from = self.pipeline.examined();
        let answered = match self.session.service.settings.group {
            Some(_) => self.read_indexes.answered(),
            None => u64::MAX,
        };
        while batch.len() < MAX_SUBMIT
            && let Some(next) = self.pipeline.next()
        {
            let session = &mut self.session;
            let examined = match session.set_aside(next.request).await? {
                Some(state) => Examined::As(state),
                None if next.is_held_up(answered) => break,
                None => session.examine(next.request, view).await,
            };
            let read_index = next.request.read_index;
            match examined {
                Examined::As(state) => next.decided(state),
                Examined::Sync => {
                    self.read_indexes.want(read_index);
                    next.decided(State::Syncing);
                }
                Examined::Denied(index) if next.denial_counts(answered) => {
                    next.decided(State::Failed(ErrorCode::NoAuth, index));
                }
                Examined::Denied(_) => {
                    if read_index > answered {
                        self.read_indexes.want(read_index);
                    }
                    next.denied();
                    break;
                }
                Examined::Write(request) => match session.fit(next.seq(), request) {
                    Ok(fitting) => {
                        next.sent();
                        batch.push(fitting);
                    }
                    // It has no number yet, so the writes behind it leave no gap.
                    Err(refusal) => {
                        session.tell_too_long(&refusal);
                        next.decided(State::Failed(ErrorCode::MarshallingError, 0));
                    }
                },
            }
        }
        let service = &self.session.service;
        if self.read_indexes.wants_call() {
            let service = service.clone();
            self.read_indexes
                .begin(Box::pin(async move { service.read_index().await }));
        }
        if !batch.is_empty() {
            service.proposals.submit_fitting(batch).await;
        }
        Ok(self.pipeline.examined() > from)
    }
}

impl<R: Runtime> Session<R> {
    /// Examines the next request.
    async fn examine(&mut self, request: &mut Pending, view: &View) -> Examined {
        let Pending {
            body, identities, ..
        } = request;
        let known = *identities.get_or_insert(self.identities.len());
        if let Body::Plain(Request::Sasl(token)) = body {
            let runtime = &self.service.runtime;
            let (identities, negotiation) = (&mut self.identities, &mut self.negotiation);
            let random = |bytes: &mut [u8; NONCE_BYTES]| runtime.fill_random(bytes);
            let auth = &self.service.auth;
            *body = Body::Sasl(auth.sasl(identities, negotiation, token, random));
        }
        // Before a demanded authentication no other request is served, not even a ping.
        let proves = matches!(body, Body::Plain(Request::Auth(_)) | Body::Sasl(_));
        if !proves && !self.service.auth.admits(&self.identities) {
            return Examined::As(State::Failed(ErrorCode::SessionClosedRequireSaslAuth, 0));
        }
        let Body::Plain(request) = body else {
            return Examined::As(State::Waiting);
        };
        match request {
            Request::Auth(auth) => {
                let proved = self.service.auth.authenticate(&mut self.identities, auth);
                Examined::As(match proved {
                    Ok(()) => State::Waiting,
                    Err(error) => State::Failed(error, 0),
                })
            }
            Request::Sync(path) => {
                if view.bindings().has_authorizers() && !self.may_sync(path, view).await {
                    return Examined::Denied(0);
                }
                Examined::Sync
            }
            // A node alone has no ensemble that could change. (test:
            // `reconfig_is_disabled_or_not_there`)
            Request::Reconfig(_) if self.service.settings.reconfig_enabled => {
                Examined::As(State::Failed(ErrorCode::Unimplemented, 0))
            }
            Request::Reconfig(_) => Examined::As(State::Failed(ErrorCode::ReconfigDisabled, 0)),
            Request::CloseSession => Examined::Write(SessionRequest::Close),
            request if commands::is_write(request) => self.decide(request, known, view).await,
            _ => Examined::As(State::Waiting),
        }
    }

    /// Makes the operation of a write, if it is allowed; the client's first `known` identities
    /// count.
    async fn decide(&self, request: &Request, known: usize, view: &View) -> Examined {
        let identities = &self.identities[..known];
        let settings = &self.service.settings;
        let mut write = match commands::write_of(request, settings.extended_types_enabled) {
            Ok(write) => write,
            Err((error, index)) => return Examined::As(State::Failed(error, index)),
        };
        self.service.auth.empty_unserved_acls(&mut write);
        let verdict = if !view.bindings().has_authorizers() {
            Verdict::Allow(Some(Zxid(0)))
        } else {
            let asks = commands::asks_of(&write);
            let authorization = &self.service.authorization;
            authorization.check(view, identities, &asks).await
        };
        match verdict {
            Verdict::Allow(policy_zxid) => Examined::Write(SessionRequest::Write {
                identities: identities.to_vec(),
                policy_zxid,
                write,
                enforce_quota: settings.enforce_quota,
                upgrade_local: settings.local_sessions_upgrading,
            }),
            Verdict::Deny(index) => Examined::Denied(index),
        }
    }

    /// Makes a write into a command, unless it is too long.
    fn fit(&self, seq: u64, request: SessionRequest) -> Result<Fitting, Refusal> {
        self.service.proposals.fit(Operation::Session {
            session: self.id,
            attachment: self.attachment,
            seq,
            request,
        })
    }

    async fn may_sync(&self, path: &str, view: &View) -> bool {
        let asks = [AccessRequest {
            access: Access::Sync,
            path,
        }];
        let authorization = &self.service.authorization;
        let verdict = authorization.check(view, &self.identities, &asks).await;
        matches!(verdict, Verdict::Allow(_))
    }

    /// Logs why a write got MarshallingError, once a connection, since a client may repeat it
    /// without end.
    fn tell_too_long(&mut self, refusal: &Refusal) {
        if std::mem::replace(&mut self.told_too_long, true) {
            tracing::debug!(session = %self.id, "{refusal}");
            return;
        }
        tracing::warn!(
            session = %self.id,
            "a write got MarshallingError, because {refusal}; further ones of this connection are \
             not told of"
        );
    }
}
