//! A node as a process of its own, which tests can kill and start again, and requests to its HTTP.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test is a client and an operator, not a node"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};
use zookeeper_client as zk;

/// Longest wait of a test for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The super user's password.
pub const PASSWORD: &str = "secret";

/// What a node is told of that password.
pub fn super_digest() -> String {
    let hash = Sha1::digest(format!("super:{PASSWORD}"));
    format!("super:{}", BASE64.encode(hash))
}

/// A node in a process of its own, killed when dropped.
pub struct NodeProcess {
    child: Child,
    data: PathBuf,
    arguments: Vec<String>,
    pub zookeeper: SocketAddr,
    pub http: SocketAddr,
}

impl NodeProcess {
    /// Starts a node on free ports.
    pub fn start(data: &Path) -> NodeProcess {
        Self::start_with(data, &[])
    }

    /// Starts a node on free ports with further arguments.
    pub fn start_with(data: &Path, arguments: &[&str]) -> NodeProcess {
        Self::start_at(data, "127.0.0.1:0", "127.0.0.1:0", arguments)
    }

    /// Starts a node on free ports, with its log in a file.
    pub fn start_with_log(data: &Path, log: &Path) -> NodeProcess {
        Self::start_logging(data, log, &[])
    }

    /// Starts a node on free ports with further arguments, with its log in a file.
    pub fn start_logging(data: &Path, log: &Path, arguments: &[&str]) -> NodeProcess {
        let log = std::fs::File::create(log).expect("a log file");
        let mut command = Self::command(data, "127.0.0.1:0", "127.0.0.1:0", arguments);
        let child = command.stderr(log).spawn().expect("the binary runs");
        Self::when_ready(child, data, arguments)
    }

    /// Starts a node on free ports with further arguments, and with this as its standard input.
    pub fn start_reading(data: &Path, input: impl Into<Stdio>, arguments: &[&str]) -> NodeProcess {
        let mut command = Self::command(data, "127.0.0.1:0", "127.0.0.1:0", arguments);
        let child = command.stdin(input).spawn().expect("the binary runs");
        Self::when_ready(child, data, arguments)
    }

    fn start_at(data: &Path, listen: &str, http: &str, arguments: &[&str]) -> NodeProcess {
        let child = Self::spawn(data, listen, http, arguments);
        Self::when_ready(child, data, arguments)
    }

