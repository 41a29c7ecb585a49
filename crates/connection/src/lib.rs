//! Connections to Redis that follow the primary.
//!
//! [`Endpoint`] is where Redis is: one server, or a primary that sentinels name. Everything that talks to Redis gets its
//! connections from it, so that after a failover each finds the new primary by itself:
//!
//! - [`ConnectionManager`] for what many share and nothing blocks;
//! - [`Connection`] for one user alone, such as a blocking read or an append with its `WAIT`;
//! - [`Endpoint::pubsub`] for subscriptions.
//!
//! The client library reconnects neither when a server says it is read-only nor when it no longer answers, and its
//! Sentinel client believes the first sentinel that answers, which may be one that missed the failover.

mod manager;
mod sentinel;
mod tls;

use std::io;
use std::time::Duration;

use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};

pub use manager::ConnectionManager;
use sentinel::{Address, Sentinels};
use tls::Tls;
pub use tls::TlsFiles;

/// How long connecting may take, unless said otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where Redis is.
#[derive(Clone)]
pub struct Endpoint(Target);

#[derive(Clone)]
enum Target {
    Server(Client),
    Sentinels(Sentinels),
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

    /// From a URL: `redis://[user:password@]host:port[/db]`, or
    /// `redis+sentinel://[user:password@]host:port,host:port,.../name-of-the-primary[/db][?sentinel_password=...]`.
    /// With `rediss` in place of `redis` everything goes over TLS. The latter form keeps asking the sentinels in the
    /// background and needs a Tokio runtime.
    ///
    /// # Errors
    /// When the URL is neither, or a file cannot be used.
    pub fn open_with(url: &str, files: &TlsFiles) -> RedisResult<Self> {
        let tls = Tls::read(files)?;
        Ok(Self(match sentinel::Place::parse(url, &tls)? {
            Some(place) => Target::Sentinels(Sentinels::watch(place)?),
            None => Target::Server(Client::open(tls.connection_info(url)?)?),
        }))
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        tls::is_tls(match &self.0 {
            Target::Server(client) => client.get_connection_info(),
            Target::Sentinels(sentinels) => sentinels.primary_info(),
        })
    }

    /// An error of connecting or of the first command, with what to do about it.
    pub fn explain(&self, error: &RedisError) -> String {
        match tls::advice(error, self.is_encrypted()) {
            Some(advice) => format!("{error}; {advice}"),
            None => error.to_string(),
        }
    }

    /// A connection for one user alone. Without a response timeout it may block.
    ///
    /// # Errors
    /// Nothing has been sent yet: an [`ErrorKind::Io`] is always a refused connection.
    pub async fn connect(&self, response_timeout: Option<Duration>) -> RedisResult<Connection> {
        self.connect_within(CONNECT_TIMEOUT, response_timeout).await
    }

    async fn connect_within(
        &self,
        timeout: Duration,
        response_timeout: Option<Duration>,
    ) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(response_timeout);
        let opened = async {
            let (client, address) = self.primary(timeout).await?;
            let inner = client.get_multiplexed_async_connection_with_config(&config).await?;
            Ok(Connection { inner, address, target: self.0.clone() })
        };
        opened.await.map_err(not_connected)
    }

    /// A connection for subscriptions, and a future that ends when it should be given up for one to another primary.
    ///
    /// # Errors
    /// As of [`Endpoint::connect`].
    pub async fn pubsub(&self) -> RedisResult<(PubSub, impl Future<Output = ()> + Send + use<>)> {
        let opened = async {
            let (client, address) = self.primary(CONNECT_TIMEOUT).await?;
            let pubsub = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub())
                .await
                .map_err(io::Error::from)??;
            Ok((pubsub, address))
        };
        let (pubsub, address) = opened.await.map_err(not_connected)?;
        let target = self.0.clone();
        let moved = async move {
            match (target, address) {
                (Target::Sentinels(sentinels), Some(address)) => sentinels.moved_from(&address).await,
                _ => std::future::pending().await,
            }
        };
        Ok((pubsub, moved))
    }

    /// A manager that connects on first use; both timeouts are `timeout`, the one of connecting at most 2 s.
    pub fn manager(&self, timeout: Duration) -> ConnectionManager {
        ConnectionManager::new(self.clone(), timeout.min(CONNECT_TIMEOUT), timeout)
    }

    async fn primary(&self, timeout: Duration) -> RedisResult<(Client, Option<Address>)> {
        match &self.0 {
            Target::Server(client) => Ok((client.clone(), None)),
            Target::Sentinels(sentinels) => {
                let (client, address) = sentinels.primary(timeout).await?;
                Ok((client, Some(address)))
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
    /// Whether it leads to the present primary. Without Sentinel it always does.
    pub fn is_current(&self) -> bool {
        match (&self.target, &self.address) {
            (Target::Sentinels(sentinels), Some(address)) => sentinels.is_primary(address),
            _ => true,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.inner.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.inner.req_packed_commands(pipeline, offset, count).boxed()
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}
