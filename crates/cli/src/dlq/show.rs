//! `vtox dlq show`: one dead letter and its entry.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::Value;
use vtox_protocol::{EntryId, timestamp};
use vtox_streams::{DeadLetters, Entry};

use super::{json_of, some_or_dash};
use crate::output::outln;

/// Prints everything known of a letter and its entry.
pub async fn run(letters: &DeadLetters, id: EntryId, as_json: bool) -> anyhow::Result<ExitCode> {
    let (letter, copy) = letters
        .get(id)
        .await?
        .with_context(|| format!("there is no dead letter {id}; `vtox dlq list` shows those there are"))?;
    let raw = letters.raw_entry(&letter).await?;
    let kept = match (&raw, &copy) {
        (Some(_), _) => "in the raw stream",
        (None, Some(_)) => "as a copy in the dead letter",
        (None, None) => {
            "nowhere: the raw stream no longer has it (worker.raw_retention_s), and the letter has no copy"
        }
    };
    let entry = raw.or(copy);
    if as_json {
        let mut shown = json_of(id, &letter);
        shown["kept"] = kept.into();
        shown["replayable"] = entry.is_some().into();
        shown["fields"] = entry.map_or(Value::Null, |entry| summary(&entry).into_iter().collect());
        outln!("{shown}");
        return Ok(ExitCode::SUCCESS);
    }
    for (name, text) in [
        ("dead letter", id.to_string()),
        ("reason", letter.reason.clone()),
        ("fault type", letter.fault.to_string()),
        ("vehicle", some_or_dash(&letter.vehicle_id).to_owned()),
        ("message", letter.message().to_string()),
        ("attempt", letter.attempt.to_string()),
        ("given up", format!("{} by {}", letter.timestamp, some_or_dash(&letter.consumer_id))),
        ("accepted", timestamp::iso8601(letter.original.ms)),
        ("entry", format!("{} {}", letter.stream, letter.entry)),
        ("kept", kept.to_owned()),
    ] {
        outln!("{name:<12} {text}");
    }
    for (name, text) in entry.iter().flat_map(summary) {
        outln!("  {name:<12} {text}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The fields of an entry by name: short text as it is, of the rest the beginning and the size.
fn summary(entry: &Entry) -> Vec<(String, String)> {
    const SHOWN_CHARS: usize = 80;
    let mut fields: Vec<(String, String)> = entry
        .fields
        .iter()
        .map(|(name, value)| {
            let summary = match std::str::from_utf8(value) {
                Ok(text) if text.chars().count() <= SHOWN_CHARS && !text.contains(char::is_control) => {
                    text.to_owned()
                }
                Ok(text) => {
                    let start: String = text.chars().take(SHOWN_CHARS).filter(|c| !c.is_control()).collect();
                    format!("{start}... ({} bytes)", value.len())
                }
                Err(_) => format!("binary ({} bytes)", value.len()),
            };
            (name.clone(), summary)
        })
        .collect();
    fields.sort_unstable();
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_binary_fields_are_summarised() {
        let fields = [("a", vec![b'x'; 200]), ("b", vec![0xff, 0xfe]), ("c", b"short".to_vec())];
        let entry =
            Entry { id: EntryId::ZERO, fields: fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect() };
        let texts: Vec<String> = summary(&entry).into_iter().map(|(_, text)| text).collect();
        assert!(texts[0].starts_with("xxx") && texts[0].ends_with("x... (200 bytes)"), "{texts:?}");
        assert_eq!(texts[1..], ["binary (2 bytes)", "short"]);
    }
}
