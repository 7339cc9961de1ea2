//! Starting a replica from the log and the state on disk.
//!
//! **Invariant:** a torn tail of the log is cut after its last whole batch; damage anywhere before
//! it is refused. After a crash at any moment all acknowledged writes are there.
//! (tests: `a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch`,
//! `a_changed_byte_before_the_tail_is_damage_and_not_a_torn_tail`,
//! `what_was_answered_survives_a_power_cut`, `sessions_and_zxids_survive_a_restart`,
//! `a_power_cut_while_a_snapshot_is_installed_leaves_the_old_state_or_the_new`)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Disk, Latest, Runtime, Select2, Signal, Task, ThreadRole, select2};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::impls::BasicNode;
use openraft::metrics::WaitError;
use openraft::storage::RaftStateMachine;
use openraft::{Config, Raft, ServerState, SnapshotPolicy, StorageHelper};
use tokio::sync::Semaphore;

use crate::Delivery;
use crate::checkpoint_schedule::Schedule;
use crate::comparison::Comparison;
use crate::engine::RaftOf;
use crate::error::{Failure, OpenError};
use crate::heard_leader::HeardLeader;
use crate::log::Log;
use crate::membership::{Handover, Keeper};
use crate::modules::ModuleStore;
use crate::peer::{
    Acceptor, Backlog, Group, Identity, Network, PeerSettings, Peers, Secret, Served, Succession,
    Unprotected, form,
};
use crate::proposals::{Around, Intake, Proposals, Proposer};
use crate::read_index::ReadIndex;
use crate::settings::Settings;
use crate::standing::Standing;
use crate::state::{Checkpointer, StateMachine, StateShared};
use crate::types::NodeId;
use crate::voting_right::{self, VotingRight};

/// A node that has acknowledged nothing for so many election timeouts is not in contact with its
/// leader.
const CONTACT_ELECTIONS: u32 = 4;

/// The log, the state machine and the modules, read from the disk.
pub(crate) struct Stored<R: Runtime> {
    log: Log<R>,
    machine: StateMachine<R>,
    modules: ModuleStore<R>,
    right: VotingRight<R>,
}

pub(crate) async fn open_stores<R: Runtime>(
    runtime: R,
    disk: R::Disk,
    settings: Arc<Settings>,
    in_group: bool,
    failure: Failure,
    delivery: Arc<dyn Delivery>,
) -> Result<Stored<R>, OpenError> {
    disk.list("").map_err(OpenError::Folder)?;
    let log = Log::open_with(runtime.clone(), &disk, settings.clone(), failure.clone())?;
    let machine = StateMachine::open(
        runtime.clone(),
        &disk,
        settings.clone(),
        log.clone(),
        delivery,
    )?;
    let (me, state) = (settings.node_id, machine.shared());
    let stored = voting_right::open(&runtime, &disk, &log, &state, me, in_group).await?;
    machine.folder().tidy();
    let modules = ModuleStore::open(runtime.clone(), &disk, settings.module_cache_bytes, failure)?;
    disk.settled().await.map_err(OpenError::Folder)?;
    Ok(Stored {
        log,
        machine,
        modules,
        right: VotingRight::new(runtime, disk, stored),
    })
}

/// The parts of a replica that runs.
pub(crate) struct Started<R: Runtime> {
    pub(crate) raft: RaftOf<R>,
    pub(crate) peers: Peers<R>,
    pub(crate) log: Log<R>,
    pub(crate) state: Arc<StateShared>,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) modules: ModuleStore<R>,
    pub(crate) proposals: Proposals,
    pub(crate) read_index: ReadIndex,
    /// What the node was when the proposer looked last.
    pub(crate) standing: Latest<Standing>,
    pub(crate) failure: Failure,
    /// Ends the proposer's task.
    pub(crate) closing: Signal,
    /// Ends the other tasks.
    pub(crate) stop: Signal,
    pub(crate) proposer: Task<()>,
    pub(crate) schedule: Task<()>,
    pub(crate) heard_leader: HeardLeader<R>,
    /// The task of the membership; a node alone has none.
    pub(crate) keeper: Option<Task<()>>,
    pub(crate) settings: Arc<Settings>,
    /// Entries that were applied from the log when the replica was opened.
    pub(crate) replayed: u64,
}

