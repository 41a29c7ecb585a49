//! Trying messages again: the raw entry is appended once more under the same message id, for the fault types that are
//! to answer it.
//!
//! A message has attempts: the entry as it was accepted, then its replays. An attempt follows the one before it only
//! when that one is answered (the lane's cursor is past it) without a result, and the script that appends it compares
//! the attempt before with the one it was planned on. So at most one attempt per fault type can still bring a result,
//! whoever replays at the same time, and none can after a result is committed.

mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Script;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{self, Partition};
use vtox_protocol::{EntryId, FaultSet, FaultType, MessageId};

pub use self::plan::{Plan, Selection};
use crate::{DeadLetter, DeadLetters, Result, StreamError};

/// A message that is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Where its entries are.
    pub partition: Partition,
    /// The raw entry to copy.
    pub entry: EntryId,
    /// The entry as it was accepted.
    pub original: EntryId,
    /// The message.
    pub message_id: MessageId,
    /// Number of the attempt on which this is planned.
    pub attempt: u32,
    /// Fault types that are to answer it.
    pub faults: Vec<RetriedFault>,
}

/// A fault type that is to answer a message again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetriedFault {
    /// Which.
    pub fault: FaultType,
    /// The attempt it must follow; none: whichever is the last.
    pub follows: Option<EntryId>,
    /// The dead letter of that attempt, which goes when it is tried again.
    pub letter: Option<EntryId>,
}

/// What came of a [`Retry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The entry appended; none when no fault type was left to ask.
    pub entry: Option<EntryId>,
    /// Number of the attempt.
    pub attempt: u32,
    /// Fault types that answer it.
    pub faults: FaultSet,
    /// Fault types that do not, and why.
    pub refused: Vec<(FaultType, Refusal)>,
}

/// Why a message is not tried again for a fault type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The dead letter is no longer there: it was replayed or dropped.
    Gone,
    /// A later attempt was made.
    Superseded,
    /// The raw entry is no longer kept, and there is no copy of it.
    NotKept,
}

/// Tries messages again.
#[derive(Clone)]
pub struct Replays {
    connection: ConnectionManager,
    script: Script,
    remember: Duration,
}

impl Replays {
    /// On a connection that does not block. Attempts are remembered for `remember`, which must be longer than a raw
    /// entry is kept.
    pub fn new(connection: ConnectionManager, remember: Duration) -> Self {
        Self { script: Script::new(include_str!("scripts/replay.lua")), connection, remember }
    }

    /// Appends a message again for the fault types that may follow the attempt they were planned on.
    ///
    /// # Errors
    /// [`StreamError::Unknown`]: it may have been appended. The same retry can be run again, unless it follows whichever
    /// attempt is the last.
    pub async fn run(&self, retry: &Retry) -> Result<Replayed> {
        let mut call = self.script.prepare_invoke();
        call.key(retry.partition.stream())
            .key(retry.partition.replayed(&retry.message_id))
            .arg(retry.entry.to_string())
            .arg(retry.original.to_string())
            .arg(retry.message_id.as_str())
            .arg(retry.attempt)
            .arg(self.remember.as_millis() as u64);
        // In a Cluster the letters are on another slot: they are read before and dropped after. What was replayed is
        // remembered beside the raw stream, so a letter that stayed because of a crash in between is not replayed again.
        let apart = self.connection.is_cluster();
        let (there, copy) = if apart { self.letters(retry).await? } else { Default::default() };
        if !apart {
            call.key(keys::DEAD_LETTERS);
        }
        call.arg(copy.len());
        copy.iter().for_each(|word| {
            call.arg(word.as_slice());
        });
        for RetriedFault { fault, follows, letter } in &retry.faults {
            let letter = match letter {
                Some(id) if apart && !there.contains(id) => "-".to_owned(),
                Some(id) => id.to_string(),
                None => String::new(),
            };
            call.arg(fault.name())
                .arg(follows.map_or_else(|| "*".to_owned(), |id| id.to_string()))
                .arg(letter);
        }
        let (verdict, entry, attempt, faults, refused): Answer =
            call.invoke_async(&mut self.connection.clone()).await?;
        let unexpected = |text: &str| StreamError::Unexpected(format!("{text:?} of a replay"));
        let fault = |name: &str| name.parse::<FaultType>().map_err(|_| unexpected(name));
        let faults = faults.iter().map(|name| fault(name)).collect::<Result<FaultSet>>()?;
        let mut refused = refused
            .iter()
            .map(|(name, why)| match why.as_str() {
                "gone" => Ok((fault(name)?, Refusal::Gone)),
                "superseded" => Ok((fault(name)?, Refusal::Superseded)),
                other => Err(unexpected(other)),
            })
            .collect::<Result<Vec<_>>>()?;
        match verdict.as_str() {
            "done" => {
                let entry = entry.parse().map_err(|_| unexpected(&entry))?;
                if apart {
                    self.drop_letters(retry, faults).await?;
                }
                Ok(Replayed { entry: Some(entry), attempt, faults, refused })
            }
            "refused" | "not_kept" => {
                refused.extend(faults.iter().map(|f| (f, Refusal::NotKept)));
                Ok(Replayed { entry: None, attempt: retry.attempt, faults: FaultSet::EMPTY, refused })
            }
            other => Err(unexpected(other)),
        }
    }

    /// The letters of a retry that are there, and the fields of one of them, names and values in turn: all have the same
    /// copy of the entry.
    async fn letters(&self, retry: &Retry) -> Result<(Vec<EntryId>, Vec<Vec<u8>>)> {
        let (mut there, mut fields) = (Vec::new(), Vec::new());
        for id in retry.faults.iter().filter_map(|retried| retried.letter) {
            let found: Vec<(String, Vec<Vec<u8>>)> = redis::cmd("XRANGE")
                .arg(keys::DEAD_LETTERS)
                .arg(id.to_string())
                .arg(id.to_string())
                .query_async(&mut self.connection.clone())
                .await?;
            if let Some((_, words)) = found.into_iter().next() {
                there.push(id);
                fields = words;
            }
        }
        Ok((there, fields))
    }

    async fn drop_letters(&self, retry: &Retry, faults: FaultSet) -> Result<()> {
        let letters = DeadLetters::new(self.connection.clone());
        let replayed = retry.faults.iter().filter(|retried| faults.contains(retried.fault));
        for id in replayed.filter_map(|retried| retried.letter) {
            letters.drop(id).await?;
        }
        Ok(())
    }

    /// Retries of dead letters, those of one entry together, in the order of their entries. Letters whose stream is none
    /// of ours are left out.
    pub fn of_letters(letters: &[(EntryId, DeadLetter)]) -> Vec<Retry> {
        let mut retries: BTreeMap<(EntryId, Partition), Retry> = BTreeMap::new();
        for (id, letter) in letters {
            let Some(partition) = Partition::of_stream(&letter.stream) else { continue };
            let retry = retries.entry((letter.entry, partition)).or_insert_with(|| Retry {
                partition,
                entry: letter.entry,
                original: letter.original,
                message_id: letter.message(),
                attempt: letter.attempt,
                faults: Vec::new(),
            });
            retry.faults.push(RetriedFault {
                fault: letter.fault,
                follows: Some(letter.entry),
                letter: Some(*id),
            });
        }
        retries.into_values().collect()
    }
}

/// Answer of the script.
type Answer = (String, String, u32, Vec<String>, Vec<(String, String)>);
