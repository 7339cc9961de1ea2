//! What the sandbox's tests share: a small executor, a tree to react to.
#![allow(dead_code, reason = "each test file uses a part")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use innkeeper_proto::CreateMode;
use innkeeper_sandbox::{
    Account, ActiveAssignor, AssignorModule, Assignors, AuthorizerModule, Clock, FailedAssignment,
    Invocation, Module, Pace, RecipeModule, Sandbox, Settings, Unavailable, Usage,
};
use innkeeper_tree::applied::{Outcome, Reply, TicketResult};
use innkeeper_tree::binding::Definition;
use innkeeper_tree::command::{Write, WriteOp};
use innkeeper_tree::{
    Applied, Command, Digest, Identity, Operation, SessionId, Ticket, Transaction, Tree, View,
    Zxid, path,
};

/// Guests never wait for anything outside here, so polling in a loop is an executor.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    block_on_between(future, || {})
}

/// As [`block_on`]; says as well how often the future let others run.
pub fn block_on_counting<T>(future: impl Future<Output = T>) -> (T, u64) {
    let mut pauses = 0;
    let value = block_on_between(future, || pauses += 1);
    (value, pauses)
}

/// As [`block_on`]; calls `others` whenever the future lets others run.
pub fn block_on_between<T>(future: impl Future<Output = T>, mut others: impl FnMut()) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        others();
    }
}

/// A sandbox for which time stands still.
pub fn sandbox() -> Sandbox {
    sandbox_with(Clock::new(|| Duration::ZERO))
}

pub fn sandbox_with(clock: Clock) -> Sandbox {
    Sandbox::new(Settings {
        clock,
        transient_instances: 8,
        authorizers: 4,
        ..Settings::default()
    })
}

/// Compiles and loads a guest of the world `recipe`.
pub fn recipe(sandbox: &Sandbox, guest: &[u8]) -> Arc<RecipeModule> {
    match sandbox.accept(guest).expect("a guest").1 {
        Module::Recipe(module) => module,
        other => panic!("it is a guest of another world: {:?}", other.world()),
    }
}

/// Compiles and loads a guest of the world `assignor`.
pub fn assignor(sandbox: &Sandbox, guest: &[u8]) -> Arc<AssignorModule> {
    match sandbox.accept(guest).expect("a guest").1 {
        Module::Assignor(module) => module,
        other => panic!("it is a guest of another world: {:?}", other.world()),
    }
}

