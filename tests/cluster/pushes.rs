//! Pushes in a group: one node takes a push, and every node says how far it is.

use serde_json::Value;

use super::built::guest;
use super::common::simulated_http::{SUPER, ask_with};
use super::guests::{ModuleDisk, request, with_http};
use super::stage::{Clients, play};

/// What a node answers about a push: the status and the whole text.
async fn ask_about(clients: &Clients, node: u64, method: &str, push: &str) -> (u16, String) {
    let path = format!("/v1/pushes/{push}");
    let asked = (method, &*path, SUPER);
    let (status, text, _) = ask_with(&clients.runtime, clients.http(node), asked, b"").await;
    (status, text)
}

#[test]
fn how_far_a_push_is_says_whichever_node_is_asked() {
    play(17, 3, with_http, async |stage, clients| {
        let (_, first) = stage.leader_and_follower().await;
        let others: Vec<_> = (1..=3).filter(|node| *node != first).collect();
        let disks = others.iter().map(|node| ModuleDisk::of(&stage, *node));
        let disks: Vec<_> = disks.collect();
        // Until another node stores it, the push goes on.
        disks.iter().for_each(ModuleDisk::breaks);
        let (path, module) = ("/v1/modules?wait_ms=9000", guest("test-tally"));
        let pushed = request(&clients, first, "POST", path, &module).await;
        let push = pushed["push"].as_str().expect("a name");
        for node in 1..=3 {
            let path = format!("/v1/pushes/{push}");
            let shown = request(&clients, node, "GET", &path, b"").await;
            assert_eq!(shown, pushed, "node {node}");
            assert_eq!(shown["state"], "storing", "node {node}");
        }
        let (status, text) = ask_about(&clients, others[0], "DELETE", push).await;
        assert_eq!(status, 409, "{text}");
        assert!(
            text.contains(&format!("node {first} has taken the push")),
            "{text}"
        );

        // Who waits at another node is told of the end.
        let path = format!("/v1/pushes/{push}?wait_ms=60000");
        disks.iter().for_each(ModuleDisk::is_mended);
        let ready = request(&clients, others[0], "GET", &path, b"").await;
        assert_eq!(ready["state"], "ready", "{ready}");
        let here = request(&clients, first, "GET", &path, b"").await;
        assert_eq!(ready, here);
        assert_ne!(ready["module"], Value::Null);

        let unknown = format!("sha256:{}", "07".repeat(32));
        for node in 1..=3 {
            let (status, text) = ask_about(&clients, node, "GET", &unknown).await;
            assert_eq!(status, 404, "{text}");
        }
        // It is not said that there is none while a node that may know it does not answer.
        stage.kill(first);
        for method in ["GET", "DELETE"] {
            let (status, text) = ask_about(&clients, others[0], method, push).await;
            assert_eq!(status, 503, "{text}");
            assert!(
                text.contains(&format!("these do not answer: {first};")),
                "{text}"
            );
        }
    });
}
