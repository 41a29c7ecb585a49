//! `vtox token list`.

use serde_json::json;
use vtox_auth::{ApiKeyRecord, Snapshot, Store};

use super::{day_and_time, now_s};
use crate::output::outln;

/// Prints the API keys, oldest first, and the ids of revoked tokens.
pub async fn show(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let snapshot = store.load().await?;
    let mut keys: Vec<(&String, &ApiKeyRecord)> = snapshot.keys.iter().collect();
    keys.sort_by_key(|(id, record)| (record.created, *id));
    let mut tokens: Vec<&String> =
        snapshot.revoked.keys().filter(|id| !snapshot.keys.contains_key(*id)).collect();
    tokens.sort();
    if as_json {
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(id, record)| {
                json!({
                    "id": id,
                    "role": record.role,
                    "vehicle_id": record.vehicle_id,
                    "label": record.label,
                    "created": record.created,
                    "expires": record.expires,
                    "state": state(&snapshot, id, record),
                })
            })
            .collect();
        outln!("{}", json!({ "keys": keys, "revoked_tokens": tokens }));
        return Ok(());
    }
    if keys.is_empty() {
        outln!("no API keys; `vtox token issue --role vehicle --vehicle ID` makes one");
    } else {
        outln!(
            "{:<17} {:<9} {:<8} {:<20} {:<20} {:<24} LABEL",
            "ID",
            "ROLE",
            "STATE",
            "CREATED (UTC)",
            "EXPIRES (UTC)",
            "VEHICLE"
        );
    }
    for (id, record) in keys {
        outln!(
            "{id:<17} {:<9} {:<8} {:<20} {:<20} {:<24} {}",
            record.role,
            state(&snapshot, id, record),
            day_and_time(record.created),
            record.expires.map_or_else(|| "-".to_owned(), day_and_time),
            record.vehicle_id.as_ref().map_or("-", |vehicle| vehicle.as_str()),
            record.label
        );
    }
    for id in tokens {
        outln!("{id}  a token, revoked");
    }
    Ok(())
}

fn state(snapshot: &Snapshot, id: &str, record: &ApiKeyRecord) -> &'static str {
    if snapshot.revoked.contains_key(id) {
        "revoked"
    } else if record.expired(now_s()) {
        "expired"
    } else {
        "good"
    }
}
