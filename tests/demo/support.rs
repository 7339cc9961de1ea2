//! A demo as a child process, and a witness: another client and another reader of its node.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use innkeeper_cli::embedded::embedded_guests;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use zookeeper_client as zk;

/// Partitions by member.
pub type Owners = BTreeMap<String, Vec<u32>>;

/// How long the whole demo may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(180);

/// Demos measure time: they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other demo runs. Panics in a binary without guests, which has nothing to show.
pub async fn turn() -> MutexGuard<'static, ()> {
    assert!(
        !embedded_guests().is_empty(),
        "the binary carries no guests: run `make guests`, and build with INNKEEPER_GUEST_MODULES \
         set to their folder, as `make` does"
    );
    TURN.lock().await
}

/// Partitions that had an owner before and have another one, or none, now.
pub fn moved(before: &Owners, now: &Owners) -> usize {
    let owner = |owners: &Owners, partition: u32| {
        owners
            .iter()
            .find(|(_, owned)| owned.contains(&partition))
            .map(|(member, _)| member.clone())
    };
    let owned_before = before.values().flatten();
    owned_before
        .filter(|partition| owner(before, **partition) != owner(now, **partition))
        .count()
}

/// Does the process exist, and is it more than an entry that nobody has reaped?
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for a process's end.
pub async fn vanish(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_running(pid) {
        assert!(Instant::now() < deadline, "process {pid} outlives the demo");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A running demo; killed when dropped.
pub struct Demo {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    folder: TempDir,
    begun: Instant,
}

impl Demo {
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_innkeeper"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("text");
            text
        });
        Self {
            stdin: child.stdin.take().expect("piped"),
            stdout: BufReader::new(child.stdout.take().expect("piped")),
            stderr: Some(stderr),
            child,
            folder,
            begun: Instant::now(),
        }
    }

    /// The next line; the demo has its own bounds on how long each wait may take.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        if line.is_empty() {
            let (code, error) = self.end();
            panic!("the demo ended early, with exit code {code:?}: {error}");
        }
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// The next scene.
    pub fn scene(&mut self, name: &str, number: usize) -> Value {
        let scene = self.line();
        assert_eq!(
            (&scene["scene"], &scene["number"]),
            (&name.into(), &number.into()),
            "{scene}"
        );
        assert!(
            scene["took_ms"]
                .as_f64()
                .is_some_and(|took_ms| took_ms > 0.0),
            "{scene}"
        );
        scene
    }

    /// Lets the next scene begin.
    pub fn step(&mut self) {
        self.stdin.write_all(b"\n").expect("it reads");
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// All that it still prints.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).expect("text");
        text
    }

    /// Its exit code, and what it said on stderr. Nothing more may come on stdout.
    pub fn end(&mut self) -> (Option<i32>, String) {
        assert_eq!(self.rest(), "");
        let deadline = self.begun + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("the demo does not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let stderr = self
            .stderr
            .take()
            .map(|reader| reader.join().expect("text"));
        (status.code(), stderr.unwrap_or_default())
    }

    /// Is nothing left where it made its temporary folder?
    pub fn folder_is_empty(&self) -> bool {
        std::fs::read_dir(self.folder.path())
            .expect("a folder")
            .next()
            .is_none()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody else who looks at the demo's node.
pub struct Witness {
    pub client: zk::Client,
    zookeeper: SocketAddr,
    http: SocketAddr,
    group: &'static str,
}

impl Witness {
    /// Connects to the addresses that a scene names, and sees that they are one node's.
    pub async fn new(scene: &Value) -> Self {
        let address = |name: &str| -> SocketAddr {
            let text = scene["addresses"][name].as_str();
            text.and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("no address {name} in {scene}"))
        };
        let (zookeeper, http) = (address("zookeeper"), address("http"));
        let client = zk::Client::connector()
            .with_session_timeout(Duration::from_secs(10))
            .connect(&zookeeper.to_string())
            .await
            .expect("the node takes clients");
        let witness = Self {
            client,
            zookeeper,
            http,
            group: "/groups/orders",
        };
        let addresses = &witness.get("/v1/status")["addresses"];
        for name in ["zookeeper", "http"] {
            assert_eq!(addresses[name], scene["addresses"][name]);
        }
        let admin = scene["addresses"]["admin"].as_str().expect("a path");
        assert!(Path::new(admin).exists(), "{admin}");
        witness
    }

    /// What the admin HTTP answers to anyone.
    pub fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.http).expect("the admin HTTP listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }

    /// How a binding is.
    pub fn binding(&self, name: &str) -> Value {
        self.get(&format!("/v1/bindings/{name}"))
    }

    /// Is the binding that the demo shows the one that acts?
    pub fn check_binding(&self, shown: &Value) {
        let status = self.binding(shown["name"].as_str().expect("a name"));
        assert_eq!(status["world"], shown["world"]);
        assert_eq!(status["active"], shown["module"]);
        assert_eq!(status["wished"], shown["module"]);
        assert_eq!(status["activation"], shown["activation"]);
        assert_eq!(status["pending"], false);
    }

    /// The registered members, sorted.
    pub async fn members(&self) -> Vec<String> {
        self.children(&format!("{}/members", self.group)).await
    }

    /// The names of a znode's children, sorted, behind everything that was acknowledged anywhere.
    pub async fn children(&self, path: &str) -> Vec<String> {
        self.client.sync(path).await.expect("a leader");
        let mut children = self.client.list_children(path).await.expect("children");
        children.sort_unstable();
        children
    }

    /// The children's data, which are numbers.
    pub async fn numbers_below(&self, path: &str) -> BTreeMap<String, u64> {
        let mut numbers = BTreeMap::new();
        for child in self.children(path).await {
            let read = self.client.get_data(&format!("{path}/{child}")).await;
            let text = String::from_utf8(read.expect("data").0).expect("text");
            numbers.insert(child, text.parse().expect("a number"));
        }
        numbers
    }

    /// The generation and the children of `assignments`; the demo waits meanwhile, so that they
    /// belong together.
    pub async fn assignment(&self) -> (u64, Owners) {
        self.client.sync("/").await.expect("a leader");
        let generation = match self
            .client
            .get_data(&format!("{}/generation", self.group))
            .await
        {
            Ok((data, _)) => String::from_utf8(data)
                .expect("text")
                .parse()
                .expect("a number"),
            Err(zk::Error::NoNode) => return (0, Owners::new()),
            Err(error) => panic!("the generation cannot be read: {error}"),
        };
        let folder = format!("{}/assignments", self.group);
        let mut owners = Owners::new();
        for member in self
            .client
            .list_children(&folder)
            .await
            .expect("assignments")
        {
            let (data, _) = self
                .client
                .get_data(&format!("{folder}/{member}"))
                .await
                .expect("an assignment");
            let assignment: Value = serde_json::from_slice(&data).expect("JSON");
            assert_eq!(
                assignment["generation"], generation,
                "{member} is of another generation"
            );
            let owned = assignment["topics"]
                .get("orders")
                .cloned()
                .unwrap_or_else(|| Value::Array(Vec::new()));
            owners.insert(member, serde_json::from_value(owned).expect("partitions"));
        }
        (generation, owners)
    }

    /// Does nobody listen any more where the node did?
    pub fn node_is_gone(&self) -> bool {
        TcpStream::connect(self.zookeeper).is_err() && TcpStream::connect(self.http).is_err()
    }
}
