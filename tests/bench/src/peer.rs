//! A real ZooKeeper on the same disk, to compare with in the same run.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::node::cpu_seconds;
use crate::wire::Connection;

/// How long Java may take to start on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The log as ZooKeeper's own `conf/logback.xml` has it. Without a setting, it logs some lines for
/// every request.
const LOGGING: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"#;

/// The arguments with which Java runs ZooKeeper, as its own `zkServer.sh` gives them; the
/// configuration file follows. Writes a file for its log into `folder`.
pub fn arguments(jars: &Path, folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let logging = folder.join("logback.xml");
    std::fs::write(&logging, LOGGING)?;
    let mut property = OsString::from("-Dlogback.configurationFile=");
    property.push(&logging);
    Ok(vec![
        "-Xmx1000m".into(),
        property,
        "-cp".into(),
        jars.join("*").into(),
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".into(),
    ])
}

/// A running ZooKeeper.
pub struct Peer {
    process: Child,
    /// The address for clients.
    pub address: String,
}

impl Peer {
    /// Starts one with its defaults in a new folder, and waits until it opens a session.
    pub async fn start(jars: &Path, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = folder.join("zoo.cfg");
        std::fs::write(
            &config,
            format!(
                "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
                 admin.enableServer=false\n",
                folder.join("data").display()
            ),
        )?;
        let process = Command::new("java")
            .args(arguments(jars, folder)?)
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("java cannot be started")?;
        let mut peer = Self {
            process,
            address: format!("127.0.0.1:{port}"),
        };
        let end = Instant::now() + READY_WITHIN;
        while Connection::open(&peer.address).await.is_err() {
            if let Some(status) = peer.process.try_wait()? {
                bail!("ZooKeeper ended before it was ready: {status}");
            }
            if Instant::now() > end {
                bail!(
                    "ZooKeeper was not ready within {} s",
                    READY_WITHIN.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(peer)
    }

    /// The CPU time that it has used, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.process.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A process that has ended is not affected.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
