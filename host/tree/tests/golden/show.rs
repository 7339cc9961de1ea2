//! How values are written in scripts.

use std::collections::BTreeMap;

use innkeeper_proto::{Acl, Perms, Stat};
use innkeeper_tree::Zxid;

/// Names zxids in the order of their appearance.
#[derive(Default)]
pub struct Labels {
    by_zxid: BTreeMap<u64, String>,
}

impl Labels {
    pub fn zxid(&mut self, zxid: u64) -> String {
        if zxid == 0 {
            return "0".to_owned();
        }
        let next = format!("z{}", self.by_zxid.len() + 1);
        self.by_zxid.entry(zxid).or_insert(next).clone()
    }

    pub fn find(&self, label: &str) -> Option<Zxid> {
        self.by_zxid
            .iter()
            .find(|(_, known)| *known == label)
            .map(|(zxid, _)| Zxid(*zxid))
    }
}

pub fn stat(stat: &Stat, owner: &str, labels: &mut Labels) -> String {
    let mut zxid = |zxid: i64| labels.zxid(zxid as u64);
    let (czxid, mzxid, pzxid) = (zxid(stat.czxid), zxid(stat.mzxid), zxid(stat.pzxid));
    format!(
        "version={} cversion={} aversion={} owner={owner} length={} children={} czxid={czxid} mzxid={mzxid} pzxid={pzxid}",
        stat.version, stat.cversion, stat.aversion, stat.data_length, stat.num_children
    )
}

pub fn data(data: Option<&[u8]>) -> String {
    match data {
        None => "null".to_owned(),
        Some(data) => format!("'{}'", String::from_utf8_lossy(data)),
    }
}

pub fn acl(acl: &[Acl]) -> String {
    let entries: Vec<String> = acl
        .iter()
        .map(|entry| format!("{}:{}:{}", &*entry.scheme, &*entry.id, entry.perms))
        .collect();
    entries.join(",")
}

/// `scheme:id:perms`, several with commas between.
pub fn parse_acl(text: &str) -> Result<Vec<Acl>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|entry| {
            let (rest, letters) = entry
                .rsplit_once(':')
                .ok_or("an ACL entry is scheme:id:perms")?;
            let (scheme, id) = rest
                .split_once(':')
                .ok_or("an ACL entry is scheme:id:perms")?;
            let perms = letters.chars().try_fold(Perms::NONE, |perms, letter| {
                Ok::<_, String>(
                    perms
                        | match letter {
                            'r' => Perms::READ,
                            'w' => Perms::WRITE,
                            'c' => Perms::CREATE,
                            'd' => Perms::DELETE,
                            'a' => Perms::ADMIN,
                            other => return Err(format!("unknown permission {other}")),
                        },
                )
            })?;
            Ok(Acl::new(perms, scheme, id))
        })
        .collect()
}
