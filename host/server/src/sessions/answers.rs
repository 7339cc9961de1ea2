//! Answers to requests at the front that need no result from apply.

use innkeeper_auth::SaslAnswer;
use innkeeper_proto::ErrorCode;
use innkeeper_proto::reply;
use innkeeper_proto::request::Request;
use innkeeper_runtime::{Runtime, Stream};
use innkeeper_tree::View;

use super::Session;
use super::outcome::{Answer, Outcome, encode_multi_failed};
use super::pipeline::{Body, Front, ends_connection};
use super::scope::fails_whole;
use super::watching::Change;
use crate::socket::{End, Socket};

impl<R: Runtime> Session<R> {
    /// Answers the front request, from `view` if it needs one.
    pub(super) async fn answer<S: Stream>(
        &mut self,
        front: Front<'_>,
        view: &mut View,
        socket: &mut Socket<S>,
    ) -> Result<Outcome, End> {
        let Front {
            request,
            failed,
            sends,
        } = front;
        let xid = request.reply_xid();
        // A reply that needs no view and no result carries the last zxid that was sent. ZooKeeper
        // answers credentials, and requests that it does not know, before the connection has any
        // zxid. (tests: `credentials_are_answered_without_a_zxid`,
        // `an_operation_that_is_not_served_is_answered_and_then_the_connection_ends`)
        let zxid = match &request.body {
            Body::Plain(Request::Auth(_)) | Body::Sasl(_) => 0,
            Body::Refused(ErrorCode::Unimplemented) => -1,
            _ => self.last_zxid,
        };
        let output = &mut socket.output;
        if let Some((error, index)) = failed {
            return Ok(Outcome::Answered(match &request.body {
                Body::Plain(Request::Multi(multi)) if fails_by_operation(error) => {
                    encode_multi_failed(socket, xid, zxid, multi.ops.len(), index, error)
                }
                _ => Answer {
                    is_last: ends_connection(error),
                    ..reply::encode_error(output, xid, zxid, error).into()
                },
            }));
        }
        let (error, is_last) = match &mut request.body {
            // A request that cannot be read is answered with an error, and the client may go on;
            // after an operation that does not exist the connection ends, as in ZooKeeper. (test:
            // `a_body_that_cannot_be_read_is_answered_and_the_connection_stays`)
            Body::Refused(error) => (*error, *error == ErrorCode::Unimplemented),
            Body::Sasl(SaslAnswer::Token(token)) => {
                let token = token.as_deref().map(str::as_bytes);
                return Ok(reply::encode(output, xid, zxid, |body| body.token(token)).into());
            }
            Body::Sasl(SaslAnswer::Refused(error)) => {
                return Ok(Outcome::Answered(Answer {
                    is_last: true,
                    ..reply::encode_refused_token(output, xid, zxid, *error).into()
                }));
            }
            Body::Rewatch(former) => return self.rewatch(former, xid, sends, view, socket).await,
            Body::Plain(Request::AddWatch(add)) => {
                let change = Change::Add(add);
                return self.watch(change, xid, sends, view, socket).await;
            }
            Body::Plain(Request::CheckWatches(check)) => {
                let change = Change::Check(check);
                return self.watch(change, xid, sends, view, socket).await;
            }
            Body::Plain(Request::RemoveWatches(remove)) => {
                let change = Change::Remove(remove);
                return self.watch(change, xid, sends, view, socket).await;
            }
            Body::Plain(Request::Sync(path)) => {
                return Ok(reply::encode(output, xid, zxid, |body| body.path(path)).into());
            }
            Body::Plain(Request::Ping | Request::Auth(_)) => (ErrorCode::Ok, false),
            // A session with a record is closed by a command, and never waits here.
            Body::Plain(Request::CloseSession) => {
                self.end_unrecorded();
                (ErrorCode::Ok, true)
            }
            Body::Plain(read) => return self.read(read, xid, sends, view, socket).await,
        };
        Ok(Outcome::Answered(Answer {
            is_last,
            ..reply::encode_error(output, xid, zxid, error).into()
        }))
    }
}

/// Whether a multi that failed with this error has a result for each operation, which shows the one
/// that failed.
fn fails_by_operation(error: ErrorCode) -> bool {
    error != ErrorCode::MarshallingError && !ends_connection(error) && !fails_whole(error)
}
