//! ZooKeeper's gauges of a server of an ensemble. Those of a leader are there on the leader only.

use innkeeper_raft::RaftRole;
use innkeeper_runtime::Runtime;

use super::row::{Read, Row};
use super::uptime_ms;

impl<R: Runtime> Row<R> {
    /// The gauges of an ensemble, in the order in which they are listed.
    pub(super) const ENSEMBLE: &'static [Self] = &[
        Row::new(
            "quorum_size",
            "Voting members of the group.",
            Read::GaugeIfAny(|sample| {
                let status = sample.status()?;
                let is_shown = sample.is_in_ensemble || status.role == RaftRole::Leader;
                is_shown.then(|| status.members.voters.len().into())
            }),
        ),
        Row::new(
            "leader_uptime",
            "How long this node has led, in milliseconds.",
            Read::GaugeIfAny(|sample| match sample.service.settings.group {
                Some(_) => {
                    sample.following?;
                    let led = sample.service.led_for()?.as_millis();
                    Some(u64::try_from(led).unwrap_or(u64::MAX).into())
                }
                None => {
                    let leads = sample.status()?.role == RaftRole::Leader;
                    leads.then(|| uptime_ms(sample.service).into())
                }
            }),
        ),
        Row::new(
            "learners",
            "Members that the leader has contact with.",
            Read::Following(|all| all.learners),
        ),
        Row::new(
            "synced_followers",
            "Voting members that are in step with the leader.",
            Read::Following(|all| all.synced_followers),
        ),
        Row::new(
            "synced_non_voting_followers",
            "Members in step with the leader that are to vote and do not yet.",
            Read::Following(|all| all.synced_non_voting),
        ),
        Row::new(
            "synced_observers",
            "Observers that are in step with the leader.",
            Read::Following(|all| all.synced_observers),
        ),
        Row::new(
            "pending_syncs",
            "Read indexes that clients of the leader, or other nodes, wait for; ZooKeeper counts the zxids that syncs wait for.",
            Read::Following(|all| all.pending_syncs),
        ),
        Row::new(
            "last_proposal_size",
            "Bytes of the last command that the leader proposed; -1 if there was none.",
            Read::Proposals(|sizes| sizes[0]),
        ),
        Row::new(
            "min_proposal_size",
            "Bytes of the shortest command that the leader proposed; -1 if there was none.",
            Read::Proposals(|sizes| sizes[1]),
        ),
        Row::new(
            "max_proposal_size",
            "Bytes of the longest command that the leader proposed; -1 if there was none.",
            Read::Proposals(|sizes| sizes[2]),
        ),
    ];
}
