//! **A persistent watch gets every event once, in order, and before the answers that show it.** On
//! one connection the events are those of all creates after the watch was set, in the order of
//! their zxids. An answer comes after the events up to its zxid, and before the later ones.

use innkeeper_tree::View;

use super::super::clients::CREATED;

/// What came on a connection.
#[derive(Debug)]
pub enum Heard {
    Created(String),
    Answer(i64),
}

/// What came on one connection after its watch was set.
#[derive(Debug)]
struct Stream {
    session: i64,
    /// The zxid of the answer, and how many events came before it: with setWatches2 the watch is set
    /// before the request is answered.
    set: (i64, usize),
    heard: Vec<Heard>,
}

/// All connections with a persistent watch.
#[derive(Default)]
pub struct Streams {
    all: Vec<Stream>,
}

impl Streams {
    /// The watch of a new connection is set.
    pub fn set(&mut self, session: i64, zxid: i64, before: usize) -> usize {
        self.all.push(Stream {
            session,
            set: (zxid, before),
            heard: Vec::new(),
        });
        self.all.len() - 1
    }

    pub fn hears(&mut self, stream: usize, what: Heard) {
        self.all[stream].heard.push(what);
    }

    /// Compares with the state at the end, from which nothing was deleted.
    pub fn check(&self, view: &View) {
        let names = view.children(CREATED).expect("it is there").names;
        let created = names.iter().map(|name| {
            let path = format!("{CREATED}/{name}");
            let (stat, _) = view.exists(&path).expect("it was listed");
            (stat.czxid, path)
        });
        let mut created: Vec<_> = created.collect();
        created.sort();
        let up_to = |zxid: i64| created.partition_point(|(czxid, _)| *czxid <= zxid);
        for stream in &self.all {
            let session = stream.session;
            let (zxid, before) = stream.set;
            let first = up_to(zxid).checked_sub(before);
            let mut next = first.expect("no more events than there were creates");
            for heard in &stream.heard {
                match heard {
                    Heard::Created(path) => {
                        let expected = created.get(next).map(|(_, path)| path);
                        assert_eq!(Some(path), expected, "an event of session {session:#x}");
                        next += 1;
                    }
                    Heard::Answer(zxid) => assert_eq!(
                        next,
                        up_to(*zxid),
                        "events of session {session:#x} before an answer of {zxid}"
                    ),
                }
            }
        }
    }
}
