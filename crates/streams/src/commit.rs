//! The fenced commit: results, folded state and cursor in one atomic step, or nothing.

mod apart;

use redis::Script;
use vtox_connection::ConnectionManager;
use vtox_protocol::{EntryId, keys};

use crate::planted::{self, Bug};
use crate::{Lane, Result, StreamError};

/// Kind of a target key; checked before the first write, since Redis does not roll back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    Hash,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Hash => "hash",
        }
    }
}

enum Operation {
    Append { target: usize, maxlen: usize, id: Option<EntryId>, fields: Vec<(String, Vec<u8>)> },
    Set { target: usize, fields: Vec<(String, Vec<u8>)> },
}

/// What is behind a durable cursor: where its ownership is, what it reads and the group that mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Ownership hash.
    pub ownership: String,
    /// Stream that is read.
    pub stream: String,
    /// Consumer group that shows the progress.
    pub group: String,
}

impl Log {
    /// The log of a lane.
    pub fn of_lane(lane: Lane) -> Self {
        Self {
            ownership: lane.partition.ownership(lane.fault),
            stream: lane.partition.stream(),
            group: keys::diagnosis_group(lane.fault),
        }
    }

    /// The results, as aggregation reads them; of a Cluster or of one server.
    pub fn of_aggregation(cluster: bool) -> Self {
        Self {
            ownership: if cluster {
                keys::aggregation_beside_results()
            } else {
                keys::AGGREGATION.to_owned()
            },
            stream: keys::RESULTS.to_owned(),
            group: keys::AGGREGATION_GROUP.to_owned(),
        }
    }
}

/// What is to be written with a move of the cursor.
pub struct Commit {
    log: Log,
    token: String,
    from: EntryId,
    to: EntryId,
    entries: usize,
    targets: Vec<(String, Kind)>,
    operations: Vec<Operation>,
    /// Term of whoever writes the targets one by one, before the cursor; none: all in one step.
    apart: Option<u64>,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Written.
    Done,
    /// It had been written by an earlier try whose answer was lost.
    Repeated,
    /// Somebody else owns it; nothing was written.
    Fenced,
    /// The cursor is elsewhere; nothing was written.
    Moved(EntryId),
}

impl Operation {
    fn target(&self) -> usize {
        match self {
            Self::Append { target, .. } | Self::Set { target, .. } => *target,
        }
    }

    fn fields(&self) -> &[(String, Vec<u8>)] {
        match self {
            Self::Append { fields, .. } | Self::Set { fields, .. } => fields,
        }
    }

    /// Whether a planted bug writes it after the cursor has moved.
    fn is_late(&self) -> bool {
        Bug::CursorBeforeResult.is_planted()
            || (Bug::StateOutsideCommit.is_planted() && matches!(self, Self::Set { .. }))
    }
}

impl Commit {
    /// Index of the first target among the keys: ownership hash and source stream come first.
    const BEFORE_TARGETS: usize = 3;

    /// Moves the cursor of `log` from `from` over `entries` entries to `to`, as the owner `token`.
    pub fn new(log: Log, token: &str, from: EntryId, to: EntryId, entries: usize) -> Self {
        Self {
            log,
            token: token.to_owned(),
            from,
            to,
            entries,
            targets: Vec::new(),
            operations: Vec::new(),
            apart: None,
        }
    }

    /// Appends an entry to a stream.
    pub fn append<K: Into<String>, V: Into<Vec<u8>>>(
        &mut self,
        stream: &str,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.append_bounded(stream, 0, fields)
    }

    /// Appends an entry to a stream that keeps about the last `maxlen` entries.
    pub fn append_bounded<K: Into<String>, V: Into<Vec<u8>>>(
        &mut self,
        stream: &str,
        maxlen: usize,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        let target = self.target(stream, Kind::Stream);
        self.operations.push(Operation::Append { target, maxlen, id: None, fields: owned(fields) });
        self
    }

    /// The same for what belongs to the entry `id`, where nothing else is appended to the stream: written apart it takes
    /// this id, so that it is there once however often it is written.
    pub fn append_once<K: Into<String>, V: Into<Vec<u8>>>(
        &mut self,
        stream: &str,
        id: EntryId,
        maxlen: usize,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        let target = self.target(stream, Kind::Stream);
        self.operations.push(Operation::Append { target, maxlen, id: Some(id), fields: owned(fields) });
        self
    }

