//! What services agreed on, what waits, and who is silent.

use vtox_connection::ConnectionManager;
use vtox_protocol::keys::Topology;
use vtox_registry::Registry;
use vtox_service_kit::config::Settings;
use vtox_streams::{Janitor, topology};

use super::Findings;

/// The topology in force, or the one that would be.
pub async fn topology(
    connection: &ConnectionManager,
    settings: &Settings,
    findings: &mut Findings,
) -> Topology {
    let in_force = match topology::load(connection).await {
        Ok(Some(in_force)) => in_force,
        Ok(None) => {
            findings.ok("no cluster has run on this Redis yet");
            return settings.topology();
        }
        Err(error) => {
            findings.error(error.to_string(), "see the message");
            return settings.topology();
        }
    };
    let (agreed, wanted) = (in_force.partitions, settings.cluster.partitions);
    // 0: nobody said how many, and what a new cluster would get depends on the mode, which is not known here.
    if wanted == 0 || wanted == agreed {
        findings.ok(format!("{agreed} partitions"));
    } else {
        findings.warning(
            format!("the cluster has {agreed} partitions, cluster.partitions is {wanted}"),
            "set cluster.partitions to what the cluster has, or leave it out; a new number needs an empty Redis (vtox up --data with another directory)",
        );
    }
    if let Ok(backlog) = Janitor::new(connection.clone()).backlog(&in_force).await {
        findings.ok(format!(
            "{} messages wait, the oldest {} ms",
            backlog.entries(),
            backlog.oldest_age_ms()
        ));
    }
    in_force
}

/// Services that do not answer.
pub async fn look(connection: &ConnectionManager, settings: &Settings, findings: &mut Findings) {
    match Registry::new(connection.clone()).members().await {
        Ok(members) => {
            for (id, record) in &members.services {
                if members
                    .silence_ms(id)
                    .is_none_or(|silence| silence >= settings.coordinator.worker_lease_ms)
                {
                    findings.warning(
                        format!("{} {id} does not answer", record.service_name),
                        "start it again; a dead record goes away by itself after a minute",
                    );
                }
            }
        }
        Err(error) => findings.error(error.to_string(), "see the message"),
    }
}