/// openraft's follower grants no vote for its greatest election timeout after it has heard from a
/// leader, and stands for election after another draw between the two timeouts. So the least
/// silence is the sum of both.
fn config(settings: &Settings, alone: bool, may_vote: bool) -> Config {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let election = settings.election;
    // Nobody hears a node alone. Its heartbeats only set the pace of openraft's clock.
    let heartbeats = if alone { 5 } else { 10 };
    Config {
        cluster_name: "innkeeper".to_owned(),
        heartbeat_interval: ms(election / heartbeats),
        election_timeout_min: ms(election * 3 / 10),
        election_timeout_max: ms(settings.lease()),
        max_payload_entries: settings.append_entries_max,
        // This crate's own schedule asks for checkpoints and purges the log.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        // A leader without a quorum falls silent for this time, sends signs of life for as long,
        // and so on. Its followers, who may hear it, stand for election in its silence.
        quorum_loss_probe_interval: Some(ms(election * 2)),
        enable_elect: may_vote,
        ..Config::default()
    }
}

pub(crate) async fn start<R: Runtime>(
    runtime: R,
    settings: Arc<Settings>,
    failure: Failure,
    stored: Stored<R>,
    group: Option<Group<R>>,
    delivery: Arc<dyn Delivery>,
) -> Result<Started<R>, OpenError> {
    let Stored {
        mut log,
        mut machine,
        modules,
        right,
    } = stored;
    let node_id = match &group {
        Some(_) => settings.node_id,
        None => match member_number(&mut log, &mut machine, settings.node_id).await {
            Ok(node_id) => node_id,
            Err(error) => {
                log.close().await;
                return Err(error);
            }
        },
    };
    let settings = Arc::new(Settings {
        node_id,
        ..(*settings).clone()
    });
    let config = config(&settings, group.is_none(), right.may_vote())
        .validate()
        .map_err(|e| OpenError::Settings(e.to_string()))?;
    let state = machine.shared();
    let folder = machine.folder();
    let checkpointer = machine.checkpointer();
    let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
    let checkpoint = next(state.applied().map(|id| id.index));
    let last = next(log.status().last.map(|(_, index)| index));
    let replayed = last.saturating_sub(checkpoint);

    let identity = Identity {
        cluster: state.group.get().map(|group| group.cluster),
        node_id: settings.node_id,
        incarnation: right.incarnation(),
        feature_level: settings.feature_level,
        may_vote: right.may_vote(),
        address: group
            .as_ref()
            .and_then(|group| group.address_of(settings.node_id)),
    };
    let peers = peers(&runtime, identity, group.as_ref());
    peers.set_state(state.reader());
    let raft: RaftOf<R> = Raft::new(
        settings.node_id,
        Arc::new(config),
        Network::new(peers.clone()),
        log.clone(),
        machine,
    )
    .await
    .map_err(|fatal| match failure.get() {
        Some(sentence) => OpenError::Stopped(sentence),
        None => OpenError::Inconsistent(fatal.to_string()),
    })?;
    let stop = Signal::new();
    runtime
        .spawn(
            ThreadRole::Raft,
            watch_openraft(raft.clone(), stop.clone(), failure.clone()),
        )
        .detach();
    if group.is_none()
        && let Err(error) = lead(&raft, &settings, &failure).await
    {
        stop.raise();
        peers.close();
        let _ = raft.shutdown().await;
        log.close().await;
        return Err(error);
    }

    let closing = Signal::new();
    let (proposals, queue) = Proposals::new(&settings, failure.clone(), delivery.clone());
    let intake = Intake::default();
    let standing = Latest::new(Standing::Waits);
    let around = Around {
        runtime: runtime.clone(),
        raft: raft.clone(),
        peers: peers.clone(),
        settings: settings.clone(),
        state: state.clone(),
        log: log.clone(),
        checkpointer: checkpointer.clone(),
        failure: failure.clone(),
        intake: intake.clone(),
        stats: log.stats(),
        standing: standing.clone(),
        stop: closing.clone(),
    };
    let proposer = Proposer::new(around, proposals.clone(), queue);
    let proposer = runtime.spawn(ThreadRole::Raft, proposer.run());
    let schedule = Schedule {
        runtime: runtime.clone(),
        raft: raft.clone(),
        log: log.clone(),
        state: state.clone(),
        checkpointer: checkpointer.clone(),
        stop: stop.clone(),
        failure: failure.clone(),
        interval: settings.checkpoint_interval,
        peers: peers.clone(),
    };
    let schedule = runtime.spawn(ThreadRole::Raft, schedule.run());
    let read_index = ReadIndex::start(
        &runtime,
        raft.clone(),
        peers.clone(),
        stop.clone(),
        failure.clone(),
    );
    let heard_leader = HeardLeader::new(runtime.clone());
    let mut keeper = None;
    if let Some(group) = group {
        let task = Keeper {
            runtime: runtime.clone(),
            raft: raft.clone(),
            peers: peers.clone(),
            proposals: proposals.clone(),
            state: state.clone(),
            log: log.clone(),
            right: right.clone(),
            me: settings.node_id,
            listed: group.listed(),
            election: settings.election,
            stop: stop.clone(),
            failure: failure.clone(),
        };
        keeper = Some(runtime.spawn(ThreadRole::Raft, task.run()));
        let comparison = Comparison {
            runtime: runtime.clone(),
            raft: raft.clone(),
            peers: peers.clone(),
            state: state.clone(),
            me: settings.node_id,
            pace: settings.election * 2,
            stop: stop.clone(),
            failure: failure.clone(),
        };
        runtime.spawn(ThreadRole::Raft, comparison.run()).detach();
        let handover = Handover {
            runtime: runtime.clone(),
            raft: raft.clone(),
            peers: peers.clone(),
            me: settings.node_id,
            election: settings.election,
            stop: stop.clone(),
            failure: failure.clone(),
        };
        runtime.spawn(ThreadRole::Raft, handover.run()).detach();
        let voters: Arc<BTreeSet<_>> = Arc::new(group.voters.keys().copied().collect());
        let succession = Succession::new(
            peers.clone(),
            raft.clone(),
            log.clone(),
            right.clone(),
            settings.election,
        );
        let served = Served {
            raft: raft.clone(),
            voters,
            right,
            state: state.clone(),
            intake,
            read_index: read_index.clone(),
            succession,
            folder,
            modules: modules.clone(),
            receiving: Arc::new(Semaphore::new(1)),
            lease: settings.lease(),
            heard_leader: heard_leader.clone(),
            contact: settings.election * CONTACT_ELECTIONS,
            delivery: delivery.clone(),
            backlog: Backlog {
                log: log.clone(),
                checkpointer: checkpointer.clone(),
            },
        };
        join(&runtime, &peers, served, group.listener);
    }
    Ok(Started {
        raft,
        peers,
        log,
        state,
        checkpointer,
        modules,
        proposals,
        read_index,
        standing,
        failure,
        closing,
        stop,
        proposer,
        schedule,
        heard_leader,
        keeper,
        settings,
        replayed,
    })
}

