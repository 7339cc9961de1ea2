//! From requests to commands: credentials, syncs, and writes on their way to the door.
//!
//! A write is decided on by the authorizers as of the pass's view, which may lack earlier writes of the
//! session that are still in flight. An allowance travels with the policy_zxid that it was made
//! under, and apply has the last word; a denial has no such proof, so it counts only when
//! nothing of the session is in flight, else the write waits and is decided on again.
//!
//! A write that the door would not take for its length is answered with MarshallingError in its
//! place and gets no sequence number, so that it leaves no gap. What `jute.maxbuffer` lets in fits
//! through the door, so this is met only where the identities of a client are uncommonly long, or a
//! multi states `auth` so often that what becomes of it is too much.
//! (tests: `a_write_that_the_door_does_not_take_is_answered_in_its_place`,
//! `a_multi_may_not_grow_beyond_what_a_command_may_have`)

use innkeeper_auth::NONCE_BYTES;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::request::Request;
use innkeeper_raft::{Fitting, Refusal};
use innkeeper_runtime::Runtime;
use innkeeper_tree::command::SessionRequest;
use innkeeper_tree::{Access, Operation, View, Zxid};

use super::pipeline::{Body, Next, Pending, State};
use super::syncs::Syncs;
use super::{Session, SessionLoop, commands};
use crate::authorization::{AccessRequest, Verdict};
use crate::settings::MAX_SUBMIT;
use crate::socket::End;

/// What comes of examining one request.
pub(super) enum Examined {
    /// It may be answered when its turn comes, or it was begun.
    As(State),
    /// It goes to the door.
    Write(SessionRequest),
    /// Something ahead of it must be answered first.
    NotYet,
}

impl<R: Runtime> SessionLoop<R> {
    /// Examines requests in order; true if any was.
    pub(super) async fn examine(&mut self, view: &View) -> Result<bool, End> {
        let mut batch = Vec::new();
        let from = self.pipeline.examined();
        while batch.len() < MAX_SUBMIT
            && let Some(mut next) = self.pipeline.next()
        {
            let session = &mut self.session;
            let examined = match session.set_aside(next.request).await? {
                Some(state) => Examined::As(state),
                None => session.examine(&mut next, &mut self.syncs, view).await,
            };
            match examined {
                Examined::NotYet => break,
                Examined::As(state) => next.decided(state),
                Examined::Write(request) => match session.fit(next.seq(), request) {
                    Ok(fitting) => {
                        next.sent();
                        batch.push(fitting);
                    }
                    // It has no number yet, so the writes behind it find no gap.
                    Err(refusal) => {
                        session.tell_too_long(&refusal);
                        next.decided(State::Failed(ErrorCode::MarshallingError, 0));
                    }
                },
            }
        }
        let service = &self.session.service;
        if self.syncs.wants_call() {
            let service = service.clone();
            self.syncs
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
    async fn examine(&mut self, next: &mut Next<'_>, syncs: &mut Syncs, view: &View) -> Examined {
        let in_flight = next.follows_writes_in_flight();
        let state = next.state();
        let Pending {
            body, identities, ..
        } = &mut *next.request;
        let known = *identities.get_or_insert(self.identities.len());
        if let Body::Plain(Request::Sasl(token)) = body {
            let runtime = &self.service.runtime;
            let (identities, negotiation) = (&mut self.identities, &mut self.negotiation);
            let random = |bytes: &mut [u8; NONCE_BYTES]| runtime.fill_random(bytes);
            let auth = &self.service.auth;
            *body = Body::Sasl(auth.sasl(identities, negotiation, token, random));
        }
        // Of the demanded authentication nothing else is let by, not even a ping.
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
                if let State::Syncing(_) = state {
                    return Examined::As(state);
                }
                if view.bindings().has_authorizers() && !self.may_sync(path, view).await {
                    return denied(0, in_flight);
                }
                Examined::As(State::Syncing(syncs.ask()))
            }
            // There is no ensemble to change.
            // (test: `reconfig_is_disabled_or_not_there`)
            Request::Reconfig(_) if self.service.settings.reconfig_enabled => {
                Examined::As(State::Failed(ErrorCode::Unimplemented, 0))
            }
            Request::Reconfig(_) => Examined::As(State::Failed(ErrorCode::ReconfigDisabled, 0)),
            Request::CloseSession => Examined::Write(SessionRequest::Close),
            request if commands::is_write(request) => {
                self.decide(request, known, in_flight, view).await
            }
            _ => Examined::As(State::Waiting),
        }
    }

    /// Makes a write into what the log carries, if it may be; it is judged by the first `known`
    /// identities.
    async fn decide(
        &self,
        request: &Request,
        known: usize,
        in_flight: bool,
        view: &View,
    ) -> Examined {
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
            Verdict::Deny(index) => denied(index, in_flight),
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

    /// Says why a write got MarshallingError: once a connection, since a client may ask for ever.
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

/// A denial counts only from a view that contains all earlier writes of the session.
fn denied(index: usize, in_flight: bool) -> Examined {
    if in_flight {
        Examined::NotYet
    } else {
        Examined::As(State::Failed(ErrorCode::NoAuth, index))
    }
}
