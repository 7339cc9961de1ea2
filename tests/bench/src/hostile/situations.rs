//! The situations: hostile guests that run beside the measured clients.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::node::{self, Node};
use crate::wire::{self, Connection};

#[path = "../../../hostile/bombs.rs"]
mod bombs;

/// The znode with many children.
const BIG: &str = "/big";
const CHILDREN: usize = 100_000;

/// The events for hostile recipes: all writes of the measured clients. A binding's own writes cause
/// no event for itself.
const EVERYTHING: &str = "/*/*";

/// How long a push may take before the next one begins.
const PATIENCE: Duration = Duration::from_secs(60);

/// A situation.
#[derive(Clone, Copy)]
pub struct Situation {
    /// The situation's name in the table.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Harmless,
    Loops,
    Delete,
    Scan,
    Megabytes,
    Flood,
    Errors,
    Bombs,
    Cascade,
    Modules,
}

const fn situation(name: &'static str, kind: Kind) -> Situation {
    Situation { name, kind }
}

/// All situations.
pub const SITUATIONS: [Situation; 10] = [
    situation("a harmless recipe on every write", Kind::Harmless),
    situation("100 endless loops", Kind::Loops),
    situation("deletes of 100,000 children's parent", Kind::Delete),
    situation("load scans all, the policy moves", Kind::Scan),
    situation("7.5 MB written per reaction", Kind::Megabytes),
    situation("64 long messages per reaction", Kind::Flood),
    situation("errors of 15 MB", Kind::Errors),
    situation("20 bombs of memory", Kind::Bombs),
    situation("two recipes that set each other off", Kind::Cascade),
    situation("modules that are dear to compile", Kind::Modules),
];

/// The server, and the hostile guests that run beside the measured clients.
pub struct Stage<'a> {
    node: &'a Node,
    modules: &'a Path,
    bound: Vec<String>,
    beside: JoinSet<()>,
}

impl<'a> Stage<'a> {
    pub fn new(node: &'a Node, modules: &'a Path) -> Self {
        Self {
            node,
            modules,
            bound: Vec::new(),
            beside: JoinSet::new(),
        }
    }

    /// Makes the znodes that the situations need.
    pub async fn prepare(&mut self) -> anyhow::Result<()> {
        let mut client = Connection::open(&self.node.zookeeper).await?;
        for path in [
            BIG,
            "/guarded",
            "/hostile",
            "/hostile/out",
            "/hostile/ping",
            "/hostile/pong",
        ] {
            client.call(wire::CREATE, wire::create(path, b"")).await?;
        }
        for chunk in 0..CHILDREN / 1_000 {
            for number in 0..1_000 {
                let path = format!("{BIG}/{:06}", chunk * 1_000 + number);
                client.queue(wire::CREATE, wire::create(&path, b""));
            }
            client.flush().await?;
            for _ in 0..1_000 {
                let reply = client.receive().await?;
                anyhow::ensure!(reply.error == 0, "a create failed with {}", reply.error);
            }
        }
        client.call(wire::CLOSE, |_| {}).await?;
        Ok(())
    }

    /// Binds the hostile guests of a situation.
    pub async fn begin(&mut self, situation: Situation) -> anyhow::Result<()> {
        match situation.kind {
            Kind::Harmless => self.script(&[]).await?,
            Kind::Loops => {
                for number in 0..100 {
                    self.misbehave(&format!("loop-{number}"), "loop").await?;
                }
            }
            Kind::Bombs => {
                for number in 0..20 {
                    self.misbehave(&format!("bomb-{number}"), "bomb").await?;
                }
            }
            Kind::Delete => {
                self.script(&[json!({"repeat": {
                    "times": 1_000_000,
                    "regardless": true,
                    "step": {"delete": {"path": BIG}},
                }})])
                .await?;
            }
            Kind::Megabytes => {
                let each = |step: Value| json!({"repeat": {"times": 15, "regardless": true, "step": step}});
                self.script(&[
                    each(json!({"create": {"path": "/hostile/out/a#"}})),
                    each(json!({"set": {"path": "/hostile/out/a#", "bytes": 500_000}})),
                ])
                .await?;
            }
            Kind::Flood => {
                let message = json!({"log": {"text": "message # ", "times": 400}});
                self.script(&[json!({"repeat": {"times": 64, "step": message}})])
                    .await?;
            }
            Kind::Errors => {
                self.script(&[json!({"fail": {"text": "x", "times": 15_000_000}})])
                    .await?;
            }
            Kind::Scan => self.scan().await?,
            Kind::Cascade => self.cascade().await?,
            Kind::Modules => self.push_bombs(),
        }
        Ok(())
    }

