//! An operator who changes the members of the group while it suffers, in every second run or so.
//!
//! An observer becomes a voter, and a voter an observer; a member is taken out, comes back with its
//! data folder or with an emptied one, or another one votes in its place; a member gets another
//! address and starts again there.
//!
//! The operator is careful: each change is made for the configuration that they have seen, so that
//! one which arrives late is not done; the configuration keeps a quorum of the voters that the group
//! began with; a folder is emptied after the group has done without the node; and a member starts at
//! its new address after the group knows it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime, Simulated, ThreadRole, World, select2};
use innkeeper_server::service::Standing;
use innkeeper_tree::Operation;
use innkeeper_tree::group::{GroupChange, GroupInfo, Role};

use super::super::stage::{Member, Stage};
use super::history::History;
use super::invariants::healed::{HEALED, views};
use super::run::LOOK;

/// The pause before a change is drawn up to this.
const PAUSE_MS: u64 = 800;
/// A member that gets another address is started again there up to so long after the group knows it.
const MOVE_MS: u64 = 300;
/// How long the operator waits until a change is applied, and then until it is reached.
const PATIENCE: Duration = Duration::from_secs(3);
/// After healing, the operator asks again after so long.
const AGAIN: Duration = Duration::from_secs(2);

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An observer becomes a voter.
    Promote,
    /// A voter becomes an observer.
    Demote,
    /// A member goes.
    Remove,
    /// A node that was a member comes back.
    Return,
    /// A voter goes, and another node votes in its place.
    Replace,
    /// A member gets another address.
    Move,
}

/// How often the members were changed, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    of_kind: [u64; 6],
    /// Nodes that came back with an emptied folder.
    emptied: u64,
    /// Changes that Raft's membership had followed, on all members, while the faults went on.
    reached: u64,
}

impl Changes {
    pub fn add(&mut self, other: &Changes) {
        for (sum, more) in self.of_kind.iter_mut().zip(other.of_kind) {
            *sum += more;
        }
        self.emptied += other.emptied;
        self.reached += other.reached;
    }

    pub fn each(&self) -> [(&'static str, u64); 8] {
        let [promoted, demoted, removed, returned, replaced, moved] = self.of_kind;
        [
            ("observers promoted", promoted),
            ("voters demoted", demoted),
            ("members removed", removed),
            ("members taken back in", returned),
            ("voters replaced", replaced),
            ("members moved", moved),
            ("members back with an emptied folder", self.emptied),
            ("changes of members reached", self.reached),
        ]
    }
}

/// A change of the configuration.
#[derive(Clone, Debug, Default)]
struct Change {
    joining: BTreeMap<u64, (Role, String)>,
    leaving: BTreeSet<u64>,
}

impl Change {
    /// What the members are once it is applied to this configuration.
    fn applied_to(&self, group: &GroupInfo) -> BTreeMap<u64, (Role, String)> {
        let mut members = listed(group);
        members.retain(|node, _| !self.leaving.contains(node));
        members.extend(self.joining.clone());
        members
    }
}

/// The operator.
pub struct Operator {
    world: World,
    stage: Arc<Stage>,
    history: History,
    dice: Simulated,
    /// So many voters are left at least.
    voters_min: usize,
    /// Nothing is changed after it, until everything has healed.
    until: Instant,
    /// The node whose folder was emptied, until the group has it back. With two of them, those who
    /// founded the group could found another one.
    emptied: Cell<Option<u64>>,
}

impl Operator {
    /// Changes nothing before it [runs](Operator::run).
    pub fn new(stage: &Arc<Stage>, history: &History, voters: usize, until: Instant) -> Self {
        let world = stage.world.clone();
        Self {
            dice: world.host("dice").boot(),
            world,
            stage: stage.clone(),
            history: history.clone(),
            voters_min: voters / 2 + 1,
            until,
            emptied: Cell::default(),
        }
    }

    /// Changes the members again and again.
    pub async fn run(&self) -> Infallible {
        loop {
            self.rest(PAUSE_MS).await;
            if self.world.now() > self.until {
                return pending().await;
            }
            if let Some(group) = self.group() {
                self.start_moved(&group);
                self.change_once(&group).await;
            }
        }
    }

