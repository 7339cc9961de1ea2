//! Three servers of one kind that form a group, all from the same lines of a `zoo.cfg`.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::World;
use crate::node::{cpu_seconds, memory_bytes};
use crate::peer;

/// The number of servers in a group.
pub const SERVERS: u8 = 3;
/// How long a group may take until it has a leader and followers.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);
/// How long a server that runs may take to say what it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long a server may take to end on SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// The pause between two looks at something that is awaited.
pub const PAUSE: Duration = Duration::from_millis(10);
/// The last lines of a server's log in an error.
const LOG_LINES: usize = 20;

/// The program of a group's servers.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Innkeeper, by its binary.
    Innkeeper(PathBuf),
    /// A real ZooKeeper, by the folder of its jars.
    ZooKeeper(PathBuf),
}

impl Kind {
    /// The name in the tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Innkeeper(_) => "innkeeper",
            Self::ZooKeeper(_) => "zookeeper",
        }
    }
}

/// What happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its process is killed.
    Killed,
    /// Its process is stopped, and its connections stay open.
    Stopped,
    /// It runs, and nothing reaches it or comes from it.
    CutOff,
}

impl Fault {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::CutOff => "cut off",
        }
    }
}

/// A group of three servers.
pub struct Group {
    /// The program.
    pub kind: Kind,
    world: World,
    folder: PathBuf,
    processes: Vec<Option<Child>>,
}

impl Group {
    /// Starts a group in a new folder and in the network with this number, and waits until it has a
    /// leader and all others follow.
    pub async fn start(kind: &Kind, network: u8, folder: &Path) -> anyhow::Result<Self> {
        let mut group = Self {
            kind: kind.clone(),
            world: World::new(network, SERVERS)?,
            folder: folder.to_owned(),
            processes: Vec::new(),
        };
        for server in 0..usize::from(SERVERS) {
            let (home, data) = (group.home(server), group.home(server).join("data"));
            std::fs::create_dir_all(&data)?;
            std::fs::write(data.join("myid"), format!("{}\n", server + 1))?;
            std::fs::write(home.join("zoo.cfg"), group.config(server))?;
        }
        for server in 0..usize::from(SERVERS) {
            let process = group.spawn(server)?;
            group.processes.push(Some(process));
        }
        group.leader().await?;
        Ok(group)
    }

    fn home(&self, server: usize) -> PathBuf {
        self.folder.join((server + 1).to_string())
    }

