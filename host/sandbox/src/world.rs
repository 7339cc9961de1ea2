//! Which world a component is of, by what it exports.

use innkeeper_tree::World;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::failure::ModuleError;

/// The world whose exports the component has. Further exports are ignored: language runtimes
/// bring some of their own.
pub(crate) fn world_of(engine: &Engine, component: &Component) -> Result<World, ModuleError> {
    let ty = component.component_type();
    let names: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    find(&names)
}

fn find(exports: &[&str]) -> Result<World, ModuleError> {
    let has = |names: &[&str]| names.iter().all(|name| exports.contains(name));
    let worlds: Vec<World> = [
        (World::Recipe, &["react"][..]),
        (World::Assignor, &["assign"]),
        (World::Authorizer, &["load", "decide"]),
    ]
    .into_iter()
    .filter_map(|(world, names)| has(names).then_some(world))
    .collect();
    match worlds[..] {
        [world] => Ok(world),
        [] => Err(ModuleError::UnknownWorld(listed(exports).into())),
        [first, second, ..] => Err(ModuleError::SeveralWorlds(first.name(), second.name())),
    }
}

fn listed(exports: &[&str]) -> String {
    if exports.is_empty() {
        return "nothing".to_string();
    }
    let mut names = exports.to_vec();
    names.sort_unstable();
    format!("`{}`", names.join("`, `"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_exports_are_ignored() {
        let found = |exports: &[&str]| find(exports).expect("a world");
        assert_eq!(found(&["react"]), World::Recipe);
        assert_eq!(found(&["init", "exports", "react", "load"]), World::Recipe);
        assert_eq!(found(&["memory", "assign"]), World::Assignor);
        assert_eq!(found(&["decide", "x", "load"]), World::Authorizer);
    }

    #[test]
    fn two_worlds_or_none_are_refused() {
        for exports in [
            &["react", "assign"][..],
            &["load", "decide", "react"],
            &["assign", "load", "decide"],
        ] {
            let refused = find(exports).expect_err("refused");
            assert!(
                matches!(refused, ModuleError::SeveralWorlds(..)),
                "{refused}"
            );
        }
        for exports in [&[][..], &["load"], &["decide", "run"]] {
            let refused = find(exports).expect_err("refused");
            assert!(matches!(refused, ModuleError::UnknownWorld(_)), "{refused}");
        }
    }
}
