//! Looking through a stream for a few fields of some entries, filtered where the entries are.

use vtox_connection::ConnectionManager;
use vtox_protocol::EntryId;

use crate::read_only::ReadOnlyScript;
use crate::{Result, StreamError};

/// Entries looked at in one call: they may be of megabytes, and Redis does nothing else meanwhile.
const CHUNK: usize = 32;

/// What to look for.
pub(crate) struct Scan<'a> {
    pub stream: &'a str,
    /// First and last time, epoch ms.
    pub from_ms: u64,
    pub to_ms: u64,
    /// Field and value an entry must have.
    pub having: Option<(&'a str, &'a str)>,
    /// Fields to answer.
    pub names: &'a [&'a str],
}

impl Scan<'_> {
    /// The entries in order, each with the values of the names; a field that is not there is empty.
    pub async fn run(&self, connection: &ConnectionManager) -> Result<Vec<(EntryId, Vec<String>)>> {
        let script = ReadOnlyScript::new(include_str!("scripts/scan.lua"));
        let (field, value) = self.having.unwrap_or_default();
        let mut found = Vec::new();
        let mut from = self.from_ms.to_string();
        loop {
            let bounds = [&from, &self.to_ms.to_string(), &CHUNK.to_string()];
            let arguments: Vec<&str> = bounds
                .into_iter()
                .map(String::as_str)
                .chain([field, value])
                .chain(self.names.iter().copied())
                .collect();
            let (last, rows): (String, Vec<Vec<Vec<u8>>>) =
                script.run(connection, &[self.stream], arguments).await?;
            if last.is_empty() {
                return Ok(found);
            }
            for row in rows {
                let mut row = row.into_iter().map(|text| String::from_utf8_lossy(&text).into_owned());
                let id = row.next().unwrap_or_default();
                let id = id.parse().map_err(|_| StreamError::Unexpected(format!("entry id {id}")))?;
                found.push((id, row.collect()));
            }
            from = format!("({last}");
        }
    }
}
