//! A Redis Cluster, and the watch on which node owns which slot.

mod map;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
};
use tokio::sync::{Notify, watch};

use map::Map;
pub use map::Node;

use crate::sentinel::Address;
use crate::tls::{Tls, moved_to};

/// Time between two looks at the Cluster, and the least time between two when somebody asks for one.
const INTERVAL: Duration = Duration::from_secs(1);
const LEAST_INTERVAL: Duration = Duration::from_millis(50);
/// A node that takes longer is left out of this look.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// Schemes, and those of the nodes themselves.
const SCHEMES: [(&str, &str); 2] = [("redis+cluster://", "redis"), ("rediss+cluster://", "rediss")];

/// Reads a URL; none when it is not one of a Cluster. Otherwise some of its nodes, with credentials and certificates.
pub(crate) fn parse(url: &str, tls: &Tls) -> RedisResult<Option<Vec<ConnectionInfo>>> {
    let schemes = SCHEMES.into_iter().find_map(|(name, scheme)| Some((url.strip_prefix(name)?, scheme)));
    let Some((rest, scheme)) = schemes else { return Ok(None) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?']) {
        return Err(wrong("a Cluster has one database and no options"));
    }
    let (credentials, hosts) = match rest.rsplit_once('@') {
        Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
        None => (String::new(), rest),
    };
    hosts
        .split(',')
        .map(|host| tls.connection_info(&format!("{scheme}://{credentials}{host}")))
        .collect::<RedisResult<_>>()
        .map(Some)
}

fn wrong(what: &'static str) -> RedisError {
    (
        ErrorKind::InvalidClientConfig,
        "expected redis[s]+cluster://[user:password@]host:port,host:port,...",
        what.to_owned(),
    )
        .into()
}

/// The Cluster as its nodes see it, looked at again and again in the background while somebody listens.
#[derive(Clone)]
pub(crate) struct Cluster {
    known: watch::Receiver<Option<Arc<Map>>>,
    look: Arc<Notify>,
    /// Of a node, but for its address.
    node: ConnectionInfo,
}

impl Cluster {
    pub(crate) fn watch(seeds: Vec<ConnectionInfo>) -> RedisResult<Self> {
        let node = seeds.first().cloned().ok_or_else(|| wrong("no node is named"))?;
        let (sender, known) = watch::channel(None);
        let look = Arc::new(Notify::new());
        tokio::runtime::Handle::try_current()
            .map_err(|_| wrong("a Cluster needs a Tokio runtime"))?
            .spawn(look_again_and_again(seeds, node.clone(), sender, look.clone()));
        Ok(Self { known, look, node })
    }

    pub(crate) fn node_info(&self) -> &ConnectionInfo {
        &self.node
    }

    pub(crate) fn client(&self, (host, port): Address) -> RedisResult<Client> {
        Client::open(moved_to(self.node.clone(), host, port))
    }

    /// Something has changed, it seems.
    pub(crate) fn look_again(&self) {
        self.look.notify_one();
    }

    /// The map; waits for the first one.
    pub(crate) async fn map(&self, timeout: Duration) -> RedisResult<Arc<Map>> {
        let mut known = self.known.clone();
        let known = tokio::time::timeout(timeout, known.wait_for(Option::is_some)).await;
        let map = match known {
            Ok(Ok(known)) => known.clone(),
            _ => None,
        };
        map.ok_or_else(|| nobody("no node of the Redis Cluster answers"))
    }

    pub(crate) async fn owner(&self, slot: u16, timeout: Duration) -> RedisResult<Address> {
        let map = self.map(timeout).await?;
        let unowned = || nobody(&format!("no node of the Redis Cluster owns slot {slot}"));
        map.owner(slot).cloned().ok_or_else(unowned)
    }

    /// The address that is used here for a node that another one named.
    pub(crate) fn known_as(&self, address: Address) -> Address {
        match self.known.borrow().as_ref() {
            Some(map) => map.known_as(address),
            None => address,
        }
    }

    /// Whether a node owns a slot, or any slot at all when none is named.
    pub(crate) fn owns(&self, address: &Address, slot: Option<u16>) -> bool {
        self.known.borrow().as_ref().is_some_and(|map| match slot {
            Some(slot) => map.owner(slot) == Some(address),
            None => map.primaries().contains(address),
        })
    }

