//! Starts the processes and talks to them.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use innkeeper_raft::Settings;
use innkeeper_runtime::{Latest, Listener, Real, Runtime};

use crate::child::MARK;
use crate::orders::{ORDERS, Orders};
use crate::proxy;

/// A process that this program started. It ends with this value.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(what: &str, orders: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", what, "--ignored", "--nocapture"])
            .env(ORDERS, orders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take();
        Self {
            child,
            input,
            lines,
        }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success(), "{kill}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One replica of the group.
pub struct Replica {
    pub orders: Orders,
    process: Option<Process>,
    /// The warnings of its log.
    pub log: Vec<String>,
}

impl Replica {
    /// Starts the process, and waits until the replica has opened.
    pub fn start(&mut self) {
        self.orders.run += 1;
        self.process = Some(Process::start("child::replica", &self.orders.text()));
        assert_eq!(self.hear(), "open");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP and SIGCONT, for instance.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// Gives a command. Its answer must be heard before another one is given.
    pub fn say(&mut self, command: &str) {
        let process = self.process.as_mut().expect("it runs");
        writeln!(process.input.as_mut().expect("it listens"), "{command}").unwrap();
    }

    fn line(&mut self) -> String {
        let process = self.process.as_mut().expect("it runs");
        loop {
            let mut line = String::new();
            let read = process.lines.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "node {} ended by itself", self.orders.id);
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return said.to_owned();
            }
        }
    }

    /// The answer to the command.
    pub fn hear(&mut self) -> String {
        loop {
            let line = self.line();
            match line.strip_prefix("log ") {
                Some(entry) => self.log.push(entry.to_owned()),
                None => return line,
            }
        }
    }

    /// Waits until the log has a line with this text.
    pub fn hear_log(&mut self, text: &str) -> String {
        loop {
            if let Some(found) = self.log.iter().find(|entry| entry.contains(text)) {
                return found.clone();
            }
            let line = self.line();
            let entry = line.strip_prefix("log ").expect("no command was given");
            self.log.push(entry.to_owned());
        }
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.say(command);
        self.hear()
    }

    /// The numbers in the answer.
    pub fn numbers(&mut self, command: &str) -> Vec<u64> {
        let answer = self.ask(command);
        let words = answer.split_whitespace().skip(1);
        words.map(|word| word.parse().expect(&answer)).collect()
    }

    /// The leader, as this node knows it after a confirmed read.
    pub fn leader(&mut self) -> u64 {
        loop {
            assert_eq!(self.ask("read"), "read");
            // It may have fallen silent since the read.
            let leader = self.numbers("status")[0];
            if leader != 0 {
                return leader;
            }
        }
    }
}

/// Waits until all of them vote and know it.
pub fn all_vote(replicas: &mut [Replica]) {
    let voters = format!("voters {}", replicas.len());
    for replica in replicas {
        assert_eq!(replica.ask(&voters), "voters");
    }
}

/// A port that nobody listens on at the moment.
async fn free_port(runtime: &Real) -> u16 {
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let listener = runtime.listen_tcp(any).await.unwrap();
    listener.local_addr().expect("a port").port()
}

/// Three replicas that have not started. What the others send to the third one goes through a
/// proxy, which `is_open` cuts. All have the same list, since the group's own takes its place.
pub async fn three(runtime: &Real, folder: &Path, is_open: &Latest<bool>) -> Vec<Replica> {
    let mut ports = Vec::new();
    for _ in 0..3 {
        ports.push(free_port(runtime).await);
    }
    let third = proxy::start(runtime, ports[2], is_open.clone()).await;
    let voters = vec![(1, ports[0]), (2, ports[1]), (3, third)];
    let mut replicas = Vec::new();
    for id in 1..=3 {
        let folder = folder.join(format!("node-{id}"));
        replicas.push(Replica {
            orders: Orders {
                id,
                run: 0,
                port: ports[id as usize - 1],
                folder: folder.to_str().expect("a path in UTF-8").to_owned(),
                secret: "swordfish".to_owned(),
                feature_level: Settings::default().feature_level,
                voters: voters.clone(),
            },
            process: None,
            log: Vec::new(),
        });
    }
    replicas
}
