//! The demo with 7 members and 53 partitions, scene by scene: every figure is checked against
//! `assignments/`, other znodes and the admin HTTP, as a second client and a second reader see
//! them while the demo waits for its newline. The demo's own figures are what is checked, never
//! what it is checked against.
#![allow(
    clippy::disallowed_methods,
    reason = "a test is a client and an operator, not a node"
)]

mod checks;
mod support;

use checks::{
    PARTITIONS, check_dealt, check_expiry, check_failover, check_flips, check_loop, check_mending,
    check_refusal, check_start, check_swap, figure, node_pids,
};
use rustix::process::Signal;
use support::{Demo, Owners, Witness, is_running, turn, vanish};

const MEMBERS: usize = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_figure_of_every_scene_is_what_others_see() {
    let _turn = turn().await;
    let (members, partitions) = (MEMBERS.to_string(), PARTITIONS.to_string());
    let mut demo = Demo::start(&[
        "--members",
        &members,
        "--partitions",
        &partitions,
        "--json",
        "--step",
    ]);

    let scene = demo.scene("start", 1);
    let witness = Witness::new(&scene).await;
    let mut nodes = node_pids(&scene);
    assert_eq!(nodes.len(), 3);
    check_start(&scene, &witness).await;
    demo.step();

    let scene = demo.scene("assign", 2);
    let mut before = Owners::new();
    let mut pids = check_dealt(&scene, &witness, &mut before, MEMBERS, "range")
        .await
        .0;
    demo.step();

    let scene = demo.scene("join", 3);
    let (more, join) = check_dealt(&scene, &witness, &mut before, MEMBERS + 1, "range").await;
    pids.extend(more);
    assert_eq!(scene["who"], serde_json::json!(["c8"]));
    demo.step();

    let scene = demo.scene("kill", 4);
    let kill = check_dealt(&scene, &witness, &mut before, MEMBERS, "range")
        .await
        .1;
    assert_eq!(scene["who"], serde_json::json!(["c2"]));
    check_expiry(&scene, pids["c2"]);
    let reactions = witness.binding("group")["invocations"].as_u64().unwrap();
    let dealt = before.clone();
    demo.step();

    let scene = demo.scene("swap", 5);
    let swap = check_swap(&scene, &witness, &dealt, reactions).await;
    before = witness.assignment().await.1;
    demo.step();

    let scene = demo.scene("rejoin", 6);
    let (more, rejoin) = check_dealt(&scene, &witness, &mut before, MEMBERS + 1, "sticky").await;
    pids.extend(more);
    assert_eq!(
        rejoin,
        before["c2"].len(),
        "nothing moves but what the newcomer gets"
    );
    let owned = before["c2"].len();
    demo.step();

    let scene = demo.scene("rekill", 7);
    let rekill = check_dealt(&scene, &witness, &mut before, MEMBERS, "sticky")
        .await
        .1;
    check_expiry(&scene, pids["c2"]);
    assert_eq!(rekill, owned, "nothing moves but what the victim had");
    assert!(
        rejoin < join && rekill < kill,
        "sticky moved {rejoin} and {rekill}, range {join} and {kill}"
    );
    demo.step();

    let scene = demo.scene("failover", 8);
    let (more, _) = check_dealt(&scene, &witness, &mut before, MEMBERS + 1, "range").await;
    pids.extend(more);
    nodes.push(check_failover(&scene, &witness, &nodes).await);
    demo.step();

    let scene = demo.scene("refuse", 9);
    let version = check_refusal(&scene, &witness, &before).await;
    demo.step();

    let scene = demo.scene("flip", 10);
    check_flips(&scene, &witness, version, &before).await;
    demo.step();

    let looped = demo.scene("loop", 11);
    check_loop(&looped, &witness, &before).await;
    demo.step();

    let scene = demo.scene("mend", 12);
    check_mending(
        &scene,
        &witness,
        &before,
        looped["failures"].as_u64().unwrap(),
    )
    .await;
    let generation = witness.assignment().await.0;
    demo.step();

    let summary = demo.line();
    assert_eq!(summary["scene"], "summary");
    assert_eq!(summary["scenes"], 12);
    assert_eq!(summary["generation"], generation);
    assert_eq!(summary["addresses"], scene["addresses"]);
    assert_eq!(
        summary["moved_by_join"],
        serde_json::json!({"range": join, "sticky": rejoin})
    );
    assert_eq!(
        summary["moved_by_kill"],
        serde_json::json!({"range": kill, "sticky": rekill})
    );
    assert_eq!(summary["moved_by_swap"], swap);
    let medians =
        [&looped["before"], &looped["during"]].map(|span| span["writes"]["p50_ms"].clone());
    assert_eq!(summary["write_p50_ms"], serde_json::json!(medians));
    assert_eq!(summary["consumers_left"], MEMBERS + 1);
    assert_eq!(summary["node_exit_codes"], serde_json::json!([0, 0, 0]));
    assert_eq!(summary["left_running"], 0);
    assert_eq!(summary["folder_removed"], true);

    assert_eq!(demo.end(), (Some(0), String::new()));
    for pid in pids.values().chain(&nodes) {
        assert!(!is_running(*pid), "process {pid} still runs");
    }
    assert!(witness.node_is_gone());
    assert!(demo.folder_is_empty());
}

