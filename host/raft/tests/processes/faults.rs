//! What happens to processes: they are killed, stopped and cut off.

use innkeeper_runtime::{Latest, Real, RealConfig};

use crate::driver::{Replica, all_vote, three};

/// All of them show the same, and it is what was acknowledged.
pub fn same_everywhere(replicas: &mut [Replica], acknowledged: u64) {
    let mut sums = Vec::new();
    for replica in replicas {
        assert_eq!(replica.ask("read"), "read");
        sums.push(replica.ask("sum"));
    }
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    let count = sums[0].split_whitespace().nth(1).expect("a number");
    assert_eq!(count.parse::<u64>().unwrap(), acknowledged);
}

/// Submits ten operations at each, and waits until they are applied there.
pub fn submit<'a>(replicas: impl Iterator<Item = &'a mut Replica>) -> u64 {
    let mut acknowledged = 0;
    for replica in replicas {
        assert_eq!(replica.ask("submit 10"), "done");
        acknowledged += 10;
    }
    acknowledged
}

/// Makes a node lead, whichever leads now.
fn let_lead(replicas: &mut [Replica], id: u64) {
    loop {
        let leader = replicas[0].leader();
        if leader == id {
            return;
        }
        // The answer does not matter: the leader may be another one by now.
        replicas[leader as usize - 1].ask(&format!("hand {id}"));
    }
}

pub fn run<Fut: Future<Output = ()>>(scene: impl FnOnce(Real) -> Fut) {
    Real::run(RealConfig::default(), scene).unwrap();
}

#[test]
fn three_processes_survive_a_kill_a_stop_and_a_cut() {
    run(async |runtime| {
        let folder = tempfile::tempdir().unwrap();
        let is_open = Latest::new(true);
        let mut all = three(&runtime, folder.path(), &is_open).await;
        all.iter_mut().for_each(Replica::start);
        let mut acknowledged = submit(all.iter_mut());
        same_everywhere(&mut all, acknowledged);
        all_vote(&mut all);

        // Its process dies, and it starts again on what its disk has.
        let leader = all[0].leader();
        let place = leader as usize - 1;
        all[place].kill();
        acknowledged += submit(all.iter_mut().filter(|r| r.orders.id != leader));
        all[place].start();
        acknowledged += submit(all.iter_mut());
        same_everywhere(&mut all, acknowledged);

        // It is stopped, and later finds that it leads no more.
        let leader = all[0].leader();
        let place = leader as usize - 1;
        all[place].signal("STOP");
        acknowledged += submit(all.iter_mut().filter(|r| r.orders.id != leader));
        all[place].signal("CONT");
        acknowledged += submit(all.iter_mut());
        same_everywhere(&mut all, acknowledged);

        // Nothing gets through to the third one on the connections that the others have made to
        // it, and they make no new ones. It follows, and hears nothing of the leader: the others go
        // on, and what it is given is not lost.
        let_lead(&mut all, 1);
        is_open.set(false);
        all[2].say("submit 10");
        acknowledged += submit(all[..2].iter_mut());
        is_open.set(true);
        assert_eq!(all[2].hear(), "done");
        acknowledged += 10;
        same_everywhere(&mut all, acknowledged);

        // It leads, and reaches the others on its own connections. What they are given waits for
        // theirs, and is not lost.
        let_lead(&mut all, 3);
        is_open.set(false);
        all.iter_mut().for_each(|replica| replica.say("submit 10"));
        is_open.set(true);
        for replica in &mut all {
            assert_eq!(replica.hear(), "done");
            acknowledged += 10;
        }
        same_everywhere(&mut all, acknowledged);
    });
}