    async fn change_once(&self, group: &GroupInfo) {
        let (kind, change) = self.draw(group);
        let expected = change.applied_to(group);
        let members: BTreeSet<u64> = group.members.keys().copied().collect();
        self.ask(self.one_of(&members), group, &change);
        let next = || self.group().filter(|next| next.version > group.version);
        if !self.wait(PATIENCE, || next().is_some()).await {
            return;
        }
        let Some(next) = next().filter(|next| listed(next) == expected) else {
            // It is another change for the same configuration, which came late.
            return;
        };
        self.history
            .note(|all| all.counts.changes.of_kind[kind as usize] += 1);
        if kind == Kind::Move {
            self.rest(MOVE_MS).await;
            self.start_moved(&next);
        }
        if !self.wait(PATIENCE, || self.is_reached(&next)).await {
            return;
        }
        let is_back = self
            .emptied
            .get()
            .is_some_and(|it| expected.contains_key(&it));
        self.history.note(|all| {
            all.counts.changes.reached += 1;
            all.counts.changes.emptied += u64::from(is_back);
        });
        if is_back {
            self.emptied.set(None);
        }
        // The group does without it, whatever it has promised.
        if let Some(gone) = change.leaving.first().copied()
            && self.emptied.get().is_none()
            && self.dice.random_u64().is_multiple_of(2)
        {
            self.world
                .journal(format!("the operator empties the folder of node {gone}"));
            self.emptied.set(Some(gone));
            self.stage.member(gone).empty_at_next_start();
            self.stage.ask_to_end(gone);
        }
    }

    /// After everything has healed: takes all nodes in, and returns when the group has all of them
    /// and they know it.
    pub async fn finish(&self) {
        let until = self.world.now() + HEALED;
        loop {
            let group = self.group();
            if let Some(group) = &group {
                self.start_moved(group);
                let change = self.everybody(group);
                if change.joining.is_empty() {
                    if self.stage.members.len() == group.members.len() && self.is_reached(group) {
                        return;
                    }
                } else if let Some(leader) = self.leader() {
                    self.ask(leader, group, &change);
                }
            }
            assert!(
                self.world.now() < until,
                "the nodes are not all members {HEALED:?} after everything has healed: {group:?}\n{}",
                self.stage.shown()
            );
            let known = group.map(|group| group.version);
            let is_newer = || self.group().map(|group| group.version) != known;
            self.wait(AGAIN, is_newer).await;
        }
    }

    /// Takes in the nodes that are in no group. One whose folder is to be emptied comes later.
    fn everybody(&self, group: &GroupInfo) -> Change {
        let outside = self.outside(group);
        let joining = outside.iter().map(|node| {
            let role = self.one_of(&[Role::Voter, Role::Learner].into());
            (*node, (role, self.address_of(*node)))
        });
        Change {
            joining: joining.collect(),
            leaving: BTreeSet::new(),
        }
    }

    /// The nodes that are no members and may come back.
    fn outside(&self, group: &GroupInfo) -> BTreeSet<u64> {
        let members = self.stage.members.iter();
        let outside = members.filter(|it| !group.members.contains_key(&it.id));
        let ready = outside.filter(|it| !it.is_to_be_emptied());
        ready.map(|it| it.id).collect()
    }

    fn draw(&self, group: &GroupInfo) -> (Kind, Change) {
        let (voters, learners) = (of_role(group, Role::Voter), of_role(group, Role::Learner));
        let outside = self.outside(group);
        let has_spare = voters.len() > self.voters_min;
        let possible = [
            (Kind::Promote, !learners.is_empty()),
            (Kind::Demote, has_spare),
            (Kind::Remove, has_spare || !learners.is_empty()),
            (Kind::Return, !outside.is_empty()),
            // Twice as likely, so that those who are outside see something of the faults as members.
            (Kind::Return, !outside.is_empty()),
            (Kind::Replace, !outside.is_empty() || !learners.is_empty()),
            (Kind::Move, true),
        ];
        let possible = possible.iter().filter(|(_, is_possible)| *is_possible);
        let kinds: Vec<Kind> = possible.map(|(kind, _)| *kind).collect();
        let kind = kinds[self.dice.random_u64() as usize % kinds.len()];
        let mut change = Change::default();
        let mut join = |node, role| {
            let member = (role, self.address_of(node));
            change.joining.insert(node, member);
        };
        match kind {
            Kind::Promote => join(self.one_of(&learners), Role::Voter),
            Kind::Demote => join(self.one_of(&voters), Role::Learner),
            Kind::Return => {
                let role = self.one_of(&[Role::Voter, Role::Learner].into());
                join(self.one_of(&outside), role);
            }
            Kind::Replace => {
                let others: BTreeSet<u64> = outside.union(&learners).copied().collect();
                join(self.one_of(&others), Role::Voter);
                change.leaving.insert(self.one_of(&voters));
            }
            Kind::Remove => {
                let from = match has_spare {
                    true => voters.union(&learners).copied().collect(),
                    false => learners,
                };
                change.leaving.insert(self.one_of(&from));
            }
            Kind::Move => {
                let node = self.one_of(&group.members.keys().copied().collect());
                let mut address = self.stage.member(node).peer_address();
                address.port = self.stage.member(node).other_peer_port();
                let role = group.members[&node].role;
                change.joining.insert(node, (role, address.to_string()));
            }
        }
        (kind, change)
    }

