//! A client: a session, on whichever node it is connected to at the moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_proto::connect::ConnectRequest;
use innkeeper_proto::request::Request;
use innkeeper_proto::xid;
use innkeeper_runtime::Runtime;

use super::super::common::simulated::SimClient;
use super::super::common::{Answer, connect_request};
use super::super::stage::Clients;
use super::history::{Begun, History};

/// The pause before another node is tried is drawn up to this.
const AGAIN_MS: u64 = 60;

/// A long timeout, the longest that a node grants, in milliseconds: a connection stands through most
/// faults, since a third of it passes before it is closed.
pub const LONG_MS: u32 = 15_000;

/// A node that lets nobody in is given up after so long.
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// A session that a client has, and how to take it up again.
struct Held {
    id: i64,
    password: Bytes,
    timeout_ms: i32,
}

/// What came of some requests.
pub struct Talk {
    /// When they were sent.
    pub begun: Begun,
    /// Answers and events in the order in which they came.
    pub messages: Vec<Answer>,
    /// All answers came. If not, the connection is given up.
    pub is_whole: bool,
}

impl Talk {
    /// The answers without the events.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        let all = self.messages.iter();
        all.filter(|message| message.xid != xid::NOTIFICATION)
    }
}

/// A client of the group.
pub struct Caller {
    pub history: History,
    /// Names what it writes.
    pub number: usize,
    clients: Arc<Clients>,
    timeout_ms: i32,
    held: Option<Held>,
    line: Option<SimClient>,
    node: u64,
    /// How many connections it has had.
    lines: u64,
    /// How many thirds of the session's timeout it waits for answers. Clients give a connection up
    /// after two.
    pub patience_thirds: u32,
    /// Its session outlives most faults.
    pub stays_long: bool,
    /// It may be served without a quorum.
    pub agrees_to_read_only: bool,
}

impl Caller {
    pub fn new(clients: &Arc<Clients>, history: &History, number: usize) -> Self {
        let mut caller = Self {
            history: history.clone(),
            number,
            clients: clients.clone(),
            timeout_ms: 0,
            held: None,
            line: None,
            node: 0,
            lines: 0,
            patience_thirds: 2,
            stays_long: false,
            agrees_to_read_only: false,
        };
        caller.timeout_ms = [1_500, 2_000, 3_000, 4_000][caller.draw(4) as usize];
        caller
    }

    /// Takes sessions with a long timeout from now on, in three of four runs: their connections stand
    /// while a node is behind for so long that it is brought up by a snapshot.
    pub fn may_stay_long(&mut self) {
        self.stays_long = self.draw(4) > 0;
        if self.stays_long {
            self.timeout_ms = LONG_MS as i32;
        }
    }

    /// Gives the connection up once in so many calls. Who stays long does so ten times more rarely.
    pub fn may_hang_up(&mut self, one_in: u64) {
        let one_in = if self.stays_long { one_in * 10 } else { one_in };
        if self.draw(one_in) == 0 {
            self.hang_up();
        }
    }

    /// A random number below a bound.
    pub fn draw(&self, bound: u64) -> u64 {
        self.clients.runtime.random_u64() % bound
    }

    /// Waits for a drawn time.
    pub async fn rest(&self, up_to_ms: u64) {
        let ms = self.draw(up_to_ms) + 1;
        self.sleep(Duration::from_millis(ms)).await;
    }

    /// Waits for a drawn time, and takes the events that come meanwhile. It ends with the connection.
    pub async fn listen(&mut self, up_to_ms: u64) -> Vec<Answer> {
        let pause = Duration::from_millis(self.draw(up_to_ms) + 1);
        let mut heard = Vec::new();
        let Some(line) = self.line.as_mut() else {
            self.sleep(pause).await;
            return heard;
        };
        let listening = async {
            while let Ok(message) = line.try_message().await {
                heard.push(message);
            }
        };
        let ended = self.clients.runtime.timeout(pause, listening).await;
        if ended.is_ok() {
            self.line = None;
        }
        heard
    }

