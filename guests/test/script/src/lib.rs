//! Test guest `script`: does what its configuration lists, step by step, and tells what came of
//! each step. So a test says in its binding which tricks are tried.
//!
//! Configuration: `{"out": "/hostile/out", "steps": [{"get": {"path": "/a/../b"}}, …]}`, the steps
//! being those of `Step`. In `out` stands a JSON list with one text per step: `ok`, `none`, or
//! the name of the error.

use innkeeper_recipe::guest::log;
use innkeeper_recipe::guest::transaction::{Acl, Permissions, Write};
use innkeeper_recipe::prelude::*;

#[derive(Deserialize)]
struct Config {
    out: String,
    steps: Vec<Step>,
}

/// A path, made long where the document would not hold it.
#[derive(Clone, Deserialize)]
struct Path {
    path: String,
    /// So many `x` are put behind it.
    #[serde(default)]
    pad: usize,
}

impl Path {
    fn text(&self) -> String {
        format!("{}{}", self.path, "x".repeat(self.pad))
    }
}

/// What a znode is created with, or set to.
#[derive(Clone, Deserialize)]
struct Data {
    #[serde(flatten)]
    at: Path,
    /// Bytes of data.
    #[serde(default)]
    bytes: usize,
    /// The version that the znode must have.
    version: Option<i32>,
    /// Its ACL; the parent's if none is given.
    acl: Option<Vec<Entry>>,
    /// The handle of the session that it is to be ephemeral on.
    ephemeral: Option<u64>,
    /// Is it sequential?
    #[serde(default)]
    sequential: bool,
}

/// Entries of an ACL.
#[derive(Clone, Deserialize)]
struct Entry {
    scheme: String,
    id: String,
    /// So many `x` are put behind the id.
    #[serde(default)]
    pad: usize,
    /// So often the entry stands there.
    #[serde(default = "once")]
    times: usize,
    /// With no permission at all.
    #[serde(default)]
    powerless: bool,
}

/// A question to an assignor: one topic, and members that own nothing.
#[derive(Clone, Deserialize)]
struct Question {
    name: String,
    /// So many `x` are put behind the name.
    #[serde(default)]
    pad: usize,
    /// Where the topic begins; only 0 is right.
    #[serde(default)]
    first: u32,
    resources: u32,
    members: u32,
}

/// Text, made long where the document would not hold it.
#[derive(Clone, Deserialize)]
struct Text {
    text: String,
    #[serde(default = "once")]
    times: usize,
}

impl Text {
    fn whole(&self) -> String {
        self.text.repeat(self.times)
    }
}

fn once() -> usize {
    1
}

/// One thing to do.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Get(Path),
    GetMany(Vec<Path>),
    Exists(Path),
    Children(Path),
    Scan(Path),
    Owner(Path),
    Create(Data),
    Set(Data),
    Delete(Data),
    /// The same creates in one bulk call.
    WriteMany(Vec<Data>),
    Assign(Question),
    /// Logs a text as an error.
    Log(Text),
    /// Returns a text as the reaction's error.
    Fail(Text),
    /// Does a step again and again; the text is that of the last time, or of the first failure.
    /// In paths, names and texts of the step `#` is the number of the time.
    Repeat {
        times: usize,
        step: Box<Step>,
        /// Goes on after a failure.
        #[serde(default)]
        regardless: bool,
    },
}

struct Script;

impl Recipe for Script {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
        let mut told = Vec::with_capacity(config.steps.len());
        for step in &config.steps {
            told.push(match run(step, tx) {
                Ok(text) => text,
                Err(Stop::Step(error)) => tell(&error),
                Err(Stop::Reaction(error)) => return Err(error),
            });
        }
        tx.put(&config.out, serde_json::to_string(&told)?.as_bytes())?;
        Ok(())
    }
}

/// Why a step ended badly.
enum Stop {
    /// It failed, and the next one goes on.
    Step(Error),
    /// The reaction is to end with that error.
    Reaction(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Step(error)
    }
}

/// An error by its name where it has one.
fn tell(error: &Error) -> String {
    match error.code() {
        Some(code) => code.name().to_owned(),
        None => error.to_string(),
    }
}

