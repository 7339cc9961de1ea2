//! `innkeeper binding`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use hyper::Method;
use innkeeper_tree::binding::{Definition, check_name};
use serde_json::Value;

use super::remote::{AskError, Remote, Target, quote};
use super::text::{count, facts, json_text, list_of, number_of, short, size, span, table, text_of};
use super::{module, read_file};

/// What a document may say, for `innkeeper help binding`.
const FIELDS: &str = r#"A binding is a JSON document in /innkeeper/bindings/NAME, and any ZooKeeper client that may
write there can write it. Only `world` and `module` must be there:
  world       recipe, assignor or authorizer
  module      sha256:..., as `module push` printed it
  watch       recipe: changes of which paths it reacts to; authorizer: requests to which paths
              it decides
  read        recipe: what it may read besides
  write       recipe: what it may write
  policy      authorizer: what it may read to decide by
  config      any JSON, for the guest
  limits      {"fuel": ..., "memory_bytes": ..., "queue": ..., "transaction_ops": ...,
              "transaction_bytes": ..., "output_bytes": ..., "host_calls": ...,
              "calls_per_second": ..., "time_ms": ...}
  on_failure  authorizer: deny (the default) or allow
A path is literal segments, * for one segment, a final ** for all below. Example:
  {"world": "recipe", "module": "sha256:...", "watch": ["/groups/**"],
   "write": ["/groups/*/assignments/**", "/groups/*/generation"],
   "config": {"groups": "/groups"}}"#;

#[derive(Debug, Args)]
#[command(after_help = FIELDS)]
pub(in crate::cli) struct BindingArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

impl BindingArgs {
    pub(super) fn split(self) -> (Target, What) {
        (self.target, self.what)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Write a binding's document and wait until it acts
    Set {
        /// The binding
        name: String,
        /// The document; - is stdin
        file: PathBuf,
        /// Do not wait until it acts
        #[arg(long)]
        no_wait: bool,
    },
    /// Say whether a document would be taken, and if not, why; without a node, its form alone
    Check {
        /// The binding that it is for, if there are two arguments, and the document; - is stdin
        #[arg(value_names = ["NAME] [FILE"], num_args = 1..=2, required = true)]
        name_and_file: Vec<PathBuf>,
    },
    /// Show how a binding is: what is wished and active, the last error, the guest's log
    Status {
        /// The binding; without it, all
        name: Option<String>,
        /// Print the node's JSON
        #[arg(long)]
        json: bool,
    },
    /// List all bindings
    List,
    /// Delete a binding
    Delete {
        /// The binding
        name: String,
    },
}

pub(super) async fn run(remote: Remote, what: What) -> anyhow::Result<Vec<u8>> {
    let text = match what {
        What::Set {
            name,
            file,
            no_wait,
        } => set(&remote, &name, read_file(&file)?, no_wait).await?,
        What::Check { mut name_and_file } => {
            let file = name_and_file
                .pop()
                .ok_or_else(|| anyhow!("name the document's file"))?;
            let name = name_and_file
                .pop()
                .map(|name| name.to_string_lossy().into_owned());
            check(&remote, name.as_deref(), read_file(&file)?).await?
        }
        What::Status { name, json } => status(&remote, name.as_deref(), json).await?,
        What::List => list(&remote.get("/v1/bindings").await?),
        What::Delete { name } => {
            check_name(&name)?;
            let deleted = remote
                .ask(Method::DELETE, &path_of(&name), Vec::new())
                .await?;
            format!(
                "{name}: deleted at zxid {:#x}\n",
                number_of(&deleted, "zxid")
            )
        }
    };
    Ok(text.into_bytes())
}

fn path_of(name: &str) -> String {
    format!("/v1/bindings/{}", quote(name))
}

async fn set(
    remote: &Remote,
    name: &str,
    document: Vec<u8>,
    no_wait: bool,
) -> anyhow::Result<String> {
    check_name(name)?;
    let query = if no_wait { "" } else { "?wait=activated" };
    let path = format!("{}{query}", path_of(name));
    let set = remote.ask(Method::PUT, &path, document).await?;
    let done = if set["created"] == true {
        "created"
    } else {
        "changed"
    };
    let module = module::named(&set);
    Ok(match set["activation"].as_u64() {
        Some(activation) => format!("{name}: {done}; {module} acts since zxid {activation:#x}\n"),
        None => format!(
            "{name}: {done}; {module} is wished for, see `innkeeper binding status {name}`\n"
        ),
    })
}

/// The form is judged here, so that it is judged without a node, too; the rest is the node's.
async fn check(remote: &Remote, name: Option<&str>, document: Vec<u8>) -> anyhow::Result<String> {
    if let Some(name) = name {
        check_name(name)?;
    }
    let definition = Definition::parse(&document)?;
    let query = name
        .map(|name| format!("?name={}", quote(name)))
        .unwrap_or_default();
    let path = format!("/v1/bindings/check{query}");
    match remote.ask(Method::POST, &path, document).await {
        Ok(checked) => Ok(format!(
            "the document is good: {}\n",
            module::named(&checked)
        )),
        Err(AskError::NoNode(why)) => Ok(format!(
            "the document's form is good; whether {} is known was not checked, since {why}\n",
            definition.module
        )),
        Err(error) => Err(error.into()),
    }
}

async fn status(remote: &Remote, name: Option<&str>, json: bool) -> anyhow::Result<String> {
    let path = match name {
        Some(name) => {
            check_name(name)?;
            path_of(name)
        }
        None => "/v1/bindings".to_owned(),
    };
    if json {
        return Ok(json_text(&remote.get_raw(&path).await?));
    }
    let answer = remote.get(&path).await?;
    Ok(match name {
        Some(_) => shown(&answer, remote.wall_ms()),
        None if list_of(&answer, "bindings").is_empty() => list(&answer),
        None => list_of(&answer, "bindings")
            .iter()
            .map(|binding| shown(binding, remote.wall_ms()))
            .collect::<Vec<_>>()
            .join("\n"),
    })
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

/// In a few words, whether somebody has to look.
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

fn shown(binding: &Value, now_ms: u64) -> String {
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
    if let Some(error) = binding["last_error"].as_str() {
        let ago = span(now_ms.saturating_sub(number("last_error_ms")));
        rows.push(("last error", format!("{ago} ago: {error}")));
    }
    let (lines, errors) = (number("log_dropped"), number("errors_dropped"));
    if lines + errors > 0 {
        let missing = format!(
            "{} and {} that the node's log does not have: there were too many",
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
