//! ZooKeeper's own configuration file, and the Java properties that its scripts pass.
//!
//! A line is `key=value`; `#` begins a comment. A key of the file and a property
//! `zookeeper.<key>` mean the same, as in ZooKeeper, which makes the one into the other. What
//! this server does not know is named to the user, never dropped in silence.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use innkeeper_proto::frame::FourLetterWord;

/// What a file and properties say.
#[derive(Debug)]
pub(super) struct ZooCfg {
    pub(super) tick_time_ms: Option<u32>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) client_port: u16,
    pub(super) client_address: IpAddr,
    pub(super) max_client_cnxns: Option<usize>,
    pub(super) words: Option<Vec<FourLetterWord>>,
    pub(super) admin_enabled: Option<bool>,
    pub(super) admin_port: Option<u16>,
    pub(super) super_digest: Option<String>,
    /// Keys that mean nothing here.
    pub(super) ignored: Vec<String>,
}

impl Default for ZooCfg {
    fn default() -> Self {
        Self {
            tick_time_ms: None,
            data_dir: None,
            client_port: 2181,
            // ZooKeeper listens everywhere unless clientPortAddress says where.
            client_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            max_client_cnxns: None,
            words: None,
            admin_enabled: None,
            admin_port: None,
            super_digest: None,
            ignored: Vec::new(),
        }
    }
}

/// Reads a file's text.
pub(super) fn read(text: &str) -> anyhow::Result<ZooCfg> {
    let mut read = ZooCfg::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).with_context(|| {
            format!("line {} is not of the form key=value: {line:?}", number + 1)
        })?;
        read.set(key.trim(), value.trim())
            .with_context(|| format!("line {}", number + 1))?;
    }
    Ok(read)
}

/// Reads a list of four-letter words.
pub(super) fn words(list: &str) -> anyhow::Result<Vec<FourLetterWord>> {
    let mut words = Vec::new();
    for word in list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        if word == "*" {
            return Ok(FourLetterWord::ALL.to_vec());
        }
        words.push(word.parse()?);
    }
    Ok(words)
}

impl ZooCfg {
    /// Takes one key of the file, or one Java property.
    pub(super) fn set(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        match key.strip_prefix("zookeeper.").unwrap_or(key) {
            "tickTime" => self.tick_time_ms = Some(number(key, value)?),
            "dataDir" => self.data_dir = Some(PathBuf::from(value)),
            "clientPort" => self.client_port = number(key, value)?,
            "clientPortAddress" => self.client_address = address(value)?,
            "maxClientCnxns" => self.max_client_cnxns = Some(number(key, value)?),
            "4lw.commands.whitelist" => self.words = Some(words(value)?),
            "admin.enableServer" => self.admin_enabled = Some(value == "true"),
            "admin.serverPort" => self.admin_port = Some(number(key, value)?),
            "DigestAuthenticationProvider.superDigest" => {
                self.super_digest = Some(value.to_owned());
            }
            _ => self.ignored.push(key.to_owned()),
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> anyhow::Result<T> {
    value.parse().map_err(|_| {
        anyhow!("{key}={value} is not a number that fits: write a smaller plain number")
    })
}

fn address(value: &str) -> anyhow::Result<IpAddr> {
    if let Ok(address) = value.parse() {
        return Ok(address);
    }
    let found = (value, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next());
    found
        .map(|addr| addr.ip())
        .with_context(|| format!("clientPortAddress={value} is no address and no name of one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_what_is_not_known_is_named() {
        let text = "# a comment\ntickTime=500\ndataDir=/var/lib/zookeeper\n\nclientPort = 2200\n\
                    clientPortAddress=127.0.0.1\nmaxClientCnxns=7\n4lw.commands.whitelist=ruok, mntr\n\
                    admin.enableServer=false\ninitLimit=10\nserver.1=localhost:2888:3888\n";
        let mut read = read(text).unwrap();
        read.set(
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "super:x",
        )
        .unwrap();
        read.set("java.security.auth.login.config", "x").unwrap();
        assert_eq!(read.tick_time_ms, Some(500));
        assert_eq!(read.data_dir, Some("/var/lib/zookeeper".into()));
        assert_eq!(
            (read.client_address, read.client_port),
            ([127, 0, 0, 1].into(), 2200)
        );
        assert_eq!(read.max_client_cnxns, Some(7));
        assert_eq!(
            read.words,
            Some(vec![FourLetterWord::Ruok, FourLetterWord::Mntr])
        );
        assert_eq!(read.admin_enabled, Some(false));
        assert_eq!(read.super_digest.as_deref(), Some("super:x"));
        assert_eq!(
            read.ignored,
            ["initLimit", "server.1", "java.security.auth.login.config"]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        assert!(read("tickTime").is_err());
        assert!(read("clientPort=70000").is_err());
        assert!(words("ruok,nope").is_err());
        assert_eq!(words("*").unwrap(), FourLetterWord::ALL);
    }
}
