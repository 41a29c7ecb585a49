//! What a server says about its replicas.

use vtox_connection::ConnectionManager;

use crate::Result;

/// A replica that has confirmed nothing for longer does not count, s. One that is well confirms every second.
const SILENCE_S: u64 = 3;

/// A server's part in replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// Whether it is a primary.
    pub primary: bool,
    /// Replicas that are connected, whatever they have.
    pub connected: u32,
    /// Replicas that follow it.
    pub following: u32,
}

impl Replication {
    /// Reads it from the server behind a connection.
    pub async fn read(connection: &ConnectionManager) -> Result<Self> {
        let info: String = redis::cmd("INFO").arg("replication").query_async(&mut connection.clone()).await?;
        Ok(Self::parse(&info))
    }

    fn parse(info: &str) -> Self {
        let lines = || info.lines().filter_map(|line| line.trim_end().split_once(':'));
        let replicas = || {
            lines()
                .filter(|(name, replica)| name.starts_with("slave") && replica.contains('='))
                .map(|(_, r)| r)
        };
        let follows = |replica: &str| {
            let field = |name| replica.split(',').find_map(|f| f.split_once('=').filter(|(n, _)| *n == name));
            field("state").is_some_and(|(_, state)| state == "online")
                && field("lag").is_some_and(|(_, lag)| lag.parse().is_ok_and(|lag: u64| lag <= SILENCE_S))
        };
        Self {
            primary: lines().any(|line| line == ("role", "master")),
            connected: replicas().count() as u32,
            following: replicas().filter(|replica| follows(replica)).count() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replicas_that_follow_count() {
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:3\r\n\
            slave0:ip=10.0.0.2,port=6379,state=online,offset=84,lag=1\r\n\
            slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
            slave2:ip=10.0.0.4,port=6379,state=online,offset=14,lag=9\r\n\
            slave_read_only:1\r\n";
        assert_eq!(Replication::parse(info), Replication { primary: true, connected: 3, following: 1 });
        let info = "role:slave\r\nslave_repl_offset:1\r\nconnected_slaves:0\r\n";
        assert_eq!(Replication::parse(info), Replication { primary: false, connected: 0, following: 0 });
    }
}
