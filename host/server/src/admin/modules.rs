//! `/v1/modules`: what was pushed, and pushing.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use innkeeper_runtime::Runtime;
use serde::Serialize;

use super::Admin;
use super::input::read_body;
use super::problem::Problem;

/// How a core module begins; a component has another version in its header.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The registered modules.
#[derive(Serialize)]
pub(super) struct Modules {
    modules: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    module: String,
    world: &'static str,
    size: u64,
    /// The bindings whose document names it, or whose active definition does.
    bindings: Vec<String>,
}

pub(super) async fn list<R: Runtime>(State(admin): State<Arc<Admin<R>>>) -> Json<Modules> {
    let view = admin.core.reader.view();
    let listed = |(digest, info): (&innkeeper_tree::Digest, &innkeeper_tree::ModuleInfo)| {
        let names = view.bindings().iter().filter(|binding| {
            let active = binding.active.as_ref();
            binding.wished.module == *digest
                || active.is_some_and(|active| active.definition.module == *digest)
        });
        Listed {
            module: digest.to_string(),
            world: info.world.name(),
            size: info.size,
            bindings: names.map(|binding| binding.name.to_string()).collect(),
        }
    };
    Json(Modules {
        modules: view.modules().iter().map(listed).collect(),
    })
}

/// A module that was taken.
#[derive(Serialize)]
pub(super) struct Taken {
    module: String,
    world: &'static str,
    size: u64,
    /// It came as a core module and was made into a component here.
    made_component: bool,
}

pub(super) async fn push<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, Problem> {
    let _place = admin
        .pushes
        .acquire()
        .await
        .map_err(|_| Problem::internal("the node is stopping; try again when it runs"))?;
    let pushed = read_body(&headers, body, admin.guests.module_bytes_max()).await?;
    let made_component = pushed.starts_with(CORE_MODULE);
    let taken = admin.guests.push(pushed.to_vec()).await?;
    Ok(Json(Taken {
        module: taken.digest.to_string(),
        world: taken.world.name(),
        size: taken.size,
        made_component,
    }))
}
