//! `innkeeper binding`: sets, checks, shows and deletes bindings.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use innkeeper_admin::http::{short_name, with_module};
use innkeeper_runtime::streams;
use innkeeper_runtime::{Select2, select2};
use innkeeper_tree::Digest;
use innkeeper_tree::binding::{Definition, check_name};
use innkeeper_tree::text::file_name;
use serde_json::{Value, json};

use super::output::Output;
use super::remote::{NodeError, Remote, quote};
use super::text::{count, facts, list_of, number_of, short, size, span, table, text_of};
use super::{module, read_file};

/// The fields of a document, for `innkeeper help binding`.
const FIELDS: &str = r#"A binding is a JSON document in /innkeeper/bindings/NAME. Any ZooKeeper client with the rights
for that znode can write it. Its fields, of which only `world` and `module` are required:
  world       recipe, assignor or authorizer
  module      sha256:..., as `module push` prints it; these commands also take its first 6 or
              more digits if no other module begins so, and `set --module` fills it in
  watch       recipe: the paths whose changes it reacts to; authorizer: the paths whose requests
              it decides
  read        recipe: further paths that it may read
  write       recipe: the paths that it may write
  policy      authorizer: the paths that it may read for its decisions
  config      any JSON, for the guest
  limits      {"fuel": ..., "memory_bytes": ..., "queue": ..., "transaction_ops": ...,
              "transaction_bytes": ..., "output_bytes": ..., "host_calls": ...,
              "calls_per_second": ..., "time_ms": ..., "bytes_per_second": ...}
  on_failure  authorizer: deny (the default) or allow
A path has names, * for any one name, and a last ** for everything below. Example:
  {"world": "recipe", "module": "sha256:...", "watch": ["/groups/**"],
   "write": ["/groups/*/assignments/**", "/groups/*/generation"],
   "config": {"groups": "/groups"}}"#;

/// How long a person waits before stderr says what the command waits for.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = FIELDS)]
pub(crate) struct BindingArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Set a binding, wait until its module acts, and say how its first run ended
    Set {
        /// The binding's name
        name: String,
        /// The document; - reads stdin
        file: PathBuf,
        /// Push this module first, and write its name into the document
        #[arg(long, value_name = "FILE.WASM")]
        module: Option<PathBuf>,
        /// Do not wait until the module acts
        #[arg(long)]
        no_wait: bool,
    },
    /// Say whether a node would accept a document; without a node, check only its form
    #[command(allow_missing_positional = true)]
    Check {
        /// The binding's name; without it, only the document is checked
        name: Option<String>,
        /// The document; - reads stdin
        file: PathBuf,
    },
    /// Show a binding: wished and active module, state, last error, the guest's log
    Status {
        /// The binding's name; without it, all bindings
        name: Option<String>,
    },
    /// List all bindings
    List,
    /// Delete a binding
    Delete {
        /// The binding's name
        name: String,
    },
}

pub(super) async fn run(remote: Remote, what: What) -> anyhow::Result<Output> {
    match what {
        What::Set {
            name,
            file,
            module,
            no_wait,
        } => {
            check_name(&name)?;
            let document = match module {
                Some(module) => pushed_into(&remote, &file, &module).await?,
                None => read_file(&file)?,
            };
            set(&remote, &name, document, no_wait).await
        }
        What::Check { name, file } => check(&remote, name.as_deref(), read_file(&file)?).await,
        What::Status { name } => status(&remote, name.as_deref()).await,
        What::List => Ok(Output::of(remote.get("/v1/bindings").await?, list)),
        What::Delete { name } => {
            check_name(&name)?;
            let path = path_of(&name);
            let deleted = remote.send(Method::DELETE, &path, Vec::new()).await?;
            Ok(Output::of(deleted, |deleted| {
                format!(
                    "{name}: deleted at zxid {:#x}\n",
                    number_of(deleted, "zxid")
                )
            }))
        }
    }
}

fn path_of(name: &str) -> String {
    format!("/v1/bindings/{}", quote(name))
}

/// Pushes the module and returns the document with its name.
async fn pushed_into(remote: &Remote, file: &Path, module: &Path) -> anyhow::Result<Vec<u8>> {
    if [file, module].iter().all(|path| path.as_os_str() == "-") {
        bail!("the document and the module cannot both come from stdin; name a file for one");
    }
    let document = read_file(file)?;
    // An error in the document is reported before the module is pushed.
    let probe = with_module(&document, &Digest([0; 32]).to_string());
    Definition::parse(probe.as_deref().unwrap_or(&document))?;
    let pushed = module::push(remote, module::read(module)?).await?;
    with_module(&document, text_of(&pushed, "module"))
        .with_context(|| format!("{} is not a JSON object", file_name(file)))
}