    pub async fn sleep(&self, duration: Duration) {
        self.clients.runtime.sleep(duration).await;
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<i64> {
        self.held.as_ref().map(|held| held.id)
    }

    pub fn timeout(&self) -> Duration {
        let ms = self
            .held
            .as_ref()
            .map_or(self.timeout_ms, |it| it.timeout_ms);
        Duration::from_millis(ms as u64)
    }

    /// The number of the present connection, which is another one after each connect.
    pub fn line(&self) -> u64 {
        self.lines
    }

    /// Whether the present connection is served without a quorum.
    pub fn is_read_only(&self) -> bool {
        let line = self.line.as_ref();
        line.is_some_and(|line| line.connected.read_only == Some(true))
    }

    /// Gives the connection up. The session lives on.
    pub fn hang_up(&mut self) {
        self.line = None;
    }

    /// Gives connection and session up without a word.
    pub fn forget(&mut self) {
        self.line = None;
        self.held = None;
    }

    /// Connects to drawn nodes until one takes the session, or makes a new one if it has expired.
    /// Does nothing if there is a connection.
    pub async fn connect(&mut self) {
        while self.line.is_none() {
            let node = 1 + self.draw(self.clients.nodes());
            self.try_connect(node).await;
            if self.line.is_none() {
                self.rest(AGAIN_MS).await;
            }
        }
    }

    async fn try_connect(&mut self, node: u64) {
        let fresh = ConnectRequest {
            read_only: Some(self.agrees_to_read_only),
            ..connect_request(self.timeout_ms)
        };
        let request = match &self.held {
            Some(held) => ConnectRequest {
                session_id: held.id,
                password: held.password.clone(),
                last_zxid_seen: self.history.note(|all| all.zxids.last(held.id)),
                ..fresh
            },
            None => fresh,
        };
        let runtime = &self.clients.runtime;
        let begun = self.history.begin();
        let connecting = SimClient::try_connect_as(runtime, self.clients.door(node), &request);
        let patience = self.timeout().min(CONNECT_MAX);
        let Ok(Ok(line)) = runtime.timeout(patience, connecting).await else {
            return;
        };
        let connected = &line.connected;
        if connected.session_id == 0 {
            if let Some(held) = self.held.take()
                && request.last_zxid_seen > 0
            {
                self.history
                    .note(|all| all.served.refused(node, held.id, begun.at));
            }
            return;
        }
        self.history
            .connected(connected.session_id, connected.timeout_ms, begun);
        if let Some(held) = &self.held {
            assert_eq!(held.id, connected.session_id, "another session");
            let moved = u64::from(self.node != node);
            self.history.note(|all| all.counts.moved += moved);
        }
        self.held = Some(Held {
            id: connected.session_id,
            password: Bytes::copy_from_slice(&connected.password),
            timeout_ms: connected.timeout_ms,
        });
        self.node = node;
        self.lines += 1;
        self.line = Some(line);
    }

    /// Sends requests at once and takes the answers and the events among them. Without a connection
    /// it makes one first. It waits as long as its patience is, and gives the connection up then.
    pub async fn ask(&mut self, requests: &[Request]) -> Talk {
        self.connect().await;
        let (line, held) = (self.line.as_mut(), self.held.as_ref());
        let (line, held) = (line.expect("a connection"), held.expect("its session"));
        let begun = self.history.begin();
        let mut messages = Vec::new();
        let talking = async {
            line.try_send(requests).await?;
            let mut missing = requests.len();
            while missing > 0 {
                let message = line.try_message().await?;
                if message.xid != xid::NOTIFICATION {
                    missing -= 1;
                    self.history.answered(held.id, begun, &message);
                }
                messages.push(message);
            }
            std::io::Result::Ok(())
        };
        let timeout = Duration::from_millis(held.timeout_ms as u64);
        let patience = timeout / 3 * self.patience_thirds;
        let talked = self.clients.runtime.timeout(patience, talking).await;
        let is_whole = matches!(talked, Ok(Ok(())));
        if !is_whole {
            self.line = None;
        }
        Talk {
            begun,
            messages,
            is_whole,
        }
    }

    /// Closes the session, or, if that does not work, leaves it to its timeout.
    pub async fn close(&mut self) {
        if self.line.is_some()
            && let Some(session) = self.session()
        {
            self.history.closes(session);
            self.ask(&[Request::CloseSession]).await;
        }
        self.forget();
    }
}
