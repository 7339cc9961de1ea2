//! From requests to commands: credentials, syncs, and writes on their way to the door.
//!
//! A write is decided on by the gate as of the pass's view, which may lack earlier writes of the
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
use innkeeper_raft::Refusal;
use innkeeper_runtime::Runtime;
use innkeeper_tree::command::SessionRequest;
use innkeeper_tree::{Access, Operation, View, Zxid};

use super::{Body, Sent, Session, State, commands};
use crate::authorization::{AccessRequest, Verdict};
use crate::settings::MAX_SUBMIT;
use crate::socket::End;

/// What comes of examining one request.
enum Examined {
    /// It may be answered when its turn comes, or it was begun.
    As(State),
    /// It goes to the door.
    Write(SessionRequest),
    /// Something ahead of it must be answered first.
    NotYet,
}

impl<R: Runtime> Session<R> {
    /// Examines requests in order; true if any was.
    pub(super) async fn examine(&mut self, view: &View) -> Result<bool, End> {
        let mut batch = Vec::new();
        let from = self.examined;
        while !self.closing && self.examined < self.requests.len() && batch.len() < MAX_SUBMIT {
            let examined = match self.set_aside().await? {
                Some(state) => Examined::As(state),
                None => self.examine_next(view).await,
            };
            let state = match examined {
                Examined::NotYet => break,
                Examined::As(state) => state,
                Examined::Write(request) => {
                    let seq = self.next_seq;
                    let fitting = self.service.proposals.fit(Operation::Session {
                        session: self.id,
                        attachment: self.attachment,
                        seq,
                        request,
                    });
                    match fitting {
                        Ok(fitting) => {
                            self.next_seq += 1;
                            self.in_flight += 1;
                            self.sends.push_back(Sent {
                                seq,
                                round: self.round,
                            });
                            batch.push(fitting);
                            State::InFlight(seq)
                        }
                        // It has no number yet, so the writes behind it find no gap.
                        Err(refusal) => {
                            self.tell_too_long(&refusal);
                            State::Failed(ErrorCode::MarshallingError, 0)
                        }
                    }
                }
            };
            let pending = &mut self.requests[self.examined];
            pending.state = state;
            if pending.body.needs_view() {
                self.reads_ahead += 1;
            }
            self.closing = pending.ends_connection();
            self.examined += 1;
        }
        if self.syncs.wants_call() {
            let service = self.service.clone();
            self.syncs
                .begin(Box::pin(async move { service.read_index().await }));
        }
        if !batch.is_empty() {
            self.service.proposals.submit_fitting(batch).await;
        }
        Ok(self.examined > from)
    }

    async fn examine_next(&mut self, view: &View) -> Examined {
        let pending = &mut self.requests[self.examined];
        let known = *pending.identities.get_or_insert(self.identities.len());
        // A read ahead is judged by what the client was when it asked.
        // (test: `a_read_is_judged_by_the_credentials_before_it`)
        if let Body::Plain(Request::Auth(_) | Request::Sasl(_)) = &pending.body
            && self.reads_ahead > 0
        {
            return Examined::NotYet;
        }
        if let Body::Plain(Request::Sasl(token)) = &pending.body {
            let runtime = &self.service.runtime;
            let (identities, negotiation) = (&mut self.identities, &mut self.negotiation);
            let random = |bytes: &mut [u8; NONCE_BYTES]| runtime.fill_random(bytes);
            let auth = &self.service.auth;
            pending.body = Body::Sasl(auth.sasl(identities, negotiation, token, random));
        }
        // Of the demanded authentication nothing else is let by, not even a ping.
        let proves = matches!(pending.body, Body::Plain(Request::Auth(_)) | Body::Sasl(_));
        if !proves && !self.service.auth.admits(&self.identities) {
            return Examined::As(State::Failed(ErrorCode::SessionClosedRequireSaslAuth, 0));
        }
        let Body::Plain(request) = &pending.body else {
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
            Request::Sync(_) => {
                if let State::Syncing(_) = pending.state {
                    return Examined::As(pending.state);
                }
                if view.bindings().has_authorizers() && !self.may_sync(view).await {
                    return self.denied(0);
                }
                Examined::As(State::Syncing(self.syncs.ask()))
            }
            // There is no ensemble to change.
            // (test: `reconfig_is_disabled_or_not_there`)
            Request::Reconfig(_) if self.service.settings.reconfig_enabled => {
                Examined::As(State::Failed(ErrorCode::Unimplemented, 0))
            }
            Request::Reconfig(_) => Examined::As(State::Failed(ErrorCode::ReconfigDisabled, 0)),
            // A read ahead must not see it.
            _ if commands::is_write(request) && self.reads_ahead > 0 => Examined::NotYet,
            Request::CloseSession => Examined::Write(SessionRequest::Close),
            _ if commands::is_write(request) => self.decide(view, known).await,
            _ => Examined::As(State::Waiting),
        }
    }

    /// Makes the next request, a write, into what the log carries, if it may be; it is judged by
    /// the first `known` identities.
    async fn decide(&mut self, view: &View, known: usize) -> Examined {
        let identities = &self.identities[..known];
        let Body::Plain(request) = &self.requests[self.examined].body else {
            return Examined::As(State::Waiting);
        };
        let extended = self.service.settings.extended_types_enabled;
        let mut write = match commands::write_of(request, extended) {
            Ok(write) => write,
            Err((error, index)) => return Examined::As(State::Failed(error, index)),
        };
        self.service.auth.judge(&mut write);
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
                enforce_quota: self.service.settings.enforce_quota,
                upgrade_local: self.service.settings.local_sessions_upgrading,
            }),
            Verdict::Deny(index) => self.denied(index),
        }
    }

    async fn may_sync(&mut self, view: &View) -> bool {
        let Body::Plain(Request::Sync(path)) = &self.requests[self.examined].body else {
            return true;
        };
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

    /// A denial counts only from a view that contains all earlier writes of the session.
    fn denied(&self, index: usize) -> Examined {
        if self.in_flight > 0 {
            Examined::NotYet
        } else {
            Examined::As(State::Failed(ErrorCode::NoAuth, index))
        }
    }
}
