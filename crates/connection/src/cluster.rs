//! A Redis Cluster: its nodes, and which of them owns which slot.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
};
use tokio::sync::{Notify, watch};

use crate::sentinel::Address;
use crate::slot::SLOTS;
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

/// A node as the Cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Host and port.
    pub address: (String, u16),
    /// Id of its primary; none of a primary.
    pub replica_of: Option<String>,
    /// Whether the Cluster takes it for dead.
    pub failed: bool,
    /// Slots it owns.
    pub slots: Vec<RangeInclusive<u16>>,
    /// Of its configuration: what later ones say of a slot holds.
    epoch: u64,
    /// Whether it says so itself.
    own: bool,
}

impl Node {
    /// Reads one line of `CLUSTER NODES`; none where the node cannot be reached yet, or by nobody.
    fn read(line: &str, asked: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [id, address, flags, replica_of, _, _, epoch, _, slots @ ..] = words.as_slice() else {
            return None;
        };
        let flags: BTreeSet<&str> = flags.split(',').collect();
        if flags.contains("handshake") || flags.contains("noaddr") {
            return None;
        }
        // ip:port@bus[,hostname]
        let (ip, port) = address.split(['@', ',']).next()?.rsplit_once(':')?;
        let host =
            address.split(',').nth(1).filter(|name| !name.is_empty() && !name.contains('=')).unwrap_or(ip);
        let slots = slots.iter().filter(|range| !range.starts_with('[')).filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Some(Self {
            id: (*id).to_owned(),
            address: (if host.is_empty() { asked } else { host }.to_owned(), port.parse().ok()?),
            replica_of: (*replica_of != "-").then(|| (*replica_of).to_owned()),
            failed: flags.contains("fail"),
            slots: slots.collect(),
            epoch: epoch.parse().ok()?,
            own: flags.contains("myself"),
        })
    }
}

/// The Cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map {
    pub nodes: Vec<Node>,
    /// Index of the owner in `nodes`, slot by slot.
    owners: Vec<Option<u16>>,
}

impl Map {
    /// What several nodes say, together: of each node and each slot what the newest configuration says.
    fn of(views: Vec<Vec<Node>>) -> Self {
        let mut newest: BTreeMap<String, Node> = BTreeMap::new();
        for node in views.into_iter().flatten() {
            let known = newest.entry(node.id.clone()).or_insert_with(|| node.clone());
            // The Cluster has agreed on it when one says so.
            let failed = known.failed || node.failed;
            // Of the same configuration it knows best itself.
            if (node.epoch, node.own) > (known.epoch, known.own) {
                *known = node;
            }
            known.failed = failed;
        }
        let nodes: Vec<Node> = newest.into_values().collect();
        let mut owners: Vec<Option<u16>> = vec![None; usize::from(SLOTS)];
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.replica_of.is_none()) {
            for slot in node.slots.iter().cloned().flatten().filter(|slot| *slot < SLOTS) {
                let owner = &mut owners[usize::from(slot)];
                if owner.is_none_or(|known| nodes[usize::from(known)].epoch < node.epoch) {
                    *owner = u16::try_from(index).ok();
                }
            }
        }
        Self { nodes, owners }
    }

    pub(crate) fn owner(&self, slot: u16) -> Option<&Address> {
        self.owners
            .get(usize::from(slot))
            .copied()
            .flatten()
            .map(|index| &self.nodes[usize::from(index)].address)
    }

    /// Addresses of the primaries that own slots.
    pub(crate) fn primaries(&self) -> BTreeSet<Address> {
        self.owners.iter().flatten().map(|index| self.nodes[usize::from(*index)].address.clone()).collect()
    }

    /// Slots that nobody owns.
    pub(crate) fn uncovered(&self) -> usize {
        self.owners.iter().filter(|owner| owner.is_none()).count()
    }
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
        Ok(map.ok_or_else(|| io::Error::other("no node of the Redis Cluster answers"))?)
    }

    pub(crate) async fn owner(&self, slot: u16, timeout: Duration) -> RedisResult<Address> {
        let map = self.map(timeout).await?;
        let unowned = || io::Error::other(format!("no node of the Redis Cluster owns slot {slot}"));
        Ok(map.owner(slot).cloned().ok_or_else(unowned)?)
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

    const OLD: &str = "aa 10.0.0.1:7000@17000,,shard-id=1 myself,master - 0 0 1 connected 0-8191 [7-<-cc]\n\
        bb 10.0.0.2:7000@17000 master - 0 0 2 connected 8192-16382 16383\n\
        cc 10.0.0.3:7000@17000,three slave aa 0 0 1 connected\n\
        dd :0@0 handshake - 0 0 0 connected\n";
    /// After aa died and cc took its place.
    const NEW: &str = "aa 10.0.0.1:7000@17000 master,fail - 0 0 1 connected\n\
        bb 10.0.0.2:7000@17000 master - 0 0 2 connected 8192-16383\n\
        cc 10.0.0.3:7000@17000,three myself,master - 0 0 3 connected 0-8191\n";

    fn view(text: &str) -> Vec<Node> {
        text.lines().filter_map(|line| Node::read(line, "asked")).collect()
    }

    #[test]
    fn nodes_are_read_with_their_slots() {
        let nodes = view(OLD);
        assert_eq!(nodes.len(), 3);
        assert_eq!(
            (nodes[0].address.clone(), &nodes[0].slots),
            (("10.0.0.1".to_owned(), 7_000), &vec![0..=8_191])
        );
        assert_eq!(nodes[1].slots, [8_192..=16_382, 16_383..=16_383]);
        assert_eq!((nodes[2].address.0.as_str(), nodes[2].replica_of.as_deref()), ("three", Some("aa")));
        assert_eq!(
            Node::read("ee :7000@17000 myself,master - 0 0 0 connected", "asked").unwrap().address.0,
            "asked"
        );
    }

    #[test]
    fn the_newest_configuration_says_who_owns_a_slot() {
        for views in [[OLD, NEW], [NEW, OLD]] {
            let map = Map::of(views.map(view).to_vec());
            assert_eq!(map.owner(5), Some(&("three".to_owned(), 7_000)));
            assert_eq!(map.owner(16_383), Some(&("10.0.0.2".to_owned(), 7_000)));
            assert_eq!((map.primaries().len(), map.uncovered()), (2, 0));
            assert!(map.nodes.iter().any(|node| node.id == "aa" && node.failed));
        }
        assert_eq!(Map::of(vec![view(OLD.lines().next().unwrap())]).uncovered(), 8_192);
    }

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
