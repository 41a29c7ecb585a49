//! A shared connection to a Redis Cluster: each command goes to the primary that owns its key.
//!
//! The client library's own routes by the same rules, but sends a command again when its answer was lost. An append
//! must not be: the caller knows whether it can be repeated.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use vtox_protocol::keys::slot_of;

use crate::cluster::{Cluster, nobody};
use crate::sentinel::Address;
use crate::slot::{Destination, destination};
use crate::{ConnectionManager, Endpoint};

/// Commands without a key go to the owner of this one: the heartbeats' clock is the clock of the registry.
const HOME: &str = "vtox:heartbeats";
/// Time between two tries while keys of one command are on their way to another node.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// One connection for each primary, opened when it is needed.
pub(crate) struct Routed {
    pub cluster: Cluster,
    connect_timeout: Duration,
    response_timeout: Duration,
    nodes: Mutex<HashMap<Address, ConnectionManager>>,
}

/// What a node answered instead of doing it.
enum Redirect {
    Moved(Address),
    Ask(Address),
    TryAgain,
}

impl Routed {
    pub(crate) fn new(cluster: Cluster, connect_timeout: Duration, response_timeout: Duration) -> Self {
        Self { cluster, connect_timeout, response_timeout, nodes: Mutex::default() }
    }

    /// The connection to a node.
    pub(crate) fn node(&self, address: &Address) -> RedisResult<ConnectionManager> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(address) {
            return Ok(node.clone());
        }
        let endpoint = Endpoint::from(self.cluster.client(address.clone())?);
        let node = ConnectionManager::new(endpoint, self.connect_timeout, self.response_timeout);
        nodes.insert(address.clone(), node.clone());
        Ok(node)
    }

    /// Connections to all primaries that own slots, with their addresses.
    pub(crate) async fn primaries(&self) -> RedisResult<Vec<(Address, ConnectionManager)>> {
        let map = self.cluster.map(self.connect_timeout).await?;
        map.primaries().into_iter().map(|address| Ok((address.clone(), self.node(&address)?))).collect()
    }

    async fn owner(&self, destination: Destination) -> RedisResult<Address> {
        let slot = match destination {
            Destination::Slot(slot) => slot,
            _ => slot_of(HOME.as_bytes()),
        };
        self.cluster.owner(slot, self.connect_timeout).await
    }

    pub(crate) async fn command(&self, command: &Cmd) -> RedisResult<Value> {
        let destination = destination(command);
        if destination == Destination::AllPrimaries {
            let mut nodes = self.primaries().await?;
            let answers = nodes.iter_mut().map(|(_, node)| node.req_packed_command(command));
            // One that is dead needs nothing: whoever takes its place is told when it does not know a script.
            let nobody = Err(nobody("no node of the Redis Cluster owns slots"));
            return join_all(answers)
                .await
                .into_iter()
                .fold(nobody, |sum, one| if sum.is_ok() { sum } else { one });
        }
        let deadline = Instant::now() + self.response_timeout;
        let mut address = self.owner(destination).await?;
        let mut asking = false;
        loop {
            let mut node = self.node(&address)?;
            let answer = if asking {
                let mut both = redis::pipe();
                both.cmd("ASKING").add_command(command.clone());
                node.req_packed_commands(&both, 0, 2)
                    .await
                    .map(|mut values| values.pop().unwrap_or(Value::Nil))
            } else {
                node.req_packed_command(command).await
            };
            let Some(redirect) = self.redirect(&answer, &address) else { return answer };
            if Instant::now() >= deadline {
                return answer;
            }
            (address, asking) = match redirect {
                Redirect::Moved(to) => (to, false),
                Redirect::Ask(to) => (to, true),
                Redirect::TryAgain => {
                    tokio::time::sleep(TRY_AGAIN).await;
                    (self.owner(destination).await?, false)
                }
            };
        }
    }

    /// Commands of a pipeline go to their nodes at the same time, those of one node in their order; a transaction goes to
    /// one node as a whole.
    pub(crate) async fn pipeline(
        &self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        if pipeline.is_transaction() {
            let first = pipeline.cmd_iter().next().map_or(Destination::NoKey, destination);
            let address = self.owner(first).await?;
            let answer = self.node(&address)?.req_packed_commands(pipeline, offset, count).await;
            if answer.is_err() {
                self.cluster.look_again();
            }
            return answer;
        }
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let mut parts: BTreeMap<Address, Vec<usize>> = BTreeMap::new();
        for (index, command) in commands.iter().enumerate() {
            parts.entry(self.owner(destination(command)).await?).or_default().push(index);
        }
        let mut values = vec![Value::Nil; commands.len()];
        let parts = parts.into_iter().map(|(address, indices)| {
            let mut part = redis::pipe();
            for index in &indices {
                part.add_command(commands[*index].clone());
            }
            async move {
                let answer = self.node(&address)?.req_packed_commands(&part, 0, indices.len()).await;
                let answer = answer.inspect_err(|_| self.cluster.look_again())?;
                RedisResult::Ok((address, indices, answer))
            }
        });
        for part in join_all(parts).await {
            let (address, indices, answers) = part?;
            for (index, value) in indices.into_iter().zip(answers) {
                let answer = Ok(value);
                values[index] = match self.redirect(&answer, &address) {
                    Some(_) => self.command(commands[index]).await?,
                    None => answer?,
                };
            }
        }
        Ok(values.into_iter().skip(offset).take(count).collect())
    }

    /// Where an answer says to go instead. Looks at the Cluster again when the answer says that it changed.
    fn redirect(&self, answer: &RedisResult<Value>, asked: &Address) -> Option<Redirect> {
        let error: RedisError = match answer {
            Ok(Value::ServerError(error)) => error.clone().into(),
            Ok(_) => return None,
            Err(error) => error.clone(),
        };
        let ErrorKind::Server(kind) = error.kind() else {
            self.cluster.look_again();
            return None;
        };
        let to = || {
            let (address, _) = error.redirect_node()?;
            let (host, port) = address.rsplit_once(':')?;
            let host = if host.is_empty() { asked.0.as_str() } else { host };
            Some(self.cluster.known_as((host.to_owned(), port.parse().ok()?)))
        };
        match kind {
            ServerErrorKind::Ask => to().map(Redirect::Ask),
            ServerErrorKind::TryAgain => Some(Redirect::TryAgain),
            ServerErrorKind::Moved => {
                self.cluster.look_again();
                to().map(Redirect::Moved)
            }
            ServerErrorKind::ReadOnly | ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown => {
                self.cluster.look_again();
                None
            }
            _ => None,
        }
    }
}
