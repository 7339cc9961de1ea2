//! The flags that name the other nodes of a node's group.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use innkeeper_auth::Secret;
use innkeeper_runtime::Runtime;
use innkeeper_server::settings::{ELECTION_MS_MIN, GroupSettings, PeerAddress, ServerSettings};
use innkeeper_tree::group::{ADDRESS_BYTES_MAX, canonical};
use innkeeper_tree::text::{file_name, piece};

use super::names;

/// Flags of `innkeeper serve` about the group.
#[derive(Debug, Args)]
pub(super) struct PeerArgs {
    /// This node's number among those of --peers
    #[arg(long, value_name = "N", requires = "peers")]
    id: Option<u64>,
    /// The group's nodes, the same list on each: 1=HOST:PORT,2=HOST:PORT:observer
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "id")]
    peers: Vec<String>,
    /// File with the secret that all nodes of the group share
    #[arg(long, value_name = "FILE")]
    peer_secret_file: Option<PathBuf>,
    /// Least silence of the leader after which another one is elected [default: 500]
    #[arg(long, value_name = "MS")]
    election_ms: Option<u32>,
}

impl PeerArgs {
    /// Sets what the flags say. Returns warnings about it.
    pub(super) async fn apply<R: Runtime>(
        self,
        runtime: &R,
        server: &mut ServerSettings,
    ) -> anyhow::Result<Vec<String>> {
        if let Some(id) = self.id {
            server.group = Some(group(runtime, id, &self.peers).await?);
            server.server_number = Some(id.cast_signed());
        }
        let Some(group) = &mut server.group else {
            let given = [
                ("--peer-secret-file", self.peer_secret_file.is_some()),
                ("--election-ms", self.election_ms.is_some()),
            ];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(anyhow!(
                    "{flag} is for the nodes of a group: give --id and --peers as well, or server.N lines in the file"
                )),
                None => Ok(Vec::new()),
            };
        };
        if let Some(election_ms) = self.election_ms {
            if election_ms < ELECTION_MS_MIN {
                bail!(
                    "--election-ms {election_ms} is too short, since a busy node must not look like a dead one: give {ELECTION_MS_MIN} or more"
                );
            }
            group.election_ms = election_ms;
        }
        match &self.peer_secret_file {
            Some(file) => {
                group.secret = secret(file)?;
                Ok(Vec::new())
            }
            None if group.listen.ip().is_loopback() => Ok(Vec::new()),
            None => Ok(vec![format!(
                "no secret protects the peer port {}: whoever reaches it can be a node of the group; give --peer-secret-file",
                group.listen
            )]),
        }
    }
}

/// The group that `--id` and `--peers` name.
async fn group<R: Runtime>(runtime: &R, id: u64, list: &[String]) -> anyhow::Result<GroupSettings> {
    let (mut voters, mut observers) = (BTreeMap::new(), BTreeMap::new());
    for text in list {
        let (number, votes, address) =
            peer(text).with_context(|| format!("--peers {}", piece(list.join(","))))?;
        let already = voters.contains_key(&number) || observers.contains_key(&number);
        if already {
            bail!("--peers names node {number} twice: leave one out");
        }
        match votes {
            true => voters.insert(number, address),
            false => observers.insert(number, address),
        };
    }
    if voters.is_empty() {
        bail!("--peers names observers only: name the nodes that vote as well");
    }
    let all = voters.iter().chain(&observers);
    if let Some((one, other, address)) = sharing(all.map(|(number, at)| (*number, at))) {
        bail!(
            "--peers gives node {one} and node {other} the same address, {}: give each node its own",
            piece(address)
        );
    }
    let own = voters.get(&id).or_else(|| observers.get(&id));
    let own = own.ok_or_else(|| {
        anyhow!("--id {id} is not among the nodes of --peers: name this node there as well")
    })?;
    let listen = names::address(runtime, &own.host, own.port).await?;
    // The list names neither a port for elections nor one for clients.
    Ok(GroupSettings::new(id, listen, voters, observers))
}

/// One node of the list: its number, whether it votes, and its address.
fn peer(text: &str) -> anyhow::Result<(u64, bool, PeerAddress)> {
    let form = || {
        let text = piece(text);
        anyhow!("{text} is not of the form N=HOST:PORT or N=HOST:PORT:observer")
    };
    let (number, rest) = text.trim().split_once('=').ok_or_else(form)?;
    let number = number.parse().map_err(|_| form())?;
    let (rest, votes) = match rest.rsplit_once(':') {
        Some((address, "observer")) => (address, false),
        Some((address, "participant")) => (address, true),
        _ => (rest, true),
    };
    let address: PeerAddress = rest.parse().map_err(|_| form())?;
    nameable(&address.host)?;
    reachable(&address.host).with_context(|| piece(text))?;
    Ok((number, votes, address))
}

/// The first two nodes with one address, and the address. Whoever dials the second one reaches the
/// first.
pub(super) fn sharing<'a, N: Copy + Ord>(
    nodes: impl IntoIterator<Item = (N, &'a PeerAddress)>,
) -> Option<(N, N, &'a PeerAddress)> {
    let mut known = BTreeMap::new();
    nodes.into_iter().find_map(|(number, address)| {
        let first = known.insert(canonical(&address.to_string()), number)?;
        Some((first.min(number), first.max(number), address))
    })
}

