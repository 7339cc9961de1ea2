//! Answers to four-letter words, in ZooKeeper's words and formats, so that programs that read the
//! answers of a ZooKeeper can read these.
//!
//! 1. The connection finds a word where its first frame would be, and asks [`answer`].
//! 2. A word that is not whitelisted is answered with the sentence that says so. `srvr` always
//!    is; `isro` is as well where read-only mode is enabled.
//! 3. The numbers come from [`crate::metrics`], connections and watches from their tables. `cons`,
//!    `dump`, `stat`, `wchc` and `wchp`, which may be long, are made while they are sent.
//! 4. The connection sends the answer and closes.
//!
//! Differences from ZooKeeper, on purpose: `envi` has no lines about Java; `dump` groups what
//! expires by the expiry's tick.

mod reports;

use std::fmt::Write;
use std::iter::once;
use std::pin::Pin;

use innkeeper_proto::frame::FourLetterWord;
use innkeeper_runtime::Runtime;
use innkeeper_server::delivery::fanout::WatchItem;
use innkeeper_server::four_letter_words::{FourLetterWords, Pieces};
use innkeeper_server::inspect::Serves;
use innkeeper_server::service::Service;

use crate::ensemble;
use crate::metrics::render::{lines, rounded};
use crate::metrics::{self, Provider, sizes, version};
use crate::pieces;
use crate::settings::AdminSettings;
use crate::surface::Surface;

pub(crate) use reports::{ByTime, environment, ephemerals, tracked};

/// ZooKeeper's answer to most words while it has no quorum.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

impl<R: Runtime> FourLetterWords for Surface<R> {
    fn is_allowed(&self, word: FourLetterWord) -> bool {
        is_allowed(self, word)
    }

    fn answer(
        &self,
        word: FourLetterWord,
        argument: Option<i64>,
    ) -> Pin<Box<dyn Future<Output = Pieces> + Send + '_>> {
        Box::pin(answer(self, word, argument))
    }
}

/// Whether a word is on the whitelist.
fn is_allowed<R: Runtime>(surface: &Surface<R>, word: FourLetterWord) -> bool {
    match word {
        FourLetterWord::Srvr => true,
        FourLetterWord::Isro if surface.service.settings.read_only_mode => true,
        word => surface.settings.words.contains(&word),
    }
}

/// The answer to a word: what it asks for, or the sentence that it may not be asked. `argument` is
/// the number that follows `stmk`.
async fn answer<R: Runtime>(
    surface: &Surface<R>,
    word: FourLetterWord,
    argument: Option<i64>,
) -> Pieces {
    let service = &*surface.service;
    if !is_allowed(surface, word) {
        return pieces::one(format!(
            "{} is not executed because it is not in the whitelist.\n",
            word.as_str()
        ));
    }
    let serves = service.serves();
    if serves == Serves::Nobody {
        match word {
            FourLetterWord::Isro => return pieces::one("null".to_owned()),
            FourLetterWord::Ruok
            | FourLetterWord::Envi
            | FourLetterWord::Gtmk
            | FourLetterWord::Stmk => {}
            _ => return pieces::one(NOT_SERVING.to_owned()),
        }
    }
    let text = match word {
        FourLetterWord::Cons => return pieces::gathered(reports::connections(service)),
        FourLetterWord::Dump => return pieces::gathered(reports::dump(service)),
        FourLetterWord::Stat => return pieces::gathered(stat(surface, serves)),
        FourLetterWord::Wchc => {
            let report = service.fanout.watches_by_session();
            let is_head = |item: &WatchItem| matches!(item, WatchItem::Session(_));
            return pieces::gathered(reports::watches(report, is_head));
        }
        FourLetterWord::Wchp => {
            let report = service.fanout.watches_by_path();
            let is_head = |item: &WatchItem| matches!(item, WatchItem::Path(_));
            return pieces::gathered(reports::watches(report, is_head));
        }
        FourLetterWord::Conf => conf(surface).await,
        FourLetterWord::Crst => {
            service.reset_connections();
            "Connection stats reset.\n".to_owned()
        }
        FourLetterWord::Dirs => {
            let sizes = sizes(&surface.service, &surface.disk_usage).await;
            format!(
                "datadir_size: {}\nlogdir_size: {}\n",
                sizes.data_bytes, sizes.log_bytes
            )
        }
        FourLetterWord::Envi => {
            let mut text = "Environment:\n".to_owned();
            for (key, value) in environment(&surface.settings) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{key}={value}");
            }
            text
        }
        FourLetterWord::Gtmk => service.trace_mask().to_string(),
        FourLetterWord::Hash => hash(service),
        FourLetterWord::Isro => match serves {
            Serves::Readers => "ro".to_owned(),
            _ => "rw".to_owned(),
        },
        FourLetterWord::Mntr => mntr(surface),
        FourLetterWord::Ruok => "imok".to_owned(),
        FourLetterWord::Srst => {
            service.reset_stats();
            "Server stats reset.\n".to_owned()
        }
        FourLetterWord::Srvr => head(&surface.settings, serves) + &counts(service),
        FourLetterWord::Stmk => {
            let mask = argument.unwrap_or_default();
            service.set_trace_mask(mask);
            mask.to_string()
        }
        FourLetterWord::Wchs => reports::watch_summary(service),
    };
    pieces::one(text)
}

