//! A watch on the members.

use std::time::Duration;

use tokio::sync::watch;

use crate::{Members, Registry};

/// Reads the members every `interval` and hands them on; ends when nobody listens any more. While Redis does not
/// answer, the last members stay.
pub fn watch_members(registry: Registry, interval: Duration) -> watch::Receiver<Members> {
    let (sender, receiver) = watch::channel(Members::default());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !sender.is_closed() {
            tick.tick().await;
            match registry.members().await {
                Ok(members) => drop(sender.send(members)),
                Err(error) => tracing::debug!(%error, "the registry does not answer"),
            }
        }
    });
    receiver
}