    fn when_ready(mut child: Child, data: &Path, arguments: &[&str]) -> NodeProcess {
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let address = |key: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.parse().ok())
                .unwrap_or_else(|| panic!("no {key} in the ready line {line:?}"))
        };
        NodeProcess {
            zookeeper: address("zookeeper="),
            http: address("http="),
            data: data.to_path_buf(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            child,
        }
    }

    /// The process.
    /// CPU time that its threads of that name have used so far, in seconds.
    pub fn thread_seconds(&self, name: &str) -> f64 {
        let folder = format!("/proc/{}/task", self.id());
        let tasks = std::fs::read_dir(folder).expect("a running server's threads");
        // A thread may end while it is looked at; then it used nothing that matters.
        let states =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        states
            .filter_map(|state| {
                let (head, fields) = state.rsplit_once(')')?;
                if head.split_once('(')?.1 != name {
                    return None;
                }
                let ticks = |at: usize| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
                // USER_HZ has been 100 on every Linux there is.
                Some((ticks(11)? + ticks(12)?) / 100.0)
            })
            .sum()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts the process without waiting for it. Its stdout is a pipe.
    pub fn spawn(data: &Path, listen: &str, http: &str, arguments: &[&str]) -> Child {
        Self::command(data, listen, http, arguments)
            .spawn()
            .expect("the binary runs")
    }

    fn command(data: &Path, listen: &str, http: &str, arguments: &[&str]) -> Command {
        let digest = super_digest();
        let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
        command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args([
                "--listen",
                listen,
                "--http",
                http,
                "--super-digest",
                &digest,
            ])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The peak of its memory since its start or since [`NodeProcess::forget_peak`], in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("a process has a status");
        status
            .lines()
            .find_map(|line| {
                let kib = line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?;
                kib.trim().parse::<u64>().ok()
            })
            .map(|kib| kib << 10)
            .expect("a status names the peak")
    }

    /// Resets the peak to the current memory.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
            .expect("the peak can be reset");
    }

    /// Kills the process (SIGKILL) and starts another one on the same folder and ports.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        let (listen, http) = (self.zookeeper.to_string(), self.http.to_string());
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let next = Self::start_at(&self.data, &listen, &http, &arguments);
        // The old process is dead and reaped; dropping it again is harmless.
        *self = next;
    }

    /// Connects a client.
    pub async fn client(&self) -> zk::Client {
        connect(self.zookeeper, None).await
    }

    /// Connects a client as the super user.
    pub async fn super_client(&self) -> zk::Client {
        connect(self.zookeeper, Some(PASSWORD)).await
    }

    /// Sends a request over HTTP as the super user, and returns the status and the answer.
    pub fn http(&self, method: &str, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        http_at(self.http, method, path, body)
    }

    /// Pushes a guest, and returns the name of its module.
    pub fn push(&self, guest: &[u8]) -> String {
        let (status, answer) = self.http("POST", "/v1/modules?wait_ms=60000", guest);
        assert!(status == 200 || status == 201, "{status}: {answer}");
        answer["module"].as_str().expect("a name").to_string()
    }

    /// Sets a binding, waits until it acts, and returns the zxid of its activation.
    pub fn bind(&self, name: &str, document: &str) -> i64 {
        let path = format!("/v1/bindings/{name}?wait=activated");
        let (status, answer) = self.http("PUT", &path, document.as_bytes());
        assert!(status == 200 || status == 201, "{status}: {answer}");
        answer["activation"]
            .as_i64()
            .unwrap_or_else(|| panic!("no activation in {answer}"))
    }

    /// The status of a binding.
    pub fn status(&self, name: &str) -> serde_json::Value {
        let (status, answer) = self.http("GET", &format!("/v1/bindings/{name}"), b"");
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request to a node's HTTP as the super user, and returns the status and the answer.
pub fn http_at(
    http: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(http).expect("the admin HTTP listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let basic = BASE64.encode(format!("super:{PASSWORD}"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: node\r\nAuthorization: Basic {basic}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("written");
    // What is refused at sight is answered before the whole of it was taken.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty(), "{method} {path}: no answer: {read:?}");
    let text = String::from_utf8(answer).expect("text");
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status");
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    (
        status,
        serde_json::from_str(body).unwrap_or(serde_json::Value::Null),
    )
}

async fn connect(addr: SocketAddr, password: Option<&str>) -> zk::Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let connector = zk::Client::connector().with_session_timeout(Duration::from_secs(30));
        match connector.connect(&addr.to_string()).await {
            Ok(client) => {
                if let Some(password) = password {
                    let credentials = format!("super:{password}");
                    client
                        .auth("digest", credentials.as_bytes())
                        .await
                        .expect("a known scheme");
                }
                return client;
            }
            Err(error) if Instant::now() < deadline => eprintln!("connecting again: {error}"),
            Err(error) => panic!("no connection to {addr}: {error}"),
        }
    }
}

/// Options of a persistent znode that every client may read and write.
pub fn persistent() -> zk::CreateOptions<'static> {
    zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all())
}

/// Creates a znode, and tries again after a crash has taken the reply. An existing znode is a success.
pub async fn create_surely(client: &zk::Client, path: &str, data: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.create(path, data, &persistent()).await {
            Ok(_) | Err(zk::Error::NodeExists) => return,
            Err(error) if Instant::now() > deadline => panic!("{path}: {error}"),
            Err(error) if is_passing(&error) => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

/// Whether the connection was lost, so that it is unknown whether the request was done.
pub fn is_passing(error: &zk::Error) -> bool {
    matches!(
        error,
        zk::Error::ConnectionLoss | zk::Error::Timeout | zk::Error::NoHosts | zk::Error::Custom(_)
    )
}

/// Calls `look` with pauses until it returns a value. Panics after [`PATIENCE`].
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until(what, look)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Calls `look` with pauses until it returns a value. The error after [`PATIENCE`] is a sentence.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("waited in vain for {what}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client's znode as a number.
pub async fn number(client: &zk::Client, path: &str) -> Option<u64> {
    match client.get_data(path).await {
        Ok((data, _)) => String::from_utf8(data).ok()?.parse().ok(),
        Err(_) => None,
    }
}