fn found<T>(seen: Option<T>) -> String {
    match seen {
        Some(_) => "ok".to_owned(),
        None => "none".to_owned(),
    }
}

fn run(step: &Step, tx: &mut dyn Transaction) -> Result<String, Stop> {
    let done = || "ok".to_owned();
    Ok(match step {
        Step::Get(at) => found(tx.get(&at.text())?),
        Step::GetMany(at) => {
            let paths: Vec<String> = at.iter().map(Path::text).collect();
            tx.get_many(&paths)?;
            done()
        }
        Step::Exists(at) => found(tx.exists(&at.text())?),
        Step::Children(at) => {
            tx.children(&at.text())?;
            done()
        }
        Step::Scan(at) => {
            tx.scan(&at.text())?;
            done()
        }
        Step::Owner(at) => found(tx.owner(&at.text())?),
        Step::Create(data) => {
            let bytes = vec![b'x'; data.bytes];
            tx.create(&data.at.text(), &bytes, &options(data))?;
            done()
        }
        Step::Set(data) => {
            let bytes = vec![b'x'; data.bytes];
            tx.set(&data.at.text(), &bytes, data.version)?;
            done()
        }
        Step::Delete(data) => {
            tx.delete(&data.at.text(), data.version)?;
            done()
        }
        Step::WriteMany(all) => {
            let writes: Vec<Write> = all
                .iter()
                .map(|data| Write::create(data.at.text(), vec![b'x'; data.bytes]))
                .collect();
            tx.write_many(&writes)?;
            done()
        }
        Step::Assign(question) => {
            let name = format!("{}{}", question.name, "x".repeat(question.pad));
            tx.assign(&name, &request(question))?;
            done()
        }
        Step::Log(text) => {
            log::error(text.whole());
            done()
        }
        Step::Fail(text) => return Err(Stop::Reaction(Error::new(text.whole()))),
        Step::Repeat {
            times,
            step,
            regardless,
        } => {
            let mut last = done();
            for time in 0..*times {
                last = match run(&numbered(step, time), tx) {
                    Err(Stop::Step(error)) if *regardless => tell(&error),
                    other => other?,
                };
            }
            last
        }
    })
}

/// The step as it is the `time`th time.
fn numbered(step: &Step, time: usize) -> Step {
    let put = |text: &mut String| *text = text.replace('#', &time.to_string());
    let mut step = step.clone();
    match &mut step {
        Step::Get(at)
        | Step::Exists(at)
        | Step::Children(at)
        | Step::Scan(at)
        | Step::Owner(at) => {
            put(&mut at.path);
        }
        Step::Create(data) | Step::Set(data) | Step::Delete(data) => put(&mut data.at.path),
        Step::Log(text) | Step::Fail(text) => put(&mut text.text),
        Step::Assign(question) => put(&mut question.name),
        Step::GetMany(_) | Step::WriteMany(_) | Step::Repeat { .. } => {}
    }
    step
}

fn options(data: &Data) -> CreateOptions {
    let entry = |entry: &Entry| {
        let acl = Acl {
            permissions: if entry.powerless {
                Permissions::empty()
            } else {
                Permissions::all()
            },
            scheme: entry.scheme.clone(),
            id: format!("{}{}", entry.id, "x".repeat(entry.pad)),
        };
        std::iter::repeat_n(acl, entry.times)
    };
    CreateOptions {
        acl: data
            .acl
            .as_ref()
            .map(|acl| acl.iter().flat_map(entry).collect()),
        ephemeral: data.ephemeral,
        sequential: data.sequential,
    }
}

fn request(question: &Question) -> AssignRequest {
    AssignRequest {
        topics: vec![Topic {
            name: "topic".to_owned(),
            first: question.first,
            count: question.resources,
        }],
        members: (0..question.members)
            .map(|number| Member {
                id: format!("member-{number:06}"),
                rack: None,
                capacity: None,
                subscribed: vec![0],
                owned: Vec::new(),
            })
            .collect(),
        weights: None,
        strategy_config: "null".to_owned(),
    }
}

innkeeper_recipe::recipe!(Script);
