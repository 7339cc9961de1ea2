//! Authorizers on a group: a node without an active authorizer's module serves no client.

use std::time::Duration;

use innkeeper_dispatch::AUTHORIZERS_MAX;
use innkeeper_proto::ErrorCode;
use innkeeper_runtime::{Runtime, ThreadRole};
use serde_json::Value;

use super::common::simulated::SimClient;
use super::common::simulated_http::{SUPER, ask_with};
use super::common::{connect_request, create, get, set};
use super::guests::{ModuleDisk, eventually_status, push, request, status, with_http};
use super::sessions::ping;
use super::stage::{Clients, Stage, ask, play, read};

/// An authorizer that allows everything, and whose failures allow as well.
fn authorizer(module: &str) -> String {
    format!(
        r#"{{"world":"authorizer","module":"{module}","watch":["/guarded/**"],
            "on_failure":"allow","config":{{"mode":"none"}}}}"#
    )
}

/// A group in which one follower lacks the module of an authorizer that is about to be activated.
struct Lacking {
    leader: u64,
    poor: u64,
    /// The disk of this follower.
    disk: ModuleDisk,
}

impl Lacking {
    /// A client at this follower, which is served for so long, while the activation waits.
    async fn waits(&self, clients: &Clients, length: Duration) -> SimClient {
        let mut at_poor = clients.connect(self.poor, 10_000).await;
        assert!(ping(&clients.runtime, &mut at_poor, length).await);
        assert_eq!(read(&mut at_poor, "/guarded").await, b"");
        assert_eq!(status(clients, self.leader, "all").await["pending"], true);
        at_poor
    }
}

/// Binds an authorizer whose module one follower cannot store until its disk takes writes again.
async fn bind_where_one_lacks(stage: &Stage, clients: &Clients) -> Lacking {
    let (leader, poor) = (stage.leader().await, stage.follower().await);
    let disk = ModuleDisk::of(stage, poor);
    disk.breaks();
    let module = push(clients, leader, "test-hostile-authorizer").await;
    let mut client = clients.connect(leader, 10_000).await;
    let guarded = create("/guarded", b"");
    assert_eq!(ask(&mut client, guarded).await, ErrorCode::Ok);
    let (path, document) = ("/v1/bindings/all", authorizer(&module));
    request(clients, leader, "PUT", path, document.as_bytes()).await;
    Lacking { leader, poor, disk }
}

#[test]
fn a_node_that_lacks_an_active_authorizers_module_serves_no_client_until_it_has_it() {
    play(13, 3, with_http, async |stage, clients| {
        let runtime = &clients.runtime;
        let lacking = bind_where_one_lacks(&stage, &clients).await;
        let mut at_poor = lacking.waits(&clients, Duration::from_secs(28)).await;
        let Lacking { leader, poor, disk } = lacking;
        // The leader waits for it, and says so.
        let waiting = status(&clients, leader, "all").await;
        let names_it = waiting["waits_for"].as_str();
        let module_of = format!("its module: {poor};");
        assert!(
            names_it.is_some_and(|text| text.contains(&module_of)),
            "{waiting}"
        );
        // After 30 s it is activated, and the connection to the node that lacks it is closed.
        let lives = ping(runtime, &mut at_poor, Duration::from_secs(5)).await;
        assert!(!lives, "the connection is closed");
        let active = status(&clients, leader, "all").await;
        assert_eq!(active["pending"], false);
        let refused = clients.try_connect(poor, &connect_request(10_000)).await;
        assert!(refused.is_none(), "it is not served");
        let mut at_leader = clients.connect(leader, 10_000).await;
        assert_eq!(read(&mut at_leader, "/guarded").await, b"");
        // It stores the module as soon as it can, and serves again.
        disk.is_mended();
        let mut at_poor = clients.connect(poor, 10_000).await;
        assert_eq!(read(&mut at_poor, "/guarded").await, b"");
    });
}

