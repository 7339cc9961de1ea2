//! A node with a harmless binding and a plain client, beside which hostile guests run.
//!
//! 1. [`Arena::open`] starts a node and binds `tally`, which counts the znodes that the client
//!    creates below `/in`.
//! 2. [`Arena::run_cases`] runs the cases one after the other. It pushes and binds the guest, which
//!    must end as the case says.
//! 3. While the guest is bound, `tally` must count the client's next znode, and the client must
//!    read back its write.
//! 4. Then the binding is deleted. The node must still run, must never have had more memory than
//!    the case states, and every line of its log must be its own.
//!
//! The tests wait for conditions, up to [`PATIENCE`], and assert nothing about speed.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use zookeeper_client as zk;

use crate::case::{Case, End};
use crate::guests::guest;
use crate::support::{NodeProcess, PATIENCE, number, persistent, until};

/// The name of the binding of a case.
pub const HOSTILE: &str = "hostile";

/// The URL of a push that is answered when it has ended.
pub const PUSH: &str = "/v1/modules?wait_ms=60000";

/// The recipe that calls an assignor of the case.
const CALLER: &str = "caller";

/// The znode in which recipes of the cases report their results.
pub const TOLD: &str = "/hostile/out/told";

/// Most bytes that one case may add to the log.
const LOG_BYTES_MAX: usize = 1 << 20;

/// The longest text with a quotation of a guest, in bytes: 4 KiB, and the sentence around it.
const TEXT_BYTES_MAX: usize = 5_000;

/// The year in the lines that guests forge.
pub const FORGED: &str = "1999-";

/// A node with the harmless binding and the client.
pub struct Arena {
    pub node: NodeProcess,
    pub client: zk::Client,
    log: PathBuf,
    /// How much of the log was checked, in bytes.
    checked_bytes: usize,
    /// The number of znodes that the client created below `/in`.
    counted: u64,
    script: String,
    _folder: TempDir,
}