pub fn definition(world: &str, module: Digest, more: &str) -> Arc<Definition> {
    let document = format!(r#"{{"world":"{world}","module":"{module}"{more}}}"#);
    Arc::new(Definition::parse(document.as_bytes()).expect("a good document"))
}

/// A tree with modules and bindings, driven command by command.
pub struct World {
    pub tree: Tree,
    pub sandbox: Sandbox,
    pub account: Arc<Account>,
    assignors: Vec<Arc<AssignorModule>>,
    time_ms: u64,
}

impl World {
    pub fn new() -> World {
        World::with(sandbox())
    }

    pub fn with(sandbox: Sandbox) -> World {
        let mut world = World {
            tree: Tree::new(),
            account: sandbox.account(),
            sandbox,
            assignors: Vec::new(),
            time_ms: 1_000,
        };
        for folder in [path::INNKEEPER, path::BINDINGS] {
            world.create(folder, "");
        }
        world
    }

    pub fn apply(&mut self, operation: Operation) -> Applied {
        self.time_ms += 1;
        let applied = self.tree.apply(&Command {
            time_ms: self.time_ms,
            operation,
        });
        self.tree.publish();
        applied
    }

    pub fn admin(&mut self, op: WriteOp) {
        let operation = Operation::Admin {
            ticket: Ticket(1),
            identities: vec![Identity {
                scheme: "super".into(),
                id: String::new(),
            }],
            write: Write::Single(op.clone()),
            enforce_quota: false,
        };
        match self.apply(operation).outcome {
            Outcome::Ticket {
                result: TicketResult::Admin(Reply::Single(Ok(_))),
                ..
            } => {}
            other => panic!("{op:?}: {other:?}"),
        }
    }

    pub fn create(&mut self, path: &str, data: &str) {
        self.admin(WriteOp::Create {
            path: path.into(),
            data: Some(data.to_string().into()),
            acl: innkeeper_tree::acl::open(),
            mode: CreateMode::Persistent,
            ttl_ms: 0,
        });
    }

    pub fn set(&mut self, path: &str, data: &str) {
        self.admin(WriteOp::SetData {
            path: path.into(),
            data: Some(data.to_string().into()),
            version: -1,
        });
    }

    pub fn delete(&mut self, path: &str) {
        self.admin(WriteOp::Delete {
            path: path.into(),
            version: -1,
        });
    }

    pub fn data(&self, path: &str) -> Option<String> {
        let znode = self.tree.reader().view().get(path)?;
        Some(String::from_utf8(znode.data.unwrap_or_default().into()).expect("text"))
    }

    /// A session, and an ephemeral of it at `path`.
    pub fn member(&mut self, session: u64, path: &str) {
        let id = SessionId(session);
        self.apply(Operation::CreateSession {
            ticket: Ticket(2),
            session: id,
            password: [7; 16],
            timeout_ms: 10_000,
            local: false,
        });
        let applied = self.apply(Operation::Session {
            session: id,
            attachment: 1,
            seq: 1,
            request: innkeeper_tree::command::SessionRequest::Write {
                identities: vec![],
                policy_zxid: Some(innkeeper_tree::Zxid(0)),
                write: Write::Single(WriteOp::Create {
                    path: path.into(),
                    data: None,
                    acl: innkeeper_tree::acl::open(),
                    mode: CreateMode::Ephemeral,
                    ttl_ms: 0,
                }),
                enforce_quota: false,
                upgrade_local: false,
            },
        });
        assert!(
            self.tree.reader().view().exists(path).is_some(),
            "{applied:?}"
        );
    }

    pub fn expire(&mut self, session: u64) {
        self.apply(Operation::ExpireSession {
            session: SessionId(session),
            attachment: 1,
        });
    }

    /// Pushes a recipe, writes a binding with it and activates that.
    pub fn recipe(&mut self, binding: &str, guest: &[u8], more: &str) -> Arc<RecipeModule> {
        let module = recipe(&self.sandbox, guest);
        self.activate(
            binding,
            module.digest(),
            innkeeper_tree::World::Recipe,
            more,
        );
        module
    }

    /// The same for an assignor, which recipes can call then.
    pub fn assignor(&mut self, binding: &str, guest: &[u8], more: &str) -> Arc<AssignorModule> {
        let module = assignor(&self.sandbox, guest);
        let world = innkeeper_tree::World::Assignor;
        self.activate(binding, module.digest(), world, more);
        self.assignors.push(Arc::clone(&module));
        module
    }

    /// The same for an authorizer.
    pub fn authorizer(&mut self, binding: &str, guest: &[u8], more: &str) -> Arc<AuthorizerModule> {
        let module = match self.sandbox.accept(guest).expect("a guest").1 {
            Module::Authorizer(module) => module,
            other => panic!("it is a guest of another world: {:?}", other.world()),
        };
        let world = innkeeper_tree::World::Authorizer;
        self.activate(binding, module.digest(), world, more);
        module
    }

    /// Registers a module, writes a binding with it and activates that.
    fn activate(
        &mut self,
        binding: &str,
        module: Digest,
        world: innkeeper_tree::World,
        more: &str,
    ) {
        self.apply(Operation::RegisterModule {
            ticket: Ticket(3),
            digest: module,
            size: 1,
            world,
        });
        let znode = path::join(path::BINDINGS, binding);
        let document = format!(
            r#"{{"world":"{}","module":"{module}"{more}}}"#,
            world.name()
        );
        match self.tree.reader().view().exists(&znode) {
            None => self.create(&znode, &document),
            Some(_) => self.set(&znode, &document),
        }
        let wish = self
            .tree
            .reader()
            .view()
            .bindings()
            .get(binding)
            .expect("a binding")
            .wish;
        let applied = self.apply(Operation::Activate {
            ticket: Ticket(4),
            binding: binding.into(),
            wish,
        });
        assert!(
            matches!(
                applied.outcome,
                Outcome::Ticket {
                    result: TicketResult::Activated,
                    ..
                }
            ),
            "{applied:?}"
        );
    }

    /// Makes the group `/groups/g` of five partitions, for which the assignor `strategy` is to be
    /// asked, and binds the recipe `groups` that serves it.
    pub fn group(&mut self, strategy: &str, recipe: &[u8]) -> Arc<RecipeModule> {
        self.create("/groups", "");
        for folder in ["", "/members", "/assignments"] {
            self.create(&format!("/groups/g{folder}"), "");
        }
        let config = format!(r#"{{"strategy":"{strategy}"}}"#);
        self.create("/groups/g/config", &config);
        self.create(
            "/groups/g/resources",
            r#"{"topics":[{"name":"orders","partitions":5}]}"#,
        );
        self.recipe(
            "groups",
            recipe,
            r#","watch":["/groups/*/members/*","/groups/*/config","/groups/*/resources"],
               "read":["/groups/**"],"write":["/groups/*/assignments/**","/groups/*/generation"],
               "config":{"groups":"/groups"}"#,
        )
    }

    /// What the dispatcher would run now; `None` if nothing is queued.
    pub fn invocation(&self, binding: &str) -> Option<Invocation> {
        let reader = self.tree.reader();
        let events = reader.queue(binding, 1_000);
        if events.is_empty() {
            return None;
        }
        let view = reader.view();
        let active = view.bindings().get(binding)?.active.clone()?;
        let place = self.sandbox.place(&self.account, &active.definition.limits);
        Some(Invocation {
            binding: binding.into(),
            place: block_on(place).expect("room"),
            assignor_place: None,
            activation: active.activation,
            definition: active.definition,
            view,
            view_max_age: Duration::from_secs(10),
            events,
            now_ms: self.time_ms,
        })
    }

    pub fn assignors(&self) -> Arc<dyn Assignors> {
        Arc::new(self.known())
    }

    pub fn known(&self) -> Known {
        Known(self.assignors.clone())
    }

    pub fn propose(&mut self, transaction: Transaction) -> TicketResult {
        let applied = self.apply(Operation::Transaction {
            ticket: Ticket(5),
            transaction,
        });
        match applied.outcome {
            Outcome::Ticket { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// Reacts until nothing is queued; every reaction must end well and commit.
    pub fn settle(&mut self, binding: &str, module: &RecipeModule) {
        while let Some(invocation) = self.invocation(binding) {
            let reaction = block_on(self.sandbox.react(module, invocation, self.assignors()))
                .unwrap_or_else(|failed| panic!("{}: {:?}", failed.failure, failed.logs));
            let result = self.propose(reaction.transaction);
            assert!(matches!(result, TicketResult::Committed), "{result:?}");
        }
    }
}

pub struct Known(Vec<Arc<AssignorModule>>);

impl Assignors for Known {
    fn pace<'a>(&'a self, _name: &'a str, _per_second: u64) -> Pace<'a> {
        Box::pin(std::future::ready(()))
    }

    fn find(&self, view: &View, name: &str) -> Result<ActiveAssignor, Unavailable> {
        let binding = view.bindings().get(name).ok_or(Unavailable::Unknown)?;
        let active = binding.active.as_ref().ok_or(Unavailable::Unknown)?;
        let module = self
            .0
            .iter()
            .find(|module| module.digest() == active.definition.module)
            .ok_or_else(|| Unavailable::KeptBack("not compiled".into()))?;
        Ok(ActiveAssignor {
            module: Arc::clone(module),
            definition: Arc::clone(&active.definition),
            activation: active.activation,
        })
    }

    fn ended(&self, _: &str, _: Zxid, _: Result<Usage, &FailedAssignment>) {}
}
