//! Fills a group with znodes, whatever becomes of its connections.
//!
//! 1. Each of [`FILLERS`] creates its own znodes, numbered from 0 on, with [`DEPTH`] creates in
//!    flight. Replies come in the order of the requests, so it knows up to which number all are there.
//! 2. If its connection breaks, it opens a session at the next server, and goes on from the first
//!    create that was not answered. What was in flight may be there already: of these numbers, and of
//!    no others, NodeExists is as good as a reply to a create.
//! 3. It gives up when no create was answered for [`STALLED_AFTER`].

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::group::PAUSE;
use crate::load;
use crate::wire::{self, Connection};

/// Connections that create, dealt to the servers in turn.
const FILLERS: usize = 12;
/// Requests in flight on each.
const DEPTH: u64 = 64;
/// How long no create may be answered.
const STALLED_AFTER: Duration = Duration::from_secs(120);
/// The data of each znode.
const DATA: [u8; 100] = [b'x'; 100];

const NODE_EXISTS: i32 = -110;
const SESSION_EXPIRED: i32 = -112;
const SESSION_MOVED: i32 = -118;

/// A group that was filled.
#[derive(Debug)]
pub struct Filled {
    /// How many connections broke meanwhile.
    pub broken: u64,
    /// The path of the znode that the last filler made last.
    pub last: String,
}

/// Creates so many znodes, or a few more, in a group that has none of them.
pub async fn fill(addresses: &[String], znodes: u64) -> anyhow::Result<Filled> {
    let root = load::root(0);
    let each = znodes.div_ceil(FILLERS as u64);
    let mut last = String::new();
    let mut prepared = Vec::new();
    let first = addresses.first().context("no server is named")?;
    let mut setup = Connection::open(first).await?;
    setup.call(wire::CREATE, wire::create(&root, b"")).await?;
    for filler in 0..FILLERS {
        let folder = format!("{root}/{filler}");
        let made = setup.call(wire::CREATE, wire::create(&folder, b""));
        made.await?;
        last = format!("{folder}/{}", each.saturating_sub(1));
        prepared.push(Filler {
            addresses: addresses.to_vec(),
            next_address: filler,
            folder,
            each,
            answered: 0,
            sent: 0,
            broken: 0,
            progress: Instant::now(),
        });
    }
    setup.call(wire::CLOSE, |_| {}).await?;
    let mut fillers = JoinSet::new();
    for filler in prepared {
        fillers.spawn(filler.run());
    }
    let mut broken = 0;
    while let Some(done) = fillers.join_next().await {
        broken += done??;
    }
    Ok(Filled { broken, last })
}

/// Creates the znodes below one.
///
/// Invariant: the znodes with numbers below `answered` are there, and none from `sent` on.
struct Filler {
    addresses: Vec<String>,
    /// The place of the server at which the next session is opened.
    next_address: usize,
    folder: String,
    each: u64,
    answered: u64,
    /// One more than the highest number that was sent.
    sent: u64,
    broken: u64,
    /// When a create was answered last.
    progress: Instant,
}

/// Why a session does not go on.
enum Ended {
    /// The connection broke, or the session ended.
    Broken(anyhow::Error),
    /// The server answers what it should not.
    Wrong(anyhow::Error),
}

impl Filler {
    /// Creates all; returns how many connections broke.
    async fn run(mut self) -> anyhow::Result<u64> {
        while self.answered < self.each {
            let address = self.addresses[self.next_address % self.addresses.len()].clone();
            self.next_address += 1;
            match self.session(&address).await {
                Ok(()) => {}
                Err(Ended::Wrong(error)) => return Err(error),
                Err(Ended::Broken(error)) => {
                    self.broken += 1;
                    if self.progress.elapsed() > STALLED_AFTER {
                        let (answered, folder) = (self.answered, &self.folder);
                        return Err(error.context(format!(
                            "no create below {folder} was answered for {} s, after {answered}",
                            STALLED_AFTER.as_secs()
                        )));
                    }
                    sleep(PAUSE).await;
                }
            }
        }
        Ok(self.broken)
    }

