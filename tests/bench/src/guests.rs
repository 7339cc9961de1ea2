//! Measures one invocation of each kind of guest in the sandbox that a node uses, a new store and
//! instance included, with a state of one group of 24 partitions and 4 members.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use innkeeper_proto::{Acl, CreateMode, Perms};
use innkeeper_sandbox::{
    ActiveAssignor, Assignors, AuthorizerSet, Clock, Decision, FailedAssignment, Invocation, Load,
    Member, Module, Pace, Request, Sandbox, Settings, Topic, Unavailable, Usage,
};
use innkeeper_tree::binding::Definition;
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{
    Access, Command, Digest, Identity, QueueEntry, Reader, Ticket, Tree, View, World, Zxid,
};

const PARTITIONS: u32 = 24;
const MEMBERS: usize = 4;
const WARM_UP: usize = 200;
const ROUNDS: usize = 3000;

/// The latency of each kind of call, in nanoseconds.
pub async fn measure(modules: &Path) -> anyhow::Result<Vec<(&'static str, Histogram<u64>)>> {
    let started = Instant::now();
    let settings = Settings {
        clock: Clock::new(move || started.elapsed()),
        ..Settings::default()
    };
    let sandbox = Sandbox::new(settings);
    let load = |name: &str| -> anyhow::Result<Module> {
        let path = modules.join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path)
            .with_context(|| format!("{} is missing: run make guests", path.display()))?;
        let (_, module) = sandbox
            .accept(&bytes)
            .map_err(|error| anyhow!("{name}: {error}"))?;
        Ok(module)
    };
    let (
        Module::Assignor(range),
        Module::Assignor(sticky),
        Module::Recipe(group),
        Module::Authorizer(rules),
    ) = (
        load("range")?,
        load("sticky")?,
        load("group")?,
        load("path-rules")?,
    )
    else {
        anyhow::bail!("a guest is of another world than its name says: run make guests");
    };
    let authorizer = serde_json::json!({
        "world": "authorizer",
        "module": rules.digest().to_string(),
        "watch": ["/groups/**"],
        "policy": ["/policies/main"],
        "config": {"rules": "/policies/main"},
    });
    let state = state(rules.digest(), &authorizer)?;
    let mut measured = Vec::new();
    let account = sandbox.account();
    account.succeeded();

    for (name, module) in [("assignor range", &range), ("assignor sticky", &sticky)] {
        let definition = define(module.digest(), serde_json::json!({"world": "assignor"}))?;
        let request = request();
        let mut latency_ns = Histogram::new(3)?;
        for round in 0..WARM_UP + ROUNDS {
            let start = Instant::now();
            let answer = sandbox
                .assign(&account, module, &definition, &request)
                .await
                .map_err(|error| anyhow!("{error}"))?;
            note(&mut latency_ns, round, start)?;
            anyhow::ensure!(
                answer.owners.len() == PARTITIONS as usize,
                "{name} left partitions out"
            );
        }
        measured.push((name, latency_ns));
    }

    let definition = Arc::new(define(
        group.digest(),
        serde_json::json!({
            "world": "recipe",
            "watch": ["/groups/*/members/*"],
            "read": ["/groups/**"],
            "write": ["/groups/*/assignments/*", "/groups/*/generation"],
            "config": {"groups": "/groups", "strategy": "range"},
        }),
    )?);
    let bound = ActiveAssignor {
        definition: Arc::new(define(
            range.digest(),
            serde_json::json!({"world": "assignor"}),
        )?),
        module: Arc::clone(&range),
        activation: Zxid(1),
    };
    let assignors: Arc<dyn Assignors> = Arc::new(One(bound));
    let mut latency_ns = Histogram::new(3)?;
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        let place = sandbox.place(&account, &definition.limits).await;
        let invocation = Invocation {
            binding: "group".to_owned(),
            place: place.map_err(|error| anyhow!("{error}"))?,
            assignor_place: None,
            activation: Zxid(1),
            definition: Arc::clone(&definition),
            view: state.view(),
            view_max_age: Duration::from_secs(10),
            events: vec![QueueEntry::Resync {
                zxid: Zxid(1),
                depth: 0,
            }],
            now_ms: 1,
        };
        let reaction = sandbox
            .react(&group, invocation, Arc::clone(&assignors))
            .await;
        note(&mut latency_ns, round, start)?;
        let reaction =
            reaction.map_err(|failed| anyhow!("the recipe failed: {}", failed.failure))?;
        anyhow::ensure!(
            !reaction.transaction.writes.is_empty(),
            "the recipe wrote no assignment"
        );
    }
    measured.push(("recipe group, assignor included", latency_ns));

    let view = state.view();
    let bound = view
        .bindings()
        .get("rules")
        .context("the authorizer is not bound")?;
    let active = bound
        .active
        .as_ref()
        .context("the authorizer is not active")?;
    let asker = [Identity {
        scheme: "ip".to_owned(),
        id: "127.0.0.1".to_owned(),
    }];
    let set = || {
        let (module, definition) = (Arc::clone(&rules), Arc::clone(&active.definition));
        AuthorizerSet::new(
            &sandbox,
            "rules".to_owned(),
            module,
            definition,
            bound.policy_zxid,
            state.clone(),
            1,
            Arc::clone(&account),
            Arc::new(|_, load| block_on(load)),
        )
    };
    let (mut cold_ns, mut warm_ns) = (Histogram::new(3)?, Histogram::new(3)?);
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        let set = set();
        decide(&set, &asker).await?;
        note(&mut cold_ns, round, start)?;
        let start = Instant::now();
        decide(&set, &asker).await?;
        note(&mut warm_ns, round, start)?;
    }
    measured.push(("authorizer path-rules, with load", cold_ns));
    measured.push(("authorizer path-rules, loaded", warm_ns));
    Ok(measured)
}

