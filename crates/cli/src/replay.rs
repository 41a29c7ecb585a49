//! `vtox replay`: messages of a time that were answered without a result, tried again.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use vtox_connection::ConnectionManager;
use vtox_protocol::{FaultSet, FaultType, VehicleId, timestamp};
use vtox_service_kit::config::Settings;
use vtox_streams::{Janitor, Plan, Refusal, Replays, Selection, topology};

use crate::connect::connect;
use crate::dlq::why;
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Redis of the cluster.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Messages of this vehicle.
    #[arg(long, value_name = "ID")]
    vehicle: String,
    /// Accepted from here on: ISO 8601, ms since 1970, or before now, as -90s, -5m, -2h or -1d.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Time,
    /// Up to here.
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: Time,
    /// Only for this fault type; may be given several times. Without it: all that are enabled.
    #[arg(long)]
    fault: Vec<FaultType>,
    /// Also what has a result or waits for one: it gets a further result.
    #[arg(long)]
    again: bool,
}

/// A time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// ms since 1970.
    At(u64),
    /// ms before now.
    Ago(u64),
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            if text == "now" {
                return Some(Self::Ago(0));
            }
            if let Some(ago) = text.strip_prefix('-') {
                let unit_at = ago.find(|c: char| !c.is_ascii_digit())?;
                let (number, unit) = ago.split_at(unit_at);
                let unit_ms = match unit {
                    "s" => 1_000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    "d" => 86_400_000,
                    _ => return None,
                };
                return number.parse::<u64>().ok()?.checked_mul(unit_ms).map(Self::Ago);
            }
            text.parse().ok().or_else(|| timestamp::parse_iso8601(text)).map(Self::At)
        };
        parse().ok_or_else(|| {
            "a time is ISO 8601 (2026-11-20T08:00:00Z), ms since 1970, or before now: -90s, -5m, -2h, -1d"
                .to_owned()
        })
    }
}

impl Time {
    fn epoch_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(ms) => now_ms.saturating_sub(ms),
        }
    }
}

/// How long attempts are remembered: longer than any raw entry is kept, waiting ones as well.
pub fn remember(settings: &Settings) -> Duration {
    const MARGIN: Duration = Duration::from_secs(86_400);
    Duration::from_secs(settings.worker.raw_retention_s) + MARGIN
}

/// Appends what is to be answered again, and says what was left out. Fails where it cannot be known whether there is a
/// result, and then appends nothing.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let connection = connect(arguments.redis.as_deref(), settings).await?;
    let selection = select(arguments, &connection).await?;
    let replays = Replays::new(connection, remember(settings));
    let plan = replays.plan(&selection).await?;
    check(&plan, &selection)?;
    if selection.again {
        outln!("{} results that are committed will be repeated", plan.answered);
    }
    let (mut results, mut messages, mut taken, mut lost) = (0, 0, 0, 0);
    for retry in &plan.retries {
        let outcome = replays.run(retry).await?;
        results += outcome.faults.len();
        messages += usize::from(outcome.entry.is_some());
        for (fault, refusal) in outcome.refused {
            match refusal {
                Refusal::Gone | Refusal::Superseded => taken += 1,
                Refusal::NotKept => {
                    lost += 1;
                    outln!("{}, {fault}: not replayed: {}", retry.message_id, why(refusal));
                }
            }
        }
    }
    outln!("replayed {results} results of {messages} messages, of {} in that time", plan.messages);
    if !selection.again {
        outln!("left out: {} have a result, {} wait for one", plan.answered, plan.waiting + taken);
    } else if taken > 0 {
        outln!("left out: {taken} were replayed by somebody else meanwhile");
    }
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn select(arguments: &Arguments, connection: &ConnectionManager) -> anyhow::Result<Selection> {
    let vehicle = VehicleId::new(&arguments.vehicle)?;
    let enabled = topology::load(connection).await?.context("no cluster has run on this Redis yet")?.enabled;
    let faults = if arguments.fault.is_empty() {
        enabled
    } else {
        arguments.fault.iter().copied().collect::<FaultSet>()
    };
    if let Some(fault) = faults.iter().find(|fault| !enabled.contains(*fault)) {
        bail!("{fault} is disabled, so nobody would answer; `vtox faults enable {fault}` first");
    }
    let now_ms = Janitor::new(connection.clone()).redis_now_ms().await?;
    let (from_ms, to_ms) = (arguments.from.epoch_ms(now_ms), arguments.to.epoch_ms(now_ms));
    if from_ms > to_ms {
        bail!("--from {} is after --to {}", timestamp::iso8601(from_ms), timestamp::iso8601(to_ms));
    }
    Ok(Selection { vehicle, from_ms, to_ms, faults, again: arguments.again })
}

/// Refuses what cannot be known or done; warns of what is only part of the time.
fn check(plan: &Plan, selection: &Selection) -> anyhow::Result<()> {
    if let Some(kept_ms) = plan.raw_kept_from_ms.filter(|kept_ms| *kept_ms > selection.from_ms) {
        let kept = timestamp::iso8601(kept_ms);
        if plan.messages == 0 && kept_ms > selection.to_ms {
            bail!(
                "raw entries before {kept} are no longer kept; a longer worker.raw_retention_s (and raw_retention_bytes) keeps more"
            );
        }
        outln!("only from {kept} on: entries before are no longer kept (worker.raw_retention_s)");
    }
    if plan.unknown > 0 {
        let kept = plan.results_kept_from_ms.map_or_else(|| "now".to_owned(), timestamp::iso8601);
        bail!(
            "results before {kept} are no longer kept (bridge.results_retention_s), so it cannot be known whether {} of {} \
             messages have theirs; give a later --from, or --again to get a further result of each",
            plan.unknown,
            plan.messages
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_ways() {
        let read = |text: &str| text.parse::<Time>().map(|time| time.epoch_ms(1_000_000_000));
        assert_eq!(read("now"), Ok(1_000_000_000));
        assert_eq!(read("-90s"), Ok(999_910_000));
        assert_eq!(read("-5m"), Ok(999_700_000));
        assert_eq!(read("1763712000123"), Ok(1_763_712_000_123));
        assert_eq!(read("2025-11-21T08:00:00.123+00:00"), Ok(1_763_712_000_123));
        for bad in ["", "-", "-5", "-5w", "-m", "yesterday", "5m"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
