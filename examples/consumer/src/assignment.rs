//! The assignment of a member, as the guest `group` writes it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use zookeeper_client as zk;

/// The data of `<group>/assignments/<member>`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Assignment {
    /// The number of the assignment; the same for all members of the group.
    pub generation: u64,
    /// The member's partitions, by topic.
    pub topics: BTreeMap<String, Vec<u32>>,
}

impl Assignment {
    /// The line that `run` prints: `{"generation":…,"member":…,"topics":{…}}`.
    #[must_use]
    pub fn to_line(&self, member: &str) -> String {
        serde_json::json!({
            "member": member,
            "generation": self.generation,
            "topics": self.topics,
        })
        .to_string()
    }
}

/// The result of a read, with the watch that it left.
pub(crate) enum Watched {
    Present {
        assignment: Assignment,
        mzxid: i64,
        watcher: zk::OneshotWatcher,
    },
    Absent {
        watcher: zk::OneshotWatcher,
    },
}

/// Reads the assignment and leaves a watch: on its data, or on its creation if it does
/// not exist.
pub(crate) async fn watch_assignment(client: &zk::Client, path: &str) -> anyhow::Result<Watched> {
    loop {
        match client.get_and_watch_data(path).await {
            Ok((data, stat, watcher)) => {
                let assignment = serde_json::from_slice(&data).with_context(|| {
                    format!("{path} does not hold an assignment: is the group guest bound to it?")
                })?;
                return Ok(Watched::Present {
                    assignment,
                    mzxid: stat.mzxid,
                    watcher,
                });
            }
            Err(zk::Error::NoNode) => {
                let (stat, watcher) = client.check_and_watch_stat(path).await?;
                if stat.is_none() {
                    return Ok(Watched::Absent { watcher });
                }
                // It was created between the two reads.
            }
            Err(error) => return Err(error.into()),
        }
    }
}
