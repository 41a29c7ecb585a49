//! Asking sentinels for the primary.

mod report;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
};
use tokio::sync::watch;

pub use report::{Sentinel as SentinelReport, View as SentinelView};

use crate::tls::{Tls, moved_to};

/// Time between two questions to all sentinels.
const INTERVAL: Duration = Duration::from_millis(250);
/// A sentinel that takes longer is left out of this round.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// So many rounds of agreement are needed to believe that sentinels were set up anew.
const ROUNDS_ANEW: u32 = 20;
const DEFAULT_PORT: u16 = 26_379;
/// Schemes, and those of the sentinels and the primary themselves.
const SCHEMES: [(&str, &str); 2] = [("redis+sentinel://", "redis"), ("rediss+sentinel://", "rediss")];

/// Host and port.
pub(crate) type Address = (String, u16);

/// What a URL says about sentinels.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    sentinels: Vec<ConnectionInfo>,
    name: String,
    /// Of the primary, but for its address.
    primary: ConnectionInfo,
}

impl Place {
    /// Reads a URL; none when it is not one of sentinels.
    pub(crate) fn parse(url: &str, tls: &Tls) -> RedisResult<Option<Self>> {
        let schemes = SCHEMES.into_iter().find_map(|(name, scheme)| Some((url.strip_prefix(name)?, scheme)));
        let Some((rest, scheme)) = schemes else { return Ok(None) };
        let (rest, password) = match rest.split_once('?') {
            None => (rest, None),
            Some((rest, query)) => match query.strip_prefix("sentinel_password=") {
                Some(password) => (rest, Some(password)),
                None => return Err(wrong("after ? only sentinel_password=... is understood")),
            },
        };
        let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("the primary's name is missing"))?;
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return Err(wrong("the primary's name is missing"));
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let login = password.map(|p| format!(":{p}@")).unwrap_or_default();
        let sentinels = hosts.split(',').map(|host| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let port = if has_port { String::new() } else { format!(":{DEFAULT_PORT}") };
            tls.connection_info(&format!("{scheme}://{login}{host}{port}"))
        });
        Ok(Some(Self {
            sentinels: sentinels.collect::<RedisResult<_>>()?,
            name: name.to_owned(),
            primary: tls.connection_info(&format!("{scheme}://{credentials}primary/{database}"))?,
        }))
    }
}

fn wrong(what: &'static str) -> RedisError {
    (
        ErrorKind::InvalidClientConfig,
        "expected redis[s]+sentinel://[user:password@]host:port,host:port/name[/db][?sentinel_password=...]",
        what.to_owned(),
    )
        .into()
}

/// The primary as the sentinels see it, asked again and again in the background while somebody listens.
#[derive(Clone)]
pub(crate) struct Sentinels {
    known: watch::Receiver<Option<Address>>,
    place: Place,
}

impl Sentinels {
    pub(crate) fn watch(place: Place) -> RedisResult<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let (sender, known) = watch::channel(None);
        let sentinels = place
            .sentinels
            .iter()
            .map(|info| Ok(Sentinel { client: Client::open(info.clone())?, connection: None }))
            .collect::<RedisResult<_>>()?;
        runtime.spawn(ask_all(sentinels, place.name.clone(), sender));
        Ok(Self { known, place })
    }

    /// The primary; waits for the first answer of a sentinel.
    pub(crate) async fn primary(&self, timeout: Duration) -> RedisResult<(Client, Address)> {
        let mut known = self.known.clone();
        let known = tokio::time::timeout(timeout, known.wait_for(Option::is_some)).await;
        let address = match known {
            Ok(Ok(known)) => known.clone(),
            _ => None,
        };
        let address = address.ok_or_else(|| io::Error::other("no sentinel names the primary"))?;
        let (host, port) = address.clone();
        Ok((Client::open(moved_to(self.place.primary.clone(), host, port))?, address))
    }

    /// Of the primary, but for its address.
    pub(crate) fn primary_info(&self) -> &ConnectionInfo {
        &self.place.primary
    }

    /// Asks each of them at once.
    pub(crate) async fn report(&self) -> Vec<SentinelReport> {
        join_all(self.place.sentinels.iter().map(async |info| {
            let address = match info.addr() {
                ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                    (host.clone(), *port)
                }
                other => (other.to_string(), 0),
            };
            let view = async { SentinelView::ask(&Client::open(info.clone())?, &self.place.name).await };
            SentinelReport { address, view: view.await }
        }))
        .await
    }

    pub(crate) fn is_primary(&self, address: &Address) -> bool {
        self.known.borrow().as_ref() == Some(address)
    }

    /// Waits until another is the primary.
    pub(crate) async fn moved_from(mut self, address: &Address) {
        if self.known.wait_for(|known| known.as_ref() != Some(address)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
}

struct Sentinel {
    client: Client,
    connection: Option<MultiplexedConnection>,
}

/// An answer: the epoch of the configuration, and the primary in it. Every failover has an epoch of its own.
type Answer = (u64, Address);

impl Sentinel {
    async fn ask(&mut self, name: &str) -> RedisResult<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection_with_config(&config()).await?,
        };
        // The address names the promoted one earlier than the description does; the epoch is only in the latter.
        let (address, mut about): (Option<Address>, HashMap<String, String>) = redis::pipe()
            .cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name)
            .cmd("SENTINEL")
            .arg("MASTER")
            .arg(name)
            .query_async(&mut connection)
            .await?;
        self.connection = Some(connection);
        let epoch = about.remove("config-epoch").and_then(|e| e.parse().ok()).unwrap_or(0);
        let address = address.ok_or((ErrorKind::MasterNameNotFoundBySentinel, "no primary of that name"))?;
        Ok((epoch, address))
    }
}

