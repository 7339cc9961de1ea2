//! What a member owns, as the group's guest writes it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use zookeeper_client as zk;

/// The data of `<group>/assignments/<member>`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Assignment {
    /// Counts the group's assignments; all members of one assignment see one number.
    pub generation: u64,
    /// The partitions owned, by topic.
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

/// What was read, and the watch that the read left behind.
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

/// Reads the assignment and leaves a watch: on the data where there is some, on
/// its coming into being where there is none.
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
                // It came between the two reads.
            }
            Err(error) => return Err(error.into()),
        }
    }
}
