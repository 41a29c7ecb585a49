//! Connections to Redis that follow the primary.
//!
//! [`Endpoint`] is where Redis is: one server, a primary that sentinels name, or a Cluster. Everything that talks to Redis
//! gets its connections from it, so that after a failover each finds the new primary by itself:
//!
//! - [`ConnectionManager`] for what many share and nothing blocks;
//! - [`Connection`] for one user alone, such as a blocking read or an append with its `WAIT`;
//! - [`Endpoint::pubsub`] for subscriptions.
//!
//! The client library reconnects neither when a server says it is read-only nor when it no longer answers, and its
//! Sentinel client believes the first sentinel that answers, which may be one that missed the failover.

mod cluster;
mod manager;
mod routed;
mod sentinel;
mod slot;
mod tls;

use std::io;
use std::time::Duration;

use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};

use cluster::Cluster;
pub use cluster::Node;
pub use manager::ConnectionManager;
use routed::Routed;
use sentinel::{Address, Sentinels};
pub use sentinel::{SentinelReport, SentinelView};
use tls::Tls;
pub use tls::TlsFiles;
use vtox_protocol::keys::slot_of;

/// How long connecting may take, unless said otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where Redis is.
#[derive(Clone)]
pub struct Endpoint(Target);

#[derive(Clone)]
enum Target {
    Server(Client),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl From<Client> for Endpoint {
    fn from(client: Client) -> Self {
        Self(Target::Server(client))
    }
}

impl Endpoint {
    /// From a URL without certificates of one's own; see [`Endpoint::open_with`].
    ///
    /// # Errors
    /// As of [`Endpoint::open_with`].
    pub fn open(url: &str) -> RedisResult<Self> {
        Self::open_with(url, &TlsFiles::default())
    }

    /// From a URL: `redis://[user:password@]host:port[/db]`,
    /// `redis+sentinel://[user:password@]host:port,host:port,.../name-of-the-primary[/db][?sentinel_password=...]` or
    /// `redis+cluster://[user:password@]host:port,host:port,...` with some nodes of a Cluster.
    /// With `rediss` in place of `redis` everything goes over TLS. The latter forms keep asking the sentinels or the nodes
    /// in the background and need a Tokio runtime.
    ///
    /// # Errors
    /// When the URL is none of these, or a file cannot be used.
    pub fn open_with(url: &str, files: &TlsFiles) -> RedisResult<Self> {
        let tls = Tls::read(files)?;
        if let Some(nodes) = cluster::parse(url, &tls)? {
            return Ok(Self(Target::Cluster(Cluster::watch(nodes)?)));
        }
        Ok(Self(match sentinel::Place::parse(url, &tls)? {
            Some(place) => Target::Sentinels(Sentinels::watch(place)?),
            None => Target::Server(Client::open(tls.connection_info(url)?)?),
        }))
    }

    /// Whether it is a Cluster, where a command may only name keys of one slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.0, Target::Cluster(_))
    }

