//! `vtox dlq`: entries that got no diagnosis.

mod show;

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::Partition;
use vtox_protocol::{EntryId, FaultSet, FaultType};
use vtox_service_kit::config::Settings;
use vtox_streams::{DeadLetter, DeadLetters, Refusal, Replays, topology};

use crate::connect::connect;
use crate::output::outln;
use crate::replay::remember;

#[derive(Args)]
pub struct Arguments {
    /// Redis of the cluster.
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the dead letters, oldest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
        /// Show only the newest so many.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Show everything about one dead letter, and whether it can be replayed.
    Show {
        /// Its id, as `list` shows it.
        id: EntryId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Try the messages of dead letters again: each letter once, under the id of its message. What fails
    /// again makes a new dead letter.
    Replay(Which),
    /// Give dead letters up: their messages get no result of their fault types.
    Drop(Which),
}

#[derive(Args)]
struct Filter {
    /// Only of this vehicle.
    #[arg(long, value_name = "ID")]
    vehicle: Option<String>,
    /// Only of this fault type.
    #[arg(long)]
    fault: Option<FaultType>,
}

#[derive(Args)]
struct Which {
    /// Ids of dead letters, as `list` shows them.
    #[arg(value_name = "ID")]
    ids: Vec<EntryId>,
    /// All that the filters let through.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

type Letter = (EntryId, DeadLetter);

/// Shows, replays or drops dead letters. The exit code of replaying and dropping says whether all were.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let connection = connect(arguments.redis.as_deref(), settings).await?;
    let letters = DeadLetters::new(connection.clone());
    match &arguments.action {
        Action::List { filter, json, limit } => list(&letters, filter, *json, *limit).await,
        Action::Show { id, json } => show::run(&letters, *id, *json).await,
        Action::Replay(which) => {
            let replays = Replays::new(connection.clone(), remember(settings));
            replay(&connection, &letters, &replays, which).await
        }
        Action::Drop(which) => drop_letters(&letters, which).await,
    }
}

impl Filter {
    async fn read(&self, letters: &DeadLetters) -> anyhow::Result<Vec<Letter>> {
        let mut found = letters.list(self.vehicle.as_deref()).await?;
        found.retain(|(_, letter)| self.fault.is_none_or(|fault| letter.fault == fault));
        Ok(found)
    }
}

impl Which {
    async fn read(&self, letters: &DeadLetters) -> anyhow::Result<Vec<Letter>> {
        ensure!(
            self.all || !self.ids.is_empty(),
            "which dead letters? Give the ids that `vtox dlq list` shows, or --all"
        );
        let mut found = self.filter.read(letters).await?;
        if !self.all {
            let missing: Vec<String> = self
                .ids
                .iter()
                .filter(|id| !found.iter().any(|(known, _)| known == *id))
                .map(ToString::to_string)
                .collect();
            ensure!(
                missing.is_empty(),
                "there is no dead letter {}; it may have been replayed or dropped: see `vtox dlq list`",
                missing.join(", ")
            );
            found.retain(|(id, _)| self.ids.contains(id));
        }
        Ok(found)
    }
}

async fn list(
    letters: &DeadLetters,
    filter: &Filter,
    as_json: bool,
    limit: usize,
) -> anyhow::Result<ExitCode> {
    let found = filter.read(letters).await?;
    let shown = &found[found.len().saturating_sub(limit)..];
    if as_json {
        outln!("{}", Value::Array(shown.iter().map(|(id, letter)| json_of(*id, letter)).collect()));
        return Ok(ExitCode::SUCCESS);
    }
    for (id, letter) in shown {
        let attempt =
            if letter.attempt > 1 { format!(" (attempt {})", letter.attempt) } else { String::new() };
        outln!(
            "{id:<18}  {}  {:<12}  {:<18}  {}{attempt}",
            letter.timestamp,
            letter.fault.name(),
            some_or_dash(&letter.vehicle_id),
            letter.reason
        );
    }
    let total = found.len();
    match shown.len() {
        n if n < total => outln!("{n} of {total} dead letters; --limit {total} shows all"),
        _ => outln!("{}", counted(total)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(
    connection: &ConnectionManager,
    letters: &DeadLetters,
    replays: &Replays,
    which: &Which,
) -> anyhow::Result<ExitCode> {
    let found = which.read(letters).await?;
    let enabled = topology::load(connection).await?.context("no cluster has run on this Redis yet")?.enabled;
    let asked: FaultSet = found.iter().map(|(_, letter)| letter.fault).collect();
    if let Some(fault) = asked.iter().find(|fault| !enabled.contains(*fault)) {
        bail!(
            "{fault} is disabled, so nobody would answer; `vtox faults enable {fault}` first, or choose others by --fault"
        );
    }
    let (mut replayed, mut failed) = (0, 0);
    for (id, letter) in &found {
        if Partition::of_stream(&letter.stream).is_none() {
            failed += 1;
            outln!("{id}: not replayed: {:?} is no raw stream; `vtox dlq drop {id}`", letter.stream);
        }
    }
    for retry in Replays::of_letters(&found) {
        let outcome = replays.run(&retry).await?;
        if let Some(entry) = outcome.entry {
            replayed += outcome.faults.len();
            outln!("{}: attempt {} as {entry} for {}", retry.message_id, outcome.attempt, outcome.faults);
        }
        failed += outcome.refused.len();
        for (fault, refusal) in outcome.refused {
            outln!("{}, {fault}: not replayed: {}", retry.message_id, why(refusal));
        }
    }
    outln!("replayed {}", counted(replayed));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A refusal, and what can be done about it.
pub fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Gone => "its dead letter was replayed or dropped meanwhile",
        Refusal::Superseded => "a later attempt was made; `vtox dlq drop` this letter",
        Refusal::NotKept => {
            "the raw stream no longer has the entry (worker.raw_retention_s), and there is no copy; send the block again"
        }
    }
}

async fn drop_letters(letters: &DeadLetters, which: &Which) -> anyhow::Result<ExitCode> {
    let found = which.read(letters).await?;
    let mut dropped = 0;
    for (id, letter) in found {
        if letters.drop(id).await? {
            dropped += 1;
            outln!("{}: no {} result of {}", id, letter.fault, letter.message());
        }
    }
    outln!("dropped {}", counted(dropped));
    Ok(ExitCode::SUCCESS)
}

fn counted(letters: usize) -> String {
    format!("{letters} dead letter{}", if letters == 1 { "" } else { "s" })
}

fn some_or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn json_of(id: EntryId, letter: &DeadLetter) -> Value {
    json!({
        "id": id.to_string(),
        "stream": letter.stream,
        "entry_id": letter.entry.to_string(),
        "fault_type": letter.fault,
        "vehicle_id": letter.vehicle_id,
        "message_id": letter.message(),
        "attempt": letter.attempt,
        "original_entry_id": letter.original.to_string(),
        "reason": letter.reason,
        "consumer_id": letter.consumer_id,
        "timestamp": letter.timestamp,
    })
}