    fn config(&self, server: usize) -> String {
        let home = &self.world.homes[server];
        // The times are those of ZooKeeper's own example.
        let mut text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\n\
             clientPortAddress={}\nmaxClientCnxns=0\n4lw.commands.whitelist=srvr\n",
            self.home(server).join("data").display(),
            home.client,
            home.host
        );
        // ZooKeeper's own needs more jars. Innkeeper's says who votes.
        text += &match self.kind {
            Kind::ZooKeeper(_) => "admin.enableServer=false\n".to_owned(),
            Kind::Innkeeper(_) => {
                let (host, port) = (home.host, home.http);
                format!("admin.serverAddress={host}\nadmin.serverPort={port}\n")
            }
        };
        for (at, home) in self.world.homes.iter().enumerate() {
            text += &format!(
                "server.{}={}:{}:{}\n",
                at + 1,
                home.host,
                home.peers,
                home.election
            );
        }
        text
    }

    fn spawn(&self, server: usize) -> anyhow::Result<Child> {
        let home = self.home(server);
        let mut command = match &self.kind {
            Kind::Innkeeper(binary) => {
                let binary = binary.to_str().context("the server's path is no text")?;
                let mut command = self.world.inside(server, binary);
                command.arg("serve");
                command
            }
            Kind::ZooKeeper(jars) => {
                let mut command = self.world.inside(server, "java");
                command.args(peer::arguments(jars, &home)?);
                command
            }
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))?;
        command
            .arg(home.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.kind.name()))
    }

    /// The addresses for clients, in the order of the servers.
    pub fn addresses(&self) -> Vec<String> {
        let homes = self.world.homes.iter();
        homes
            .map(|home| format!("{}:{}", home.host, home.client))
            .collect()
    }

    /// Waits until one server leads and all others follow; returns the leader.
    pub async fn leader(&mut self) -> anyhow::Result<usize> {
        let end = Instant::now() + WHOLE_WITHIN;
        loop {
            let mut modes = Vec::new();
            for server in 0..self.world.homes.len() {
                modes.push(self.mode(server).await.unwrap_or_default());
            }
            let count = |wanted: &str| modes.iter().filter(|mode| *mode == wanted).count();
            if count("leader") == 1 && count("follower") == modes.len() - 1 {
                let leader = modes.iter().position(|mode| mode == "leader");
                return leader.context("a leader was counted");
            }
            for (server, process) in self.processes.iter_mut().enumerate() {
                let Some(process) = process else {
                    continue;
                };
                if let Some(status) = process.try_wait()? {
                    bail!(
                        "server {} of {} ended with {status}; the end of its log:\n{}",
                        server + 1,
                        self.kind.name(),
                        log_end(&self.folder, server)
                    );
                }
            }
            ensure!(
                Instant::now() < end,
                "{} had no leader with followers within {} s, but {modes:?}; the end of the first \
                 log:\n{}",
                self.kind.name(),
                WHOLE_WITHIN.as_secs(),
                log_end(&self.folder, 0)
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What a server is, `leader` or `follower`; nothing if it does not serve. One that does not
    /// vote yet is nothing either: without it, the others do not outlive their leader.
    async fn mode(&self, server: usize) -> Option<String> {
        let home = &self.world.homes[server];
        if let Kind::Innkeeper(_) = self.kind {
            let get = "GET /v1/status HTTP/1.0\r\nHost: bench\r\n\r\n";
            let status = asked((home.host, home.http), get).await?;
            if !status.contains("\"voters\":[1,2,3]") {
                return None;
            }
        }
        let answer = asked((home.host, home.client), "srvr").await?;
        let mut lines = answer.lines();
        lines.find_map(|line| Some(line.strip_prefix("Mode: ")?.to_owned()))
    }

    /// Whether servers can be cut off.
    pub fn can_cut(&self) -> bool {
        self.world.can_cut()
    }

    /// Does something to a server.
    pub fn strike(&mut self, server: usize, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Killed => {
                let mut process = self.processes[server].take().context("it runs")?;
                process.kill()?;
                process.wait()?;
                Ok(())
            }
            Fault::Stopped => self.signal(server, "STOP"),
            Fault::CutOff => self.world.cut(server),
        }
    }

    /// Undoes what was done to a server.
    pub fn mend(&mut self, server: usize, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Killed => self.start_one(server),
            Fault::Stopped => self.signal(server, "CONT"),
            Fault::CutOff => self.world.join(server),
        }
    }

    /// Starts a server that does not run.
    pub fn start_one(&mut self, server: usize) -> anyhow::Result<()> {
        self.processes[server] = Some(self.spawn(server)?);
        Ok(())
    }

    /// Ends a server with SIGTERM, as an operator would.
    pub async fn end_one(&mut self, server: usize) -> anyhow::Result<()> {
        self.signal(server, "TERM")?;
        let process = self.processes[server].as_mut().context("it runs")?;
        let end = Instant::now() + ENDS_WITHIN;
        while process.try_wait()?.is_none() {
            ensure!(
                Instant::now() < end,
                "a server did not end within {} s of SIGTERM",
                ENDS_WITHIN.as_secs()
            );
            tokio::time::sleep(PAUSE).await;
        }
        self.processes[server] = None;
        Ok(())
    }

    fn signal(&self, server: usize, signal: &str) -> anyhow::Result<()> {
        let process = self.processes[server].as_ref().context("it runs")?;
        let status = Command::new("kill")
            .args(["-s", signal, &process.id().to_string()])
            .status()
            .context("kill cannot be started")?;
        ensure!(status.success(), "a server did not get SIG{signal}");
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().flatten().map(Child::id)
    }

    /// The CPU time that all servers together have used, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.running().map(cpu_seconds).sum()
    }

    /// The memory of one server, in bytes.
    pub fn memory_bytes(&self, server: usize) -> anyhow::Result<u64> {
        let process = self.processes[server].as_ref().context("it runs")?;
        memory_bytes(process.id(), "VmRSS")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            // One that has ended is not affected; a stopped one dies as well.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Everything that is answered to this; nothing if it is not answered in time.
async fn asked(address: (Ipv4Addr, u16), words: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(words.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    timeout(ANSWER_WITHIN, asked).await.ok()?.ok()
}

fn log_end(folder: &Path, server: usize) -> String {
    let path = folder.join((server + 1).to_string()).join("log");
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
