//! **After healing everything is answered and all nodes serve, within seconds.**

use std::time::Duration;

use innkeeper_runtime::sim::Process;
use innkeeper_runtime::{Select2, World, select2};
use innkeeper_tree::View;

use super::super::super::stage::Stage;

/// Virtual time in which all nodes are members, then all clients come to their end, and then all
/// nodes show the same.
pub const HEALED: Duration = Duration::from_secs(20);

/// Waits until clients have come to their end.
pub async fn answered(world: &World, stage: &Stage, clients: Vec<Process<()>>) {
    let ended = async {
        for client in clients {
            client.await.expect("it ends by itself");
        }
    };
    match select2(ended, world.sleep(HEALED)).await {
        Select2::First(()) => {}
        Select2::Second(()) => panic!(
            "a client is not served {HEALED:?} after everything has healed\n{}",
            stage.shown()
        ),
    }
}

/// Waits until all nodes have applied the same, no session is left, and `is_over` holds of their
/// states, and returns these.
pub async fn settled(
    world: &World,
    stage: &Stage,
    is_over: impl Fn(&View) -> bool,
) -> Vec<(u64, View)> {
    let until = world.now() + HEALED;
    loop {
        let views: Vec<_> = views(stage).collect();
        let first = views.first().map(|(_, view)| view.zxid());
        let are_equal = views.len() == stage.members.len()
            && views.iter().all(|(_, view)| {
                Some(view.zxid()) == first && view.sessions().is_empty() && is_over(view)
            });
        if are_equal {
            return views;
        }
        assert!(
            world.now() < until,
            "the nodes have not come to one state without sessions and with all reactions: {:?}\n{}",
            views
                .iter()
                .map(|(node, view)| (*node, view.zxid(), view.sessions().len()))
                .collect::<Vec<_>>(),
            stage.shown()
        );
        drop(views);
        world.sleep(Duration::from_millis(20)).await;
    }
}

/// The states of the nodes that run.
pub fn views(stage: &Stage) -> impl Iterator<Item = (u64, View)> {
    stage.members.iter().filter_map(|member| {
        let service = stage.service(member.id)?;
        Some((member.id, service.reader.view()))
    })
}
