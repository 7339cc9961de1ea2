//! Guests on a group: recipes run on the leader only, modules get to every node, and a binding's
//! status is the leader's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper_auth::Secret;
use innkeeper_node::NodeSettings;
use innkeeper_proto::ErrorCode;
use innkeeper_runtime::sim::FileFaults;
use innkeeper_runtime::{Runtime, SimDisk, ThreadRole};
use serde_json::Value;

use super::built::guest;
use super::common::asked::{SUPER_DIGEST, any_port};
use super::common::simulated::FOLDER;
use super::common::simulated_http::{SUPER, ask_with};
use super::common::{connect_request, create};
use super::stage::{Clients, PATIENCE, Stage, ask, play};

pub fn with_http(settings: &mut NodeSettings) {
    settings.admin.http = Some(any_port());
    settings.server.auth.super_digest = Some(Secret::new(SUPER_DIGEST));
}

/// Asks a node over HTTP as the super user. The answer is no error.
pub async fn request(clients: &Clients, node: u64, method: &str, path: &str, body: &[u8]) -> Value {
    let asked = (method, path, SUPER);
    let (status, text, _) = ask_with(&clients.runtime, clients.http(node), asked, body).await;
    assert!((200..300).contains(&status), "{method} {path}: {text}");
    let (_, body) = text.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Pushes a guest at a node and returns its module's name.
pub async fn push(clients: &Clients, node: u64, name: &str) -> String {
    let path = "/v1/modules?wait_ms=60000";
    let pushed = request(clients, node, "POST", path, &guest(name)).await;
    pushed["module"].as_str().expect("a name").to_owned()
}

pub async fn status(clients: &Clients, node: u64, name: &str) -> Value {
    request(clients, node, "GET", &format!("/v1/bindings/{name}"), b"").await
}

/// Waits until a binding's status at a node is as it should be. There may be no leader meanwhile.
pub async fn eventually_status(
    clients: &Clients,
    node: u64,
    name: &str,
    is_right: impl Fn(&Value) -> bool,
) {
    let end = clients.runtime.now() + PATIENCE;
    let path = format!("/v1/bindings/{name}");
    loop {
        let asked = ("GET", &*path, SUPER);
        let (status, text, _) = ask_with(&clients.runtime, clients.http(node), asked, b"").await;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if status == 200 && serde_json::from_str(body).is_ok_and(|body| is_right(&body)) {
            return;
        }
        assert!(clients.runtime.now() < end, "within {PATIENCE:?}: {text}");
        clients.runtime.sleep(Duration::from_millis(50)).await;
    }
}

/// The recipe that counts the children of `/in`.
pub fn tally(module: &str) -> String {
    format!(
        r#"{{"world":"recipe","module":"{module}","watch":["/in/*"],
            "write":["/tally","/tally-resyncs"],
            "config":{{"counter":"/tally","resyncs":"/tally-resyncs"}}}}"#
    )
}

/// The number in a znode, as a node has it.
fn number(stage: &Stage, node: u64, path: &str) -> Option<usize> {
    let znode = stage.service(node)?.reader.view().get(path)?;
    let text = String::from_utf8(znode.data?.to_vec()).ok()?;
    text.parse().ok()
}

/// How many reactions a node has begun since it started.
fn reactions(stage: &Stage, node: u64) -> u64 {
    let service = stage.service(node);
    service.map_or(0, |service| service.stats.reactions.get())
}

const EVENTS: usize = 400;
const DEATHS: usize = 4;

/// Creates all children of `/in`, at whichever node answers.
async fn write(clients: Arc<Clients>, written: Arc<AtomicUsize>) {
    let (mut node, mut client) = (1, None);
    while written.load(Ordering::Relaxed) < EVENTS {
        let connected = match client.take() {
            Some(connected) => Some(connected),
            None => clients.try_connect(node, &connect_request(10_000)).await,
        };
        let path = format!("/in/{}", written.load(Ordering::Relaxed));
        if let Some(mut connected) = connected {
            let creating = async {
                connected.try_send(&[create(&path, b"")]).await.ok()?;
                connected.try_answer().await.ok()
            };
            let limit = Duration::from_secs(5);
            if let Ok(Some(answer)) = clients.runtime.timeout(limit, creating).await {
                let is_there = [ErrorCode::Ok, ErrorCode::NodeExists].contains(&answer.err);
                assert!(is_there, "{path}: {:?}", answer.err);
                written.fetch_add(1, Ordering::Relaxed);
                client = Some(connected);
                continue;
            }
        }
        node = node % 3 + 1;
        clients.runtime.sleep(Duration::from_millis(20)).await;
    }
}