impl Arena {
    /// Starts a node with a harmless binding and a plain client.
    pub async fn open() -> Arena {
        let tally = guest("test-tally");
        let script = guest("test-script");
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let node = NodeProcess::start_with_log(&folder.path().join("data"), &log);
        let client = node.client().await;
        for path in [
            "/in",
            "/plain",
            "/guarded",
            "/guarded/x",
            "/policy",
            "/hostile",
            "/hostile/in",
            "/hostile/out",
        ] {
            client
                .create(path, b"", &persistent())
                .await
                .expect("created");
        }
        let tally = node.push(&tally);
        node.bind(
            "tally",
            &format!(
                r#"{{"world":"recipe","module":"{tally}","watch":["/in/*"],
                    "write":["/tally","/tally-resyncs"],
                    "config":{{"counter":"/tally","resyncs":"/tally-resyncs"}}}}"#
            ),
        );
        let script = node.push(&script);
        let mut arena = Arena {
            node,
            client,
            log,
            checked_bytes: 0,
            counted: 0,
            script,
            _folder: folder,
        };
        arena.check_bystanders().await.expect("all is well before");
        arena
    }

    /// Runs all cases. Panics at the end with all cases that did not end as they should.
    pub async fn run_cases(&mut self, cases: Vec<Case>) {
        let mut wrong = Vec::new();
        for case in cases {
            let began = std::time::Instant::now();
            if let Err(error) = self.run_case(&case).await {
                wrong.push(format!("{}: {error}", case.name));
                if !self.node.is_alive() {
                    break;
                }
            }
            if let Err(error) = self.clean_up().await {
                wrong.push(format!("{}: after it: {error}", case.name));
            }
            // A long run shows which case takes long.
            println!("{:>6} ms  {}", began.elapsed().as_millis(), case.name);
        }
        if let Err(error) = self.check_tally() {
            wrong.push(error);
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    async fn run_case(&mut self, case: &Case) -> Result<(), String> {
        self.node.forget_peak();
        self.push_and_bind(case).await?;
        self.check_bystanders().await?;
        let (_, status) = self
            .node
            .http("GET", &format!("/v1/bindings/{HOSTILE}"), b"");
        check_text(&status["last_error"])?;
        check_text(&status["log"])?;
        self.check_node(case.memory_bytes)
    }

    /// Pushes and binds the guest, and checks its end.
    async fn push_and_bind(&mut self, case: &Case) -> Result<(), String> {
        let (status, answer) = self.node.http("POST", PUSH, &case.guest);
        let sentence = answer["error"].as_str().unwrap_or_default();
        if let End::Refused(needles) = &case.end {
            if status < 400 {
                return Err(format!("it was taken: {answer}"));
            }
            check_text(&answer)?;
            return contains_all(sentence, needles);
        }
        let module = answer["module"]
            .as_str()
            .ok_or_else(|| format!("the push was answered with {status}: {answer}"))?;
        let document = format!(
            r#"{{"world":"{}","module":"{module}"{}}}"#,
            case.world, case.more
        );
        self.bind(HOSTILE, &document)?;
        match &case.end {
            // A module that is refused gets no name; that case was handled above.
            End::Refused(_) => {}
            End::Fails(needles) => {
                self.check_bystanders().await?;
                contains_all(&self.last_error().await?, needles)?;
            }
            End::Reacts => {
                let status = until("a reaction", async || {
                    let status = self.node.status(HOSTILE);
                    (status["invocations"] != 0 || status["failures"] != 0).then_some(status)
                })
                .await?;
                if status["failures"] != 0 {
                    return Err(format!("it failed: {}", status["last_error"]));
                }
            }
            End::Tells(expected) => {
                let told = self.told().await?;
                if told != *expected {
                    return Err(format!("it told {told:?} instead of {expected:?}"));
                }
            }
            End::Denies(needles) => {
                for (asked, answered) in [
                    ("a get", self.client.get_data("/guarded/x").await.map(drop)),
                    (
                        "a set",
                        self.client
                            .set_data("/guarded/x", b"", None)
                            .await
                            .map(drop),
                    ),
                ] {
                    if !matches!(answered, Err(zk::Error::NoAuth)) {
                        return Err(format!("{asked} of what it guards got {answered:?}"));
                    }
                }
                if !needles.is_empty() {
                    contains_all(&self.last_error().await?, needles)?;
                }
            }
            End::Unassigned { told, needles } => {
                self.bind(CALLER, &self.caller())?;
                let answers = self.told().await?;
                contains_all(&answers.join("\n"), told)?;
                if !needles.is_empty() {
                    contains_all(&self.last_error().await?, needles)?;
                }
            }
        }
        Ok(())
    }

    fn bind(&self, name: &str, document: &str) -> Result<(), String> {
        let path = format!("/v1/bindings/{name}?wait=activated");
        match self.node.http("PUT", &path, document.as_bytes()) {
            (200 | 201, _) => Ok(()),
            (status, answer) => Err(format!("it was not bound: {status} {answer}")),
        }
    }

    /// A recipe that asks the assignor for 4 resources among 2 members.
    fn caller(&self) -> String {
        format!(
            r#"{{"world":"recipe","module":"{}","watch":["/hostile/in/*"],"write":["/hostile/out/*"],
                "config":{{"out":"{TOLD}","steps":[
                    {{"assign":{{"name":"{HOSTILE}","resources":4,"members":2}}}}]}}}}"#,
            self.script
        )
    }

    /// The last failure in the binding's status.
    pub async fn last_error(&self) -> Result<String, String> {
        until("an error in the binding's status", async || {
            let status = self.node.status(HOSTILE);
            status["last_error"].as_str().map(str::to_owned)
        })
        .await
    }

    async fn told(&self) -> Result<Vec<String>, String> {
        let told = until("what the guest tells", async || {
            match self.client.get_data(TOLD).await {
                Ok((data, _)) => Some(Ok(data)),
                Err(zk::Error::NoNode) => {
                    let status = self.node.status(HOSTILE);
                    status["last_error"]
                        .as_str()
                        .map(|error| Err(format!("it failed: {error}")))
                        .filter(|_| status["world"] == "recipe")
                }
                Err(error) => Some(Err(error.to_string())),
            }
        })
        .await??;
        serde_json::from_slice(&told).map_err(|error| error.to_string())
    }

    /// Checks that the harmless binding counts and the client is served.
    pub async fn check_bystanders(&mut self) -> Result<(), String> {
        self.counted += 1;
        let (client, count) = (&self.client, self.counted);
        let answered = async {
            client
                .create(&format!("/in/{count}"), b"", &persistent())
                .await?;
            let data = count.to_string();
            client.set_data("/plain", data.as_bytes(), None).await?;
            let (read, _) = client.get_data("/plain").await?;
            assert_eq!(read, data.as_bytes(), "a client reads what it wrote");
            Ok::<(), zk::Error>(())
        };
        tokio::time::timeout(PATIENCE, answered)
            .await
            .map_err(|_| "the plain client was not answered".to_owned())?
            .map_err(|error| format!("the plain client was answered with {error}"))?;
        until("the harmless binding", async || {
            (number(client, "/tally").await? == count).then_some(())
        })
        .await
    }

    /// Checks that the node runs, within its memory, with only lines of its own in its log.
    pub fn check_node(&mut self, memory_bytes: u64) -> Result<(), String> {
        if !self.node.is_alive() {
            return Err(format!("the node is dead; {}", self.log.display()));
        }
        let peak = self.node.peak_memory_bytes();
        if peak > memory_bytes {
            return Err(format!(
                "the node had {} MiB of memory and may have {}",
                peak >> 20,
                memory_bytes >> 20
            ));
        }
        let log = std::fs::read(&self.log).map_err(|error| error.to_string())?;
        let new = &log[self.checked_bytes..];
        self.checked_bytes = log.len();
        check_log(new)
    }

    /// Checks that the harmless binding has no failure.
    fn check_tally(&self) -> Result<(), String> {
        let status = self.node.status("tally");
        if status["failures"] != 0 || status["breaker"] != "closed" {
            return Err(format!("the harmless binding suffered: {status}"));
        }
        Ok(())
    }

    /// Deletes the bindings of the case, and what its guest wrote.
    async fn clean_up(&self) -> Result<(), String> {
        for name in [CALLER, HOSTILE] {
            let (status, answer) = self
                .node
                .http("DELETE", &format!("/v1/bindings/{name}"), b"");
            if status != 200 && status != 404 {
                return Err(format!("`{name}` could not be deleted: {answer}"));
            }
        }
        self.delete_below("/hostile/out").await
    }

    async fn delete_below(&self, path: &str) -> Result<(), String> {
        let mut waiting = vec![(path.to_owned(), false)];
        while let Some((path, listed)) = waiting.pop() {
            let failed = |error: zk::Error| format!("{path}: {error}");
            if listed {
                self.client.delete(&path, None).await.map_err(failed)?;
                continue;
            }
            let names = self.client.list_children(&path).await.map_err(failed)?;
            if path != "/hostile/out" {
                waiting.push((path.clone(), true));
            }
            waiting.extend(names.iter().map(|name| (format!("{path}/{name}"), false)));
        }
        Ok(())
    }

    /// The status of the case's binding.
    pub fn status(&self) -> Value {
        self.node.status(HOSTILE)
    }

    /// The module of the test guest `script`.
    pub fn script(&self) -> &str {
        &self.script
    }
}

