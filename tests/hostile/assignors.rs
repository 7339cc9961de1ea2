//! Misbehaving assignors: the recipe that calls one gets an error and goes on.

use crate::arena::Arena;
use crate::case::Case;
use crate::guests::guest;
use crate::wat::{Parts, assignor};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignor_that_misbehaves_costs_its_caller_an_answer() {
    let mut arena = Arena::open().await;
    let hostile = |name: &str, mode: &str| {
        Case::assignor(name, guest("test-hostile-assignor"))
            .with_config(&format!(r#"{{"mode":"{mode}"}}"#))
    };
    // The caller asks for the owners of 4 resources among 2 members.
    let answer = |owners: &[i64]| {
        let list: String = owners
            .iter()
            .enumerate()
            .map(|(at, owner)| {
                format!(
                    "(i32.store offset={} (i32.const 1024) (i32.const {owner}))",
                    4 * at
                )
            })
            .collect();
        assignor(Parts {
            first: &format!(
                "{list} (i32.store (i32.const 20) (i32.const 1024)) (i32.store (i32.const 24) (i32.const {}))",
                owners.len()
            ),
            ..Parts::default()
        })
    };
    let bad: &[&str] = &["the answer of assignor hostile is wrong"];
    let named: &[&str] = &["gave an answer that is none"];
    let cases = vec![
        hostile("an error", "fail").unassigned(&["I fail, as told"], &["returned an error"]),
        hostile("a flood", "flood")
            .unassigned(&["assignor hostile is not available"], &["the guest"]),
        hostile("an owner too few", "answer").unassigned(bad, named),
        Case::assignor("no owners at all", answer(&[])).unassigned(bad, named),
        Case::assignor("an owner too many", answer(&[0, 0, 1, 1, 1])).unassigned(bad, named),
        Case::assignor("a member that is not there", answer(&[0, 1, 2, 0])).unassigned(bad, named),
        Case::assignor("the last number before none", answer(&[0, 1, 0, -2]))
            .unassigned(bad, named),
        Case::assignor("nobody for anything", answer(&[-1, -1, -1, -1])).unassigned(&["ok"], &[]),
    ];
    arena.run_cases(cases).await;
}