/// Fails in a build with `innkeeper_break="follower-reacts"`: there every node runs the recipe.
#[test]
fn each_event_is_counted_once_while_leaders_die_and_only_leaders_react() {
    for seed in 0..3 {
        play(seed, 3, with_http, async move |stage, clients| {
            let clients = Arc::new(clients);
            stage.all_vote().await;
            let leader = stage.leader().await;
            let module = push(&clients, leader, "test-tally").await;
            let mut client = clients.connect(leader, 10_000).await;
            assert_eq!(ask(&mut client, create("/in", b"")).await, ErrorCode::Ok);
            let binding = "/v1/bindings/tally?wait=activated";
            request(&clients, leader, "PUT", binding, tally(&module).as_bytes()).await;
            let written = Arc::new(AtomicUsize::new(0));
            let writing = write(clients.clone(), written.clone());
            let writing = clients.runtime.spawn(ThreadRole::Client, writing);
            // The nodes that have led since they started.
            let mut led = BTreeSet::new();
            for death in 1..=DEATHS {
                let reached = EVENTS * death / (DEATHS + 1);
                let is_reached = || written.load(Ordering::Relaxed) >= reached;
                stage.eventually("the writer goes on", is_reached).await;
                let leader = stage.leader().await;
                led.insert(leader);
                let reacts = || {
                    let service = stage.service(leader).expect("it runs");
                    reactions(&stage, leader) > 0 && service.reader.queue_len("tally") > 0
                };
                stage.eventually("it dies in the middle", reacts).await;
                for node in (1..=3).filter(|node| !led.contains(node)) {
                    assert_eq!(reactions(&stage, node), 0, "node {node} never led");
                }
                stage.kill(leader);
                led.remove(&leader);
                stage.leader().await;
                stage.start(leader);
            }
            writing.await.expect("the writer ends");
            let leader = stage.leader().await;
            let is_counted = || {
                let service = stage.service(leader).expect("it runs");
                service.reader.queue_len("tally") == 0
            };
            stage.eventually("all events are taken", is_counted).await;
            assert_eq!(
                number(&stage, leader, "/tally"),
                Some(EVENTS),
                "seed {seed}"
            );
            assert_eq!(number(&stage, leader, "/tally-resyncs"), Some(1));
        });
    }
}

#[test]
fn a_module_that_was_pushed_at_one_node_runs_at_the_next_leader() {
    play(11, 3, with_http, async |stage, clients| {
        stage.all_vote().await;
        let first = stage.leader().await;
        let module = push(&clients, first, "test-tally").await;
        let mut client = clients.connect(first, 10_000).await;
        assert_eq!(ask(&mut client, create("/in", b"")).await, ErrorCode::Ok);
        let binding = "/v1/bindings/tally?wait=activated";
        request(&clients, first, "PUT", binding, tally(&module).as_bytes()).await;
        let have_it = || {
            let mut others = (1..=3).filter(|node| *node != first);
            others.all(|node| {
                let service = stage.service(node).expect("it runs");
                service.stats.modules_compiled.get() > 0
            })
        };
        stage.eventually("the others fetch it", have_it).await;
        stage.kill(first);
        let next = stage.leader().await;
        let mut client = clients.connect(next, 10_000).await;
        assert_eq!(ask(&mut client, create("/in/a", b"")).await, ErrorCode::Ok);
        let counts = || number(&stage, next, "/tally") == Some(1);
        stage.eventually("the next leader reacts", counts).await;
    });
}

/// The disk of a node, on which modules can be written or not.
pub struct ModuleDisk(SimDisk);

impl ModuleDisk {
    pub fn of(stage: &Stage, node: u64) -> Self {
        Self(stage.member(node).host.disk(FOLDER))
    }

    pub fn breaks(&self) {
        let broken = FileFaults {
            write_errors_one_in: Some(1),
            ..FileFaults::default()
        };
        self.0.set_faults("modules.redb", broken);
    }

    pub fn is_mended(&self) {
        self.0.set_faults("modules.redb", FileFaults::default());
    }
}

#[test]
fn a_module_that_a_node_cannot_get_is_asked_for_again_and_the_status_says_so() {
    play(12, 3, with_http, async |stage, clients| {
        let (leader, holder) = stage.leader_and_follower().await;
        let disk = ModuleDisk::of(&stage, leader);
        disk.breaks();
        let module = push(&clients, holder, "test-tally").await;
        let binding = "/v1/bindings/tally";
        request(&clients, leader, "PUT", binding, tally(&module).as_bytes()).await;
        let says_so = |status: &Value| {
            let error = status["activation_error"].as_str();
            error.is_some_and(|error| {
                error.contains("cannot write modules.redb") && error.contains("it is tried again")
            })
        };
        eventually_status(&clients, leader, "tally", says_so).await;
        disk.is_mended();
        let acts = |status: &Value| status["pending"] == false;
        eventually_status(&clients, leader, "tally", acts).await;
    });
}

/// The modules whose names are registered, as a node has it.
fn registered(stage: &Stage, node: u64) -> usize {
    let service = stage.service(node).expect("it runs");
    service.reader.view().modules().len()
}

/// How many modules a node stores.
async fn stored(stage: &Stage, node: u64) -> usize {
    let service = stage.service(node).expect("it runs");
    let modules = service.replica().expect("it runs").modules();
    modules.list().await.expect("they are listed").len()
}