    /// Waits until another node owns a slot.
    pub(crate) async fn moved_from(mut self, address: &Address, slot: u16) {
        let moved = |map: &Option<Arc<Map>>| map.as_ref().is_some_and(|map| map.owner(slot) != Some(address));
        if self.known.wait_for(moved).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// There is nobody to send to: a refused connection, since nothing was sent.
pub(crate) fn nobody(why: &str) -> RedisError {
    io::Error::new(io::ErrorKind::ConnectionRefused, why).into()
}

struct Witness {
    client: Client,
    connection: Option<MultiplexedConnection>,
}

impl Witness {
    async fn ask(&mut self) -> RedisResult<Vec<Node>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(ANSWER_TIMEOUT))
                    .set_response_timeout(Some(ANSWER_TIMEOUT));
                self.client.get_multiplexed_async_connection_with_config(&config).await?
            }
        };
        let text: String = redis::cmd("CLUSTER").arg("NODES").query_async(&mut connection).await?;
        self.connection = Some(connection);
        let (asked, _) = address_of(self.client.get_connection_info());
        Ok(text.lines().filter_map(|line| Node::read(line, &asked)).collect())
    }
}

fn address_of(info: &ConnectionInfo) -> Address {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port),
        other => (other.to_string(), 0),
    }
}

async fn look_again_and_again(
    seeds: Vec<ConnectionInfo>,
    node: ConnectionInfo,
    known: watch::Sender<Option<Arc<Map>>>,
    look: Arc<Notify>,
) {
    let mut witnesses: BTreeMap<Address, Witness> = BTreeMap::new();
    let mut silent = false;
    while !known.is_closed() {
        let wanted: BTreeSet<Address> = seeds
            .iter()
            .map(address_of)
            .chain(known.borrow().iter().flat_map(|map| map.nodes.iter().map(|n| n.address.clone())))
            .collect();
        witnesses.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if let Ok(client) = Client::open(moved_to(node.clone(), address.0.clone(), address.1)) {
                witnesses.entry(address).or_insert(Witness { client, connection: None });
            }
        }
        let answers = join_all(witnesses.values_mut().map(Witness::ask)).await;
        let error = answers.iter().find_map(|a| a.as_ref().err()).map(ToString::to_string);
        let views: Vec<Vec<Node>> = answers.into_iter().flatten().collect();
        if views.iter().all(Vec::is_empty) {
            if !silent {
                let error = error.unwrap_or_default();
                tracing::warn!(
                    error,
                    "no node of the Redis Cluster answers; check redis.url and cluster-enabled"
                );
            }
            silent = true;
        } else {
            silent = false;
            let map = Map::of(views);
            known.send_if_modified(|known| {
                let changed = known.as_deref() != Some(&map);
                if changed {
                    let (primaries, uncovered) = (map.primaries().len(), map.uncovered());
                    tracing::debug!(nodes = map.nodes.len(), primaries, uncovered, "the Redis Cluster");
                    *known = Some(Arc::new(map));
                }
                changed
            });
        }
        tokio::time::sleep(LEAST_INTERVAL).await;
        let _ = tokio::time::timeout(INTERVAL, look.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsFiles;

    #[test]
    fn urls_of_clusters_are_read() {
        let tls = Tls::read(&TlsFiles::default()).unwrap();
        let seeds = parse("redis+cluster://vtox:p%40ss@a:7000,b,[::1]:7001/", &tls).unwrap().unwrap();
        let addresses: Vec<_> = seeds.iter().map(address_of).collect();
        assert_eq!(addresses, [("a".to_owned(), 7_000), ("b".to_owned(), 6_379), ("::1".to_owned(), 7_001)]);
        assert_eq!(seeds[1].redis_settings().password(), Some("p@ss"));
        assert!(parse("redis://a", &tls).unwrap().is_none());
        let seeds = parse("rediss+cluster://a", &tls).unwrap().unwrap();
        assert!(matches!(seeds[0].addr(), ConnectionAddr::TcpTls { .. }));
        for url in
            ["redis+cluster://a/3", "redis+cluster://a,,b", "redis+cluster://", "redis+cluster://a?db=1"]
        {
            assert!(parse(url, &tls).is_err(), "{url}");
        }
    }
}
