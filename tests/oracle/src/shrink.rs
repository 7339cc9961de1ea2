//! Finds the smallest case that still shows a difference.
//!
//! First the steps behind the difference are removed; then halves, quarters and so on of the steps;
//! then parts of multis and pipelines, one by one. Every attempt runs the case on both servers.

use crate::compare::{Both, Difference};
use crate::op::{Case, Op, Request, Step};

/// How many attempts are made.
const ATTEMPTS: usize = 250;

/// Removes the steps of `case` that its difference does not need.
pub fn shrink(
    both: &mut Both,
    case: &Case,
    difference: Difference,
) -> anyhow::Result<(Case, Difference)> {
    let mut attempts = ATTEMPTS;
    smallest(case, difference, |candidate| {
        if attempts == 0 {
            return Ok(None);
        }
        attempts -= 1;
        both.run(candidate).map(|outcome| outcome.difference)
    })
}

/// The same, with any function that tells whether a case differs.
fn smallest(
    case: &Case,
    difference: Difference,
    mut differs: impl FnMut(&Case) -> anyhow::Result<Option<Difference>>,
) -> anyhow::Result<(Case, Difference)> {
    let mut best = case.clone();
    let mut shown = difference;
    best.steps.truncate(shown.step);
    let mut chunk = best.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < best.steps.len() {
            let mut candidate = best.clone();
            let end = (at + chunk).min(candidate.steps.len());
            candidate.steps.drain(at..end);
            if let Some(difference) = differs(&candidate)? {
                candidate.steps.truncate(difference.step);
                (best, shown) = (candidate, difference);
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    let mut at = 0;
    while at < best.steps.len() {
        let mut part = 0;
        while part < parts(&best.steps[at]) {
            let mut candidate = best.clone();
            remove_part(&mut candidate.steps[at], part);
            match differs(&candidate)? {
                // A step before this one may have been removed with those behind it.
                Some(difference) if difference.step > at => {
                    candidate.steps.truncate(difference.step);
                    (best, shown) = (candidate, difference);
                }
                _ => part += 1,
            }
        }
        at += 1;
    }
    Ok((best, shown))
}

fn parts(step: &Step) -> usize {
    match step {
        Step::Pipeline(_, requests) if requests.len() > 1 => requests.len(),
        Step::Call(
            _,
            Request {
                op: Op::Multi { ops, .. },
                ..
            },
        ) if ops.len() > 1 => ops.len(),
        _ => 0,
    }
}

fn remove_part(step: &mut Step, part: usize) {
    match step {
        Step::Pipeline(_, requests) => {
            requests.remove(part);
        }
        Step::Call(
            _,
            Request {
                op: Op::Multi { ops, .. },
                ..
            },
        ) => {
            ops.remove(part);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Opening;

    fn case(steps: Vec<Step>) -> Case {
        Case {
            seed: 0,
            profile: "test",
            sessions: vec![Opening {
                timeout_ms: 1,
                read_only: None,
            }],
            steps,
        }
    }

    fn at(step: usize) -> Difference {
        Difference {
            step,
            zookeeper: Vec::new(),
            innkeeper: Vec::new(),
        }
    }

    #[test]
    fn only_what_the_difference_needs_is_left() {
        // The servers differ at the first ping behind a drop.
        let differs = |case: &Case| -> anyhow::Result<Option<Difference>> {
            let drop = case
                .steps
                .iter()
                .position(|step| matches!(step, Step::Drop(_)));
            Ok(drop.and_then(|drop| {
                case.steps[drop..]
                    .iter()
                    .position(
                        |step| matches!(step, Step::Call(_, request) if request.op == Op::Ping),
                    )
                    .map(|behind| at(drop + behind + 1))
            }))
        };
        let mut steps = vec![Step::Call(0, Op::WhoAmI.into()); 9];
        steps.push(Step::Drop(0));
        steps.extend(vec![Step::Call(0, Op::WhoAmI.into()); 5]);
        steps.push(Step::Call(0, Op::Ping.into()));
        steps.extend(vec![Step::Call(0, Op::WhoAmI.into()); 5]);
        let whole = case(steps);
        let found = differs(&whole).unwrap().unwrap();
        let (small, shown) = smallest(&whole, found, differs).unwrap();
        assert_eq!(small.steps, [Step::Drop(0), Step::Call(0, Op::Ping.into())]);
        assert_eq!(shown.step, 2);
    }

    #[test]
    fn a_multi_loses_the_parts_that_do_not_matter() {
        let needs_ping = |case: &Case| -> anyhow::Result<Option<Difference>> {
            Ok(case.steps.iter().enumerate().find_map(|(place, step)| {
                let Step::Call(
                    _,
                    Request {
                        op: Op::Multi { ops, .. },
                        ..
                    },
                ) = step
                else {
                    return None;
                };
                ops.contains(&Op::Ping).then(|| at(place + 1))
            }))
        };
        let ops = vec![Op::WhoAmI, Op::Ping, Op::Close];
        let whole = case(vec![Step::Call(0, Op::Multi { read: false, ops }.into())]);
        let found = needs_ping(&whole).unwrap().unwrap();
        let (small, _) = smallest(&whole, found, needs_ping).unwrap();
        let left = Op::Multi {
            read: false,
            ops: vec![Op::Ping],
        };
        assert_eq!(small.steps, [Step::Call(0, left.into())]);
    }
}
