//! Text of guests that people will read: it is cut, its control characters are escaped, and there
//! is not more of it than a log can hold. `arena.rs` checks the whole log and the status after each
//! case.

use crate::arena::Arena;
use crate::case::Case;
use crate::guests::guest;
use crate::wat::{Parts, authorizer, error, recipe};

/// A line that looks like the node's, an escape that clears the screen, a bell, text that is
/// reversed, and Unicode's line separator.
const FORGED: &str = r#"x\n1999-01-01T00:00:00.000000Z ERROR innkeeper_raft: the disk is lost\r\u001b[2J\u001b]0;owned\u0007\u202egnol\u2028\u0000\u009b2J"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_says_is_cut_and_escaped() {
    let mut arena = Arena::open().await;
    let forged_bytes = r"x\n1999-01-01T00:00:00.000000Z ERROR forged\1b[2J\07";
    let mut cases = vec![
        Case::script(
            "a message that forges a line",
            &[(&format!(r#"{{"log":{{"text":"{FORGED}"}}}}"#), "ok")],
        ),
        Case::script(
            "a message of ten megabytes",
            &[(r#"{"log":{"text":"0123456789","times":1000000}}"#, "ok")],
        ),
        Case::script(
            "a hundred thousand messages",
            &[(
                &format!(r#"{{"repeat":{{"times":100000,"step":{{"log":{{"text":"{FORGED} #"}}}}}}}}"#),
                "ok",
            )],
        ),
        Case::script(
            "an error that forges a line",
            &[(&format!(r#"{{"fail":{{"text":"{FORGED}"}}}}"#), "")],
        )
        .fails(&["returned an error"]),
        Case::script(
            "an error of sixteen megabytes",
            &[(r#"{"fail":{"text":"0123456789abcde\n","times":1000000}}"#, "")],
        )
        .fails(&["returned an error"]),
        Case::script(
            "an assignor whose name forges a line",
            &[(
                &format!(
                    r#"{{"repeat":{{"times":1,"step":{{"assign":{{"name":"{FORGED}","resources":1,"members":1}}}},"regardless":true}}}}"#
                ),
                "",
            )],
        )
        .ends(crate::case::End::Reacts),
        Case::misbehaving("test-hostile", "answer").fails(&["returned an error"]),
        Case::misbehaving("test-hostile", "flood").fails(&["the guest"]),
        Case::authorizer(
            "a reason that forges a line",
            authorizer(Parts {
                items: &format!(r#"(data (i32.const 1024) "{forged_bytes}")"#),
                decide: "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 1))
                         (i32.store (i32.const 24) (i32.const 1024)) (i32.store (i32.const 28) (i32.const 48))",
                ..Parts::default()
            }),
        )
        .denies(&[]),
        Case::authorizer(
            "an error of load that forges a line",
            authorizer(Parts {
                items: &format!(r#"(data (i32.const 1024) "{forged_bytes}")"#),
                first: &error(1024, 48),
                ..Parts::default()
            }),
        )
        .denies(&["returned an error"]),
        Case::recipe(
            "a function whose name forges a line",
            recipe(Parts {
                items: &format!(r#"(func $f (@name "{forged_bytes}") (unreachable))"#),
                first: "(call $f)",
                ..Parts::default()
            }),
        )
        .fails(&["trapped"]),
        Case::recipe(
            "a function whose name is a megabyte long",
            recipe(Parts {
                items: &format!(r#"(func $f (@name "{}") (unreachable))"#, "n".repeat(1 << 20)),
                first: "(call $f)",
                ..Parts::default()
            }),
        )
        .fails(&["trapped"]),
        Case::module(
            "an import whose name forges a line",
            crate::wat::of_recipe(&format!(
                r#"(module (import "{forged_bytes}" "{forged_bytes}" (func)))"#
            )),
        )
        .refused(&["module"]),
        Case::module(
            "an import whose name is a megabyte long",
            crate::wat::of_recipe(&format!(
                r#"(module (import "{}" "f" (func)))"#,
                "n".repeat(1 << 20)
            )),
        )
        .refused(&["module"]),
    ];
    cases.push(
        Case::assignor(
            "an assignor whose error forges a line",
            crate::wat::assignor(Parts {
                items: &format!(r#"(data (i32.const 1024) "{forged_bytes}")"#),
                first: &error(1024, 48),
                ..Parts::default()
            }),
        )
        .unassigned(&["assignor hostile failed"], &["returned an error"]),
    );
    cases.push(
        Case::recipe("a panic whose message forges a line", guest("test-hostile"))
            .with_config(&format!(r#"{{"mode":"{FORGED}","out":"/hostile/out/x"}}"#))
            .fails(&["returned an error"]),
    );
    arena.run_cases(cases).await;
}