/// The newest of the answers, unless what is known is newer: a sentinel that was cut off does not know of the failover.
fn newest(answers: impl IntoIterator<Item = Answer>, known_epoch: u64) -> Option<Answer> {
    answers.into_iter().filter(|(epoch, _)| *epoch >= known_epoch).max_by_key(|(epoch, _)| *epoch)
}

/// Whether most sentinels agree on a configuration older than the one known: they were set up anew.
fn began_anew(answers: &[Answer], sentinels: usize, known_epoch: u64) -> bool {
    answers.iter().all(|a| Some(a) == answers.first() && a.0 < known_epoch) && 2 * answers.len() > sentinels
}

async fn ask_all(mut sentinels: Vec<Sentinel>, name: String, known: watch::Sender<Option<Address>>) {
    let (mut known_epoch, mut silent, mut anew) = (0, false, 0);
    while !known.is_closed() {
        let answers = join_all(sentinels.iter_mut().map(|sentinel| sentinel.ask(&name))).await;
        let error = answers.iter().find_map(|a| a.as_ref().err()).map(ToString::to_string);
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        anew = if began_anew(&answers, sentinels.len(), known_epoch) { anew + 1 } else { 0 };
        if anew >= ROUNDS_ANEW {
            known_epoch = 0;
        }
        match newest(answers, known_epoch) {
            Some((epoch, address)) => {
                known_epoch = epoch;
                silent = false;
                known.send_if_modified(|known| {
                    let moved = known.as_ref() != Some(&address);
                    if moved {
                        tracing::info!(name, host = address.0, port = address.1, epoch, "primary of Redis");
                        *known = Some(address);
                    }
                    moved
                });
            }
            None if !silent => {
                silent = true;
                let error = error.unwrap_or_default();
                tracing::warn!(
                    name,
                    error,
                    "no sentinel names the primary; check redis.url and the sentinels"
                );
            }
            None => {}
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TlsFiles;

    fn parse(url: &str) -> RedisResult<Option<Place>> {
        Place::parse(url, &Tls::read(&TlsFiles::default())?)
    }

    #[test]
    fn urls_of_sentinels_are_read() {
        let url = "redis+sentinel://vtox:p%40ss@a:26379,b,[::1]:7000/main/3?sentinel_password=s%2Fe";
        let place = parse(url).unwrap().unwrap();
        let at = |host: &str, port| ConnectionAddr::Tcp(host.to_owned(), port);
        let addresses: Vec<_> = place.sentinels.iter().map(|s| s.addr().clone()).collect();
        assert_eq!(addresses, [at("a", 26_379), at("b", 26_379), at("::1", 7_000)]);
        assert_eq!(place.name, "main");
        let redis = place.primary.redis_settings();
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("vtox"), Some("p@ss"), 3));
        assert_eq!(place.sentinels[0].redis_settings().password(), Some("s/e"));
        assert!(parse("redis://127.0.0.1").unwrap().is_none());
        let place = parse("rediss+sentinel://a/main").unwrap().unwrap();
        for info in [&place.sentinels[0], &place.primary] {
            assert!(matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
        }
    }

    #[test]
    fn urls_that_lack_something_are_refused() {
        for url in [
            "redis+sentinel://a:26379",
            "redis+sentinel://a:26379/",
            "redis+sentinel:///main",
            "redis+sentinel://a,,b/main",
            "redis+sentinel://a/main/x",
            "redis+sentinel://a/main?db=1",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_most_sentinels_together_begin_anew() {
        let answer = |epoch: u64| (epoch, ("a".to_owned(), 1));
        assert!(began_anew(&[answer(0), answer(0)], 3, 7));
        assert!(!began_anew(&[answer(0)], 3, 7), "one that was cut off");
        assert!(!began_anew(&[answer(0), answer(7)], 3, 7), "they do not agree");
        assert!(!began_anew(&[answer(7), answer(7), answer(7)], 3, 7), "nothing is older");
        assert!(!began_anew(&[], 3, 7));
    }

    proptest! {
        #[test]
        fn the_primary_is_never_one_of_an_older_epoch(
            epochs in proptest::collection::vec(0_u64..9, 0..5), known in 0_u64..9,
        ) {
            let answers = epochs.iter().map(|e| (*e, (e.to_string(), 1)));
            let newest = newest(answers, known).map(|(epoch, _)| epoch);
            prop_assert_eq!(newest, epochs.iter().copied().filter(|e| *e >= known).max());
        }
    }
}
