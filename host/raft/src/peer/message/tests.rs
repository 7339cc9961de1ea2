//! Bodies come out as they went in, and damaged ones are refused.

use std::fmt::Debug;

use innkeeper_runtime::Simulated;
use innkeeper_tree::{Command, Operation, encoding};
use openraft::impls::BasicNode;
use proptest::prelude::*;

use super::*;
use crate::types::{Membership, Proposal, Vote, log_id};

type Config = TypeConfig<Simulated>;

fn any_vote() -> impl Strategy<Value = Vote> {
    (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(term, node, committed)| {
        let mut vote = Vote::new(term, node);
        vote.committed = committed;
        vote
    })
}

fn any_log_id() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>()).prop_map(|(term, index)| log_id(term, index))
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let command = any::<u64>().prop_map(|time_ms| {
        let command = Command {
            time_ms,
            operation: Operation::RaiseLevel { level: 7 },
        };
        let mut encoded = Vec::new();
        encoding::encode_command(&command, &mut encoded);
        EntryPayload::Normal(Proposal::new(command, encoded.into(), None))
    });
    let membership = prop::collection::btree_set(any::<u64>(), 1..4).prop_map(|ids| {
        let nodes = ids
            .iter()
            .map(|id| (*id, BasicNode::new(format!("h{id}:1"))));
        let nodes: std::collections::BTreeMap<_, _> = nodes.collect();
        EntryPayload::Membership(Membership::new(vec![ids.clone()], nodes).unwrap())
    });
    let payload = prop_oneof![Just(EntryPayload::Blank), command, membership];
    (any_log_id(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}

/// Each beginning of a body is refused: it ends too early.
fn refused_when_cut<T: Debug>(body: &[u8], decode: impl Fn(&[u8]) -> Result<T, CodecError>) {
    for len in 0..body.len() {
        assert!(
            decode(&body[..len]).is_err(),
            "{len} of {} bytes",
            body.len()
        );
    }
    let mut later = body.to_vec();
    later[0] = VERSION + 1;
    assert!(matches!(
        decode(&later),
        Err(CodecError::Unknown { found, .. }) if found == VERSION + 1
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn votes(vote in any_vote(), last in prop::option::of(any_log_id()), flag in any::<bool>()) {
        let request = VoteRequest::<Config> { vote, last_log_id: last, leadership_transfer: flag };
        let body = bytes(|out| put_vote_request(out, &request));
        prop_assert_eq!(vote_request::<Simulated>(&body).unwrap(), request);
        refused_when_cut(&body, vote_request::<Simulated>);
        let response = VoteResponse::<Config> { vote, vote_granted: flag, last_log_id: last };
        let body = bytes(|out| put_vote_response(out, &response));
        prop_assert_eq!(vote_response::<Simulated>(&body).unwrap(), response);
        refused_when_cut(&body, vote_response::<Simulated>);
    }

    #[test]
    fn appends(
        vote in any_vote(),
        prev_log_id in prop::option::of(any_log_id()),
        leader_commit in prop::option::of(any_log_id()),
        entries in prop::collection::vec(any_entry(), 0..5),
    ) {
        let request = AppendEntriesRequest::<Config> { vote, prev_log_id, entries, leader_commit };
        let mut body = BytesMut::new();
        put_append(&mut body, &request).unwrap();
        let got = append::<Simulated>(&body).unwrap();
        prop_assert_eq!(got.vote, request.vote);
        prop_assert_eq!(got.prev_log_id, request.prev_log_id);
        prop_assert_eq!(got.leader_commit, request.leader_commit);
        let plain = |entry: &Entry| {
            let mut out = Vec::new();
            codec::put_entry(&mut out, entry).unwrap();
            out
        };
        let (got, sent): (Vec<_>, Vec<_>) =
            (got.entries.iter().map(plain).collect(), request.entries.iter().map(plain).collect());
        prop_assert_eq!(got, sent);
        refused_when_cut(&body, append::<Simulated>);
    }

    #[test]
    fn results(vote in any_vote(), at in any_log_id(), actual in prop::option::of(any_log_id())) {
        let results = [
            Ok(actual),
            Err(StreamAppendError::Conflict(at)),
            Err(StreamAppendError::HigherVote(vote)),
        ];
        for result in results {
            let body = bytes(|out| put_append_result::<Simulated>(out, &result));
            prop_assert_eq!(append_result::<Simulated>(&body).unwrap(), result);
            refused_when_cut(&body, append_result::<Simulated>);
        }
        let request = TransferLeaderRequest::<Config>::new(vote, 7, actual);
        let body = bytes(|out| put_transfer(out, &request));
        prop_assert_eq!(transfer::<Simulated>(&body).unwrap(), request);
        refused_when_cut(&body, transfer::<Simulated>);
    }
}
