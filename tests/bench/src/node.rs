//! The server under test, as a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The super user's name and password in this program, and the digest that ZooKeeper makes of them.
const SUPER_DIGEST: &str = "super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=";
/// The super user's credentials for HTTP's Basic scheme.
const SUPER_BASIC: &str = "c3VwZXI6c3VwZXI=";

/// A running `innkeeper serve`.
pub struct Node {
    process: Child,
    /// The address for ZooKeeper clients.
    pub zookeeper: String,
    /// The address for HTTP.
    pub http: String,
}

impl Node {
    /// Starts a server on free ports and waits for its ready line.
    pub fn start(binary: &Path, data: &Path) -> anyhow::Result<Self> {
        Self::start_logging(binary, data, Stdio::inherit())
    }

    /// Starts a server in the same way, with its log in a file.
    pub fn start_logging(binary: &Path, data: &Path, log: Stdio) -> anyhow::Result<Self> {
        use std::io::BufRead as _;
        let mut process = Command::new(binary)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--super-digest",
                SUPER_DIGEST,
            ])
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let stdout = process.stdout.take().context("the server has no stdout")?;
        let mut lines = std::io::BufReader::new(stdout).lines();
        let line = loop {
            match lines.next() {
                Some(line) => {
                    let line = line?;
                    if let Some(rest) = line.strip_prefix("innkeeper ready: ") {
                        break rest.to_owned();
                    }
                }
                None => bail!("the server ended before it was ready: {}", process.wait()?),
            }
        };
        let value = |name: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
                .with_context(|| format!("the server's ready line names no {name}"))
        };
        Ok(Self {
            zookeeper: value("zookeeper")?,
            http: value("http")?,
            process,
        })
    }

    /// Sends one HTTP request as the super user and returns the answer's body.
    pub async fn http(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        http(&self.http, method, path, body).await
    }

    /// Pushes one of the modules that `make` built, and returns its name.
    pub async fn push_built(&self, modules: &Path, name: &str) -> anyhow::Result<String> {
        let path = modules.join(format!("{name}.wasm"));
        let module = std::fs::read(&path)
            .with_context(|| format!("{} is missing: run make guests", path.display()))?;
        self.push(&module).await
    }

    /// Pushes a module, and returns its name.
    pub async fn push(&self, module: &[u8]) -> anyhow::Result<String> {
        let answer: serde_json::Value = serde_json::from_slice(
            &self
                .http("POST", "/v1/modules?wait_ms=60000", module)
                .await?,
        )?;
        answer["module"]
            .as_str()
            .map(str::to_owned)
            .context("the answer to a push names no module")
    }

    /// Writes a binding and waits until it is active.
    pub async fn bind(&self, name: &str, document: &serde_json::Value) -> anyhow::Result<()> {
        let path = format!("/v1/bindings/{name}?wait=activated");
        self.http("PUT", &path, document.to_string().as_bytes())
            .await?;
        Ok(())
    }

    /// Deletes a binding.
    pub async fn unbind(&self, name: &str) -> anyhow::Result<()> {
        self.http("DELETE", &format!("/v1/bindings/{name}"), b"")
            .await?;
        Ok(())
    }

    /// The most memory that the server has had so far, in bytes.
    pub fn peak_memory_bytes(&self) -> anyhow::Result<u64> {
        memory_bytes(self.process.id(), "VmHWM")
    }

    /// How many syncs of files and folders the server has done since it started.
    pub async fn syncs(&self) -> anyhow::Result<u64> {
        let body = self.http("GET", "/v1/status", b"").await?;
        let status: serde_json::Value = serde_json::from_slice(&body)?;
        status["log"]["syncs"]
            .as_u64()
            .context("the server's status names no syncs")
    }

    /// CPU time that the server has used, in seconds (user and system).
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.process.id())
    }

    /// Ends the server with SIGTERM, as an operator would.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().to_string();
        Command::new("kill")
            .arg(id)
            .status()
            .context("the server cannot be told to end")?;
        for _ in 0..200 {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server did not end within 10 s of SIGTERM")
    }
}

/// CPU time that a process has used, in seconds (user and system).
pub fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold any character; the fields behind it may not.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .context("an odd stat line")?
        .1
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // USER_HZ has always been 100 on Linux.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// The memory of a process in bytes: what it has now (`VmRSS`), or the most that it has had
/// (`VmHWM`).
pub fn memory_bytes(process: u32, line: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let mut lines = status.lines();
    let kib: Option<u64> = lines.find_map(|text| {
        let value = text.strip_prefix(line)?.strip_prefix(':')?;
        value.split_whitespace().next()?.parse().ok()
    });
    kib.map(|kib| kib << 10)
        .with_context(|| format!("the status of process {process} names no {line}"))
}

/// Sends one HTTP request to a server's administration as the super user, and returns the body.
pub async fn http(address: &str, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {SUPER_BASIC}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let split = answer
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .context("an HTTP answer without a head")?;
    let status = String::from_utf8_lossy(&answer[..split])
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let body = answer.split_off(split + 4);
    if !status.contains(" 20") {
        bail!(
            "{method} {path} answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    Ok(body)
}

impl Drop for Node {
    fn drop(&mut self) {
        // A process that has ended is not affected.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
