//! Scripts that only read, run as such: a Redis user that may read their keys, but not write them, may run them.

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind, ToRedisArgs};
use vtox_connection::ConnectionManager;

/// A script flagged `no-writes`.
#[derive(Clone)]
pub(crate) struct ReadOnlyScript(Script);

impl ReadOnlyScript {
    pub fn new(source: &str) -> Self {
        Self(Script::new(source))
    }

    /// Runs it, after loading it where Redis does not know it yet.
    pub async fn run<T: FromRedisValue>(
        &self,
        connection: &ConnectionManager,
        keys: &[&str],
        arguments: impl ToRedisArgs,
    ) -> RedisResult<T> {
        let mut connection = connection.clone();
        let mut call = Cmd::new();
        call.arg("EVALSHA_RO").arg(self.0.get_hash()).arg(keys.len()).arg(keys).arg(arguments);
        match call.query_async(&mut connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.0.load_async(&mut connection).await?;
                call.query_async(&mut connection).await
            }
            answer => answer,
        }
    }
}
