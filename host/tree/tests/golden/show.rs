//! How values are written in scripts.

use std::collections::BTreeMap;

use innkeeper_proto::{Acl, Perms, Stat};
use innkeeper_tree::Zxid;
use innkeeper_tree::applied::{Conflict, Outcome, SessionResult, TicketResult};
use innkeeper_tree::owner::Owner;

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

pub fn owner(owner: Option<Owner>) -> String {
    match owner {
        None => "None\n".to_owned(),
        Some(Owner::Nobody) => "Some(Nobody)\n".to_owned(),
        Some(Owner::Session(session)) => format!("Some(Session({session}))\n"),
        Some(Owner::Container) => "Some(Container)\n".to_owned(),
        Some(Owner::Ttl { ttl_ms }) => format!("Some(Ttl {{ ttl_ms: {ttl_ms} }})\n"),
    }
}

/// Names in quotes, with commas between.
pub fn list<T: std::ops::Deref<Target = str>>(names: &[T]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("\"{}\"", &**name))
        .collect();
    quoted.join(", ")
}

pub fn names<T: std::ops::Deref<Target = str>>(names: &[T]) -> String {
    format!("[{}]", list(names))
}

/// What came of a command whose reply is not shown otherwise.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Nobody => "Nobody".to_owned(),
        Outcome::Session { result, .. } => session_result(result).to_owned(),
        Outcome::Ticket { result, .. } => ticket_result(result),
    }
}

fn session_result(result: &SessionResult) -> &'static str {
    match result {
        SessionResult::Done(_) => panic!("its reply is shown"),
        SessionResult::Duplicate => "Duplicate",
        SessionResult::Gap => "Gap",
        SessionResult::Bounced => "Bounced",
        SessionResult::Moved => "Moved",
        SessionResult::Expired => "Expired",
    }
}

fn ticket_result(result: &TicketResult) -> String {
    match result {
        TicketResult::Attached { attachment, .. } => format!("Attached {attachment}"),
        TicketResult::NoSession => "NoSession".to_owned(),
        TicketResult::Admin(_) => panic!("its reply is shown"),
        TicketResult::Committed => "Committed".to_owned(),
        TicketResult::Conflict(conflict) => format!("Conflict({})", self::conflict(conflict)),
        TicketResult::Rejected(error, why) => format!("Rejected({}, \"{why}\")", error.name()),
        TicketResult::Registered => "Registered".to_owned(),
        TicketResult::Activated => "Activated".to_owned(),
        TicketResult::Void => "Void".to_owned(),
        TicketResult::NoPlace => "NoPlace".to_owned(),
        TicketResult::Configured(Ok(_)) => "Configured".to_owned(),
        TicketResult::Configured(Err(error)) => format!("Configured({})", error.name()),
    }
}

fn conflict(conflict: &Conflict) -> String {
    match conflict {
        Conflict::Activation => "Activation".to_owned(),
        Conflict::Path(path) => format!("Path(\"{path}\")"),
        Conflict::Session(session) => format!("Session({session})"),
        Conflict::Ack => "Ack".to_owned(),
        Conflict::Assignor(name) => format!("Assignor(\"{name}\")"),
    }
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
