//! Invalid paths, and paths that belong to others: the guest gets an error, and nothing else
//! happens.

use crate::arena::Arena;
use crate::case::Case;

const BAD: &str = "bad-arguments";
const NO: &str = "no-auth";

/// Every operation, on one path.
fn each(path: &str, told: &'static str) -> Vec<(String, &'static str)> {
    let path = format!(r#""path":{path}"#);
    let mut steps: Vec<(String, &'static str)> = ["get", "exists", "children", "scan", "owner"]
        .iter()
        .map(|operation| (format!(r#"{{"{operation}":{{{path}}}}}"#), told))
        .collect();
    for operation in ["create", "set", "delete"] {
        steps.push((format!(r#"{{"{operation}":{{{path}}}}}"#), told));
    }
    steps.push((format!(r#"{{"get-many":[{{{path}}}]}}"#), told));
    steps.push((
        format!(r#"{{"create":{{{path},"sequential":true}}}}"#),
        told,
    ));
    steps
}

fn case(name: &str, steps: &[(String, &'static str)]) -> Case {
    let steps: Vec<(&str, &'static str)> = steps
        .iter()
        .map(|(step, told)| (step.as_str(), *told))
        .collect();
    Case::script(name, &steps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_none_or_not_granted_is_told_so() {
    let mut arena = Arena::open().await;
    let mut cases = Vec::new();
    for (name, path) in [
        ("no path at all", r#""""#),
        ("a path without a slash", r#""hostile/out/x""#),
        ("a way up", r#""/hostile/out/../../guarded""#),
        ("a way up behind what is granted", r#""/hostile/out/../x""#),
        ("a dot", r#""/hostile/./out/x""#),
        ("two slashes", r#""/hostile//out/x""#),
        ("two slashes in front", r#""//hostile/out/x""#),
        ("a NUL", r#""/hostile/out/a\u0000b""#),
        ("a NUL behind what is granted", r#""/hostile/out\u0000""#),
        ("a line's end", r#""/hostile/out/a\nb""#),
        ("an escape", r#""/hostile/out/\u001b[2J""#),
        ("a delete character", r#""/hostile/out/\u007f""#),
        ("a control character of Latin-1", r#""/hostile/out/\u0085""#),
        ("a private character", r#""/hostile/out/\ue000""#),
        (
            "a character beyond the basic plane",
            r#""/hostile/out/\ud83d\ude00""#,
        ),
    ] {
        cases.push(case(name, &each(path, BAD)));
    }
    // A sequential create may end in a slash: the number is then the whole name.
    let slash = r#""path":"/hostile/out/""#;
    let steps: Vec<_> = [
        "get", "exists", "children", "scan", "owner", "set", "delete", "create",
    ]
    .iter()
    .map(|operation| (format!(r#"{{"{operation}":{{{slash}}}}}"#), BAD))
    .chain([(
        format!(r#"{{"create":{{{slash},"sequential":true}}}}"#),
        "ok",
    )])
    .collect();
    cases.push(case("a slash at the end", &steps));
    for (name, path) in [
        ("the root", r#""/guarded/x""#),
        ("what is not there", r#""/nowhere/at/all""#),
        ("the system's own", r#""/zookeeper/quota""#),
        ("the bindings", r#""/innkeeper/bindings/hostile""#),
        ("another binding", r#""/innkeeper/bindings/tally""#),
        ("a neighbour of what is granted", r#""/hostile2/out""#),
        (
            "a name that begins like what is granted",
            r#""/hostileout""#,
        ),
        ("what the harmless binding writes", r#""/tally""#),
        ("a way up in other letters", r#""/%2e%2e/guarded""#),
        ("another case", r#""/HOSTILE/OUT""#),
    ] {
        cases.push(case(name, &each(path, NO)));
    }
    cases.push(case(
        "the root and what lies above what is granted",
        &[
            (r#"{"get":{"path":"/"}}"#.into(), NO),
            (r#"{"scan":{"path":"/"}}"#.into(), NO),
            (r#"{"children":{"path":"/"}}"#.into(), NO),
            (r#"{"create":{"path":"/"}}"#.into(), NO),
            (r#"{"create":{"path":"/","sequential":true}}"#.into(), NO),
            (r#"{"set":{"path":"/"}}"#.into(), NO),
            (r#"{"delete":{"path":"/"}}"#.into(), NO),
            (r#"{"set":{"path":"/hostile"}}"#.into(), NO),
            (r#"{"set":{"path":"/hostile/in"}}"#.into(), NO),
            (r#"{"delete":{"path":"/hostile/in"}}"#.into(), NO),
        ],
    ));
    // A name of a megabyte is longer than any path may be.
    cases.push(case(
        "names as long as they come",
        &[
            (
                r#"{"get":{"path":"/hostile/","pad":1000000}}"#.into(),
                "none",
            ),
            (r#"{"get":{"path":"/guarded/","pad":1000000}}"#.into(), NO),
            (
                r#"{"delete":{"path":"/hostile/out/","pad":1000000}}"#.into(),
                "no-node",
            ),
        ],
    ));
    arena.run_cases(cases).await;
}
