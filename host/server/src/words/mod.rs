//! Answers to four-letter words, in ZooKeeper's words and formats, so that what reads a
//! ZooKeeper's answers reads these.
//!
//! 1. The connection finds a word where its first frame would be, and asks [`answer`].
//! 2. A word that is not whitelisted is answered with the sentence that says so. `srvr` always
//!    is; `isro` is as well where read-only mode is enabled.
//! 3. The figures come from [`crate::figures`], connections and watches from their tables; the
//!    connection sends the text and closes.
//!
//! Differences from ZooKeeper, on purpose: `envi` has no lines about Java; `dump` groups what
//! expires by the expiry's tick.

mod reports;

use std::fmt::Write;

use innkeeper_proto::frame::FourLetterWord;
use innkeeper_runtime::Runtime;

use crate::core::Core;
use crate::figures::render::{lines, rounded};
use crate::figures::{self, Provider, Serves, sizes, version};

pub(crate) use reports::{by_session, environment, ephemerals};

/// What ZooKeeper says of most things while it has no quorum.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// Whether a word is on the whitelist.
pub(crate) fn is_allowed<R: Runtime>(core: &Core<R>, word: FourLetterWord) -> bool {
    match word {
        FourLetterWord::Srvr => true,
        FourLetterWord::Isro if core.settings.read_only_mode => true,
        word => core.settings.words.contains(&word),
    }
}

/// The answer to a word: what it asks for, or that it may not be asked. `argument` is what
/// followed it, of `stmk`.
pub(crate) async fn answer<R: Runtime>(
    core: &Core<R>,
    word: FourLetterWord,
    argument: Option<i64>,
) -> String {
    if !is_allowed(core, word) {
        return format!(
            "{} is not executed because it is not in the whitelist.\n",
            word.as_str()
        );
    }
    let serves = Serves::now(core);
    if serves == Serves::Nobody {
        match word {
            FourLetterWord::Isro => return "null".to_owned(),
            FourLetterWord::Ruok
            | FourLetterWord::Envi
            | FourLetterWord::Gtmk
            | FourLetterWord::Stmk => {}
            _ => return NOT_SERVING.to_owned(),
        }
    }
    match word {
        FourLetterWord::Conf => conf(core).await,
        FourLetterWord::Cons => reports::connections(core),
        FourLetterWord::Crst => {
            core.clients.reset_all();
            "Connection stats reset.\n".to_owned()
        }
        FourLetterWord::Dirs => {
            let sizes = sizes(core).await;
            format!(
                "datadir_size: {}\nlogdir_size: {}\n",
                sizes.data_bytes, sizes.log_bytes
            )
        }
        FourLetterWord::Dump => reports::dump(core),
        FourLetterWord::Envi => {
            let mut text = "Environment:\n".to_owned();
            for (key, value) in environment() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{key}={value}");
            }
            text
        }
        FourLetterWord::Gtmk => core.figures.trace_mask.get().to_string(),
        FourLetterWord::Hash => hash(core),
        FourLetterWord::Isro => match serves {
            Serves::Readers => "ro".to_owned(),
            _ => "rw".to_owned(),
        },
        FourLetterWord::Mntr => mntr(core, serves),
        FourLetterWord::Ruok => "imok".to_owned(),
        FourLetterWord::Srst => {
            figures::reset(core);
            "Server stats reset.\n".to_owned()
        }
        FourLetterWord::Srvr => srvr(core, serves, false),
        FourLetterWord::Stat => srvr(core, serves, true),
        FourLetterWord::Stmk => {
            let mask = argument.unwrap_or_default();
            core.figures.trace_mask.set(mask);
            mask.to_string()
        }
        FourLetterWord::Wchc => reports::watches_by_session(core),
        FourLetterWord::Wchp => reports::watches_by_path(core),
        FourLetterWord::Wchs => reports::watch_summary(core),
    }
}

fn srvr<R: Runtime>(core: &Core<R>, serves: Serves, with_clients: bool) -> String {
    let totals = core.figures.traffic.totals();
    let latency = totals.latency_us();
    let view = core.reader.view();
    let mut text = format!("Zookeeper version: {}\n", version());
    if serves == Serves::Readers {
        text.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if with_clients {
        text.push_str("Clients:\n");
        for client in core.clients.all() {
            text.push_str(&reports::connection(&client.shown(), true));
            text.push('\n');
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {}\nMode: {}\nNode count: {}\n",
        latency.min / 1000,
        rounded(latency.average / 1000.0),
        latency.max / 1000,
        totals.received,
        totals.sent,
        core.clients.len(),
        core.clients.pending(),
        view.zxid(),
        serves.state(),
        view.znode_count(),
    );
    text
}

fn mntr<R: Runtime>(core: &Core<R>, serves: Serves) -> String {
    let state = serves.state();
    let mut text = format!("zk_version\t{}\nzk_server_state\t{state}\n", version());
    let provider = Provider::configured(core);
    for (name, value) in lines(&figures::rows(core, provider), provider) {
        let _ = writeln!(text, "zk_{name}\t{value}");
    }
    text
}

async fn conf<R: Runtime>(core: &Core<R>) -> String {
    let settings = &core.settings;
    let sizes = sizes(core).await;
    let (min_timeout_ms, max_timeout_ms) = settings.timeout_range_ms();
    let secure = core.bound.secure.map_or(-1, |addr| i32::from(addr.port()));
    format!(
        "clientPort={}\nsecureClientPort={secure}\ndataDir={}\ndataDirSize={}\ndataLogDir={}\n\
         dataLogSize={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={min_timeout_ms}\n\
         maxSessionTimeout={max_timeout_ms}\nclientPortListenBacklog=-1\nserverId={}\n",
        core.bound.zookeeper.port(),
        sizes.data.display(),
        sizes.data_bytes,
        sizes.log.display(),
        sizes.log_bytes,
        settings.tick_time_ms,
        settings.max_client_connections,
        settings.server_id(),
    )
}

/// The rolling hash at every 128th zxid, by which nodes can be compared.
fn hash<R: Runtime>(core: &Core<R>) -> String {
    let digests = core.reader.view().digests().into_iter();
    digests.fold(String::new(), |mut text, (zxid, hash)| {
        let _ = writeln!(text, "{:x}: {}", zxid.0, hash as i64);
        text
    })
}
