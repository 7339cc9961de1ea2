//! Starts the two servers from one `zoo.cfg`, and ends them however this process ends.
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
}

/// A running server.
pub struct Process {
    which: Which,
    shell: Child,
    /// The pipe whose end tells the shell to end.
    order: Option<ChildStdin>,
    /// The address for clients.
    pub address: SocketAddr,
    log: PathBuf,
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
        std::fs::create_dir_all(folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = folder.join("zoo.cfg");
        File::create(&config)?.write_all(config_of(folder, port).as_bytes())?;
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
            Which::Innkeeper => {
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
        let process = Self {
            which,
            shell,
            order,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            log,
        };
        process.wait_until_ready()?;
        Ok(process)
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + READY_WITHIN;
        while Instant::now() < end {
            if answers(self.address).unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "{:?} did not start within {} s. The end of its log:\n{}",
            self.which,
            READY_WITHIN.as_secs(),
            self.log_end()
        )
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

fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"srvr")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    // Before it serves, ZooKeeper answers with a line that has no mode.
    Ok(answer.contains("Mode:"))
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
