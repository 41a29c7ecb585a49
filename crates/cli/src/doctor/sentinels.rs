//! The sentinels: whether they answer, agree on the primary, and could replace it.

use std::collections::BTreeMap;

use vtox_connection::{Endpoint, SentinelView};

use super::Findings;

/// With fewer, losing one leaves no majority for a failover.
const LEAST_SENTINELS: u32 = 3;
/// Silence of the primary after which a failover begins, ms: less is taken for death too easily, more is long without service.
const DOWN_AFTER_MS: std::ops::RangeInclusive<u64> = 1_000..=5_000;

/// Nothing to say without sentinels.
pub async fn look(endpoint: &Endpoint, findings: &mut Findings) {
    let Some(reports) = endpoint.sentinels().await else { return };
    let (asked, mut views) = (reports.len(), Vec::new());
    for report in reports {
        let name = format!("sentinel {}:{}", report.address.0, report.address.1);
        match report.view {
            Ok(view) => views.push((name, view)),
            Err(error) => findings.warning(
                format!("{name} does not answer: {}", endpoint.explain(&error)),
                "start it, or correct the sentinels in redis.url",
            ),
        }
    }
    if views.is_empty() {
        return findings.error("no sentinel answers", "start them, or correct the sentinels in redis.url");
    }
    let mut primaries: BTreeMap<String, u32> = BTreeMap::new();
    for (_, SentinelView { primary: (host, port), .. }) in &views {
        *primaries.entry(format!("{host}:{port}")).or_default() += 1;
    }
    if primaries.len() > 1 {
        let named: Vec<String> = primaries.iter().map(|(name, n)| format!("{name} ({n})")).collect();
        findings.error(
            format!("the sentinels name different primaries: {}", named.join(", ")),
            "look again in some seconds, a failover may be going on; if it stays, see that the sentinels reach each other, \
             and SENTINEL RESET the one that is wrong",
        );
    } else if let Some(primary) = primaries.keys().next() {
        findings.ok(format!("{} of {asked} sentinels name the primary {primary}", views.len()));
    }
    // What all see alike is said once.
    let mut said = Findings::default();
    for (_, view) in &views {
        quorum(view, &mut said);
    }
    for finding in said.0 {
        if findings.0.iter().all(|known| known.what != finding.what) {
            findings.0.push(finding);
        }
    }
}

fn quorum(view: &SentinelView, findings: &mut Findings) {
    let SentinelView { sentinels, replicas, quorum, down_after_ms, .. } = view;
    match &view.no_quorum {
        None => findings.ok(format!("a quorum of {quorum} of {sentinels} sentinels")),
        Some(why) => findings.error(
            format!("a dead primary would not be replaced: {why}"),
            "start the sentinels that are missing, or SENTINEL SET NAME quorum to half of them and one",
        ),
    }
    if *sentinels < LEAST_SENTINELS {
        findings.warning(
            format!("sentinels: {sentinels}; with one less a dead primary is not replaced"),
            format!("have at least {LEAST_SENTINELS}, on machines of their own"),
        );
    }
    if *replicas == 0 {
        findings.error("the sentinels know no replica to promote", "start one with replicaof");
    }
    if !DOWN_AFTER_MS.contains(down_after_ms) {
        findings.warning(
            format!("down-after-milliseconds is {down_after_ms}: so long is nothing accepted after a death, or so easily is a slow primary replaced"),
            "SENTINEL SET NAME down-after-milliseconds to 1000 to 5000",
        );
    }
}
