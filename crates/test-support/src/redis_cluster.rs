//! A Redis Cluster on loopback: primaries with a replica each, and the ways to hurt it.

use std::time::Duration;

use redis::{Client, FromRedisValue};

use crate::{RedisServer, free_port, wait_for};

const SLOTS: usize = 16_384;
/// Silence after which a node is taken for dead, ms.
const NODE_TIMEOUT_MS: &str = "1000";
const LIMIT: Duration = Duration::from_secs(30);

/// The nodes of a Cluster but the first, all killed when dropped.
pub struct RedisCluster {
    /// The primaries of the start from the second on, then the replica of each primary.
    pub nodes: Vec<RedisServer>,
    /// Of all nodes, the first one included.
    ports: Vec<u16>,
    /// The same for TLS; empty where there is none.
    tls_ports: Vec<u16>,
}

impl RedisCluster {
    /// Starts `primaries` nodes that share the slots evenly and a replica for each, all in step, and answers the first of
    /// them and the others. `arguments` are added to the command line of each redis-server.
    ///
    /// # Panics
    /// When redis-server cannot be started or the nodes do not find each other.
    pub fn start(primaries: usize, arguments: &[&str]) -> (RedisServer, Self) {
        Self::launch(primaries, arguments, false)
    }

    /// The same where nodes and clients talk over TLS, and tests may do without. `arguments` name the certificates.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_over_tls(primaries: usize, arguments: &[&str]) -> (RedisServer, Self) {
        Self::launch(primaries, arguments, true)
    }

    fn launch(primaries: usize, arguments: &[&str], tls: bool) -> (RedisServer, Self) {
        let free = |n: usize| (0..n).map(|_| free_port().to_string()).collect::<Vec<String>>();
        let buses = free(2 * primaries);
        let tls_ports = if tls { free(2 * primaries) } else { Vec::new() };
        let start = |(n, bus): (usize, &String)| {
            let mut own = vec![
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                NODE_TIMEOUT_MS,
                "--cluster-port",
                bus,
                "--repl-diskless-sync-delay",
                "0",
            ];
            if let Some(port) = tls_ports.get(n) {
                own.extend(["--tls-port", port, "--tls-cluster", "yes", "--tls-replication", "yes"]);
            }
            RedisServer::start(&[&own[..], arguments].concat())
        };
        let mut nodes: Vec<RedisServer> = buses.iter().enumerate().map(start).collect();
        let clients: Vec<Client> = nodes.iter().map(RedisServer::client).collect();
        for (n, client) in clients.iter().enumerate() {
            let () = command(client, &["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for (n, client) in clients[..primaries].iter().enumerate() {
            let (first, end) = (n * SLOTS / primaries, (n + 1) * SLOTS / primaries);
            let range = [first.to_string(), (end - 1).to_string()];
            let () = command(client, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
        }
        for (n, bus) in buses.iter().enumerate().skip(1) {
            let port = tls_ports.get(n).cloned().unwrap_or_else(|| nodes[n].port().to_string());
            let () = command(&clients[0], &["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        wait_until_all_say(&clients, &format!("cluster_known_nodes:{}\r", 2 * primaries));
        for (primary, replica) in clients.iter().zip(&clients[primaries..]) {
            let id: String = command(primary, &["CLUSTER", "MYID"]);
            let () = command(replica, &["CLUSTER", "REPLICATE", &id]);
        }
        wait_until_all_say(&clients, "cluster_state:ok\r");
        wait_for(LIMIT, "the replicas to follow", || {
            clients[..primaries].iter().all(|client| {
                let info: String = command(client, &["INFO", "replication"]);
                info.contains("state=online")
            })
        });
        wait_for(LIMIT, "all nodes to know the replicas", || {
            clients.iter().all(|client| {
                let nodes: String = command(client, &["CLUSTER", "NODES"]);
                nodes.matches("slave").count() == primaries
            })
        });
        let ports = nodes.iter().map(RedisServer::port).collect();
        let first = nodes.remove(0);
        let tls_ports = tls_ports.iter().map(|port| port.parse().expect("a port")).collect();
        (first, Self { nodes, ports, tls_ports })
    }

    /// The URL that names its nodes.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", addresses("127.0.0.1", &self.ports))
    }

    /// The same over TLS, for a user with a password; `host` is a name of this machine in the nodes' certificates.
    pub fn tls_url(&self, host: &str, user: &str, password: &str) -> String {
        format!("rediss+cluster://{user}:{password}@{}", addresses(host, &self.tls_ports))
    }

    /// Ports of all nodes, the first one's first.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Port of the primary that has the slot of `key` now, by its own account.
    pub fn owner_of(&self, key: &str) -> Option<u16> {
        self.ports.iter().copied().find(|port| {
            let limit = Duration::from_millis(300);
            let Ok(mut connection) = client(*port).get_connection_with_timeout(limit) else { return false };
            let role: redis::RedisResult<Vec<redis::Value>> = redis::cmd("ROLE").query(&mut connection);
            let is_primary = role.is_ok_and(
                |role| matches!(role.first(), Some(redis::Value::BulkString(role)) if role == b"master"),
            );
            // Others send elsewhere.
            is_primary && redis::cmd("EXISTS").arg(key).query::<u8>(&mut connection).is_ok()
        })
    }

    /// Moves the slot of `key` with all its keys to another primary, as `redis-cli --cluster reshard` does. Answers how
    /// many keys that were.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn move_slot(&self, key: &str, to: u16) -> usize {
        let (source, target) = (client(self.owner_of(key).expect("an owner")), client(to));
        let slot: u16 = command(&source, &["CLUSTER", "KEYSLOT", key]);
        // Nodes that talk over TLS do so here as well.
        let at = self.ports.iter().position(|port| *port == to).expect("a node");
        let (slot, to) = (slot.to_string(), self.tls_ports.get(at).copied().unwrap_or(to).to_string());
        let [from_id, to_id]: [String; 2] =
            [&source, &target].map(|node| command(node, &["CLUSTER", "MYID"]));
        let set = |node: &Client, state: &str, id: &str| {
            let () = command(node, &["CLUSTER", "SETSLOT", &slot, state, id]);
        };
        set(&target, "IMPORTING", &from_id);
        set(&source, "MIGRATING", &to_id);
        let mut moved = 0;
        loop {
            let keys: Vec<String> = command(&source, &["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            if keys.is_empty() {
                break;
            }
            moved += keys.len();
            let head = ["MIGRATE", "127.0.0.1", &to, "", "0", "5000", "KEYS"];
            let line: Vec<&str> = head.into_iter().chain(keys.iter().map(String::as_str)).collect();
            let _: String = command(&source, &line);
        }
        set(&target, "NODE", &to_id);
        set(&source, "NODE", &to_id);
        moved
    }
}

fn addresses(host: &str, ports: &[u16]) -> String {
    ports.iter().map(|port| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
}

fn client(port: u16) -> Client {
    Client::open(("127.0.0.1", port)).expect("an address")
}

fn wait_until_all_say(clients: &[Client], what: &str) {
    wait_for(LIMIT, what, || {
        clients.iter().all(|client| command::<String>(client, &["CLUSTER", "INFO"]).contains(what))
    });
}

fn command<T: FromRedisValue>(client: &Client, command_line: &[&str]) -> T {
    let mut connection = client.get_connection().expect("a running redis-server");
    let mut command = redis::cmd(command_line[0]);
    command.arg(&command_line[1..]).query(&mut connection).expect("an answer of redis-server")
}
