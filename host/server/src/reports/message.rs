//! The bodies of the questions between servers, and of their answers.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use innkeeper_tree::{Digest, SessionId};

use super::members::{Late, MemberLag};
use crate::expiry::Found;

const VERSION: u8 = 1;

// The kinds of questions. A released number never changes.
const REPORT: u8 = 1;
const ARE_SILENT: u8 = 2;
const HOLDS: u8 = 3;
const OF_GUESTS: u8 = 4;
const STORES: u8 = 5;
const LAGS: u8 = 6;
const PUSH: u8 = 7;

// The bits that say what a member's lag is. A released bit never changes.
const WAS_HEARD: u8 = 1;
const HAS_CONTACT: u8 = 2;
const SYNCED: u8 = 4;
const LATE_START: u8 = 8;
const LATE_BEHIND: u8 = 16;

/// The bytes of one member's lag.
const LAG_BYTES: usize = 33;

// What a node found. A released number never changes.
const SILENT: u8 = 0;
const LOOKING: u8 = 1;
const HEARD: u8 = 2;

/// The most sessions in one question: 512 KiB.
pub(crate) const SESSIONS_MAX: usize = 65_536;

/// A body is no question or answer that this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message between servers cannot be read: update the older node")]
pub(crate) struct NoMessage;

/// What one server asks another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// These sessions were heard since the last report.
    Report(Vec<SessionId>),
    /// The leader asks whether these sessions are silent.
    AreSilent(Vec<SessionId>),
    /// The leader asks whether the node holds what has this digest, ready for use.
    Holds(Digest),
    /// The guests' side of a node asks that of the leader.
    OfGuests(Bytes),
    /// A node that stores the module with this digest asks whether the other one stores it durably.
    Stores(Digest),
    /// How far is each member behind the leader?
    Lags,
    /// The guests' side of a node asks how far the push of that name is, which the other one may have
    /// taken.
    Push(Digest),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whether the node leads, its quorum acknowledges it, and it has noted the report.
    Acknowledged(bool),
    /// What was found of each session, in the question's order.
    Found(Vec<Found>),
    /// Whether the node holds it, ready for use.
    Holds(bool),
    /// What the guests' side answers; `None` if the node does not lead, or its quorum does not
    /// acknowledge it.
    OfGuests(Option<Bytes>),
    /// Whether the node stores the module durably. If not, it begins to fetch it.
    Stores(bool),
    /// What the leader knows of the other members; nothing from a node that does not lead.
    Lags(Vec<MemberLag>),
    /// What the guests' side answers; `None` if it does not know the push.
    Push(Option<Bytes>),
}

impl Question {
    pub(crate) fn encode(&self) -> Bytes {
        let (kind, sessions) = match self {
            Self::Report(sessions) => (REPORT, sessions),
            Self::AreSilent(sessions) => (ARE_SILENT, sessions),
            Self::Holds(digest) => {
                return [&[VERSION, HOLDS], &digest.0[..]].concat().into();
            }
            Self::Stores(digest) => {
                return [&[VERSION, STORES], &digest.0[..]].concat().into();
            }
            Self::OfGuests(question) => {
                return [&[VERSION, OF_GUESTS], &question[..]].concat().into();
            }
            Self::Lags => return Bytes::from_static(&[VERSION, LAGS]),
            Self::Push(id) => {
                return [&[VERSION, PUSH], &id.0[..]].concat().into();
            }
        };
        let mut out = BytesMut::with_capacity(2 + 8 * sessions.len());
        out.put_u8(VERSION);
        out.put_u8(kind);
        for session in sessions {
            out.put_u64_le(session.0);
        }
        out.freeze()
    }