/// Apply has the limit, so two leaders cannot activate one too many. Whoever found no place gets
/// the next one that is free.
#[test]
fn no_more_authorizers_are_active_than_there_are_places() {
    play(14, 3, with_http, async |stage, clients| {
        stage.all_vote().await;
        let node = stage.follower().await;
        let module = push(&clients, node, "test-hostile-authorizer").await;
        let document = authorizer(&module);
        for number in 0..AUTHORIZERS_MAX {
            let path = format!("/v1/bindings/all-{number}?wait=activated");
            request(&clients, node, "PUT", &path, document.as_bytes()).await;
        }
        let asked = ("PUT", "/v1/bindings/late?wait=activated", SUPER);
        let http = clients.http(node);
        let (code, answer, _) = ask_with(&clients.runtime, http, asked, document.as_bytes()).await;
        assert_eq!(code, 422, "{answer}");
        assert!(answer.contains("32 authorizers are active"), "{answer}");
        // One that is active may be changed.
        let other = document.replace("/guarded/**", "/other/**");
        let path = "/v1/bindings/all-7?wait=activated";
        request(&clients, node, "PUT", path, other.as_bytes()).await;
        assert_eq!(status(&clients, node, "late").await["pending"], true);

        request(&clients, node, "DELETE", "/v1/bindings/all-3", b"").await;
        let is_active = |status: &Value| status["pending"] == false;
        eventually_status(&clients, node, "late", is_active).await;
    });
}

/// Writes and reads in a pipeline until the connection ends. Returns the errors and zxids of all
/// answers.
async fn pipeline(mut client: SimClient, path: String) -> Vec<(ErrorCode, i64)> {
    let mut seen = Vec::new();
    loop {
        let requests = [set(&path, b"1"), get(&path, false), set(&path, b"2")];
        if client.try_send(&requests).await.is_err() {
            return seen;
        }
        for _ in requests {
            match client.try_answer().await {
                Ok(answer) => seen.push((answer.err, answer.zxid)),
                Err(_) => return seen,
            }
        }
    }
}

/// What is in flight when the authorizer becomes active is neither denied nor answered, whether the
/// authorizer covers its path or not.
#[test]
fn a_node_that_lacks_an_authorizers_module_answers_nothing_from_its_activation_on() {
    for seed in 20..26 {
        play(seed, 3, with_http, async move |stage, clients| {
            stage.all_vote().await;
            let lacking = bind_where_one_lacks(&stage, &clients).await;
            let (leader, poor) = (lacking.leader, lacking.poor);
            let mut client = clients.connect(leader, 10_000).await;
            assert_eq!(ask(&mut client, create("/open", b"")).await, ErrorCode::Ok);
            // The leader waits for 30 s.
            clients.runtime.sleep(Duration::from_secs(29)).await;
            let mut pipelines = Vec::new();
            for path in ["/guarded", "/open"].repeat(4) {
                let client = clients.connect(poor, 10_000).await;
                let pipeline = pipeline(client, path.to_owned());
                pipelines.push(clients.runtime.spawn(ThreadRole::Client, pipeline));
            }
            let mut seen = Vec::new();
            for pipeline in pipelines {
                seen.extend(pipeline.await.expect("it ends"));
            }
            let active = status(&clients, leader, "all").await;
            let activation = active["activation"].as_i64().expect("it is active");
            assert!(seen.len() > 100, "they were served before");
            for (error, zxid) in seen {
                assert_eq!(error, ErrorCode::Ok, "seed {seed}");
                assert!(zxid < activation, "seed {seed}: {zxid:#x}");
            }
        });
    }
}

#[test]
fn an_authorizer_is_activated_when_every_node_has_its_module_and_shuts_nobody_out() {
    play(14, 3, with_http, async |stage, clients| {
        let runtime = &clients.runtime;
        let lacking = bind_where_one_lacks(&stage, &clients).await;
        let mut at_poor = lacking.waits(&clients, Duration::from_secs(5)).await;
        lacking.disk.is_mended();
        assert!(ping(runtime, &mut at_poor, Duration::from_secs(15)).await);
        let active = status(&clients, lacking.leader, "all").await;
        assert_eq!(active["pending"], false);
        assert_eq!(read(&mut at_poor, "/guarded").await, b"");
    });
}