/// People read it in files and pipes as well: no terminal's codes, and a table per change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_people_it_is_plain_text_where_there_is_no_terminal() {
    let _turn = turn().await;
    let arguments = ["--nodes", "1", "--members", "2", "--partitions", "5"];
    let mut demo = Demo::start(&arguments);
    let text = demo.rest();
    assert_eq!(demo.end(), (Some(0), String::new()), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    for number in 1..=11 {
        assert!(
            text.contains(&format!("\n{number:>2}/11 ")),
            "scene {number} is missing in {text}"
        );
    }
    assert!(
        text.contains("    c1  ###..    3\n") && text.contains("    c2  ...##    2\n"),
        "{text}"
    );
    assert!(text.contains("\nSummary\n"), "{text}");
    assert!(demo.folder_is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_demo_leaves_nothing() {
    let _turn = turn().await;
    let mut demo = Demo::start(&["--members", "2", "--json", "--step"]);
    let mut pids = node_pids(&demo.scene("start", 1));
    demo.step();
    let scene = demo.scene("assign", 2);
    pids.extend(
        scene["consumer_pids"]
            .as_object()
            .unwrap()
            .values()
            .map(figure),
    );
    assert!(pids.len() == 5 && pids.iter().all(|pid| is_running(*pid)));
    demo.signal(Signal::INT);
    let (code, error) = demo.end();
    assert_eq!(code, Some(1));
    assert!(sentence(&error).starts_with("interrupted"), "{error}");
    assert!(pids.iter().all(|pid| !is_running(*pid)));
    assert!(demo.folder_is_empty());
}

/// The error of a demo that prints JSON: one line of it, and nothing else on stderr.
fn sentence(stderr: &str) -> String {
    let error: serde_json::Value =
        serde_json::from_str(stderr).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    error["error"].as_str().unwrap().to_owned()
}

/// Nobody can tidy up after SIGKILL but the processes that were started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_demo_leaves_no_process() {
    let _turn = turn().await;
    let mut demo = Demo::start(&["--members", "2", "--json", "--step"]);
    let mut pids = node_pids(&demo.scene("start", 1));
    demo.step();
    let scene = demo.scene("assign", 2);
    pids.extend(
        scene["consumer_pids"]
            .as_object()
            .unwrap()
            .values()
            .map(figure),
    );
    demo.signal(Signal::KILL);
    assert_eq!(demo.end().0, None);
    for pid in pids {
        vanish(pid).await;
    }
}

#[test]
fn figures_that_make_no_sense_are_refused() {
    for wrong in [
        &["--members", "0"],
        &["--nodes", "2"],
        &["--partitions", "0"],
        &["--members", "1000"],
    ] {
        let mut demo = Demo::start(wrong);
        assert_eq!(demo.rest(), "");
        let (code, error) = demo.end();
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(wrong[0]), "{error}");
    }
}
