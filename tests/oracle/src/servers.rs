//! Starts the two servers from one `zoo.cfg`, and ends them however this process ends.
//!
//! A follower comes with the two other nodes of its group, which nobody asks anything: what is
//! compared is what a client of the follower sees.
//!
//! Each runs below a shell that reads its own input, a pipe that this process holds open: when this
//! process ends, in whatever way, the shell kills the server and ends.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// `super:super`, as ZooKeeper prints it.
const SUPER_DIGEST: &str = "super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=";
/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Properties that ZooKeeper reads only from its command line. Containers are not checked while
/// cases run: the moment of a check is chance.
const PROPERTIES: &[&str] = &[
    "-Dznode.container.checkIntervalMs=86400000",
    "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=",
    "-Dzookeeper.extendedTypesEnabled=true",
];

/// Without this setting ZooKeeper logs some lines for every request.
const LOGGING: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="ERROR"><appender-ref ref="out"/></root>
</configuration>
"#;

/// The kind of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Apache ZooKeeper.
    ZooKeeper,
    /// The one of this repository.
    Innkeeper,
    /// The same, as a follower of three.
    Follower,
}

/// The nodes of a follower's group.
const GROUP: usize = 3;

/// A running server.
pub struct Process {
    which: Which,
    shell: Child,
    /// The pipe whose end tells the shell to end.
    order: Option<ChildStdin>,
    /// The address for clients.
    pub address: SocketAddr,
    log: PathBuf,
    /// The other nodes of its group, which end with it.
    others: Vec<Process>,
}

/// The paths of the programs.
pub struct Programs {
    /// The folder of ZooKeeper's jars.
    pub jars: PathBuf,
    /// The `innkeeper` binary.
    pub innkeeper: PathBuf,
}

impl Process {
    /// Starts a server, and waits until it answers.
    pub fn start(which: Which, programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        if which == Which::Follower {
            return Self::follower(programs, folder);
        }
        let [port] = free_ports()?;
        let process = Self::spawn(which, programs, folder, &config_of(folder, port), port)?;
        process.wait_for(|mode| !mode.is_empty())?;
        Ok(process)
    }

    /// Starts a group, and returns a node that follows.
    fn follower(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        let clients: [u16; GROUP] = free_ports()?;
        let peers: [u16; GROUP] = free_ports()?;
        let mut nodes = Vec::new();
        for (at, client) in clients.into_iter().enumerate() {
            let home = folder.join((at + 1).to_string());
            std::fs::create_dir_all(home.join("data"))?;
            std::fs::write(home.join("data/myid"), (at + 1).to_string())?;
            let mut config = config_of(&home, client) + "initLimit=10\nsyncLimit=5\n";
            for (at, peer) in peers.iter().enumerate() {
                config += &format!("server.{}=127.0.0.1:{peer}:1\n", at + 1);
            }
            nodes.push(Self::spawn(
                Which::Follower,
                programs,
                &home,
                &config,
                client,
            )?);
        }
        for node in &nodes {
            node.wait_for(|mode| mode == "leader" || mode == "follower")?;
        }
        let follows = |node: &Self| mode(node.address).is_ok_and(|mode| mode == "follower");
        let at = nodes.iter().position(follows);
        let mut follower = nodes.swap_remove(at.context("of three nodes none follows")?);
        follower.others = nodes;
        Ok(follower)
    }

    fn spawn(
        which: Which,
        programs: &Programs,
        folder: &Path,
        settings: &str,
        port: u16,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let config = folder.join("zoo.cfg");
        File::create(&config)?.write_all(settings.as_bytes())?;
        let mut command = Command::new("sh");
        // The signals of a terminal reach the shell as well, which has to outlive them.
        command.args([
            "-c",
            r#"trap '' INT TERM HUP; "$@" </dev/null & cat >/dev/null; kill -9 $! 2>/dev/null; wait"#,
            "sh",
        ]);
        match which {
            Which::ZooKeeper => {
                command.args(["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp"]);
                command.arg(programs.jars.join("*"));
                command.args(PROPERTIES);
                let logging = folder.join("logback.xml");
                File::create(&logging)?.write_all(LOGGING.as_bytes())?;
                command.arg(format!("-Dlogback.configurationFile={}", logging.display()));
                command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command.arg(&config);
            }
            Which::Innkeeper | Which::Follower => {
                command.arg(&programs.innkeeper).arg("serve").arg(&config);
                command.args(PROPERTIES);
            }
        }
        let log = folder.join("log");
        let output = File::create(&log)?;
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("sh cannot be started")?;
        let order = shell.stdin.take();
        Ok(Self {
            which,
            shell,
            order,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            log,
            others: Vec::new(),
        })
    }

    /// Waits until the server says a mode that is wanted.
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        self.until_ready(|| match mode(self.address)? {
            mode if wanted(&mode) => Ok(()),
            mode => bail!("it says that it is '{mode}'"),
        })
    }

    /// Tries this again until it succeeds: a server that follows opens sessions a moment later than
    /// it says so.
    pub fn until_ready<T>(&self, attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => {
                    let log = self.log_end();
                    return Err(error.context(format!(
                        "{:?} was not ready within {} s. The end of its log:\n{log}",
                        self.which,
                        READY_WITHIN.as_secs()
                    )));
                }
            }
        }
    }

    /// The last lines of the server's output.
    pub fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.order = None;
        let _ = self.shell.wait();
    }
}

/// What a server says that it is; nothing before it serves.
fn mode(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"srvr")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let mut modes = answer
        .lines()
        .filter_map(|line| line.strip_prefix("Mode: "));
    Ok(modes.next().unwrap_or_default().to_owned())
}

/// Ports that were free a moment ago. All are held until all are known, so that none comes twice.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn config_of(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "tickTime=2000\n\
         dataDir={folder}/data\n\
         clientPort={port}\n\
         clientPortAddress=127.0.0.1\n\
         maxClientCnxns=0\n\
         minSessionTimeout=500\n\
         maxSessionTimeout=40000\n\
         admin.enableServer=false\n\
         4lw.commands.whitelist=ruok,srvr\n\
         forceSync=no\n\
         extendedTypesEnabled=true\n\
         enforceQuota=true\n\
         DigestAuthenticationProvider.superDigest={SUPER_DIGEST}\n"
    )
}
