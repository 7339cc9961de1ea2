//! Registers a member: creates its ephemeral znode.

use anyhow::{Context as _, bail};
use serde::Serialize;
use zookeeper_client as zk;

use crate::Args;

/// The data of a member's znode.
#[derive(Serialize)]
struct Member<'a> {
    /// Without this field the member wants every topic of the group.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    topics: &'a [String],
}

/// Creates `<group>/members/<member>`, held by this session.
///
/// 1. Creates the znode `members` if it is missing.
/// 2. If another session owns the member's znode, most likely that of an earlier run of this
///    consumer, it waits until the znode is deleted with that session.
/// 3. After a lost connection it is not known whether the znode was created; its owner tells.
pub(crate) async fn register(client: &zk::Client, args: &Args) -> anyhow::Result<()> {
    let folder = format!("{}/members", args.group);
    let path = format!("{folder}/{}", args.member);
    let data = serde_json::to_vec(&Member {
        topics: &args.topics,
    })?;
    let ephemeral = zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
    loop {
        match client.create(&path, &data, &ephemeral).await {
            Ok(_) => return Ok(()),
            Err(zk::Error::NoNode) => {
                let persistent = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
                client
                    .mkdir(&folder, &persistent)
                    .await
                    .with_context(|| format!("{folder} cannot be created"))?;
            }
            Err(zk::Error::NodeExists) => {
                let (stat, watcher) = client
                    .check_and_watch_stat(&path)
                    .await
                    .with_context(|| format!("{path} cannot be read"))?;
                match stat {
                    Some(stat) if stat.ephemeral_owner == client.session_id().0 => return Ok(()),
                    Some(stat) if stat.ephemeral_owner == 0 => {
                        bail!(
                            "{path} exists and is no member's: remove it or take another --member"
                        )
                    }
                    Some(_) => {
                        watcher.changed().await;
                    }
                    None => {}
                }
            }
            Err(error @ zk::Error::ConnectionLoss) => crate::survive(client, error.into()).await?,
            Err(error) => return Err(error).with_context(|| format!("{path} cannot be created")),
        }
    }
}
