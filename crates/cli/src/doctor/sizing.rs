//! Whether Redis has the memory for what is kept in it.

use vtox_connection::ConnectionManager;
use vtox_protocol::keys;
use vtox_service_kit::config::{Mode, Settings};
use vtox_streams::{Result, views::Views};

use super::Findings;

/// Share of the machine's memory above which a rewrite of the AOF, which copies what changes meanwhile, may find none.
const SHARE_OF_MACHINE: f64 = 0.75;
/// Results whose size is looked at.
const SAMPLE: usize = 200;

/// `primaries` by name; `views` reaches all of them.
pub async fn look(
    views: &Views,
    primaries: &[(String, ConnectionManager)],
    settings: &Settings,
    findings: &mut Findings,
) {
    let (mut limit, mut used) = (0, 0);
    for (name, primary) in primaries {
        let mut of_node = Findings::default();
        match Views::new(primary.clone()).memory().await {
            Ok(memory) if memory.limit == 0 => {
                if settings.mode == Mode::Production {
                    of_node.warning(
                        "Redis has no maxmemory: it is killed when the machine has no more",
                        format!(
                            "CONFIG SET maxmemory {}, 70 % of the machine's",
                            mb(memory.machine * 7 / 10)
                        ),
                    );
                }
                findings.0.extend(of_node.0.into_iter().map(|finding| finding.of(name)));
                return;
            }
            Ok(memory) => {
                if memory.machine > 0 && memory.limit as f64 > SHARE_OF_MACHINE * memory.machine as f64 {
                    of_node.warning(
                        format!(
                            "maxmemory is {} of the machine's {}: a rewrite of the AOF may find no memory",
                            mb(memory.limit),
                            mb(memory.machine)
                        ),
                        format!("CONFIG SET maxmemory {}", mb(memory.machine * 7 / 10)),
                    );
                }
                limit += memory.limit;
                used += memory.used;
            }
            Err(error) => return findings.error(error.to_string(), "allow INFO"),
        }
        findings.0.extend(of_node.0.into_iter().map(|finding| finding.of(name)));
    }
    match history(views, settings).await {
        Ok((vehicles, history)) => {
            room(&Sizes { limit, used, vehicles, history }, settings, findings);
        }
        Err(error) => findings.error(error.to_string(), "see the message"),
    }
}

/// Known vehicles, and the bytes their history has once it is full, by the mean size of the newest results.
async fn history(views: &Views, settings: &Settings) -> Result<(u64, u64)> {
    let vehicles = views.statuses().await?.len() as u64;
    let results = views.newest(keys::RESULTS, 0, SAMPLE).await?;
    let bytes: usize =
        results.iter().flat_map(|r| &r.fields).map(|(name, value)| name.len() + value.len()).sum();
    let mean = bytes.checked_div(results.len()).unwrap_or(0) as u64;
    Ok((vehicles, vehicles * settings.bridge.history_per_vehicle as u64 * mean))
}

struct Sizes {
    /// Of all primaries, bytes.
    limit: u64,
    used: u64,
    vehicles: u64,
    /// Of all vehicles, once full, bytes.
    history: u64,
}

/// What is kept must leave room for messages that wait.
fn room(sizes: &Sizes, settings: &Settings, findings: &mut Findings) {
    let Sizes { limit, used, vehicles, history } = *sizes;
    let retention = settings.worker.raw_retention_bytes
        + settings.worker.dead_letter_retention_bytes
        + settings.bridge.results_retention_bytes;
    let mark = (limit as f64 * settings.gateway.backlog_memory_share) as u64;
    let kept = format!(
        "retention keeps up to {} and the history of {vehicles} vehicles about {}; messages are refused from {} on, {} are in use",
        mb(retention),
        mb(history),
        mb(mark),
        mb(used)
    );
    if retention + history < mark {
        findings.ok(format!("{kept}: {} are left for messages that wait", mb(mark - retention - history)));
    } else {
        findings.warning(
            format!("{kept}: nothing is left for messages that wait"),
            format!(
                "CONFIG SET maxmemory to at least {}, or lower worker.raw_retention_bytes, bridge.results_retention_bytes, \
                 worker.dead_letter_retention_bytes or bridge.history_per_vehicle",
                mb(((retention + history) as f64 * 1.5 / settings.gateway.backlog_memory_share) as u64)
            ),
        );
    }
}

fn mb(bytes: u64) -> String {
    format!("{}mb", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn what_is_kept_must_leave_room() {
        let settings = vtox_service_kit::config::load(None, std::iter::empty()).unwrap();
        let level = |limit: u64, history: u64| {
            let mut findings = Findings::default();
            room(
                &Sizes { limit: limit << 20, used: 0, vehicles: 1, history: history << 20 },
                &settings,
                &mut findings,
            );
            findings.0.pop().unwrap()
        };
        // 256 + 128 + 64 MiB of retention, and 80 % of maxmemory.
        let enough = level(1024, 0);
        assert!(enough.level == Level::Ok && enough.what.contains("372mb are left"), "{}", enough.what);
        assert!(level(560, 0).level == Level::Warning);
        let fleet = level(1024, 500);
        assert!(fleet.level == Level::Warning);
        assert!(fleet.fix.unwrap().contains("maxmemory to at least 1778mb"));
    }
}