#[test]
fn a_module_is_registered_when_a_quorum_stores_it() {
    play(16, 3, with_http, async |stage, clients| {
        let (leader, first) = stage.leader_and_follower().await;
        let others: Vec<_> = (1..=3).filter(|node| *node != first).collect();
        let disks = others.iter().map(|node| ModuleDisk::of(&stage, *node));
        let disks: Vec<_> = disks.collect();
        disks.iter().for_each(ModuleDisk::breaks);
        // One of three voters stores it, for as long as the others cannot.
        let path = "/v1/modules?wait_ms=9000";
        let waits = request(&clients, first, "POST", path, &guest("test-tally")).await;
        assert_eq!(waits["state"], "storing", "{waits}");
        assert_eq!((&waits["stored"], &waits["needed"]), (&1.into(), &2.into()));
        assert_eq!(registered(&stage, leader), 0);
        // A push that waits is cancelled as any other.
        let name = waits["push"].as_str().expect("a name");
        let path = format!("/v1/pushes/{name}");
        let cancelled = request(&clients, first, "DELETE", &path, b"").await;
        assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
        let path = "/v1/modules?wait_ms=5000";
        let waits = request(&clients, first, "POST", path, &guest("test-tally")).await;
        assert_eq!(waits["state"], "storing", "{waits}");
        // The last node is down when the second one stores it.
        stage.kill(others[1]);
        disks.iter().for_each(ModuleDisk::is_mended);
        let path = format!("/v1/pushes/{name}?wait_ms=60000");
        let ready = request(&clients, first, "GET", &path, b"").await;
        assert_eq!(ready["state"], "ready", "{ready}");
        assert_eq!(registered(&stage, first), 1);
        assert_eq!(stored(&stage, others[0]).await, 1);
        // It fetches what it lacks when it is back, although no binding names it.
        stage.start(others[1]);
        let end = clients.runtime.now() + PATIENCE;
        loop {
            let is_back = stage.service(others[1]).is_some();
            if is_back && stored(&stage, others[1]).await == 1 {
                break;
            }
            assert!(clients.runtime.now() < end, "it does not fetch the module");
            clients.runtime.sleep(Duration::from_millis(100)).await;
        }
    });
}

/// Waits until a node says that it knows of no leader, which it does within a bounded time.
async fn eventually_no_leader(clients: &Clients, node: u64, path: &str) {
    let end = clients.runtime.now() + PATIENCE;
    loop {
        let asked = ("GET", path, SUPER);
        let begun = clients.runtime.now();
        let (status, text, _) = ask_with(&clients.runtime, clients.http(node), asked, b"").await;
        let took = clients.runtime.now() - begun;
        assert!(took < Duration::from_secs(5), "{took:?}: {text}");
        if status == 503 {
            assert!(text.contains("no leader has answered within"), "{text}");
            return;
        }
        assert!(clients.runtime.now() < end, "within {PATIENCE:?}: {text}");
    }
}

#[test]
fn a_bindings_status_is_the_leaders_whichever_node_is_asked() {
    play(15, 3, with_http, async |stage, clients| {
        let (leader, follower) = stage.leader_and_follower().await;
        let module = push(&clients, follower, "test-tally").await;
        let mut client = clients.connect(follower, 10_000).await;
        assert_eq!(ask(&mut client, create("/in", b"")).await, ErrorCode::Ok);
        let binding = "/v1/bindings/tally?wait=first";
        let document = tally(&module);
        let set = request(&clients, follower, "PUT", binding, document.as_bytes()).await;
        assert_eq!(set["first"]["ended"], "well", "{set}");
        assert_eq!(ask(&mut client, create("/in/a", b"")).await, ErrorCode::Ok);
        let counts = || number(&stage, leader, "/tally") == Some(1);
        stage.eventually("the leader reacts", counts).await;
        let has_both = |status: &Value| status["invocations"] == 2;
        eventually_status(&clients, leader, "tally", has_both).await;
        let shown = status(&clients, leader, "tally").await;
        for node in 1..=3 {
            assert_eq!(status(&clients, node, "tally").await, shown, "node {node}");
        }
        // More than one message between nodes holds.
        for number in 0..200 {
            let path = format!("/v1/bindings/more-{number}");
            request(&clients, follower, "PUT", &path, document.as_bytes()).await;
        }
        let listed = request(&clients, follower, "GET", "/v1/bindings", b"").await;
        let names = listed["bindings"].as_array().expect("a list").iter();
        let names: BTreeSet<_> = names.map(|one| one["name"].to_string()).collect();
        assert_eq!(names.len(), 201);
        // A leader that is cut off does not answer as one, and a lone follower has none to ask.
        stage.cut_off(leader);
        eventually_no_leader(&clients, leader, "/v1/bindings/tally").await;
        stage.cut_off(follower);
        eventually_no_leader(&clients, follower, "/v1/bindings").await;
        stage.world.heal_all();
        let is_there = |status: &Value| status["pending"] == false;
        eventually_status(&clients, leader, "tally", is_there).await;
    });
}