/// This node's connections to its peers; a node alone has none.
fn peers<R: Runtime>(runtime: &R, identity: Identity, group: Option<&Group<R>>) -> Peers<R> {
    let Some(group) = group else {
        let secret = Secret::new("");
        let protection = Arc::new(Unprotected);
        let settings = PeerSettings::default();
        return Peers::new(runtime.clone(), settings, identity, secret, protection);
    };
    let peers = Peers::new(
        runtime.clone(),
        group.settings.clone(),
        identity,
        group.secret.clone(),
        group.protection.clone(),
    );
    for (node, address) in group.voters.iter().chain(&group.learners) {
        peers.set_address(*node, address.clone());
    }
    peers
}

/// Opens the peer port and looks for the other members.
fn join<R: Runtime>(runtime: &R, peers: &Peers<R>, served: Served<R>, listener: R::Listener) {
    let (right, voters) = (served.right.clone(), served.voters.clone());
    let forming = form(peers.clone(), served.raft.clone(), right, voters);
    let succession = served.succession.clone();
    let accepting = Acceptor::new(peers.clone(), served).run(listener);
    runtime.spawn(ThreadRole::Raft, accepting).detach();
    runtime.spawn(ThreadRole::Raft, forming).detach();
    runtime.spawn(ThreadRole::Raft, succession.run()).detach();
}

