//! An operator whose own policy denies everything gets back in through the admin socket.

#![allow(clippy::disallowed_methods, reason = "a test is a client, not a node")]

#[path = "../guests.rs"]
mod guests;
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;

use guests::guest;
use support::{NodeProcess, PATIENCE, eventually, persistent};
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_forbids_everything_is_mended_through_the_admin_socket() {
    let rules = guest("path-rules");
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
    let mended = operate(
        folder.path(),
        &["znode", "set", "/policy", r#"{"rules":[]}"#],
    );
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

/// Runs one command of the operator, over the admin socket.
fn operate(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_innkeeper"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .output()
        .expect("the command line runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_an_authorizers_module_serves_its_operator_and_no_client() {
    let rules = guest("path-rules");
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::start(folder.path());
    let module = node.push(&rules);
    node.bind(
        "rules",
        &format!(
            r#"{{"world":"authorizer","module":"{module}","watch":["/**"],"policy":["/policy"],
                "config":{{"rules":"/policy"}}}}"#
        ),
    );
    drop(node);
    std::fs::remove_file(folder.path().join("modules.redb")).unwrap();
    // With what was compiled of it the node could serve on.
    std::fs::remove_dir_all(folder.path().join("compiled")).unwrap();
    let mut child = NodeProcess::spawn(folder.path(), "127.0.0.1:0", "127.0.0.1:0", &[]);
    let stdout = child.stdout.take().unwrap();
    let (sender, ready) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        // The test may have failed and gone.
        let _ = sender.send(line);
    });
    eventually("the admin socket", async || {
        let status = operate(folder.path(), &["binding", "status", "rules"]);
        status.status.success().then_some(())
    })
    .await;
    assert!(ready.try_recv().is_err(), "it says that it serves clients");
    let deleted = operate(folder.path(), &["binding", "delete", "rules"]);
    assert!(deleted.status.success(), "{deleted:?}");
    let line = ready.recv_timeout(PATIENCE).expect("it serves now");
    assert!(line.starts_with("innkeeper ready:"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}
