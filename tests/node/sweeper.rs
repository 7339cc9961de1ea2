//! Containers and znodes with a time to live are deleted by the node, in virtual time.

use std::time::Duration;

use innkeeper_node::{Node, NodeSettings};
use innkeeper_proto::{Acl, CreateMode, Perms};
use innkeeper_runtime::{Runtime, Sim, Simulated};
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{Operation, View};

/// How often the nodes of these tests check, in milliseconds.
const CHECK_MS: u64 = 1_000;

struct World {
    runtime: Simulated,
    node: Node<Simulated>,
}

impl World {
    async fn start(runtime: Simulated, change: impl FnOnce(&mut NodeSettings)) -> World {
        let mut settings = NodeSettings::on_free_ports("/data");
        settings.admin.http = None;
        settings.server.container_check_interval_ms = CHECK_MS;
        change(&mut settings);
        let node = Node::start(runtime.clone(), settings).await.unwrap();
        World { runtime, node }
    }

    async fn write(&self, operation: WriteOp) {
        let propose = self.node.service().propose(|ticket| Operation::Admin {
            ticket,
            identities: Vec::new(),
            write: Write::Single(operation),
            enforce_quota: false,
        });
        propose.await.unwrap();
    }

    async fn create(&self, path: &str, mode: CreateMode, ttl_ms: i64) {
        self.write(WriteOp::Create {
            path: path.to_owned(),
            data: None,
            acl: vec![Acl::world(Perms::ALL)],
            mode,
            ttl_ms,
        })
        .await;
        assert!(self.has(path), "{path} was not made");
    }

    async fn delete(&self, path: &str) {
        let path = path.to_owned();
        self.write(WriteOp::Delete { path, version: -1 }).await;
    }

    async fn touch(&self, path: &str) {
        self.write(WriteOp::SetData {
            path: path.to_owned(),
            data: None,
            version: -1,
        })
        .await;
    }

    fn view(&self) -> View {
        self.node.service().reader.view()
    }

    fn has(&self, path: &str) -> bool {
        self.view().exists(path).is_some()
    }

    async fn sleep(&self, ms: u64) {
        self.runtime.sleep(Duration::from_millis(ms)).await;
    }

    /// How long it takes until the znode is gone, in milliseconds of virtual time.
    async fn until_gone(&self, path: &str) -> u64 {
        let since = self.runtime.now();
        while self.has(path) {
            self.sleep(10).await;
            let waited = self.runtime.now() - since;
            assert!(waited < Duration::from_secs(600), "{path} stays");
        }
        (self.runtime.now() - since).as_millis() as u64
    }
}

#[test]
fn an_outlived_znode_goes_and_one_that_is_set_stays() {
    Sim::new(1).block_on(|runtime| async move {
        let world = World::start(runtime, |_| {}).await;
        world
            .create("/short", CreateMode::PersistentTtl, 3_000)
            .await;
        world.create("/set", CreateMode::PersistentTtl, 3_000).await;
        world.create("/full", CreateMode::PersistentTtl, 1).await;
        world.create("/full/child", CreateMode::Persistent, 0).await;
        world.sleep(2_000).await;
        world.touch("/set").await;
        let waited = 2_000 + world.until_gone("/short").await;
        assert!((3_000..=3_000 + 2 * CHECK_MS).contains(&waited), "{waited}");
        assert!(world.has("/set") && world.has("/full"));
        world.until_gone("/set").await;
        assert!(world.has("/full"), "it has a child");
        world.delete("/full/child").await;
        assert!(world.until_gone("/full").await <= 2 * CHECK_MS);
        world.node.stop().await;
    });
}

#[test]
fn a_container_goes_with_its_last_child_and_not_before_its_first() {
    Sim::new(2).block_on(|runtime| async move {
        let world = World::start(runtime, |_| {}).await;
        world.create("/used", CreateMode::Container, 0).await;
        world.create("/never", CreateMode::Container, 0).await;
        world.create("/used/child", CreateMode::Persistent, 0).await;
        world.sleep(10 * CHECK_MS).await;
        assert!(world.has("/used"));
        world.delete("/used/child").await;
        assert!(world.until_gone("/used").await <= 2 * CHECK_MS);
        world.sleep(10 * CHECK_MS).await;
        assert!(
            world.has("/never"),
            "a container may wait for its first child"
        );
        world.node.stop().await;
    });
}

#[test]
fn a_container_that_was_never_used_goes_where_that_is_asked_for() {
    Sim::new(3).block_on(|runtime| async move {
        let change =
            |settings: &mut NodeSettings| settings.server.container_max_never_used_ms = 20_000;
        let world = World::start(runtime, change).await;
        world.create("/never", CreateMode::Container, 0).await;
        let waited = world.until_gone("/never").await;
        assert!(
            (20_000..=20_000 + 2 * CHECK_MS).contains(&waited),
            "{waited}"
        );
        world.node.stop().await;
    });
}

#[test]
fn many_are_swept_at_the_pace_that_is_set() {
    Sim::new(4).block_on(|runtime| async move {
        let change = |settings: &mut NodeSettings| settings.server.container_max_per_minute = 60;
        let world = World::start(runtime, change).await;
        let count = 30;
        for number in 0..count {
            let path = format!("/t{number}");
            world.create(&path, CreateMode::PersistentTtl, 1).await;
        }
        let since = world.runtime.now();
        while world.view().swept_count() > 0 {
            world.sleep(100).await;
            let ms = (world.runtime.now() - since).as_millis() as u64;
            assert!(ms < 120_000, "they stay");
            // One a second, and the first of them one check after the start.
            let swept = count - world.view().swept_count() as u64;
            assert!(swept <= ms / 1_000 + 1, "{swept} after {ms} ms");
        }
        world.node.stop().await;
    });
}
