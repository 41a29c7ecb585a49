//! A connection that many share and that comes back by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;

use crate::routed::Routed;
use crate::{Connection, Endpoint};

/// A connection that many share; nothing on it may block. It connects on first use, and anew after it was lost, after a
/// command was not answered in time, after the server said that it is no primary, and after a failover. The command
/// that noticed fails; the next one waits for the new connection.
///
/// Of a Cluster it is one such connection to each primary, and a command goes to the owner of its key.
#[derive(Clone)]
pub struct ConnectionManager(Kind);

#[derive(Clone)]
enum Kind {
    One(Arc<Shared>),
    Routed(Arc<Routed>),
}

struct Shared {
    endpoint: Endpoint,
    connect_timeout: Duration,
    response_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Counts connections, so that an error of an earlier one does not end a later one.
    number: u64,
    /// When connecting failed last, and how.
    failed: Option<(Instant, RedisError)>,
}

impl ConnectionManager {
    pub(crate) fn new(endpoint: Endpoint, connect_timeout: Duration, response_timeout: Duration) -> Self {
        Self(Kind::One(Arc::new(Shared {
            endpoint,
            connect_timeout,
            response_timeout,
            state: Mutex::default(),
        })))
    }

    pub(crate) fn routed(routed: Routed) -> Self {
        Self(Kind::Routed(Arc::new(routed)))
    }

    /// Whether it is a Cluster, where a command may only name keys of one slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.0, Kind::Routed(_))
    }

    /// Each primary that has data, by name: the nodes of a Cluster that own slots, or the one server, whose name is empty.
    ///
    /// # Errors
    /// When no node of the Cluster answers.
    pub async fn primaries(&self) -> RedisResult<Vec<(String, Self)>> {
        match &self.0 {
            Kind::One(_) => Ok(vec![(String::new(), self.clone())]),
            Kind::Routed(routed) => {
                let nodes = routed.primaries().await?.into_iter();
                Ok(nodes.map(|((host, port), node)| (format!("{host}:{port}"), node)).collect())
            }
        }
    }
}

impl Shared {
    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let Self { endpoint, connect_timeout, response_timeout, state } = self;
        let began = Instant::now();
        let mut state = state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|c| c.is_current()) {
            return Ok((state.number, connection.inner.clone()));
        }
        // A try that failed while this command waited was its try, too.
        if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| *at >= began) {
            return Err(error.clone());
        }
        state.connection = None;
        // One server: it has every key.
        match endpoint.connect_within("", *connect_timeout, Some(*response_timeout)).await {
            Ok(connection) => {
                let inner = connection.inner.clone();
                state.connection = Some(connection);
                state.number += 1;
                Ok((state.number, inner))
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn give_up(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state.number == number {
            state.connection = None;
        }
    }
}

/// Whether another connection may do better: this one is lost or too slow, or its server is no primary, or not yet.
fn wants_another(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
            )
        )
}

/// What the server said comes as a value at this level.
fn is_refusal(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if wants_another(&error.clone().into()))
}

impl ConnectionLike for ConnectionManager {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            let shared = match &self.0 {
                Kind::One(shared) => shared,
                Kind::Routed(routed) => return routed.command(command).await,
            };
            let (number, mut connection) = shared.connection().await?;
            let answer = connection.send_packed_command(command).await;
            if answer.as_ref().map_or_else(wants_another, is_refusal) {
                shared.give_up(number).await;
            }
            answer
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
            let shared = match &self.0 {
                Kind::One(shared) => shared,
                Kind::Routed(routed) => return routed.pipeline(pipeline, offset, count).await,
            };
            let (number, mut connection) = shared.connection().await?;
            let answer = connection.send_packed_commands(pipeline, offset, count).await;
            if answer.as_ref().map_or_else(wants_another, |values| values.iter().any(is_refusal)) {
                shared.give_up(number).await;
            }
            answer
        }
        .boxed()
    }

    /// All databases look alike to VTOX: the number is in the URL.
    fn get_db(&self) -> i64 {
        0
    }
}
