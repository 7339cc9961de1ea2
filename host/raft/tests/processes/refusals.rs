//! Processes that refuse each other: one sentence on both sides says what to do.

use innkeeper_runtime::{Latest, Real};

use crate::driver::{Replica, all_vote, three};
use crate::faults::{run, same_everywhere, submit};
use crate::stranger;

/// Waits until a node's log has the sentence, and checks that it names the node's number.
fn hears(node: &mut Replica, sentence: &str, number: u64) {
    let heard = node.hear_log(sentence);
    assert!(heard.contains(&format!("node {number}")), "{heard}");
}

#[test]
fn a_process_with_another_secret_is_told_so_and_tells_it() {
    run(async |runtime| {
        let folder = tempfile::tempdir().unwrap();
        let mut all = three(&runtime, folder.path(), &Latest::new(true)).await;
        all[2].orders.secret = "herring".to_owned();
        all.iter_mut().for_each(Replica::start);
        submit(all[..2].iter_mut());
        let sentence = "different secrets: give all nodes of the group the same one";
        all[2].hear_log(sentence);
        let told = all[0].hear_log(sentence);
        let is_meant = |nodes: &&str| told.contains(*nodes);
        assert!(["1 and 3", "3 and 1"].iter().any(is_meant), "{told}");
        assert_eq!(all[2].numbers("status")[0], 0, "it knows no leader");
    });
}

#[test]
fn a_process_of_another_cluster_is_told_so_and_tells_it() {
    run(async |runtime| {
        let (own, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut other = group(&runtime, others.path()).await;
        let moved = other[2].orders.folder.clone();
        // The third one's log says that its group is founded.
        submit(other.iter_mut());
        drop(other);

        let mut all = group(&runtime, own.path()).await;
        all[2].kill();
        all[2].orders.folder = moved;
        all[2].start();
        let sentence = "correct the list of peers, or empty the data folder";
        hears(&mut all[2], sentence, 3);
        hears(&mut all[0], sentence, 3);
        // It takes nothing of the other group: no vote, no entry.
        let before = all[2].ask("status");
        let acknowledged = 30 + submit(all[..2].iter_mut());
        same_everywhere(&mut all[..2], acknowledged);
        assert_eq!(all[2].ask("status"), before);
    });
}

#[test]
fn a_process_that_supports_too_low_a_level_is_told_so_and_tells_it() {
    run(async |runtime| {
        let folder = tempfile::tempdir().unwrap();
        let mut all = three(&runtime, folder.path(), &Latest::new(true)).await;
        for node in &mut all {
            node.orders.feature_level = 2;
            node.start();
        }
        submit(all.iter_mut());
        all_vote(&mut all);
        let leader = all[0].leader();
        let old = if leader == 3 { 2 } else { 3 };
        all[old - 1].kill();
        let leader = leader as usize - 1;
        assert_eq!(all[leader].ask("raise 2"), "raised");
        submit(all[leader..=leader].iter_mut());
        all[old - 1].orders.feature_level = 1;
        all[old - 1].start();
        let sentence = &format!("uses 2: update node {old}");
        hears(&mut all[old - 1], sentence, old as u64);
        hears(&mut all[leader], sentence, old as u64);
        submit(all[leader..=leader].iter_mut());
    });
}

#[test]
fn a_node_of_another_release_is_told_so_and_tells_it() {
    run(async |runtime| {
        let folder = tempfile::tempdir().unwrap();
        let mut all = three(&runtime, folder.path(), &Latest::new(true)).await;
        let port = all[2].orders.port;
        let accepting = stranger::listen(&runtime, port).await;
        all[..2].iter_mut().for_each(Replica::start);
        let sentence = "node 3 speaks the peer protocols 7 to 9 and this one 1 to 1: update the \
                        older one";
        let told = stranger::accept(accepting, 3).await;
        assert_eq!(told, sentence);
        for (place, to) in [(0, 1), (1, 2)] {
            let told = stranger::dial(&runtime, 3, to, all[place].orders.port).await;
            assert_eq!(told, sentence);
        }
        hears(&mut all[0], sentence, 3);
        hears(&mut all[1], sentence, 3);
        submit(all[..2].iter_mut());
    });
}

/// A group that is founded, of three processes that have applied something.
async fn group(runtime: &Real, folder: &std::path::Path) -> Vec<Replica> {
    let mut all = three(runtime, folder, &Latest::new(true)).await;
    all.iter_mut().for_each(Replica::start);
    submit(all.iter_mut());
    // The last one to start is taken in a moment later; until then the other two need each other.
    all_vote(&mut all);
    all
}
