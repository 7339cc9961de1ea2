//! What the proposals refuse and hold back, in virtual time.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Recorder, create, path_of, set};
use innkeeper_raft::{Refusal, Replica, Settings};
use innkeeper_runtime::{Runtime, Sim, Simulated};
use innkeeper_tree::transaction::Read;
use innkeeper_tree::{Operation, Ticket, Transaction, Zxid};

async fn open(runtime: &Simulated, recorder: &Recorder) -> Replica<Simulated> {
    let disk = runtime.disk(Path::new("/data")).unwrap();
    let delivery = Arc::new(recorder.clone());
    let opened = Replica::open(runtime.clone(), disk, Settings::default(), delivery).await;
    opened.unwrap()
}

/// A transaction that read one znode. There is no such binding: apply answers with a conflict, the
/// proposer does not know.
fn transaction(ticket: u64, binding: &str, reads: u64) -> Operation {
    Operation::Transaction {
        ticket: Ticket(ticket),
        transaction: Transaction {
            binding: binding.to_owned(),
            activation: Zxid(1),
            depth: 0,
            reads: vec![Read::Node {
                path: path_of(reads),
                mzxid: Zxid(reads),
            }],
            writes: Vec::new(),
            acks: Vec::new(),
            called: Vec::new(),
        },
    }
}

#[test]
fn a_transaction_that_a_write_in_flight_dooms_is_refused_and_takes_no_zxid() {
    Sim::run(1, |runtime| async move {
        let recorder = Recorder::new();
        let replica = open(&runtime, &recorder).await;
        let proposals = replica.proposals();
        proposals.submit(vec![create(1), create(2)]).await;
        recorder.wait_done(2).await;

        // Ahead of it in the same batch, and in another batch in flight.
        proposals
            .submit(vec![
                set(3, 1),
                transaction(4, "r", 1),
                transaction(5, "r", 2),
            ])
            .await;
        proposals.submit(vec![transaction(6, "s", 1)]).await;
        recorder.wait_done(6).await;
        let refused = recorder.refused();
        let doomed = |ticket: u64, binding: &str| {
            let refusal = (transaction(ticket, binding, 1), Refusal::Doomed);
            assert!(refused.contains(&refusal), "{ticket}: {refused:?}");
        };
        doomed(4, "r");
        doomed(6, "s");
        assert_eq!(refused.len(), 2);
        // The third read another znode: it went into the log, after the write.
        assert_eq!(recorder.acks()[&3].zxid, 3);
        assert_eq!(recorder.acks()[&5].zxid, 4);

        // What is applied dooms nobody.
        proposals.submit(vec![transaction(7, "s", 1)]).await;
        recorder.wait_done(7).await;
        assert_eq!(recorder.acks()[&7].zxid, 5);
        replica.shutdown().await;
    });
}

#[test]
fn after_three_lost_races_others_wait_for_it_but_not_for_long() {
    Sim::run(1, |runtime| async move {
        let recorder = Recorder::new();
        let replica = open(&runtime, &recorder).await;
        let proposals = replica.proposals();
        proposals.submit((1..=9).map(create).collect()).await;
        recorder.wait_done(9).await;

        for round in 0..3 {
            let ticket = 100 + 2 * round;
            let ops = vec![set(ticket, 1), transaction(ticket + 1, "loser", 1)];
            proposals.submit(ops).await;
            recorder.wait_done(9 + 2 * (round + 1)).await;
        }
        assert_eq!(recorder.refused().len(), 3);

        // A write of what it read waits, one of something else passes, the loser passes.
        let begin = runtime.now();
        proposals.submit(vec![set(200, 1), set(201, 2)]).await;
        recorder.wait_done(16).await;
        assert!(recorder.acks().contains_key(&201));
        assert!(!recorder.acks().contains_key(&200), "it did not wait");
        assert!(runtime.now() - begin < Duration::from_millis(5));
        proposals.submit(vec![transaction(202, "loser", 1)]).await;
        recorder.wait_done(18).await;
        let acks = recorder.acks();
        assert!(
            acks[&202].zxid < acks[&200].zxid,
            "the loser went first: {acks:?}"
        );

        // Without the loser the wait ends by itself. (Apply refused it just now: one loss.)
        for round in 0..2 {
            let ticket = 300 + 2 * round;
            let ops = vec![set(ticket, 1), transaction(ticket + 1, "loser", 1)];
            proposals.submit(ops).await;
            recorder.wait_done(18 + 2 * (round + 1)).await;
        }
        let begin = runtime.now();
        proposals.submit(vec![set(400, 1), set(401, 3)]).await;
        recorder.wait_done(24).await;
        let waited = runtime.now() - begin;
        assert!(waited >= Duration::from_millis(4), "{waited:?}");
        assert!(waited < Duration::from_millis(8), "{waited:?}");
        let acks = recorder.acks();
        assert!(acks[&401].zxid < acks[&400].zxid);
        replica.shutdown().await;
    });
}

#[test]
fn reads_are_confirmed_after_what_was_committed_before() {
    Sim::run(1, |runtime| async move {
        let recorder = Recorder::new();
        let replica = Arc::new(open(&runtime, &recorder).await);
        let mut askers = Vec::new();
        for ticket in 1..=50 {
            replica.proposals().submit(vec![create(ticket)]).await;
            recorder.wait_done(ticket).await;
            let replica = replica.clone();
            let ask = async move {
                replica.read_index().await.unwrap();
                assert!(replica.reader().view().exists(&path_of(ticket)).is_some());
            };
            askers.push(runtime.spawn(innkeeper_runtime::ThreadRole::Client, ask));
        }
        for asker in askers {
            asker.await.unwrap();
        }
        let replica = Arc::into_inner(replica).unwrap();
        replica.shutdown().await;
    });
}