/// `stat`, line by line: `srvr` with the connections in it.
fn stat<R: Runtime>(
    surface: &Surface<R>,
    serves: Serves,
) -> impl Iterator<Item = String> + Send + use<R> {
    let service = &*surface.service;
    let clients = service.connections();
    let clients = clients.map(|client| reports::connection(&client, true) + "\n");
    once(head(&surface.settings, serves) + "Clients:\n")
        .chain(clients)
        .chain(once("\n".to_owned() + &counts(service)))
}

/// The first lines of `srvr` and `stat`.
fn head(settings: &AdminSettings, serves: Serves) -> String {
    let mut text = format!("Zookeeper version: {}\n", version(settings));
    if serves == Serves::Readers {
        text.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    text
}

/// The last lines of `srvr` and `stat`.
fn counts<R: Runtime>(service: &Service<R>) -> String {
    let totals = service.totals();
    let latency = totals.latency_us();
    let view = service.reader.view();
    let mut text = format!(
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {}\nMode: {}\nNode count: {}\n",
        latency.min / 1000,
        rounded(latency.average / 1000.0),
        latency.max / 1000,
        totals.received,
        totals.sent,
        service.connection_count(),
        service.pending_requests(),
        view.zxid(),
        service.mode().name(),
        view.znode_count(),
    );
    if let Some([last, min, max]) = ensemble::proposal_sizes(service) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
    text
}

fn mntr<R: Runtime>(surface: &Surface<R>) -> String {
    let service = &*surface.service;
    let state = service.mode().name();
    let mut text = format!(
        "zk_version\t{}\nzk_server_state\t{state}\n",
        version(&surface.settings)
    );
    // Writing to a String cannot fail.
    if let Some(state) = ensemble::peer_state(service) {
        let _ = writeln!(text, "zk_peer_state\t{state}");
    }
    if let Some(leader) = ensemble::observer_master(service) {
        let _ = writeln!(text, "zk_observer_master_id\t{leader}");
    }
    let provider = Provider::configured(&surface.settings);
    for (name, value) in lines(&metrics::rows(surface, provider), provider) {
        let _ = writeln!(text, "zk_{name}\t{value}");
    }
    text
}

async fn conf<R: Runtime>(surface: &Surface<R>) -> String {
    let service = &surface.service;
    let settings = &service.settings;
    let sizes = sizes(&surface.service, &surface.disk_usage).await;
    let (min_timeout_ms, max_timeout_ms) = settings.timeout_range_ms();
    let secure = service
        .bound
        .secure
        .map_or(-1, |addr| i32::from(addr.port()));
    format!(
        "clientPort={}\nsecureClientPort={secure}\ndataDir={}\ndataDirSize={}\ndataLogDir={}\n\
         dataLogSize={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={min_timeout_ms}\n\
         maxSessionTimeout={max_timeout_ms}\nclientPortListenBacklog=-1\nserverId={}\n",
        service.bound.zookeeper.port(),
        sizes.data.display(),
        sizes.data_bytes,
        sizes.log.display(),
        sizes.log_bytes,
        settings.tick_time_ms,
        settings.max_client_connections,
        settings.server_id(),
    ) + &ensemble::conf(service)
}

/// The rolling hash at every 128th zxid, by which nodes can be compared.
fn hash<R: Runtime>(service: &Service<R>) -> String {
    let digests = service.reader.view().digests().into_iter();
    digests.fold(String::new(), |mut text, (zxid, hash)| {
        let _ = writeln!(text, "{:x}: {}", zxid.0, hash as i64);
        text
    })
}