async fn set(
    remote: &Remote,
    name: &str,
    document: Vec<u8>,
    no_wait: bool,
) -> anyhow::Result<Output> {
    let query = if no_wait { "" } else { "?wait=first" };
    let path = format!("{}{query}", path_of(name));
    let answer = pin!(remote.send(Method::PUT, &path, document));
    let set = with_progress(remote, name, answer).await?;
    if text_of(&set["first"], "ended") == "badly" {
        bail!("{}", set_sentence(name, &set));
    }
    Ok(Output::of(set, |set| {
        format!("{}\n", set_sentence(name, set))
    }))
}

/// What setting a binding did, in a sentence.
fn set_sentence(name: &str, set: &Value) -> String {
    let done = if set["created"] == true {
        "created"
    } else {
        "changed"
    };
    let module = module::named(set);
    let Some(activation) = set["activation"].as_u64() else {
        return format!(
            "{name}: {done}; {module} is wished for, see `innkeeper binding status {name}`"
        );
    };
    let acts = format!("{name}: {done}; {module} acts since zxid {activation:#x}");
    let (run, is_recipe) = match text_of(set, "world") {
        "authorizer" => ("load", false),
        _ => ("reaction", true),
    };
    let first = &set["first"];
    match text_of(first, "ended") {
        "well" => {
            let fuel = number_of(first, "fuel");
            let writes = match number_of(first, "writes") {
                writes if is_recipe => format!(" and {}", count(writes, "write")),
                _ => String::new(),
            };
            format!("{acts}; its first {run} ended well, with {fuel} fuel{writes}")
        }
        "badly" => format!(
            "{acts}, and its first {run} failed: {}; it is tried again, see `innkeeper binding status {name}`",
            text_of(first, "error")
        ),
        _ if text_of(set, "world") == "assignor" => {
            format!("{acts}; it runs when a recipe calls it")
        }
        _ => format!("{acts}; nothing is queued for it yet"),
    }
}

/// Awaits the answer. If it takes longer than [`PATIENCE`] and stderr is a terminal, a line on
/// stderr says what the command waits for.
async fn with_progress(
    remote: &Remote,
    name: &str,
    mut answer: Pin<&mut impl Future<Output = Result<Value, NodeError>>>,
) -> Result<Value, NodeError> {
    // Scripts get no progress.
    if !io::stderr().is_terminal() {
        return answer.await;
    }
    let lookup = async {
        remote.sleep(PATIENCE).await;
        remote.get(&path_of(name)).await
    };
    match select2(answer.as_mut(), lookup).await {
        Select2::First(answered) => return answered,
        Select2::Second(Ok(binding)) if binding["pending"] == true => {
            let module = short(text_of(&binding, "wished"));
            streams::tell(format_args!(
                "innkeeper: waiting until {module} acts for `{name}`: it is being compiled\n"
            ));
        }
        Select2::Second(Ok(_)) => {
            streams::tell(format_args!(
                "innkeeper: `{name}` acts; waiting until its first run ends\n"
            ));
        }
        // The awaited answer will hold the error.
        Select2::Second(Err(_)) => {}
    }
    answer.await
}

/// Checks the form here, so that it is checked without a node as well; the node checks the rest.
async fn check(remote: &Remote, name: Option<&str>, document: Vec<u8>) -> anyhow::Result<Output> {
    if let Some(name) = name {
        check_name(name)?;
    }
    // Only a node can complete a short name of a module.
    let short = short_name(&document).map(|(name, _)| name);
    let form = match &short {
        Some(_) => with_module(&document, &Digest([0; 32]).to_string()),
        None => None,
    };
    let definition = Definition::parse(form.as_deref().unwrap_or(&document))?;
    let query = name
        .map(|name| format!("?name={}", quote(name)))
        .unwrap_or_default();
    let path = format!("/v1/bindings/check{query}");
    match remote.send(Method::POST, &path, document).await {
        Ok(mut checked) => {
            checked["checked"] = "whole".into();
            Ok(Output::of(checked, |checked| {
                format!("the document is good: {}\n", module::named(checked))
            }))
        }
        Err(NodeError::NoNode(why)) => {
            let module = short.unwrap_or_else(|| definition.module.to_string());
            let text = format!(
                "the document's form is good; whether {module} is known was not checked, since {why}\n"
            );
            let json = json!({
                "world": definition.world.name(), "module": module, "checked": "form", "why": why,
            });
            Ok(Output::new(text, json))
        }
        Err(error) => Err(error.into()),
    }
}

