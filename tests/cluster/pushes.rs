//! Pushes in a group: one node takes a push, and every node says how far it is.

use std::time::Duration;

use futures_util::future::{join, join_all};
use innkeeper_runtime::Runtime;
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

/// The name of a push that nobody made, at a node.
fn unknown(node: &str) -> String {
    format!("sha256:{}{node}", "07".repeat(32))
}

/// Only the node that a push's name says is asked about it.
#[test]
fn of_no_push_it_is_said_at_once_although_a_node_is_down() {
    play(18, 3, with_http, async |stage, clients| {
        let (leader, asked) = stage.leader_and_follower().await;
        let down = (1..=3).find(|node| ![leader, asked].contains(node));
        stage.cut_off(down.expect("a third one"));
        for node in ["", &format!("@{asked}"), &format!("@{leader}"), "@4", "@x"] {
            let path = format!("/v1/pushes/{}", unknown(node));
            for method in ["GET", "DELETE"] {
                let addr = clients.http(asked);
                let request = (method, &*path, SUPER);
                let (status, text, took) = ask_with(&clients.runtime, addr, request, b"").await;
                assert_eq!(status, 404, "{path}: {text}");
                assert!(took < Duration::from_millis(500), "{path}: {took:?}");
            }
        }
    });
}

#[test]
fn a_node_that_is_down_holds_up_few_questions_and_none_to_others() {
    play(19, 3, with_http, async |stage, clients| {
        let (leader, asked) = stage.leader_and_follower().await;
        let down = (1..=3).find(|node| ![leader, asked].contains(node));
        let down = down.expect("a third one");
        stage.cut_off(down);
        let names = vec![unknown(&format!("@{down}")); 60];
        let questions = names
            .iter()
            .map(|name| ask_about(&clients, asked, "GET", name));
        let answers = join_all(questions);
        let begun = clients.runtime.now();
        let beside = async {
            clients.runtime.sleep(Duration::from_millis(200)).await;
            let began = clients.runtime.now();
            let name = unknown(&format!("@{leader}"));
            let (status, text) = ask_about(&clients, asked, "GET", &name).await;
            assert_eq!(status, 404, "{text}");
            assert!(clients.runtime.now() - began < Duration::from_millis(500));
        };
        let (answers, ()) = join(answers, beside).await;
        let says = |what: &str| {
            let all = answers.iter();
            all.filter(|(status, text)| *status == 503 && text.contains(what))
                .count()
        };
        // Four were asked, and perhaps four more whose turn came in the moment in which the others
        // gave up.
        let silent = says("does not answer");
        assert!((4..=8).contains(&silent), "{silent}");
        assert_eq!(says("too many questions about pushes"), 60 - silent);
        assert!(clients.runtime.now() - begun < Duration::from_secs(5));
    });
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

        // It is not said that there is none while the node that may know it does not answer.
        stage.kill(first);
        for method in ["GET", "DELETE"] {
            let (status, text) = ask_about(&clients, others[0], method, push).await;
            assert_eq!(status, 503, "{text}");
            let says = format!(
                "node {first}, which took the push `{push}` as its name says, does not answer"
            );
            assert!(text.contains(&says), "{text}");
        }
    });
}
