//! Where the servers of a group live: each in a network namespace of its own, so that one can be
//! cut off from all others, or all on the loopback interface, where the machine does not allow
//! namespaces.
//!
//! The program as a whole runs in a network namespace of its own ([`enter`]): it needs no root,
//! touches no interface of the machine, and what it made goes with its last process.
#![allow(
    dead_code,
    reason = "each program that includes this file uses its part"
)]

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// Set in the process that runs in the namespace of its own.
const ENTERED: &str = "INNKEEPER_IN_NAMESPACE";
/// Succeeds where all that is done below is allowed.
const ALLOWED: &str =
    "ip link set lo up && ip link add name bridge type bridge && unshare --net true";
/// How long the kernel may take to make a namespace.
const NAMESPACE_WITHIN: Duration = Duration::from_secs(10);
/// The ports of clients, of peers, of ZooKeeper's elections and of HTTP in a namespace.
const PORTS: [u16; 4] = [2181, 2888, 3888, 8080];

/// Runs this program again with these arguments, in a network namespace of its own, and returns its
/// exit code; `None` in that process, and where the machine does not allow it.
pub fn enter(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Option<i32>> {
    if std::env::var_os(ENTERED).is_some() {
        return Ok(None);
    }
    let arguments: Vec<_> = arguments.into_iter().collect();
    for flags in [&["--net"][..], &["--net", "--map-root-user"]] {
        let allowed = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", ALLOWED])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if allowed {
            // This process is told to end in ways that the other one does not see.
            let status = dying_with_us("unshare", "TERM")
                .args(flags)
                .arg(std::env::current_exe()?)
                .args(arguments)
                .env(ENTERED, "1")
                .status()
                .context("unshare cannot be started")?;
            return Ok(Some(status.code().unwrap_or(1)));
        }
    }
    Ok(None)
}

/// A command that gets a signal when this process dies, in whatever way.
pub fn dying_with_us(program: &str, signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, program]);
    command
}

/// The addresses of one server.
#[derive(Clone, Debug)]
pub struct Home {
    /// The host of all its ports.
    pub host: Ipv4Addr,
    /// The port for clients.
    pub client: u16,
    /// The port for the other servers.
    pub peers: u16,
    /// The port for ZooKeeper's elections.
    pub election: u16,
    /// The port for HTTP.
    pub http: u16,
}

/// The network of one group.
pub struct World {
    /// Tells it from the other networks of this process.
    number: u8,
    /// The homes of the servers.
    pub homes: Vec<Home>,
    /// One process in each namespace, which keeps it when the server dies; none on loopback.
    holders: Vec<Child>,
}

impl World {
    /// Makes homes for so many servers, in the network with this number.
    pub fn new(number: u8, servers: u8) -> anyhow::Result<Self> {
        if std::env::var_os(ENTERED).is_none() {
            return Self::on_loopback(number, servers);
        }
        ip(&["link", "set", "lo", "up"])?;
        let mut world = Self {
            number,
            homes: Vec::new(),
            holders: Vec::new(),
        };
        let (bridge, network) = (world.bridge(), [10, 77, number]);
        let address = |host| Ipv4Addr::new(network[0], network[1], network[2], host);
        ip(&["link", "add", "name", &bridge, "type", "bridge"])?;
        let ours = format!("{}/24", address(254));
        ip(&["address", "add", &ours, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for number in 1..=servers {
            world.holders.push(hold()?);
            let holder = world.holders[usize::from(number) - 1].id().to_string();
            let (link, host) = (world.link(usize::from(number) - 1), address(number));
            ip(&[
                "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &holder,
            ])?;
            ip(&["link", "set", &link, "master", &bridge, "up"])?;
            for words in [
                &["address", "add", &format!("{host}/24"), "dev", "eth0"][..],
                &["link", "set", "eth0", "up"],
                &["link", "set", "lo", "up"],
            ] {
                let mut command = world.inside(usize::from(number) - 1, "ip");
                run(command.args(words))?;
            }
            let [client, peers, election, http] = PORTS;
            world.homes.push(Home {
                host,
                client,
                peers,
                election,
                http,
            });
        }
        Ok(world)
    }

    fn bridge(&self) -> String {
        format!("bench{}", self.number)
    }

    /// The bridge's end of a server's link.
    fn link(&self, server: usize) -> String {
        format!("bench{}-{server}", self.number)
    }

    fn on_loopback(number: u8, servers: u8) -> anyhow::Result<Self> {
        let host = Ipv4Addr::LOCALHOST;
        // All are held until all are known, so that no port is given twice.
        let mut held = Vec::new();
        let mut port = || -> std::io::Result<u16> {
            let listener = TcpListener::bind((host, 0))?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok(port)
        };
        let homes = (0..servers)
            .map(|_| {
                Ok(Home {
                    host,
                    client: port()?,
                    peers: port()?,
                    election: port()?,
                    http: port()?,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            number,
            homes,
            holders: Vec::new(),
        })
    }

    /// Whether a server can be cut off.
    pub fn can_cut(&self) -> bool {
        !self.holders.is_empty()
    }

    /// A command that runs where a server lives, and dies with this process.
    pub fn inside(&self, server: usize, program: &str) -> Command {
        let Some(holder) = self.holders.get(server) else {
            return dying_with_us(program, "KILL");
        };
        let mut command = dying_with_us("nsenter", "KILL");
        command.arg(format!("--net=/proc/{}/ns/net", holder.id()));
        command.arg(program);
        command
    }

    /// Takes a server off the network: what is sent to it and by it is lost, and nobody is told.
    pub fn cut(&self, server: usize) -> anyhow::Result<()> {
        ensure!(self.can_cut(), "servers on loopback cannot be cut off");
        ip(&["link", "set", &self.link(server), "nomaster"])
    }

    /// Takes it back.
    pub fn join(&self, server: usize) -> anyhow::Result<()> {
        ensure!(self.can_cut(), "servers on loopback are never cut off");
        ip(&["link", "set", &self.link(server), "master", &self.bridge()])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.holders.is_empty() {
            return;
        }
        for holder in &mut self.holders {
            // One that has ended is not affected.
            let _ = holder.kill();
            let _ = holder.wait();
        }
        // The links go with the namespaces, the bridge does not.
        if let Err(error) = ip(&["link", "delete", &self.bridge()]) {
            eprintln!("{error:#}");
        }
    }
}

/// Starts a process in a new network namespace.
fn hold() -> anyhow::Result<Child> {
    let mut holder = dying_with_us("unshare", "KILL")
        .args(["--net", "sleep", "infinity"])
        .stdin(Stdio::null())
        .spawn()
        .context("unshare cannot be started")?;
    let ours = std::fs::read_link("/proc/self/ns/net")?;
    let path = format!("/proc/{}/ns/net", holder.id());
    let end = Instant::now() + NAMESPACE_WITHIN;
    while std::fs::read_link(Path::new(&path)).is_ok_and(|theirs| theirs == ours) {
        if let Some(status) = holder.try_wait()? {
            bail!("unshare --net ended with {status}");
        }
        ensure!(Instant::now() < end, "unshare --net made no namespace");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(holder)
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    run(Command::new("ip").args(words))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