    /// Goes on over a new session.
    async fn session(&mut self, address: &str) -> Result<(), Ended> {
        let open = within(Connection::open(address));
        let mut connection = open.await.map_err(Ended::Broken)?;
        // What the sessions before it may have created.
        let unknown = self.sent;
        let mut queued = self.answered;
        while self.answered < self.each {
            while queued < self.each && queued < self.answered + DEPTH {
                let path = format!("{}/{queued}", self.folder);
                connection.queue(wire::CREATE, wire::create(&path, &DATA));
                queued += 1;
            }
            self.sent = self.sent.max(queued);
            let flush = within(connection.flush());
            flush.await.map_err(Ended::Broken)?;
            loop {
                let reply = within(connection.receive());
                let reply = reply.await.map_err(Ended::Broken)?;
                self.take(reply.error, unknown)?;
                if !connection.has_buffered() {
                    break;
                }
            }
        }
        let closed = within(connection.call(wire::CLOSE, |_| {}));
        // All are there.
        let _ = closed.await;
        Ok(())
    }

    /// Takes the reply to the first create that was not answered. Those with numbers below `unknown`
    /// may have been created before.
    fn take(&mut self, error: i32, unknown: u64) -> Result<(), Ended> {
        let number = self.answered;
        match error {
            0 => {}
            NODE_EXISTS if number < unknown => {}
            SESSION_EXPIRED | SESSION_MOVED => {
                let ended = anyhow!("the session has ended ({error})");
                return Err(Ended::Broken(ended));
            }
            other => {
                let folder = &self.folder;
                let wrong = anyhow!("the create of {folder}/{number} failed with {other}");
                return Err(Ended::Wrong(wrong));
            }
        }
        self.answered += 1;
        self.progress = Instant::now();
        Ok(())
    }
}

/// Waits no longer than a create may take to be answered.
async fn within<T>(done: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match timeout(STALLED_AFTER, done).await {
        Ok(done) => done,
        Err(_) => bail!(
            "the server did not answer within {} s",
            STALLED_AFTER.as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Creates that a connection takes before it breaks.
    const TAKEN: usize = 100;

    type Znodes = Arc<Mutex<BTreeSet<String>>>;

    async fn frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
        let length = stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length).expect("a length")];
        stream.read_exact(&mut frame).await?;
        Ok(frame)
    }

    fn number(bytes: &[u8], at: usize) -> i32 {
        i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    /// A session of a server that breaks after [`TAKEN`] creates of fillers, and answers the last
    /// few of them no more.
    async fn serve(
        mut stream: TcpStream,
        znodes: Znodes,
        is_breaking: bool,
    ) -> std::io::Result<()> {
        frame(&mut stream).await?;
        let mut welcome = vec![0; 36];
        welcome[15] = 1;
        stream.write_i32(36).await?;
        stream.write_all(&welcome).await?;
        let mut taken = 0;
        loop {
            let request = frame(&mut stream).await?;
            let mut error = 0;
            if number(&request, 4) == wire::CREATE {
                let length = usize::try_from(number(&request, 8)).expect("a length");
                let path = String::from_utf8_lossy(&request[12..12 + length]).into_owned();
                taken += usize::from(path.matches('/').count() == 3);
                let is_new = znodes.lock().expect("no panic").insert(path);
                error = if is_new { 0 } else { NODE_EXISTS };
            }
            if is_breaking && taken == TAKEN {
                return Ok(());
            }
            if is_breaking && taken > TAKEN - 5 {
                continue;
            }
            stream.write_i32(16).await?;
            stream.write_all(&request[..4]).await?;
            stream.write_all(&[0; 8]).await?;
            stream.write_i32(error).await?;
        }
    }

    /// The address of a server, and what it has.
    async fn server(znodes: Znodes, is_breaking: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, znodes.clone(), is_breaking));
            }
        });
        address
    }

    #[tokio::test]
    async fn a_group_is_filled_over_connections_that_break() {
        let znodes = Znodes::default();
        let mut addresses = Vec::new();
        for is_breaking in [true, false, true] {
            addresses.push(server(znodes.clone(), is_breaking).await);
        }
        let filled = fill(&addresses, 10_000).await.expect("it is filled");
        assert!(filled.broken > 0, "{filled:?}");
        let znodes = znodes.lock().expect("no panic");
        let made = znodes.iter().filter(|path| path.matches('/').count() == 3);
        let each = 10_000_u64.div_ceil(FILLERS as u64);
        assert_eq!(made.count() as u64, each * FILLERS as u64);
        assert!(znodes.contains(&filled.last), "{filled:?}");
    }

    #[tokio::test]
    async fn a_znode_that_somebody_else_made_is_an_error() {
        let znodes = Znodes::default();
        let foreign = format!("{}/3/7", load::root(0));
        znodes.lock().expect("no panic").insert(foreign);
        let address = server(znodes, false).await;
        let error = fill(&[address], 1000).await.expect_err("it is there");
        assert!(error.to_string().contains("/3/7 failed"), "{error}");
    }
}