/// An error unless the text contains all needles.
pub fn contains_all(text: &str, needles: &[&str]) -> Result<(), String> {
    match needles.iter().find(|needle| !text.contains(**needle)) {
        Some(needle) => Err(format!("nothing of {needle:?} in {text:?}")),
        None => Ok(()),
    }
}

/// Checks that every line is the node's own: it begins with a time and a level, and holds no
/// character that moves a terminal's cursor, rings its bell or reverses its text.
fn check_log(log: &[u8]) -> Result<(), String> {
    if log.len() > LOG_BYTES_MAX {
        return Err(format!("{} bytes were logged", log.len()));
    }
    let text = std::str::from_utf8(log).map_err(|error| format!("the log is no text: {error}"))?;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (time, level) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let is_own = time.len() == 27
            && time.ends_with('Z')
            && !time.starts_with(FORGED)
            && ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level);
        if !is_own {
            return Err(format!("a line of the log is not the node's: {line:?}"));
        }
        if let Some(harmful) = line.chars().find(|c| is_harmful(*c)) {
            return Err(format!("a line of the log has {harmful:?}: {line:?}"));
        }
    }
    Ok(())
}

/// Whether a character moves a terminal's cursor, rings its bell, ends a line or reverses text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks that every text in a JSON value is short enough for a person to read, and harmless to a
/// terminal.
fn check_text(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => {
            Err(format!("a text of {} bytes is shown", text.len()))
        }
        Value::String(text) => match text.chars().find(|c| is_harmful(*c)) {
            Some(harmful) => Err(format!("{harmful:?} is shown: {text:?}")),
            None => Ok(()),
        },
        Value::Array(values) => values.iter().try_for_each(check_text),
        Value::Object(fields) => fields.values().try_for_each(check_text),
        _ => Ok(()),
    }
}
