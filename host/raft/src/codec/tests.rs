//! The bytes are a promise: what was written once is read for ever.

use std::collections::{BTreeMap, BTreeSet};

use innkeeper_tree::{Command, Operation};
use openraft::EntryPayload;
use openraft::impls::BasicNode;
use proptest::prelude::*;

use super::*;

fn membership() -> Membership {
    let config = vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])];
    let nodes = [(1, "a:1"), (2, "b:2"), (3, "")].map(|(id, addr)| (id, BasicNode::new(addr)));
    Membership::new(config, BTreeMap::from(nodes)).unwrap()
}

#[test]
fn votes_and_log_ids_have_their_bytes() {
    let mut out = Vec::new();
    put_vote(&mut out, &Vote::new_committed(7, 3));
    assert_eq!(hex::encode(&out), "010700000000000000030000000000000001");
    assert_eq!(vote(&out).unwrap(), Vote::new_committed(7, 3));

    out.clear();
    put_log_id(&mut out, Some(&log_id(7, 258)));
    assert_eq!(hex::encode(&out), "010107000000000000000201000000000000");
    assert_eq!(optional_log_id(&out).unwrap(), Some(log_id(7, 258)));

    out.clear();
    put_log_id(&mut out, None);
    assert_eq!(hex::encode(&out), "0100");
    assert_eq!(optional_log_id(&out).unwrap(), None);
}

#[test]
fn memberships_have_their_bytes() {
    let stored = StoredMembership::new(Some(log_id(1, 2)), membership());
    let bytes = stored_membership_bytes(&stored).unwrap();
    let expected = concat!(
        "01",
        "010101000000000000000200000000000000",
        "02000000",
        "0200000001000000000000000200000000000000",
        "0200000002000000000000000300000000000000",
        "03000000",
        "010000000000000003000000613a31",
        "020000000000000003000000623a32",
        "030000000000000000000000",
    );
    assert_eq!(hex::encode(&bytes), expected);
    assert_eq!(stored_membership(&bytes).unwrap(), stored);
    let none = StoredMembership::default();
    let back = stored_membership(&stored_membership_bytes(&none).unwrap()).unwrap();
    assert_eq!(back, none);
}

#[test]
fn entries_have_their_bytes() {
    let mut out = Vec::new();
    let blank = Entry {
        log_id: log_id(2, 3),
        payload: EntryPayload::Blank,
    };
    put_entry(&mut out, &blank).unwrap();
    assert_eq!(hex::encode(&out), "010002000000000000000300000000000000");
    assert_eq!(entry_log_id(&out).unwrap(), blank.log_id);
    assert!(matches!(entry(&out).unwrap().payload, EntryPayload::Blank));

    let command = Command {
        time_ms: 5,
        operation: Operation::RaiseLevel { level: 9 },
    };
    let mut encoded = Vec::new();
    encoding::encode_command(&command, &mut encoded);
    let normal = Entry {
        log_id: log_id(2, 4),
        payload: EntryPayload::Normal(Proposal::new(command.clone(), encoded.clone().into(), None)),
    };
    out.clear();
    put_entry(&mut out, &normal).unwrap();
    assert_eq!(
        hex::encode(&out[..18]),
        "010102000000000000000400000000000000"
    );
    assert_eq!(out[18..], encoded);
    assert!(out.len() <= entry_len_hint(&normal));
    let EntryPayload::Normal(back) = entry(&out).unwrap().payload else {
        panic!("not a command");
    };
    assert_eq!(back.command(), &command);

    let members = Entry {
        log_id: log_id(2, 5),
        payload: EntryPayload::Membership(membership()),
    };
    out.clear();
    put_entry(&mut out, &members).unwrap();
    assert!(out.len() <= entry_len_hint(&members));
    let EntryPayload::Membership(back) = entry(&out).unwrap().payload else {
        panic!("not a membership");
    };
    assert_eq!(back, membership());
}

#[test]
fn what_a_newer_release_wrote_is_refused_by_name() {
    let mut out = Vec::new();
    put_vote(&mut out, &Vote::new(1, 1));
    out[0] = 2;
    let error = vote(&out).unwrap_err().to_string();
    assert_eq!(
        error,
        "a vote has the unknown version or tag 2: a newer release wrote it"
    );
    let error = entry(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err();
    assert!(
        matches!(error, CodecError::Unknown { found: 9, .. }),
        "{error}"
    );
}

proptest! {
    /// Any bytes are read or refused; none panic, none make much be allocated.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120), first in 0u8..3) {
        let mut versioned = bytes.clone();
        if let Some(version) = versioned.first_mut() {
            *version = first;
        }
        for bytes in [&bytes, &versioned] {
            let _ = vote(bytes);
            let _ = optional_log_id(bytes);
            let _ = stored_membership(bytes);
            let _ = entry(bytes);
            let _ = entry_log_id(bytes);
        }
    }
}
