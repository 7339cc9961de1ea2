//! `innkeeper znode`: reads and writes znodes as the operator, whom no ACL and no authorizer stops.

use std::io::{self, IsTerminal};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use hyper::Method;
use innkeeper_tree::path;
use innkeeper_tree::text::piece;
use serde_json::{Value, json};

use super::output::Output;
use super::read_file;
use super::remote::{Remote, quote};
use super::text::{facts, for_reader, list_of, number_of, text_of};

#[derive(Debug, Args)]
pub(crate) struct ZnodeArgs {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Print a znode's data, byte for byte; on a terminal, control characters are escaped
    Get {
        /// The znode's path
        path: String,
    },
    /// Print a znode's Stat and ACL
    Stat {
        /// The znode's path
        path: String,
    },
    /// List a znode's children
    Ls {
        /// The znode's path
        path: String,
    },
    /// Create a znode with an ACL open to everyone, and print its path
    Create {
        /// The znode's path
        path: String,
        /// Its data; - reads stdin [default: empty]
        data: Option<String>,
        /// Append a sequence number to its name
        #[arg(long)]
        sequential: bool,
    },
    /// Set a znode's data
    Set {
        /// The znode's path
        path: String,
        /// Its data; - reads stdin
        data: String,
        /// Fail unless the znode has this version
        #[arg(long)]
        version: Option<i32>,
    },
    /// Set a znode's ACL
    SetAcl {
        /// The znode's path
        path: String,
        /// Entries SCHEME:ID:PERMS, as in world:anyone:r or ip:10.0.0.0/8:cdrwa
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Delete a znode that has no children
    Delete {
        /// The znode's path
        path: String,
        /// Fail unless the znode has this version
        #[arg(long)]
        version: Option<i32>,
    },
}

pub(super) async fn run(remote: Remote, what: What) -> anyhow::Result<Output> {
    Ok(match what {
        What::Get { path } => {
            let znode = remote.get(&url("", &path, None)?).await?;
            let data = match znode["data"].as_str() {
                Some(data) => STANDARD
                    .decode(data)
                    .context("the node's answer is not base64")?,
                None => Vec::new(),
            };
            Output::new(for_reader(data, io::stdout().is_terminal()), znode)
        }
        What::Stat { path } => Output::of(remote.get(&url("", &path, None)?).await?, stat),
        What::Ls { path } => {
            let answer = remote.get(&url("/children", &path, None)?).await?;
            let names = list_of(&answer, "children")
                .iter()
                .filter_map(Value::as_str);
            let lines: String = names.flat_map(|name| [name, "\n"]).collect();
            let text = for_reader(lines.into_bytes(), io::stdout().is_terminal());
            Output::new(text, answer)
        }
        What::Create {
            path,
            data,
            sequential,
        } => {
            let mode = if sequential {
                "&mode=persistent-sequential"
            } else {
                ""
            };
            let url = format!("{}{mode}", url("", &path, None)?);
            let created = remote.send(Method::POST, &url, bytes_of(data)?).await?;
            Output::of(created, |created| format!("{}\n", text_of(created, "path")))
        }
        What::Set {
            path,
            data,
            version,
        } => {
            let url = url("", &path, version)?;
            let set = remote
                .send(Method::PUT, &url, bytes_of(Some(data))?)
                .await?;
            Output::of(set, |set| {
                let version = number_of(&set["stat"], "version");
                format!("{}: set, version {version}\n", text_of(set, "path"))
            })
        }
        What::SetAcl { path, entries } => {
            let grants = entries
                .iter()
                .map(|entry| grant(entry))
                .collect::<Result<Vec<_>, _>>()?;
            let body = Value::from(grants).to_string().into_bytes();
            let url = url("/acl", &path, None)?;
            let set = remote.send(Method::PUT, &url, body).await?;
            Output::of(set, |set| format!("{}: ACL set\n", text_of(set, "path")))
        }
        What::Delete { path, version } => {
            let url = url("", &path, version)?;
            let deleted = remote.send(Method::DELETE, &url, Vec::new()).await?;
            Output::of(deleted, |deleted| {
                format!("{}: deleted\n", text_of(deleted, "path"))
            })
        }
    })
}

/// The URL of a znode at the node. An invalid path is an error here, before a node is asked.
fn url(what: &str, path: &str, version: Option<i32>) -> anyhow::Result<String> {
    if !path::is_valid(path) {
        bail!(
            "`{}` is not a path; begin it with `/`, put one `/` between names, end it without one, and use no `.` or `..`",
            piece(path)
        );
    }
    let version = version
        .map(|version| format!("&version={version}"))
        .unwrap_or_default();
    Ok(format!("/v1/znodes{what}?path={}{version}", quote(path)))
}

fn bytes_of(data: Option<String>) -> anyhow::Result<Vec<u8>> {
    match data {
        Some(data) if data == "-" => read_file(data.as_ref()),
        Some(data) => Ok(data.into_bytes()),
        None => Ok(Vec::new()),
    }
}

/// `scheme:id:perms`; the id may contain colons (`digest:user:hash:cdrwa`, `ip:fe80::/10:r`).
fn grant(entry: &str) -> anyhow::Result<Value> {
    let parts = entry.split_once(':').and_then(|(scheme, rest)| {
        let (id, perms) = rest.rsplit_once(':')?;
        Some(json!({"scheme": scheme, "id": id, "perms": perms}))
    });
    parts.with_context(|| {
        let entry = piece(entry);
        format!("`{entry}` is no ACL entry; write SCHEME:ID:PERMS, as in world:anyone:cdrwa")
    })
}

fn stat(znode: &Value) -> String {
    let stat = &znode["stat"];
    let number = |field: &str| stat[field].as_i64().unwrap_or(0);
    let zxid = |field: &str| format!("{:#x}", number(field));
    let mut rows = vec![
        (
            "data",
            match znode["data"] {
                Value::Null => "null".to_owned(),
                _ => format!(
                    "{} bytes, version {}",
                    number("dataLength"),
                    number("version")
                ),
            },
        ),
        (
            "children",
            format!("{}, version {}", number("numChildren"), number("cversion")),
        ),
        (
            "created",
            format!("{} at zxid {}", text_of(znode, "created"), zxid("czxid")),
        ),
        (
            "modified",
            format!("{} at zxid {}", text_of(znode, "modified"), zxid("mzxid")),
        ),
        ("children set", format!("at zxid {}", zxid("pzxid"))),
    ];
    if number("ephemeralOwner") != 0 {
        rows.push(("ephemeral of", zxid("ephemeralOwner")));
    }
    for entry in list_of(znode, "acl") {
        let (scheme, id) = (text_of(entry, "scheme"), text_of(entry, "id"));
        rows.push(("acl", format!("{scheme}:{id}:{}", text_of(entry, "perms"))));
    }
    format!("{}\n{}", text_of(znode, "path"), facts(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_contain_colons() {
        let grant = grant("digest:ann:x+y=:cdrwa").expect("an entry");
        assert_eq!(
            grant,
            json!({"scheme": "digest", "id": "ann:x+y=", "perms": "cdrwa"})
        );
        assert!(super::grant("world:anyone").is_err());
    }

    #[test]
    fn what_is_no_path_is_refused_here() {
        assert_eq!(
            url("", "/a b", Some(3)).expect("a path"),
            "/v1/znodes?path=/a%20b&version=3"
        );
        let error = url("", "a/b", None).expect_err("no path").to_string();
        assert!(error.starts_with("`a/b` is not a path; "), "{error}");
    }
}
