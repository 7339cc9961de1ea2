//! Scenes with an authorizer for all paths, and changes of its policy.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use zookeeper_client as zk;

use super::Stage;
use crate::group::open_to_all;
use crate::probe::ms;
use crate::record::{Flipped, Refused};
use crate::stage::bind;

/// The name of the authorizer's binding.
const BINDING: &str = "rules";

/// The policy. Every client may read it; only the operator may change it.
const POLICY: &str = "/policies/main";

/// The znode that the policy protects. Its ACL lets every client write it.
const PROTECTED: &str = "/settings/retention";

/// The number of policy changes; an even one, so that the last change allows the write.
const CHANGES: usize = 20;

const FORBIDS: &[u8] =
    br#"{"default": "allow", "rules": [{"effect": "deny", "operations": ["write"], "path": "/settings/**"}]}"#;
const ALLOWS: &[u8] = br#"{"default": "allow", "rules": []}"#;

pub(super) async fn refuse(stage: &mut Stage<'_>) -> anyhow::Result<Refused> {
    let acl = [
        zk::Acl::new(zk::Permission::ALL, zk::AuthId::new("auth", "")),
        zk::Acl::new(zk::Permission::READ, zk::AuthId::anyone()),
    ];
    let of_operator = zk::CreateMode::Persistent.with_acls(zk::Acls::new(&acl));
    for (path, data, options) in [
        ("/settings", &b""[..], &open_to_all()),
        (PROTECTED, b"7d", &open_to_all()),
        ("/policies", b"", &of_operator),
        (POLICY, FORBIDS, &of_operator),
    ] {
        let created = stage.operator.create(path, data, options).await;
        created.with_context(|| format!("{path} cannot be created"))?;
    }
    let visitor = &stage.visitor;
    let allowed = visitor.set_data(PROTECTED, b"8d", None).await;
    let version = allowed
        .with_context(|| format!("{PROTECTED} cannot be written"))?
        .version;
    let document = json!({
        "world": "authorizer",
        "watch": ["/**"],
        "policy": [POLICY],
        "config": {"rules": POLICY},
    });
    let binding = bind(
        &stage.admin,
        &stage.modules,
        BINDING,
        "path-rules",
        document,
    )
    .await?;
    let error = match visitor.set_data(PROTECTED, b"9d", None).await {
        Err(error @ zk::Error::NoAuth) => format!("{error:?}"),
        Err(error) => {
            return Err(error).with_context(|| {
                format!("the write to {PROTECTED} failed for another reason than the authorizer")
            });
        }
        Ok(_) => bail!("the authorizer did not refuse the write to {PROTECTED}"),
    };
    let (data, _) = visitor
        .get_data(PROTECTED)
        .await
        .with_context(|| format!("{PROTECTED} cannot be read"))?;
    ensure!(
        data == b"8d",
        "the refused write to {PROTECTED} took effect"
    );
    Ok(Refused {
        binding,
        policy: POLICY,
        path: PROTECTED,
        version,
        error,
        may_read: true,
    })
}

pub(super) async fn flip(stage: &mut Stage<'_>) -> anyhow::Result<Flipped> {
    let (operator, visitor) = (&stage.operator, &stage.visitor);
    let (mut allowed, mut refused) = (0, 0);
    let mut slowest = Duration::ZERO;
    let mut last = None;
    for change in 0..CHANGES {
        // The first change forbids the write.
        let allows = change % 2 == 1;
        let policy = if allows { ALLOWS } else { FORBIDS };
        let flipped = operator.set_data(POLICY, policy, None).await;
        let flipped = flipped.with_context(|| format!("{POLICY} cannot be written"))?;
        // The two clients may be at different nodes, and the visitor does not sync.
        let asked = Instant::now();
        let answer = visitor
            .set_data(PROTECTED, format!("{change}d").as_bytes(), None)
            .await;
        slowest = slowest.max(asked.elapsed());
        match answer {
            Ok(written) if allows => {
                allowed += 1;
                last = Some((flipped, written));
            }
            Err(zk::Error::NoAuth) if !allows => refused += 1,
            Ok(_) => bail!("a write was allowed after the reply to the change that forbids it"),
            Err(error) => {
                return Err(error)
                    .context("a write failed after the reply to the change that allows it");
            }
        }
    }
    let (flipped, written) = last.context("no write was allowed")?;
    Ok(Flipped {
        policy: POLICY,
        policy_version: flipped.version,
        path: PROTECTED,
        version: written.version,
        changes: CHANGES,
        allowed,
        refused,
        last_change_zxid: flipped.mzxid,
        last_write_zxid: written.mzxid,
        slowest_ms: ms(slowest),
    })
}