    pub(crate) fn decode(mut body: &[u8]) -> Result<Self, NoMessage> {
        version(&mut body)?;
        let kind = body.try_get_u8().map_err(|_| NoMessage)?;
        if let HOLDS | STORES | PUSH = kind {
            let digest = Digest(body.try_into().map_err(|_| NoMessage)?);
            return Ok(match kind {
                HOLDS => Self::Holds(digest),
                STORES => Self::Stores(digest),
                _ => Self::Push(digest),
            });
        }
        if kind == OF_GUESTS {
            return Ok(Self::OfGuests(Bytes::copy_from_slice(body)));
        }
        if kind == LAGS && body.is_empty() {
            return Ok(Self::Lags);
        }
        if !body.len().is_multiple_of(8) || body.len() / 8 > SESSIONS_MAX {
            return Err(NoMessage);
        }
        let sessions = body
            .chunks_exact(8)
            .map(|mut id| SessionId(id.get_u64_le()));
        match kind {
            REPORT => Ok(Self::Report(sessions.collect())),
            ARE_SILENT => Ok(Self::AreSilent(sessions.collect())),
            _ => Err(NoMessage),
        }
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        match self {
            Self::Acknowledged(acknowledged) => {
                out.put_u8(REPORT);
                out.put_u8(u8::from(*acknowledged));
            }
            Self::Holds(holds) => {
                out.put_u8(HOLDS);
                out.put_u8(u8::from(*holds));
            }
            Self::Stores(stores) => {
                out.put_u8(STORES);
                out.put_u8(u8::from(*stores));
            }
            Self::OfGuests(answer) => {
                out.put_u8(OF_GUESTS);
                put_if_any(&mut out, answer);
            }
            Self::Push(answer) => {
                out.put_u8(PUSH);
                put_if_any(&mut out, answer);
            }
            Self::Lags(lags) => {
                out.put_u8(LAGS);
                lags.iter().for_each(|lag| put_lag(&mut out, lag));
            }
            Self::Found(found) => {
                out.put_u8(ARE_SILENT);
                out.extend(found.iter().map(|found| match found {
                    Found::Silent => SILENT,
                    Found::Looking => LOOKING,
                    Found::Heard => HEARD,
                }));
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(mut body: &[u8]) -> Result<Self, NoMessage> {
        version(&mut body)?;
        match body.try_get_u8().map_err(|_| NoMessage)? {
            REPORT => flag(body).map(Self::Acknowledged),
            HOLDS => flag(body).map(Self::Holds),
            STORES => flag(body).map(Self::Stores),
            OF_GUESTS => if_any(body).map(Self::OfGuests),
            PUSH => if_any(body).map(Self::Push),
            LAGS if body.len().is_multiple_of(LAG_BYTES) => {
                let lags = body.chunks_exact(LAG_BYTES).map(lag);
                lags.collect::<Result<_, _>>().map(Self::Lags)
            }
            ARE_SILENT => {
                let found = body.iter().map(|found| match *found {
                    SILENT => Ok(Found::Silent),
                    LOOKING => Ok(Found::Looking),
                    HEARD => Ok(Found::Heard),
                    _ => Err(NoMessage),
                });
                found.collect::<Result<_, _>>().map(Self::Found)
            }
            _ => Err(NoMessage),
        }
    }
}

fn put_lag(out: &mut BytesMut, lag: &MemberLag) {
    out.put_u64_le(lag.node);
    out.put_u64_le(lag.entries);
    out.put_u64_le(lag.heard_ms.unwrap_or_default());
    out.put_u64_le(lag.contact_ms.unwrap_or_default());
    let bits = [
        (WAS_HEARD, lag.heard_ms.is_some()),
        (HAS_CONTACT, lag.contact_ms.is_some()),
        (SYNCED, lag.synced),
        (LATE_START, lag.late == Some(Late::Start)),
        (LATE_BEHIND, lag.late == Some(Late::Behind)),
    ];
    let set = bits.into_iter().filter(|(_, is_set)| *is_set);
    out.put_u8(set.fold(0, |bits, (bit, _)| bits | bit));
}

fn lag(mut body: &[u8]) -> Result<MemberLag, NoMessage> {
    let mut number = || body.try_get_u64_le().map_err(|_| NoMessage);
    let (node, entries, heard_ms, contact_ms) = (number()?, number()?, number()?, number()?);
    let bits = body.try_get_u8().map_err(|_| NoMessage)?;
    let has = |bit| bits & bit != 0;
    Ok(MemberLag {
        node,
        entries,
        heard_ms: has(WAS_HEARD).then_some(heard_ms),
        contact_ms: has(HAS_CONTACT).then_some(contact_ms),
        synced: has(SYNCED),
        late: match (has(LATE_START), has(LATE_BEHIND)) {
            (false, false) => None,
            (true, false) => Some(Late::Start),
            (false, true) => Some(Late::Behind),
            (true, true) => return Err(NoMessage),
        },
    })
}

fn put_if_any(out: &mut BytesMut, answer: &Option<Bytes>) {
    out.put_u8(u8::from(answer.is_some()));
    out.put_slice(answer.as_deref().unwrap_or_default());
}

fn if_any(body: &[u8]) -> Result<Option<Bytes>, NoMessage> {
    match body.split_first() {
        Some((0, [])) => Ok(None),
        Some((1, answer)) => Ok(Some(Bytes::copy_from_slice(answer))),
        _ => Err(NoMessage),
    }
}

fn flag(body: &[u8]) -> Result<bool, NoMessage> {
    match body {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(NoMessage),
    }
}

fn version(body: &mut &[u8]) -> Result<(), NoMessage> {
    match body.try_get_u8() {
        Ok(VERSION) => Ok(()),
        _ => Err(NoMessage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One lag of each kind.
    fn lags() -> Vec<MemberLag> {
        let lag = MemberLag {
            node: u64::MAX,
            entries: 3,
            heard_ms: None,
            contact_ms: None,
            synced: false,
            late: None,
        };
        vec![
            lag,
            MemberLag {
                heard_ms: Some(0),
                contact_ms: Some(1_700_000_000_000),
                synced: true,
                ..lag
            },
            MemberLag {
                late: Some(Late::Start),
                ..lag
            },
            MemberLag {
                late: Some(Late::Behind),
                ..lag
            },
        ]
    }

    #[test]
    fn messages_are_read_back_and_others_are_refused() {
        let sessions = vec![SessionId(1), SessionId(u64::MAX)];
        for question in [
            Question::Report(Vec::new()),
            Question::Report(sessions.clone()),
            Question::AreSilent(sessions),
            Question::Holds(Digest([7; 32])),
            Question::Stores(Digest([8; 32])),
            Question::OfGuests(Bytes::from_static(b"how")),
            Question::Lags,
            Question::Push(Digest([9; 32])),
        ] {
            assert_eq!(Question::decode(&question.encode()), Ok(question));
        }
        for answer in [
            Answer::Acknowledged(true),
            Answer::Acknowledged(false),
            Answer::Holds(true),
            Answer::Holds(false),
            Answer::Stores(true),
            Answer::Stores(false),
            Answer::OfGuests(None),
            Answer::OfGuests(Some(Bytes::from_static(b"so"))),
            Answer::Push(None),
            Answer::Push(Some(Bytes::from_static(b"far"))),
            Answer::Lags(Vec::new()),
            Answer::Lags(lags()),
            Answer::Found(vec![Found::Silent, Found::Looking, Found::Heard]),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
        let too_many = Question::Report(vec![SessionId(1); SESSIONS_MAX + 1]).encode();
        let wrong: [&[u8]; 10] = [
            b"",
            b"\x01",
            b"\x02\x01",
            b"\x01\x09",
            b"\x01\x06x",
            b"\x01\x07x",
            b"\x01\x01abc",
            b"\x01\x02\x03",
            b"\x01\x0312345678",
            &too_many,
        ];
        for body in wrong {
            assert_eq!(Question::decode(body), Err(NoMessage));
        }
        let mut both = Answer::Lags(lags()).encode().to_vec();
        let last = both.len() - 1;
        both[last] |= LATE_START;
        for body in [
            &b""[..],
            &both,
            &both[..last],
            b"\x01",
            b"\x02\x01\x00",
            b"\x01\x01",
            b"\x01\x01\x02",
            b"\x01\x02\x03",
            b"\x01\x03\x02",
            b"\x01\x04",
            b"\x01\x04\x00so",
            b"\x01\x04\x02",
            b"\x01\x07",
            b"\x01\x07\x00far",
        ] {
            assert_eq!(Answer::decode(body), Err(NoMessage));
        }
    }
}
