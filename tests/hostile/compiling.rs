//! Modules that are expensive to compile: each is refused in bounded time and memory, and nobody
//! waits for it. (`host/cli/tests/compile.rs` tests the child processes and the compiled code that
//! is kept.)

use crate::arena::{Arena, HOSTILE, PUSH};
use crate::bombs;
use crate::case::Case;
use crate::guests::guest;
use crate::support::http_at;

/// The memory that the node itself may have; its child processes have limits of their own.
const NODE_BYTES: u64 = 384 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_dear_to_compile_is_refused() {
    let mut arena = Arena::open().await;
    let cases = vec![
        Case::module(
            "branches that hand over a thousand values",
            bombs::branch_tables(),
        )
        .refused(&["the module"]),
        Case::module(
            "sixty thousand loops within each other",
            bombs::loops(60_000),
        )
        .refused(&["the module has"]),
        Case::module("components within each other", bombs::components(44_000))
            .refused(&["the module has"]),
        Case::module("ten instances of ten instances of ten", bombs::instances(7))
            .refused(&["compiling the module takes"]),
    ];
    arena.run_cases(cases).await;
}

/// While modules that take long are compiled, others push and are activated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_module_holds_up_no_other() {
    let mut arena = Arena::open().await;
    let http = arena.node.http;
    let pushing = std::thread::spawn(move || http_at(http, "POST", PUSH, &bombs::branch_tables()));
    let module = arena.node.push(&guest("test-stamp-1"));
    arena.node.bind(
        HOSTILE,
        &format!(
            r#"{{"world":"recipe","module":"{module}","watch":["/hostile/in/*"],
                "write":["/hostile/out/*"],"config":{{"out":"/hostile/out"}}}}"#
        ),
    );
    arena.check_bystanders().await.unwrap();
    let (status, answer) = pushing.join().unwrap();
    assert!(status >= 400, "{answer}");
    arena.check_bystanders().await.unwrap();
    arena.check_node(NODE_BYTES).unwrap();
}
