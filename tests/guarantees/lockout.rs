//! Locked out by one's own policy, and back in through the admin socket.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

mod support;

use std::process::Command;

use support::{NodeProcess, guest, persistent};
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_forbids_everything_is_mended_through_the_admin_socket() {
    let Some(rules) = guest("path-rules") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let module = node.push(&rules);
    let client = node.client().await;
    client
        .create("/policy", br#"{"rules":[]}"#, &persistent())
        .await
        .unwrap();
    client.create("/data", b"", &persistent()).await.unwrap();
    node.bind(
        "rules",
        &format!(
            r#"{{"world":"authorizer","module":"{module}","watch":["/**"],"policy":["/policy"],
                "config":{{"rules":"/policy"}}}}"#
        ),
    );
    client
        .set_data("/policy", br#"{"default":"deny","rules":[]}"#, None)
        .await
        .unwrap();
    for denied in [
        client.get_data("/data").await.map(drop),
        client
            .set_data("/policy", br#"{"rules":[]}"#, None)
            .await
            .map(drop),
    ] {
        assert!(matches!(denied, Err(zk::Error::NoAuth)), "{denied:?}");
    }
    let mended = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
        .args(["znode", "set", "/policy", r#"{"rules":[]}"#, "--data"])
        .arg(folder.path())
        .output()
        .expect("the command line runs");
    assert!(
        mended.status.success(),
        "{}",
        String::from_utf8_lossy(&mended.stderr)
    );
    client
        .get_data("/data")
        .await
        .expect("the next request passes again");

    // A guest that breaks altogether is no lock-out either: the super user reaches the binding.
    client
        .set_data("/policy", b"no rules at all", None)
        .await
        .unwrap();
    assert!(matches!(
        client.get_data("/data").await,
        Err(zk::Error::NoAuth)
    ));
    let owner = node.super_client().await;
    owner
        .delete("/innkeeper/bindings/rules", None)
        .await
        .expect("the super user passes below /innkeeper");
    client
        .get_data("/data")
        .await
        .expect("without the binding nothing forbids");
}
