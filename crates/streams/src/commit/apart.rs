//! Targets of a commit that are on several slots of a Cluster.
//!
//! One step cannot write them together with the cursor, so they are written before it, in an order and a form in which
//! writing them again does no harm: what is appended for an entry takes its id, what is set is set to the same. A writer
//! whose term is over changes no hash any more.

use futures::future::try_join_all;
use vtox_protocol::keys;

use super::{Commit, Committer, Kind, Operation};
use crate::Result;

impl Committer {
    /// Writes each target by itself, streams before hashes; false when a writer of a later term was there.
    pub(super) async fn write_apart(&self, commit: &Commit, term: u64) -> Result<bool> {
        for kind in [Kind::Stream, Kind::Hash] {
            let targets = commit.targets.iter().enumerate().filter(|(_, (_, k))| *k == kind);
            let writes = targets.map(|(n, (key, _))| self.write(commit, n, key, kind, term));
            if try_join_all(writes).await?.contains(&false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn write(&self, commit: &Commit, n: usize, key: &str, kind: Kind, term: u64) -> Result<bool> {
        let mut call = self.write.prepare_invoke();
        call.key(key).arg(kind.name()).arg(term);
        if kind == Kind::Hash {
            call.key(keys::writer(key));
        }
        let operations = commit.operations.iter().filter(|o| o.target() == n + Commit::BEFORE_TARGETS);
        for operation in operations {
            let (id, maxlen) = match operation {
                Operation::Append { id: Some(id), maxlen, .. } => (id.to_string(), *maxlen),
                Operation::Append { id: None, maxlen, .. } => ("*".to_owned(), *maxlen),
                Operation::Set { .. } => (String::new(), 0),
            };
            call.arg(id).arg(maxlen).arg(2 * operation.fields().len());
            for (name, value) in operation.fields() {
                call.arg(name).arg(value.as_slice());
            }
        }
        let written: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(written == 1)
    }
}
