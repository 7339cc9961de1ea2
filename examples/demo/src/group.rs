//! Reads the group as any ZooKeeper client can: `assignments/` and `generation`.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use innkeeper_consumer::Assignment;
use innkeeper_runtime::{Select2, select2};
use serde_json::json;
use zookeeper_client as zk;

/// The parent of all groups.
pub(super) const GROUPS: &str = "/groups";

/// The group of the demo.
pub(super) const GROUP: &str = "/groups/orders";

/// The only topic of the group.
pub(super) const TOPIC: &str = "orders";

/// Longest time for a new assignment, with the expiry of a session before it.
const PATIENCE: Duration = Duration::from_secs(40);

/// How often the live table is redrawn while nothing changes.
const TICK: Duration = Duration::from_millis(100);

/// The assignment of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The number of the assignment; 0 before the first.
    pub(super) generation: u64,
    /// Partitions by member.
    pub(super) owners: BTreeMap<String, Vec<u32>>,
}

impl Snapshot {
    /// The number of partitions that had another owner in `before`.
    pub(super) fn moved_since(&self, before: &Snapshot) -> usize {
        let pairs = before.owners.iter();
        pairs
            .map(|(member, owned)| {
                owned
                    .iter()
                    .filter(|&&partition| !self.owns(member, partition))
                    .count()
            })
            .sum()
    }

    pub(super) fn owns(&self, member: &str, partition: u32) -> bool {
        self.owners
            .get(member)
            .is_some_and(|owned| owned.contains(&partition))
    }

    pub(super) fn members(&self) -> Vec<String> {
        self.owners.keys().cloned().collect()
    }

    /// Whether every partition has exactly one owner.
    fn is_whole(&self, partitions: u32) -> bool {
        let mut all: Vec<u32> = self.owners.values().flatten().copied().collect();
        all.sort_unstable();
        all.into_iter().eq(0..partitions)
    }
}

/// A new assignment, and when its event arrived.
pub(super) struct Change {
    pub(super) snapshot: Snapshot,
    pub(super) at: Instant,
}

/// The demo's group.
pub(super) struct Group {
    client: zk::Client,
    partitions: u32,
}

impl Group {
    /// Creates the group's znodes: its resources, and the name of the assignor's binding.
    pub(super) async fn create(
        client: zk::Client,
        partitions: u32,
        strategy: &str,
    ) -> anyhow::Result<Self> {
        let resources = json!({"topics": [{"name": TOPIC, "partitions": partitions}]});
        let config = json!({"strategy": strategy});
        for (path, data) in [
            (GROUPS.to_owned(), String::new()),
            (GROUP.to_owned(), String::new()),
            (format!("{GROUP}/members"), String::new()),
            (format!("{GROUP}/resources"), resources.to_string()),
            (format!("{GROUP}/config"), config.to_string()),
        ] {
            client
                .create(&path, data.as_bytes(), &open_to_all())
                .await
                .with_context(|| format!("{path} cannot be created"))?;
        }
        Ok(Self { client, partitions })
    }

    /// Waits until exactly `members` share all partitions in a generation after `after`. Shows every
    /// generation on the way, and redraws the table every [`TICK`].
    pub(super) async fn shared_by(
        &self,
        members: &[String],
        after: u64,
        mut show: impl FnMut(&Snapshot),
    ) -> anyhow::Result<Change> {
        let deadline = Instant::now() + PATIENCE;
        let mut at = Instant::now();
        loop {
            let (snapshot, watcher) = self.read().await?;
            show(&snapshot);
            let complete = snapshot.owners.keys().eq(members) && snapshot.is_whole(self.partitions);
            if complete && snapshot.generation > after {
                return Ok(Change { snapshot, at });
            }
            let mut event = pin!(watcher.changed());
            loop {
                match select2(&mut event, tokio::time::sleep(TICK)).await {
                    Select2::First(event) => {
                        at = Instant::now();
                        alive(&event)?;
                        break;
                    }
                    Select2::Second(()) if Instant::now() > deadline => bail!(
                        "the guest `group` did not share the partitions among {} within {} s",
                        members.join(", "),
                        PATIENCE.as_secs()
                    ),
                    Select2::Second(()) => show(&snapshot),
                }
            }
        }
    }

    /// The current assignment.
    pub(super) async fn now(&self) -> anyhow::Result<Snapshot> {
        Ok(self.read().await?.0)
    }

    /// The current assignment, and a watch on its generation. Reads that fail with the connection
    /// are repeated on the next one.
    async fn read(&self) -> anyhow::Result<(Snapshot, zk::OneshotWatcher)> {
        loop {
            match self.read_once().await {
                Err(error) if is_connection_loss(&error) => {}
                read => return read,
            }
        }
    }