    /// The nodes of a Cluster and the number of slots that no node owns; none where it is no Cluster.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn nodes(&self) -> RedisResult<Option<(Vec<Node>, usize)>> {
        let Target::Cluster(cluster) = &self.0 else { return Ok(None) };
        let map = cluster.map(CONNECT_TIMEOUT).await.map_err(not_connected)?;
        Ok(Some((map.nodes.clone(), map.uncovered())))
    }

    /// What each sentinel says of the primary; none without sentinels.
    pub async fn sentinels(&self) -> Option<Vec<SentinelReport>> {
        let Target::Sentinels(sentinels) = &self.0 else { return None };
        Some(sentinels.report().await)
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        tls::is_tls(match &self.0 {
            Target::Server(client) => client.get_connection_info(),
            Target::Sentinels(sentinels) => sentinels.primary_info(),
            Target::Cluster(cluster) => cluster.node_info(),
        })
    }

    /// An error of connecting or of the first command, with what to do about it.
    pub fn explain(&self, error: &RedisError) -> String {
        match tls::advice(error, self.is_encrypted()) {
            Some(advice) => format!("{error}; {advice}"),
            None => error.to_string(),
        }
    }

    /// A connection for one user alone, to the primary that has `key`. Without a response timeout it may block.
    ///
    /// # Errors
    /// Nothing has been sent yet: an [`ErrorKind::Io`] is always a refused connection.
    pub async fn connect(&self, key: &str, response_timeout: Option<Duration>) -> RedisResult<Connection> {
        self.connect_within(key, CONNECT_TIMEOUT, response_timeout).await
    }

    async fn connect_within(
        &self,
        key: &str,
        timeout: Duration,
        response_timeout: Option<Duration>,
    ) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(response_timeout);
        let opened = async {
            let (client, address) = self.primary(key, timeout).await?;
            let inner = client.get_multiplexed_async_connection_with_config(&config).await;
            // The node may be dead and another have its slots by now.
            let inner = inner.inspect_err(|_| self.look_again())?;
            Ok(Connection { inner, address, target: self.0.clone() })
        };
        opened.await.map_err(not_connected)
    }

    /// A connection for subscriptions to a channel, and a future that ends when it should be given up for one to another
    /// primary. In a Cluster every node hears what is published.
    ///
    /// # Errors
    /// As of [`Endpoint::connect`].
    pub async fn pubsub(
        &self,
        channel: &str,
    ) -> RedisResult<(PubSub, impl Future<Output = ()> + Send + use<>)> {
        let opened = async {
            let (client, address) = self.primary(channel, CONNECT_TIMEOUT).await?;
            let pubsub = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub())
                .await
                .map_err(io::Error::from)?
                .inspect_err(|_| self.look_again())?;
            Ok((pubsub, address))
        };
        let (pubsub, address) = opened.await.map_err(not_connected)?;
        let (target, slot) = (self.0.clone(), slot_of(channel.as_bytes()));
        let moved = async move {
            match (target, address) {
                (Target::Sentinels(sentinels), Some(address)) => sentinels.moved_from(&address).await,
                (Target::Cluster(cluster), Some(address)) => cluster.moved_from(&address, slot).await,
                _ => std::future::pending().await,
            }
        };
        Ok((pubsub, moved))
    }

    /// A manager that connects on first use; both timeouts are `timeout`, the one of connecting at most 2 s.
    pub fn manager(&self, timeout: Duration) -> ConnectionManager {
        let connect_timeout = timeout.min(CONNECT_TIMEOUT);
        match &self.0 {
            Target::Cluster(cluster) => {
                ConnectionManager::routed(Routed::new(cluster.clone(), connect_timeout, timeout))
            }
            _ => ConnectionManager::new(self.clone(), connect_timeout, timeout),
        }
    }

    fn look_again(&self) {
        if let Target::Cluster(cluster) = &self.0 {
            cluster.look_again();
        }
    }

    async fn primary(&self, key: &str, timeout: Duration) -> RedisResult<(Client, Option<Address>)> {
        match &self.0 {
            Target::Server(client) => Ok((client.clone(), None)),
            Target::Sentinels(sentinels) => {
                let (client, address) = sentinels.primary(timeout).await?;
                Ok((client, Some(address)))
            }
            Target::Cluster(cluster) => {
                let address = cluster.owner(slot_of(key.as_bytes()), timeout).await?;
                Ok((cluster.client(address.clone())?, Some(address)))
            }
        }
    }
}

/// Whatever went wrong before there was a connection is a refused one: nothing was sent.
fn not_connected(error: RedisError) -> RedisError {
    match error.kind() {
        ErrorKind::Io => io::Error::new(io::ErrorKind::ConnectionRefused, error.to_string()).into(),
        _ => error,
    }
}

/// A connection of one user alone.
pub struct Connection {
    inner: MultiplexedConnection,
    address: Option<Address>,
    target: Target,
}

impl Connection {
    /// Whether it leads to a present primary. Without Sentinel or Cluster it always does.
    pub fn is_current(&self) -> bool {
        match (&self.target, &self.address) {
            (Target::Sentinels(sentinels), Some(address)) => sentinels.is_primary(address),
            (Target::Cluster(cluster), Some(address)) => cluster.owns(address, None),
            _ => true,
        }
    }

    /// Whether it leads to the present primary of `key`.
    pub fn leads_to(&self, key: &str) -> bool {
        match (&self.target, &self.address) {
            (Target::Cluster(cluster), Some(address)) => cluster.owns(address, Some(slot_of(key.as_bytes()))),
            _ => self.is_current(),
        }
    }

    /// After an error the Cluster may be another.
    fn noted<T>(&self, answer: RedisResult<T>) -> RedisResult<T> {
        if let (Err(_), Target::Cluster(cluster)) = (&answer, &self.target) {
            cluster.look_again();
        }
        answer
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            let answer = self.inner.req_packed_command(command).await;
            // What the server said comes as a value at this level; the caller sees an error either way.
            let answer = answer.and_then(Value::extract_error);
            self.noted(answer)
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        async move {
            let answer = self.inner.req_packed_commands(pipeline, offset, count).await;
            self.noted(answer)
        }
        .boxed()
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}