async fn decide(set: &AuthorizerSet, asker: &[Identity]) -> anyhow::Result<()> {
    let decided = set
        .decide(asker, Access::GetData, "/groups/orders/config")
        .await
        .map_err(|undecided| anyhow!("the authorizer gave no verdict: {undecided:?}"))?;
    anyhow::ensure!(
        decided.decision == Decision::Allow,
        "the authorizer denied what its rules allow"
    );
    Ok(())
}

fn note(latency_ns: &mut Histogram<u64>, round: usize, start: Instant) -> anyhow::Result<()> {
    let elapsed = start.elapsed();
    if round >= WARM_UP {
        latency_ns.record(u64::try_from(elapsed.as_nanos())?)?;
    }
    Ok(())
}

/// A load waits for nothing here, so polling it in a loop is enough.
fn block_on(load: Load) {
    let mut load = load;
    let mut context = Context::from_waker(Waker::noop());
    while load.as_mut().poll(&mut context).is_pending() {}
}

/// A binding's definition with this module's name filled in.
fn define(module: Digest, mut document: serde_json::Value) -> anyhow::Result<Definition> {
    document["module"] = module.to_string().into();
    Definition::parse(document.to_string().as_bytes()).map_err(|error| anyhow!("{error}"))
}

/// The only assignor.
struct One(ActiveAssignor);

impl Assignors for One {
    fn pace<'a>(&'a self, _name: &'a str, _per_second: u64) -> Pace<'a> {
        Box::pin(std::future::ready(()))
    }

    fn find(&self, _: &View, _: &str) -> Result<ActiveAssignor, Unavailable> {
        Ok(self.0.clone())
    }

    fn ended(&self, _: &str, _: Zxid, _: Result<Usage, &FailedAssignment>) {}
}

fn request() -> Request {
    let member = |number: usize| Member {
        id: format!("member-{number}"),
        rack: None,
        capacity: None,
        subscribed: vec![0],
        owned: (0..PARTITIONS)
            .filter(|partition| *partition as usize % MEMBERS == number)
            .collect(),
    };
    Request {
        topics: vec![Topic {
            name: "orders".to_owned(),
            first: 0,
            count: PARTITIONS,
        }],
        members: (0..MEMBERS).map(member).collect(),
        weights: None,
        strategy_config: "null".to_owned(),
    }
}

/// A state with one group, one policy, and the authorizer that decides by it.
fn state(rules: Digest, authorizer: &serde_json::Value) -> anyhow::Result<Reader> {
    use innkeeper_tree::Operation;
    let mut tree = Tree::new();
    let mut apply = |operation| {
        tree.apply(&Command {
            time_ms: 1,
            operation,
        })
        .zxid
    };
    let create = |path: &str, data: &str| {
        let write = WriteOp::Create {
            path: path.to_owned(),
            data: Some(data.to_owned().into_bytes().into()),
            acl: vec![Acl::world(Perms::ALL)],
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        };
        let identities = vec![Identity {
            scheme: "super".to_owned(),
            id: String::new(),
        }];
        Operation::Admin {
            ticket: Ticket(0),
            identities,
            write: Write::Single(write),
            enforce_quota: false,
        }
    };
    for path in [
        "/groups",
        "/groups/orders",
        "/groups/orders/members",
        "/groups/orders/assignments",
        "/policies",
    ] {
        apply(create(path, ""));
    }
    let topics = serde_json::json!({"topics": [{"name": "orders", "partitions": PARTITIONS}]});
    apply(create("/groups/orders/resources", &topics.to_string()));
    apply(create("/groups/orders/config", r#"{"strategy": "range"}"#));
    for number in 0..MEMBERS {
        apply(create(
            &format!("/groups/orders/members/member-{number}"),
            "",
        ));
    }
    apply(create("/policies/main", POLICY));

    apply(Operation::RegisterModule {
        ticket: Ticket(1),
        digest: rules,
        size: 1,
        world: World::Authorizer,
    });
    for path in ["/innkeeper", "/innkeeper/bindings"] {
        apply(create(path, ""));
    }
    let wish = apply(create("/innkeeper/bindings/rules", &authorizer.to_string()));
    apply(Operation::Activate {
        ticket: Ticket(2),
        binding: "rules".to_owned(),
        wish,
    });
    tree.publish();
    Ok(tree.reader())
}

const POLICY: &str = r#"{"default": "deny", "rules": [{"effect": "allow", "operations": ["read"], "path": "/groups/**"}]}"#;