async fn status(remote: &Remote, name: Option<&str>) -> anyhow::Result<Output> {
    let Some(name) = name else {
        let all = |answer: &Value| match list_of(answer, "bindings") {
            [] => list(answer),
            bindings => {
                let described = bindings
                    .iter()
                    .map(|binding| describe(binding, remote.wall_ms()));
                described.collect::<Vec<_>>().join("\n")
            }
        };
        return Ok(Output::of(remote.get("/v1/bindings").await?, all));
    };
    check_name(name)?;
    let answer = remote.get(&path_of(name)).await?;
    Ok(Output::of(answer, |answer| {
        describe(answer, remote.wall_ms())
    }))
}

fn list(answer: &Value) -> String {
    let bindings = list_of(answer, "bindings");
    if bindings.is_empty() {
        return "there are no bindings; write one with `innkeeper binding set`\n".to_owned();
    }
    let mut rows = vec![
        ["NAME", "WORLD", "ACTIVE", "STATE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for binding in bindings {
        rows.push(vec![
            text_of(binding, "name").to_owned(),
            text_of(binding, "world").to_owned(),
            short(text_of(binding, "active")),
            state(binding),
        ]);
    }
    table(&rows)
}

/// The state in a few words, which say whether an operator has to act.
fn state(binding: &Value) -> String {
    if binding["activation_error"].is_string() {
        return "not activated: see its status".to_owned();
    }
    if binding["pending"] == true {
        return format!("{} is being activated", short(text_of(binding, "wished")));
    }
    match text_of(binding, "breaker") {
        "open" => "FAILING: hardly invoked any more".to_owned(),
        "backing-off" => "failed; is tried again".to_owned(),
        _ => "good".to_owned(),
    }
}

fn describe(binding: &Value, now_ms: u64) -> String {
    let number = |field: &str| number_of(binding, field);
    let mut rows = vec![
        ("world", text_of(binding, "world").to_owned()),
        ("wished", text_of(binding, "wished").to_owned()),
        (
            "active",
            match binding["activation"].as_u64() {
                Some(activation) => {
                    format!("{} since zxid {activation:#x}", text_of(binding, "active"))
                }
                None => "nothing yet".to_owned(),
            },
        ),
        ("state", state(binding)),
    ];
    if let Some(error) = binding["activation_error"].as_str() {
        rows.push(("not activated", error.to_owned()));
    }
    if text_of(binding, "world") == "recipe" {
        rows.push(("queued", count(number("queued"), "event")));
    }
    rows.push((
        "invoked",
        format!(
            "{}, {} of them failed, {} ran again after a conflict",
            count(number("invocations") + number("failures"), "time"),
            number("failures"),
            number("conflicts"),
        ),
    ));
    if number("last_fuel") > 0 {
        let memory = size(number("last_memory_bytes"));
        rows.push((
            "last used",
            format!("{} fuel, {memory} of memory", number("last_fuel")),
        ));
    }
    if number("cascades_cut") > 0 {
        rows.push((
            "cascades cut",
            format!(
                "{}: recipes trigger each other without end",
                count(number("cascades_cut"), "time")
            ),
        ));
    }
    if let Some(error) = binding["last_error"].as_str() {
        let ago = span(now_ms.saturating_sub(number("last_error_ms")));
        let at = text_of(binding, "last_error_at");
        rows.push(("last error", format!("{at}, {ago} ago: {error}")));
    }
    let (lines, errors) = (number("log_dropped"), number("errors_dropped"));
    if lines + errors > 0 {
        let missing = format!(
            "{} and {} were too many for the node's log and are not in it",
            count(lines, "message"),
            count(errors, "error"),
        );
        rows.push(("not logged", missing));
    }
    let mut text = format!("{}\n{}", text_of(binding, "name"), facts(&rows));
    let log = list_of(binding, "log");
    if !log.is_empty() {
        text.push_str("  log\n");
        for line in log.iter().filter_map(Value::as_str) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_help_is_a_document() {
        let (_, example) = FIELDS.split_once("Example:\n").expect("an example");
        let example = example.replace("...", &"0".repeat(64));
        Definition::parse(example.as_bytes()).expect("a document");
    }

    #[test]
    fn the_help_names_every_limit() {
        for limit in innkeeper_tree::binding::Limits::FIELDS {
            assert!(
                FIELDS.contains(&format!("\"{}\": ", limit.name)),
                "{}",
                limit.name
            );
        }
    }
}