    /// Asks for a change of this configuration at a node, if it runs. What comes of it is seen in
    /// the state.
    fn ask(&self, node: u64, group: &GroupInfo, change: &Change) {
        self.world
            .journal(format!("the operator asks node {node} for {change:?}"));
        let Some(service) = self.stage.service(node) else {
            return;
        };
        let (version, Change { joining, leaving }) = (Some(group.version), change.clone());
        let operation = move |ticket| {
            Operation::Group(GroupChange::Configure {
                ticket,
                version,
                joining,
                leaving,
            })
        };
        let runtime = service.runtime.clone();
        let asking = async move {
            select2(service.stopping.wait(), service.propose(operation)).await;
        };
        runtime.spawn(ThreadRole::Client, asking).detach();
    }

    /// Starts the members again that are to be at another address by now.
    fn start_moved(&self, group: &GroupInfo) {
        for (node, known) in &group.members {
            let member = self.stage.member(*node);
            if member.peer_address().to_string() != known.address {
                self.world.journal(format!(
                    "the operator starts node {node} at {}",
                    known.address
                ));
                member.move_to(member.other_peer_port());
                self.stage.ask_to_end(*node);
            }
        }
    }

    /// The newest configuration that some node shows.
    fn group(&self) -> Option<Arc<GroupInfo>> {
        let groups = views(&self.stage).filter_map(|(_, view)| view.group().cloned());
        groups.max_by_key(|group| group.version)
    }

    /// Do all members show this configuration, with all their folders named, follow it, and does one
    /// of them know that its whole log is committed?
    fn is_reached(&self, group: &GroupInfo) -> bool {
        let (voters, learners) = (of_role(group, Role::Voter), of_role(group, Role::Learner));
        let mut is_committed = false;
        let all_follow = group.members.keys().all(|node| {
            let service = self.stage.service(*node);
            let status = service.as_ref().and_then(|it| it.replica().ok());
            let status = status.map(|replica| replica.status());
            let Some((service, status)) = service.zip(status) else {
                return false;
            };
            is_committed |= status.applied == status.last_log;
            let raft = status.members;
            let shown = service.reader.view().group().cloned();
            let is_shown = shown.is_some_and(|shown| {
                let mut members = shown.members.values();
                shown.version == group.version && members.all(|it| it.incarnation.is_some())
            });
            is_shown && raft.voters == voters && raft.learners == learners && !raft.changes
        });
        all_follow && is_committed
    }

    /// The leader of the newest term.
    fn leader(&self) -> Option<u64> {
        let leads = |member: &Member| match self.stage.service(member.id)?.standing() {
            Standing::Leads { term, .. } => Some((term, member.id)),
            _ => None,
        };
        let leaders = self.stage.members.iter().filter_map(leads);
        leaders.max().map(|(_, node)| node)
    }

    async fn wait(&self, limit: Duration, is_done: impl Fn() -> bool) -> bool {
        let until = self.world.now() + limit;
        while !is_done() {
            if self.world.now() >= until {
                return false;
            }
            self.world.sleep(LOOK).await;
        }
        true
    }

    async fn rest(&self, up_to_ms: u64) {
        let ms = self.dice.random_u64() % up_to_ms;
        self.world.sleep(Duration::from_millis(ms)).await;
    }

    fn one_of<T: Copy>(&self, all: &BTreeSet<T>) -> T {
        let place = self.dice.random_u64() as usize % all.len();
        *all.iter().nth(place).expect("there are so many")
    }

    fn address_of(&self, node: u64) -> String {
        self.stage.member(node).peer_address().to_string()
    }
}

fn listed(group: &GroupInfo) -> BTreeMap<u64, (Role, String)> {
    let members = group.members.iter();
    let listed = members.map(|(node, it)| (*node, (it.role, it.address.clone())));
    listed.collect()
}

fn of_role(group: &GroupInfo, role: Role) -> BTreeSet<u64> {
    let members = group.members.iter();
    let of_role = members.filter(|(_, member)| member.role == role);
    of_role.map(|(node, _)| *node).collect()
}