    /// Writes the targets one by one before the cursor moves, since a Cluster has them on several slots: streams first,
    /// then hashes, unless a writer of a later term than `term` was there. After a crash in between all of it is written
    /// again, so it must be such that this does no harm.
    pub fn apart(&mut self, term: u64) -> &mut Self {
        self.apart = Some(term);
        self
    }

    /// Sets fields of a hash.
    pub fn set<K: Into<String>, V: Into<Vec<u8>>>(
        &mut self,
        hash: &str,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        let fields = owned(fields);
        if !fields.is_empty() {
            let target = self.target(hash, Kind::Hash);
            self.operations.push(Operation::Set { target, fields });
        }
        self
    }

    fn target(&mut self, key: &str, kind: Kind) -> usize {
        let at = self.targets.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
            self.targets.push((key.to_owned(), kind));
            self.targets.len() - 1
        });
        at + Self::BEFORE_TARGETS
    }
}

fn owned<K: Into<String>, V: Into<Vec<u8>>>(
    fields: impl IntoIterator<Item = (K, V)>,
) -> Vec<(String, Vec<u8>)> {
    fields.into_iter().map(|(k, v)| (k.into(), v.into())).collect()
}

/// Runs commits.
#[derive(Clone)]
pub struct Committer {
    connection: ConnectionManager,
    script: Script,
    write: Script,
}

impl Committer {
    /// On a connection that does not block.
    pub fn new(connection: ConnectionManager) -> Self {
        Self {
            connection,
            script: planted::script(include_str!("scripts/commit.lua")),
            write: Script::new(include_str!("scripts/write.lua")),
        }
    }

    /// Runs one commit. After [`StreamError::Unknown`] the same commit may be run again: a try that
    /// was done is recognised.
    pub async fn run(&self, commit: &Commit) -> Result<Committed> {
        if let Some(term) = commit.apart
            && !self.write_apart(commit, term).await?
        {
            return Ok(Committed::Fenced);
        }
        let together = commit.apart.is_none();
        let mut call = self.script.prepare_invoke();
        call.key(&commit.log.ownership).key(&commit.log.stream);
        call.arg(&commit.token)
            .arg(commit.from.to_string())
            .arg(commit.to.to_string())
            .arg(commit.entries)
            .arg(&commit.log.group);
        for (key, kind) in commit.targets.iter().filter(|_| together) {
            call.key(key);
            call.arg(kind.name());
        }
        for operation in commit.operations.iter().filter(|o| together && !o.is_late()) {
            let fields = match operation {
                Operation::Append { target, maxlen, fields, .. } => {
                    call.arg("A").arg(*target).arg(*maxlen).arg(2 * fields.len());
                    fields
                }
                Operation::Set { target, fields } => {
                    call.arg("H").arg(*target).arg(2 * fields.len());
                    fields
                }
            };
            for (name, value) in fields {
                call.arg(name).arg(value.as_slice());
            }
        }
        let (verdict, detail): (String, String) = call.invoke_async(&mut self.connection.clone()).await?;
        match verdict.as_str() {
            "done" => {
                self.write_late(commit).await?;
                Ok(Committed::Done)
            }
            "repeated" => Ok(Committed::Repeated),
            "fenced" => Ok(Committed::Fenced),
            "moved" => Ok(Committed::Moved(
                detail.parse().map_err(|_| StreamError::Unexpected(format!("cursor {detail:?}")))?,
            )),
            other => Err(StreamError::Unexpected(other.to_owned())),
        }
    }

    /// What a planted bug took out of the step.
    async fn write_late(&self, commit: &Commit) -> Result<()> {
        if commit.operations.iter().any(Operation::is_late) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        for operation in commit.operations.iter().filter(|o| o.is_late()) {
            let (mut command, target, fields) = match operation {
                Operation::Append { target, fields, .. } => (redis::cmd("XADD"), target, fields),
                Operation::Set { target, fields } => (redis::cmd("HSET"), target, fields),
            };
            command.arg(&commit.targets[*target - Commit::BEFORE_TARGETS].0);
            if let Operation::Append { .. } = operation {
                command.arg("*");
            }
            for (name, value) in fields {
                command.arg(name).arg(value.as_slice());
            }
            let _: redis::Value = command.query_async(&mut self.connection.clone()).await?;
        }
        Ok(())
    }
}
