//! Documents that are no bindings: refused with a sentence over HTTP and with BadArguments to a
//! ZooKeeper client, before anything of them is stored.

use zookeeper_client as zk;

use crate::arena::{Arena, contains_all};
use crate::support::persistent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_no_binding_is_refused_whole() {
    let mut arena = Arena::open().await;
    let owner = arena.node.super_client().await;
    let mut wrong = Vec::new();
    for (name, document, needle) in documents(arena.script()) {
        arena.node.forget_peak();
        if let Err(error) = refused(&mut arena, &owner, &document, needle).await {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

async fn refused(
    arena: &mut Arena,
    owner: &zk::Client,
    document: &[u8],
    needle: &str,
) -> Result<(), String> {
    let (status, answer) = arena.node.http("PUT", "/v1/bindings/hostile", document);
    let sentence = answer["error"].as_str().unwrap_or_default().to_owned();
    if !(400..500).contains(&status) {
        return Err(format!("it was answered with {status}: {answer}"));
    }
    contains_all(&sentence, &[needle])?;
    if sentence.len() > 1_000 || sentence.chars().any(char::is_control) {
        return Err(format!("the sentence is as hostile: {sentence:?}"));
    }
    // A document that fits into a frame can come from a client, too.
    if document.len() < 900_000 {
        let path = "/innkeeper/bindings/hostile";
        let created = owner.create(path, document, &persistent()).await;
        if !matches!(created, Err(zk::Error::BadArguments(_))) {
            return Err(format!("a client's create was answered with {created:?}"));
        }
        let plain = arena.client.create(path, document, &persistent()).await;
        if !matches!(plain, Err(zk::Error::NoAuth)) {
            return Err(format!("a plain client's was answered with {plain:?}"));
        }
    }
    let (status, _) = arena.node.http("GET", "/v1/bindings/hostile", b"");
    if status != 404 {
        return Err("there is a binding".to_owned());
    }
    arena.check_bystanders().await?;
    arena.check_node(384 << 20)
}

/// Each with its name, and a part of the sentence that must be answered.
fn documents(module: &str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let recipe = |rest: &str| {
        format!(r#"{{"world":"recipe","module":"{module}","watch":["/hostile/in/*"]{rest}}}"#)
            .into_bytes()
    };
    let patterns = |count: usize| -> String {
        let all: Vec<String> = (0..count).map(|at| format!(r#""/p{at}""#)).collect();
        all.join(",")
    };
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
    vec![
        ("nothing", Vec::new(), "is empty"),
        ("no JSON", b"hello".to_vec(), "cannot be read"),
        (
            "bytes that are no text",
            b"\xff\xfe\0{}".to_vec(),
            "cannot be read",
        ),
        ("a list", b"[]".to_vec(), "cannot be read"),
        ("a number", b"1e999".to_vec(), "cannot be read"),
        (
            "an object that is cut off",
            b"{\"world\":".to_vec(),
            "cannot be read",
        ),
        (
            "two documents",
            [recipe(""), recipe("")].concat(),
            "cannot be read",
        ),
        (
            "lists within lists",
            deep(100_000).into_bytes(),
            "cannot be read",
        ),
        (
            "a deep configuration",
            recipe(&format!(r#","config":{}"#, deep(20_000))),
            "cannot be read",
        ),
        (
            "a configuration of deep objects",
            recipe(&format!(r#","config":{objects}"#)),
            "cannot be read",
        ),
        (
            "a field twice",
            recipe(r#","watch":["/x"]"#),
            "duplicate field",
        ),
        (
            "a field of nobody's",
            recipe(r#","sudo":true"#),
            "unknown field",
        ),
        (
            "a field that moves the terminal's cursor",
            recipe(r#","\u001b[2J\u001b]0;x\u0007":true"#),
            "unknown field",
        ),
        (
            "a world of nobody's",
            br#"{"world":"root","module":"x"}"#.to_vec(),
            "world",
        ),
        (
            "a module that is a path",
            br#"{"world":"assignor","module":"../../etc/passwd"}"#.to_vec(),
            "no module's name",
        ),
        (
            "a module of nobody's",
            format!(
                r#"{{"world":"assignor","module":"sha256:{}"}}"#,
                "0".repeat(64)
            )
            .into_bytes(),
            "nobody has pushed",
        ),
        (
            "a module of another world",
            format!(r#"{{"world":"authorizer","module":"{module}","watch":["/**"]}}"#).into_bytes(),
            "built for world",
        ),
        (
            "no watch",
            format!(r#"{{"world":"recipe","module":"{module}"}}"#).into_bytes(),
            "`watch` is empty",
        ),
        (
            "a watch that is no list",
            recipe(r#","read":"/x""#),
            "expected a sequence",
        ),
        (
            "a pattern that is none",
            recipe(r#","read":["x"]"#),
            "no path pattern",
        ),
        (
            "a pattern with a way up",
            recipe(r#","read":["/hostile/../**"]"#),
            "no path pattern",
        ),
        (
            "a pattern with a NUL",
            recipe(r#","read":["/a\u0000b"]"#),
            "pattern",
        ),
        (
            "a pattern with half a star",
            recipe(r#","read":["/a*"]"#),
            "no path pattern",
        ),
        (
            "two stars in the middle",
            recipe(r#","read":["/**/x"]"#),
            "pattern",
        ),
        (
            "a pattern as long as it comes",
            recipe(&format!(r#","read":["/{}"]"#, "x".repeat(200_000))),
            "pattern",
        ),
        (
            "a pattern as deep as it comes",
            recipe(&format!(r#","read":["{}"]"#, "/x".repeat(400))),
            "pattern",
        ),
        (
            "too many patterns",
            recipe(&format!(r#","read":[{}]"#, patterns(257))),
            "257 patterns",
        ),
        (
            "a hundred thousand patterns",
            recipe(&format!(r#","read":[{}]"#, patterns(100_000))),
            "262144",
        ),
        (
            "the bindings to write",
            recipe(r#","write":["/innkeeper/bindings/**"]"#),
            "within /innkeeper",
        ),
        (
            "the quotas to write",
            recipe(r#","write":["/zookeeper/quota/**"]"#),
            "within /innkeeper",
        ),
        (
            "a policy for a recipe",
            recipe(r#","policy":["/p"]"#),
            "means nothing",
        ),
        (
            "a verdict for a recipe",
            recipe(r#","on_failure":"allow""#),
            "means nothing",
        ),
        (
            "a limit of nobody's",
            recipe(r#","limits":{"root":1}"#),
            "has no `root`",
        ),
        (
            "fuel without end",
            recipe(r#","limits":{"fuel":18446744073709551615}"#),
            "choose a number",
        ),
        (
            "fuel beyond any number",
            recipe(r#","limits":{"fuel":18446744073709551616}"#),
            "cannot be read",
        ),
        (
            "less than no fuel",
            recipe(r#","limits":{"fuel":-1}"#),
            "cannot be read",
        ),
        (
            "no fuel",
            recipe(r#","limits":{"fuel":0}"#),
            "choose a number",
        ),
        (
            "memory without end",
            recipe(r#","limits":{"memory_bytes":1099511627776}"#),
            "choose a number",
        ),
        (
            "a queue without end",
            recipe(r#","limits":{"queue":4000000000}"#),
            "choose a number",
        ),
        (
            "a limit twice",
            recipe(r#","limits":{"fuel":20000},"limits":{"fuel":30000}"#),
            "duplicate field",
        ),
        (
            "a configuration that is too long",
            recipe(&format!(r#","config":"{}""#, "x".repeat(70_000))),
            "`config` has",
        ),
        (
            "a document that is too long",
            recipe(&format!(r#","config":"{}""#, "x".repeat(300_000))),
            "262144",
        ),
        ("three megabytes of space", vec![b' '; 3 << 20], "bytes"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_no_bindings_is_refused() {
    let mut arena = Arena::open().await;
    let owner = arena.node.super_client().await;
    let document = format!(
        r#"{{"world":"recipe","module":"{}","watch":["/hostile/in/*"]}}"#,
        arena.script()
    );
    let long = "x".repeat(10_000);
    for name in [
        "UPPER",
        "with%20space",
        "%2e%2e",
        "a%00b",
        "%1b%5b2J",
        "%f0%9f%98%80",
        &long,
    ] {
        let (status, answer) =
            arena
                .node
                .http("PUT", &format!("/v1/bindings/{name}"), document.as_bytes());
        assert!((400..500).contains(&status), "{name}: {status} {answer}");
        let sentence = answer["error"].as_str().unwrap_or_default();
        assert!(sentence.len() < 1_000, "{name}: {sentence:?}");
    }
    for name in ["UPPER", "with space", "bell\u{2028}", &long] {
        let path = format!("/innkeeper/bindings/{name}");
        let created = owner
            .create(&path, document.as_bytes(), &persistent())
            .await;
        assert!(
            matches!(created, Err(zk::Error::BadArguments(_))),
            "{path}: {created:?}"
        );
    }
    arena.check_bystanders().await.unwrap();
    arena.check_node(384 << 20).unwrap();
}