/// This node's number as the member of its group of one. It is the number in the data folder, even
/// if the settings have another one by now, since ZooKeeper's operators may change a server's
/// number. A new folder gets the number in the settings.
/// (test: `a_renumbered_node_keeps_its_folder`)
async fn member_number<R: Runtime>(
    log: &mut Log<R>,
    machine: &mut StateMachine<R>,
    new: NodeId,
) -> Result<NodeId, OpenError> {
    let failed = |error: &dyn fmt::Display| OpenError::Inconsistent(error.to_string());
    let (_, checkpoint) = machine.applied_state().await.map_err(|e| failed(&e))?;
    if let Some(known) = only_voter(checkpoint.voter_ids())? {
        return Ok(known);
    }
    // Before the first checkpoint only the log has the membership.
    let mut stored = StorageHelper::new(log, machine);
    let membership = stored.get_membership().await.map_err(|e| failed(&e))?;
    let known = only_voter(membership.effective().voter_ids())?;
    Ok(known.unwrap_or(new))
}

/// The voter of a membership of one; `None` if there is none. A member of a larger group must not
/// be opened alone: it could take the number of another member, and it would never lead.
/// (test: `a_members_folder_is_not_opened_alone`)
fn only_voter(mut voters: impl Iterator<Item = NodeId>) -> Result<Option<NodeId>, OpenError> {
    let first = voters.next();
    match voters.next() {
        None => Ok(first),
        Some(_) => Err(OpenError::Settings(
            "this data folder belongs to a node of a group: name the group as before, with --id and --peers or with the server.N lines"
                .to_owned(),
        )),
    }
}

/// Makes this node lead its group of one, and waits until it has applied its log.
async fn lead<R: Runtime>(
    raft: &RaftOf<R>,
    settings: &Settings,
    failure: &Failure,
) -> Result<(), OpenError> {
    let stopped = |fatal: &dyn fmt::Display| {
        OpenError::Stopped(failure.get().unwrap_or_else(|| fatal.to_string()))
    };
    if raft.is_initialized().await.map_err(|f| stopped(&f))? {
        // No other node can lead, so it need not wait for an election timeout.
        let elect = raft.trigger().elect(true).await;
        elect.map_err(|f: Fatal<_>| stopped(&f))?;
    } else {
        let only = BTreeMap::from([(settings.node_id, BasicNode::default())]);
        let made = raft.initialize(only).await;
        made.map_err(|error| stopped(&error))?;
    }
    let wait = raft.wait(Some(settings.open_timeout));
    let ready = wait.metrics(
        |metrics| {
            metrics.state == ServerState::Leader
                && metrics.last_applied.is_some_and(|applied| {
                    **applied.committed_leader_id() == metrics.current_term
                        && Some(applied.index) >= metrics.last_log_index
                })
        },
        "this node leads and has applied its log",
    );
    match select2(failure.failed(), ready).await {
        Select2::First(sentence) => Err(OpenError::Stopped(sentence)),
        Select2::Second(Ok(_)) => Ok(()),
        // openraft has stopped by itself, and `watch_openraft` says why.
        Select2::Second(Err(WaitError::ShuttingDown)) => {
            Err(OpenError::Stopped(failure.failed().await))
        }
        Select2::Second(Err(WaitError::Timeout(..))) => Err(OpenError::NotReady {
            seconds: settings.open_timeout.as_secs(),
            state: raft.metrics().borrow_watched().to_string(),
        }),
    }
}

/// Fails the node if openraft stops by itself.
async fn watch_openraft<R: Runtime>(raft: RaftOf<R>, stop: Signal, failure: Failure) {
    // Both end with openraft. The full metrics change with each of its ticks, and nobody wakes for
    // those; the server's change only with the node's role and the members.
    let (metrics, mut changes) = (raft.metrics(), raft.server_metrics());
    drop(raft);
    loop {
        match select2(stop.wait(), changes.changed()).await {
            Select2::First(()) => return,
            Select2::Second(Ok(())) => {}
            Select2::Second(Err(_)) => break,
        }
    }
    if stop.is_raised() {
        return;
    }
    failure.fail(match &metrics.borrow_watched().running_state {
        Err(fatal) => format!("replication has stopped: {fatal}"),
        Ok(()) => "replication has ended without saying why".to_owned(),
    });
}
