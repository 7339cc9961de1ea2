//! The operator who changes the members of the group while it suffers.
//!
//! A learner comes, is promoted, demoted or removed; a voter comes, goes, or is replaced by another
//! node; a member gets another address and starts again there. Some changes follow each other at
//! once, and some leaders die in the midst of a change. A node that was removed runs on with its
//! data folder, and may be taken in again later.
//!
//! The operator is careful: the configuration keeps three voters. A change that takes a voter away,
//! or that names another address, is made for the version that the operator has seen, so that it is
//! not done when it arrives late. No voter is taken away without another one while a data folder is
//! empty, and a member starts at its new address after the group knows it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use innkeeper_raft::RaftRole;
use innkeeper_runtime::{Instant, Runtime, Simulated, ThreadRole, World};
use innkeeper_tree::group::Role;

use crate::actions::Wipes;
use crate::common::group::{PEER_PORT, peer_address};
use crate::history::History;
use crate::invariants::healed;
use crate::invariants::members::{Change, Members};
use crate::stage::Member;

/// The pause before a change is drawn up to this.
const PAUSE_MS: u64 = 2_500;
/// One in so many changes is followed by another one at once.
const TWICE_ONE_IN: u64 = 3;
/// In one of so many changes the leader dies.
const DEATHS_ONE_IN: u64 = 3;
/// The leader dies up to so long after the change was applied.
const DEATH_MS: u64 = 120;
/// A member that gets another address is started again there up to so long after the change was
/// applied.
const MOVE_MS: u64 = 300;
/// How long the operator waits for the answer, and then until the configuration is reached.
const PATIENCE: Duration = Duration::from_secs(4);
/// The configuration always has so many voters.
const VOTERS_MIN: usize = 3;
/// It has no more voters than this.
const VOTERS_MAX: usize = 5;

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A node comes as a learner.
    Learn,
    /// A node comes as a voter.
    Join,
    /// A learner becomes a voter.
    Promote,
    /// A voter becomes a learner.
    Demote,
    /// A member goes.
    Remove,
    /// A voter goes, and another node votes in its place.
    Replace,
    /// A member gets another address.
    Move,
}

/// How often something happened, and was applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By kind, in the order of [`Kind`].
    pub of_kind: [u64; 7],
    /// Two configurations one after the other, without a pause.
    pub twice: u64,
    /// Changes in which the leader died, and which another leader finished.
    pub finished: u64,
    /// Nodes that were removed and came back with the folder that they had.
    pub returned: u64,
    /// Changes that were reached while the faults went on.
    pub reached: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        for (sum, more) in self.of_kind.iter_mut().zip(other.of_kind) {
            *sum += more;
        }
        self.twice += other.twice;
        self.finished += other.finished;
        self.returned += other.returned;
        self.reached += other.reached;
    }
}

/// A change that was drawn.
struct Drawn {
    kind: Kind,
    change: Change,
    /// A node that was a member before and has its folder still.
    returns: bool,
    /// The member that gets another port, and the port.
    moves: Option<(u64, u16)>,
}

/// The operator.
pub struct Changes {
    pub world: World,
    pub dice: Simulated,
    /// All hosts, members or not.
    pub hosts: Vec<Arc<Member>>,
    pub history: History,
    pub wipes: Rc<RefCell<Wipes>>,
    /// Nothing is changed after it.
    pub until: Instant,
    counts: RefCell<Counts>,
    /// Nodes that have been removed.
    former: RefCell<BTreeSet<u64>>,
}