/// Refuses an address at which no other node can reach this one.
pub(super) fn reachable(host: &str) -> anyhow::Result<()> {
    let unspecified = host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    if unspecified {
        bail!(
            "{host} is every address of a machine, and the other nodes need one at which they reach this one: write that"
        );
    }
    Ok(())
}

/// Refuses a name that no host has: with it a group could not be founded.
pub(super) fn nameable(host: &str) -> anyhow::Result<()> {
    // A colon and a port, and the brackets of an IPv6 address.
    if host.len() + 8 > ADDRESS_BYTES_MAX {
        bail!(
            "`{}` has {} bytes, and the name of a host has at most 253: correct it",
            piece(host),
            host.len()
        );
    }
    Ok(())
}

/// The secret in a file, without the line's end.
fn secret(file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "--peer-secret-file {} cannot be read; name a text file that this user may read",
            file_name(file)
        )
    })?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!(
            "--peer-secret-file {} is empty: write the group's secret into it",
            file_name(file)
        );
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Files of tests.
mod tests {
    use super::*;
    use innkeeper_runtime::Sim;

    fn read(args: PeerArgs) -> anyhow::Result<(ServerSettings, Vec<String>)> {
        Sim::run(1, async |runtime| {
            let mut settings = ServerSettings::on_free_ports("/data");
            let warnings = args.apply(&runtime, &mut settings).await?;
            Ok((settings, warnings))
        })
    }

    fn args(id: u64, peers: &str) -> PeerArgs {
        PeerArgs {
            id: Some(id),
            peers: peers.split(',').map(str::to_owned).collect(),
            peer_secret_file: None,
            election_ms: None,
        }
    }

    #[test]
    fn a_list_of_peers_names_the_group() {
        let list = "1=127.0.0.1:2888,2=zoo-2:2888,7=[::1]:2889:observer";
        let (settings, warnings) = read(args(1, list)).unwrap();
        let group = settings.group.unwrap();
        assert_eq!((group.id, settings.server_number), (1, Some(1)));
        assert_eq!(group.listen.to_string(), "127.0.0.1:2888");
        assert_eq!(group.voters.keys().collect::<Vec<_>>(), [&1, &2]);
        assert_eq!(group.voters[&2].to_string(), "zoo-2:2888");
        assert_eq!(group.observers[&7].to_string(), "[::1]:2889");
        assert_eq!(group.election_ms, 500);
        assert_eq!(warnings, Vec::<String>::new());
        let (settings, _) = read(args(7, list)).unwrap();
        assert_eq!(settings.group.unwrap().listen.to_string(), "[::1]:2889");
    }

    #[test]
    fn a_wrong_list_is_refused_with_what_to_do() {
        for (id, list, says) in [
            (1, "2=a:1", "--id 1 is not among"),
            (1, "1=127.0.0.1", "is not of the form"),
            (1, "1=127.0.0.1:1,1=127.0.0.1:2", "names node 1 twice"),
            (
                1,
                "1=127.0.0.1:1,3=Zoo:1:observer,2=zoo:1",
                "--peers gives node 2 and node 3 the same address, Zoo:1: give each",
            ),
            (1, "1=[::1]:1,2=[0:0::1]:1", "node 1 and node 2 the same"),
            (1, "x=127.0.0.1:1", "is not of the form"),
            (1, "1=127.0.0.1:1:observer", "observers only"),
            (1, "1=127.0.0.1:1:master", "is not of the form"),
            (1, "1=0.0.0.0:1", "every address of a machine"),
            (1, "1=no-such-host.invalid:1", "is not known"),
            (
                1,
                &format!("1=127.0.0.1:1,2={}:1", "zoo".repeat(100)),
                "zoo… (+",
            ),
        ] {
            let error = format!("{:#}", read(args(id, list)).unwrap_err());
            assert!(error.contains(says), "{list}: {error}");
        }
        let alone = PeerArgs {
            id: None,
            peers: Vec::new(),
            peer_secret_file: None,
            election_ms: Some(500),
        };
        let error = read(alone).unwrap_err().to_string();
        assert!(error.contains("for the nodes of a group"), "{error}");
        let hasty = PeerArgs {
            election_ms: Some(99),
            ..args(1, "1=127.0.0.1:1")
        };
        assert!(read(hasty).unwrap_err().to_string().contains("100 or more"));
    }

    #[test]
    fn the_secret_is_the_files_text_and_without_one_there_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let with = || PeerArgs {
            peer_secret_file: Some(file.clone()),
            ..args(1, "1=127.0.0.1:1")
        };
        assert!(read(with()).is_err(), "there is no file");
        std::fs::write(&file, "\n").unwrap();
        assert!(read(with()).unwrap_err().to_string().contains("is empty"));
        std::fs::write(&file, "sword fish \n").unwrap();
        let (settings, _) = read(with()).unwrap();
        assert_eq!(settings.group.unwrap().secret.reveal(), "sword fish ");
        let (_, warnings) = read(args(1, "1=192.0.2.1:1")).unwrap();
        assert!(warnings[0].contains("no secret protects"), "{warnings:?}");
    }
}