    /// Stops the guests, and deletes the bindings.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.beside.shutdown().await;
        for name in self.bound.drain(..) {
            self.node.unbind(&name).await?;
        }
        Ok(())
    }

    async fn bind(&mut self, name: &str, document: Value) -> anyhow::Result<()> {
        self.bound.push(name.to_owned());
        self.node
            .bind(name, &document)
            .await
            .with_context(|| format!("{name} cannot be bound"))
    }

    async fn misbehave(&mut self, name: &str, mode: &str) -> anyhow::Result<()> {
        let module = self.node.push_built(self.modules, "test-hostile").await?;
        let out = format!("/hostile/out/{name}");
        self.bind(
            name,
            json!({
                "world": "recipe",
                "module": module,
                "watch": [EVERYTHING],
                "write": [out],
                "config": {"mode": mode, "out": out},
            }),
        )
        .await
    }

    async fn script(&mut self, steps: &[Value]) -> anyhow::Result<()> {
        let module = self.node.push_built(self.modules, "test-script").await?;
        self.bind(
            "script",
            json!({
                "world": "recipe",
                "module": module,
                "watch": [EVERYTHING],
                "write": [format!("{BIG}/**"), "/hostile/**"],
                "config": {"out": "/hostile/out/told", "steps": steps},
            }),
        )
        .await
    }

    /// An authorizer whose policy is everything, so that it changes with every write, and a client
    /// that reads a guarded znode.
    async fn scan(&mut self) -> anyhow::Result<()> {
        let module = self
            .node
            .push_built(self.modules, "test-hostile-authorizer")
            .await?;
        self.bind(
            "scan",
            json!({
                "world": "authorizer",
                "module": module,
                "watch": ["/guarded/**"],
                "policy": ["/**"],
                "config": {"mode": "reads", "in": "load", "scan": "/"},
            }),
        )
        .await?;
        let mut client = Connection::open(&self.node.zookeeper).await?;
        self.beside.spawn(async move {
            loop {
                // The read is denied.
                let _ = client
                    .call(wire::GET_DATA, wire::read("/guarded", false))
                    .await;
            }
        });
        Ok(())
    }

    /// Two recipes of which each answers the other's writes.
    async fn cascade(&mut self) -> anyhow::Result<()> {
        for (name, guest, from, to) in [
            ("ping", "test-stamp-1", "/hostile/ping", "/hostile/pong"),
            ("pong", "test-stamp-2", "/hostile/pong", "/hostile/ping"),
        ] {
            let module = self.node.push_built(self.modules, guest).await?;
            self.bind(
                name,
                json!({
                    "world": "recipe",
                    "module": module,
                    "watch": [EVERYTHING, format!("{from}/*")],
                    "write": [format!("{to}/**")],
                    "config": {"out": to},
                }),
            )
            .await?;
        }
        Ok(())
    }

    /// Pushes module after module, two at a time, and ignores the answers.
    fn push_bombs(&mut self) {
        let modules = Arc::new([
            bombs::branch_tables(),
            bombs::loops(60_000),
            bombs::components(44_000),
            bombs::functions(20_000),
        ]);
        for first in 0..2_u32 {
            let (address, modules) = (self.node.http.clone(), Arc::clone(&modules));
            self.beside.spawn(async move {
                for number in (first..).step_by(2) {
                    let mut module = modules[number as usize % modules.len()].clone();
                    // A custom section without a name makes it a different module.
                    module.extend_from_slice(&[0, 5, 0]);
                    module.extend_from_slice(&number.to_be_bytes());
                    let pushed = node::http(&address, "POST", "/v1/modules?wait_ms=60000", &module);
                    // Only its cost to the others is measured.
                    let _ = tokio::time::timeout(PATIENCE, pushed).await;
                }
            });
        }
    }
}