impl Changes {
    pub fn new(
        world: &World,
        dice: &Simulated,
        hosts: &[Arc<Member>],
        history: &History,
        wipes: &Rc<RefCell<Wipes>>,
        until: Instant,
    ) -> Self {
        Self {
            world: world.clone(),
            dice: dice.clone(),
            hosts: hosts.to_vec(),
            history: history.clone(),
            wipes: wipes.clone(),
            until,
            counts: RefCell::default(),
            former: RefCell::default(),
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// Changes the members again and again.
    pub async fn run(&self) -> Infallible {
        loop {
            self.rest(PAUSE_MS).await;
            if self.world.now() > self.until {
                pending::<()>().await;
            }
            self.change_once().await;
        }
    }

    async fn change_once(&self) {
        let wanted = self.history.wanted();
        let Some(first) = self.draw(&wanted, true) else {
            return;
        };
        let mut drawn = vec![first];
        if self.one_in(TWICE_ONE_IN) {
            let mut then = Members::clone(&wanted);
            then.change(&drawn[0].change, wanted.version);
            drawn.extend(self.draw(&then, false));
        }
        let members: BTreeSet<u64> = wanted.all().into_keys().collect();
        let Some(tickets) = self.ask(self.one_of(&members), &drawn) else {
            return;
        };
        let answers = || {
            let all = tickets
                .iter()
                .map(|ticket| self.history.has_changed(*ticket));
            all.collect::<Option<Vec<bool>>>()
        };
        if !self.wait(PATIENCE, || answers().is_some()).await {
            return;
        }
        let answers = answers().expect("they were seen");
        self.count(&drawn, &answers);
        if let Some((node, port)) = drawn[0].moves
            && answers[0]
        {
            self.host(node).port.store(port, Ordering::Relaxed);
            self.rest(MOVE_MS).await;
            self.start_again(node);
        }
        let old = match self.one_in(DEATHS_ONE_IN) {
            true => self.end_leader().await,
            false => None,
        };
        let is_reached = || self.history.wanted().is_reached(&self.hosts);
        if self.wait(PATIENCE, is_reached).await {
            let mut counts = self.counts.borrow_mut();
            counts.reached += 1;
            let leader = self.leader();
            let other = leader.zip(old).is_some_and(|((_, now), old)| now > old);
            counts.finished += u64::from(other);
        }
    }

    fn count(&self, drawn: &[Drawn], answers: &[bool]) {
        let mut counts = self.counts.borrow_mut();
        for (drawn, is_done) in drawn.iter().zip(answers) {
            if *is_done {
                counts.of_kind[drawn.kind as usize] += 1;
                counts.returned += u64::from(drawn.returns);
                self.former.borrow_mut().extend(&drawn.change.leaving);
            }
        }
        counts.twice += u64::from(answers == [true, true]);
    }

    /// After everything has healed: asks for a last configuration, in which all members have their
    /// right addresses, and with `everybody` all hosts are members. Returns when it is applied.
    pub async fn last(&self, everybody: bool) {
        let is_founded = || self.history.wanted().version > 0;
        healed::wait_until(&self.world, &self.hosts, &self.history, is_founded).await;
        let wanted = self.history.wanted();
        let mut change = Change::default();
        if everybody {
            for host in self.hosts.iter().filter(|host| !wanted.has(host.id)) {
                let role = match self.one_in(2) {
                    true => Role::Voter,
                    false => Role::Learner,
                };
                change
                    .joining
                    .insert(host.id, (role, self.address_of(host.id)));
                let mut counts = self.counts.borrow_mut();
                counts.returned += u64::from(self.has_old_folder(host.id));
            }
        } else if let Some(drawn) = self.draw(&wanted, true)
            // Nobody starts it again any more.
            && drawn.moves.is_none()
        {
            change = drawn.change;
            change.version = None;
            self.former.borrow_mut().extend(&change.leaving);
        }
        self.correct(&wanted, &mut change);
        let drawn = Drawn {
            kind: Kind::Join,
            change,
            returns: false,
            moves: None,
        };
        // A member that lags need not know where the others are by now.
        let leads = |host: &Arc<Member>| {
            let wanted = self.history.wanted();
            self.leader().is_some_and(|(it, _)| it.id == host.id) && wanted.has(host.id)
        };
        let leader = || self.hosts.iter().find(|host| leads(host));
        let has_leader = || leader().is_some();
        healed::wait_until(&self.world, &self.hosts, &self.history, has_leader).await;
        let leader = leader().expect("it was seen").id;
        let tickets = self.ask(leader, &[drawn]).expect("it runs");
        let is_applied = || self.history.has_changed(tickets[0]).is_some();
        healed::wait_until(&self.world, &self.hosts, &self.history, is_applied).await;
    }

    /// Draws a change of `wanted`. One that does not come first takes no voter away for nothing.
    fn draw(&self, wanted: &Members, is_first: bool) -> Option<Drawn> {
        if wanted.version == 0 {
            return None;
        }
        let (voters, learners) = (wanted.of(Role::Voter), wanted.of(Role::Learner));
        let outside = self.hosts.iter().map(|host| host.id);
        let outside: BTreeSet<u64> = outside.filter(|id| !wanted.has(*id)).collect();
        let has_spare =
            is_first && voters.len() > VOTERS_MIN && !self.wipes.borrow().is_under_way();
        let may_vote = voters.len() < VOTERS_MAX;
        let possible = [
            (Kind::Learn, !outside.is_empty()),
            (Kind::Join, !outside.is_empty() && may_vote),
            (Kind::Promote, !learners.is_empty() && may_vote),
            (Kind::Demote, has_spare),
            (Kind::Remove, has_spare || !learners.is_empty()),
            (Kind::Replace, !outside.is_empty() || !learners.is_empty()),
            (Kind::Move, is_first),
        ];
        let possible: BTreeSet<Kind> = possible
            .iter()
            .filter_map(|(kind, is_possible)| is_possible.then_some(*kind))
            .collect();
        if possible.is_empty() {
            return None;
        }
        let kind = self.one_of(&possible);
        let mut change = Change::default();
        let mut moves = None;
        let mut coming = None;
        match kind {
            Kind::Learn | Kind::Join => coming = Some(self.one_of(&outside)),
            Kind::Promote => coming = Some(self.one_of(&learners)),
            Kind::Demote => {
                change.version = Some(wanted.version);
                let node = self.one_of(&voters);
                change
                    .joining
                    .insert(node, (Role::Learner, self.address_of(node)));
            }
            Kind::Remove => {
                let mut from = learners.clone();
                if has_spare {
                    from.extend(&voters);
                }
                let node = self.one_of(&from);
                if voters.contains(&node) {
                    change.version = Some(wanted.version);
                }
                change.leaving.insert(node);
            }
            Kind::Replace => {
                let others: BTreeSet<_> = outside.union(&learners).copied().collect();
                coming = Some(self.one_of(&others));
                change.leaving.insert(self.one_of(&voters));
            }
            Kind::Move => {
                let node = self.one_of(&voters.union(&learners).copied().collect());
                let host = self.host(node);
                let port = match host.port.load(Ordering::Relaxed) {
                    PEER_PORT => PEER_PORT + 1,
                    _ => PEER_PORT,
                };
                moves = Some((node, port));
                change.version = Some(wanted.version);
                let role = match voters.contains(&node) {
                    true => Role::Voter,
                    false => Role::Learner,
                };
                change.joining.insert(node, (role, address(node, port)));
            }
        }
        if let Some(node) = coming {
            let role = match kind {
                Kind::Learn => Role::Learner,
                _ => Role::Voter,
            };
            change.joining.insert(node, (role, self.address_of(node)));
        }
        if is_first {
            self.correct(wanted, &mut change);
        }
        Some(Drawn {
            kind,
            change,
            returns: coming
                .is_some_and(|node| outside.contains(&node) && self.has_old_folder(node)),
            moves,
        })
    }

    /// Names the right addresses of all members that the change leaves alone.
    fn correct(&self, wanted: &Members, change: &mut Change) {
        for (node, (role, known)) in wanted.all() {
            let right = self.address_of(node);
            if known != right && !change.leaving.contains(&node) {
                change.joining.entry(node).or_insert((role, right));
            }
        }
    }

    fn has_old_folder(&self, node: u64) -> bool {
        self.former.borrow().contains(&node) && !self.wipes.borrow().is_under_way_at(node)
    }

    /// Asks for changes, in their order, at a node. Returns their tickets; `None` if the node does
    /// not run.
    fn ask(&self, node: u64, drawn: &[Drawn]) -> Option<Vec<u64>> {
        let host = self.host(node);
        let (replica, door, runtime) = (host.replica()?, host.door()?, host.runtime()?);
        let submitter = door.submitter();
        let tickets: Vec<_> = drawn
            .iter()
            .map(|it| submitter.asks_for(&it.change))
            .collect();
        let operations = drawn.iter().zip(&tickets);
        let operations: Vec<_> = operations
            .map(|(drawn, ticket)| drawn.change.operation(*ticket))
            .collect();
        // It may wait for room for as long as this life lasts.
        let count = operations.len() as u64;
        let proposals = replica.proposals();
        let task = async move {
            proposals.submit(operations).await;
            submitter.is_taken(count);
        };
        runtime.spawn(ThreadRole::Client, task).detach();
        Some(tickets)
    }

    /// The established leader of the highest term, with this term.
    fn leader(&self) -> Option<(&Arc<Member>, u64)> {
        let leaders = self.hosts.iter().filter_map(|host| {
            let status = host.status()?;
            let leads = status.role == RaftRole::Leader && status.applied_term == Some(status.term);
            leads.then_some((host, status.term))
        });
        leaders.max_by_key(|(_, term)| *term)
    }

    /// Ends the leader's process, if the configuration is not reached yet then. Returns its term.
    async fn end_leader(&self) -> Option<u64> {
        self.rest(DEATH_MS).await;
        let (leader, term) = self.leader()?;
        if self.history.wanted().is_reached(&self.hosts) {
            return None;
        }
        self.start_again(leader.id);
        Some(term)
    }

    /// Lets a node's process end. It is started again after a pause.
    fn start_again(&self, node: u64) {
        self.world
            .journal(format!("the operator starts node {node} again"));
        self.host(node).end();
    }

    async fn wait(&self, limit: Duration, is_done: impl Fn() -> bool) -> bool {
        let until = self.world.now() + limit;
        while !is_done() {
            if self.world.now() >= until {
                return false;
            }
            self.world.sleep(Duration::from_millis(10)).await;
        }
        true
    }

    async fn rest(&self, most_ms: u64) {
        let pause = self.dice.random_u64() % most_ms;
        self.world.sleep(Duration::from_millis(pause)).await;
    }

    fn one_in(&self, number: u64) -> bool {
        self.dice.random_u64().is_multiple_of(number)
    }

    fn one_of<T: Copy>(&self, all: &BTreeSet<T>) -> T {
        let place = self.dice.random_u64() as usize % all.len();
        *all.iter().nth(place).expect("there are so many")
    }

    fn host(&self, node: u64) -> &Arc<Member> {
        let mut hosts = self.hosts.iter();
        hosts.find(|host| host.id == node).expect("a host")
    }

    fn address_of(&self, node: u64) -> String {
        let port = self.host(node).port.load(Ordering::Relaxed);
        address(node, port)
    }
}

fn address(node: u64, port: u16) -> String {
    let mut address = peer_address(node);
    address.port = port;
    address.to_string()
}