    /// It takes several reads, which are repeated until all of them belong to the same generation.
    async fn read_once(&self) -> anyhow::Result<(Snapshot, zk::OneshotWatcher)> {
        let path = format!("{GROUP}/generation");
        loop {
            let (data, _, watcher) = match self.client.get_and_watch_data(&path).await {
                Ok(read) => read,
                Err(zk::Error::NoNode) => {
                    let (stat, watcher) = self.client.check_and_watch_stat(&path).await?;
                    if stat.is_none() {
                        return Ok((Snapshot::default(), watcher));
                    }
                    continue;
                }
                Err(error) => return Err(error).with_context(|| format!("{path} cannot be read")),
            };
            let generation = std::str::from_utf8(&data)
                .ok()
                .and_then(|text| text.parse().ok())
                .with_context(|| format!("{path} holds no number"))?;
            if let Some(owners) = self.assignments(generation).await? {
                return Ok((Snapshot { generation, owners }, watcher));
            }
        }
    }

    /// The assignments of all members; `None` if one is not of this generation.
    async fn assignments(
        &self,
        generation: u64,
    ) -> anyhow::Result<Option<BTreeMap<String, Vec<u32>>>> {
        let folder = format!("{GROUP}/assignments");
        let mut owners = BTreeMap::new();
        for member in self.client.list_children(&folder).await? {
            let path = format!("{folder}/{member}");
            let data = match self.client.get_data(&path).await {
                Ok((data, _)) => data,
                Err(zk::Error::NoNode) => return Ok(None),
                Err(error) => return Err(error).with_context(|| format!("{path} cannot be read")),
            };
            let mut assignment: Assignment = serde_json::from_slice(&data)
                .with_context(|| format!("{path} holds no assignment"))?;
            if assignment.generation != generation {
                return Ok(None);
            }
            let owned = assignment.topics.remove(TOPIC).unwrap_or_default();
            owners.insert(member, owned);
        }
        Ok(Some(owners))
    }

    /// Completes when the member's ephemeral znode is created or deleted, with the time.
    pub(super) async fn membership(
        &self,
        member: &str,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Instant>> + 'static + use<>> {
        let path = format!("{GROUP}/members/{member}");
        let (_, watcher) = self.client.check_and_watch_stat(&path).await?;
        let heard = tokio::spawn(async move {
            let event = watcher.changed().await;
            (Instant::now(), event)
        });
        Ok(async move {
            let (at, event) = heard.await.context("a watch was lost")?;
            alive(&event)?;
            Ok(at)
        })
    }
}

/// Whether a request failed because its connection was lost. The client connects again by itself.
pub(super) fn is_connection_loss(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(zk::Error::ConnectionLoss))
}

/// An error if the event says that the session has ended.
fn alive(event: &zk::WatchedEvent) -> anyhow::Result<()> {
    if event.event_type == zk::EventType::Session && event.session_state.is_terminated() {
        bail!("the demo's own session ended: {}", event.session_state);
    }
    Ok(())
}

/// Options of a persistent znode that every client may write.
pub(super) fn open_to_all() -> zk::CreateOptions<'static> {
    zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(owners: &[(&str, &[u32])]) -> Snapshot {
        let owners = owners
            .iter()
            .map(|(member, owned)| ((*member).to_owned(), owned.to_vec()));
        Snapshot {
            generation: 1,
            owners: owners.collect(),
        }
    }

    #[test]
    fn what_lost_its_owner_has_moved() {
        let before = snapshot(&[("a", &[0, 1, 2]), ("b", &[3, 4])]);
        assert_eq!(before.moved_since(&before), 0);
        assert_eq!(before.moved_since(&Snapshot::default()), 0);
        let joined = snapshot(&[("a", &[0, 1]), ("b", &[3, 4]), ("c", &[2])]);
        assert_eq!(joined.moved_since(&before), 1);
        let left = snapshot(&[("b", &[0, 1, 2, 3, 4])]);
        assert_eq!(left.moved_since(&before), 3);
        let swapped = snapshot(&[("a", &[3, 4]), ("b", &[0, 1, 2])]);
        assert_eq!(swapped.moved_since(&before), 5);
    }

    #[test]
    fn an_assignment_is_whole_if_everything_is_owned_once() {
        assert!(snapshot(&[("a", &[2, 0]), ("b", &[1])]).is_whole(3));
        assert!(!snapshot(&[("a", &[0]), ("b", &[1])]).is_whole(3));
        assert!(!snapshot(&[("a", &[0, 1]), ("b", &[1, 2])]).is_whole(3));
    }
}
