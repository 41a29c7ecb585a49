//! The nodes of a Redis Cluster: whether every slot has one, each primary a replica, and each a share of the partitions.

use vtox_connection::{Endpoint, Node};
use vtox_protocol::keys::Topology;
use vtox_service_kit::config::Settings;
use vtox_streams::Durability;

use super::Findings;

/// With fewer primaries no majority is left to promote a replica when one dies.
const LEAST_PRIMARIES: usize = 3;

/// Nothing to say where Redis is no Cluster.
pub async fn look(endpoint: &Endpoint, topology: &Topology, settings: &Settings, findings: &mut Findings) {
    let (nodes, uncovered) = match endpoint.nodes().await {
        Ok(Some(answer)) => answer,
        Ok(None) => return,
        Err(error) => return findings.error(error.to_string(), "start the nodes of the Redis Cluster"),
    };
    let primaries: Vec<&Node> = nodes.iter().filter(|node| !node.slots.is_empty()).collect();
    let replicas = nodes.iter().filter(|node| node.replica_of.is_some()).count();
    let counted = format!("Redis Cluster of {} primaries and {replicas} replicas", primaries.len());
    if uncovered == 0 {
        findings.ok(format!("{counted}, all 16384 slots covered"));
    } else {
        findings.error(
            format!("{counted}, but {uncovered} slots have no node: messages are refused"),
            "start the nodes that are missing, or redis-cli --cluster fix",
        );
    }
    if primaries.len() < LEAST_PRIMARIES {
        findings.warning(
            format!(
                "{} primaries: when one dies, no majority is left to promote its replica",
                primaries.len()
            ),
            format!(
                "have at least {LEAST_PRIMARIES}: redis-cli --cluster add-node, then --cluster rebalance"
            ),
        );
    }
    for node in nodes.iter().filter(|node| node.failed) {
        let slots: usize = node.slots.iter().map(ExactSizeIterator::len).sum();
        if slots == 0 {
            findings.warning(
                format!("{} does not answer the others", name(node)),
                "start it, or take it out: redis-cli --cluster del-node",
            );
        } else {
            findings.error(
                format!(
                    "{}, which has {slots} slots, does not answer the others: messages are refused",
                    name(node)
                ),
                "start it or a replica of it",
            );
        }
    }
    for primary in &primaries {
        let followed = nodes.iter().any(|n| n.replica_of.as_ref() == Some(&primary.id) && !n.failed);
        if !followed {
            let (name, id) = (name(primary), &primary.id);
            findings.warning(
                format!("{name} has no replica that answers: when it dies, its slots have no node"),
                format!(
                    "start one, or redis-cli --cluster add-node NEW {name} --cluster-slave --cluster-master-id {id}"
                ),
            );
        }
    }
    tags(&primaries, topology, findings);
    if settings.redis.durability != Durability::Replicated {
        findings.warning(
            "redis.durability is not replicated: when a primary dies, its replica may lack what was accepted",
            "set redis.durability to replicated, and redis.replicas to the replicas of each primary",
        );
    }
}

/// How the slot tags of the partitions are spread.
fn tags(primaries: &[&Node], topology: &Topology, findings: &mut Findings) {
    let tags: Vec<String> = topology.tags().map(|tag| tag.to_string()).collect();
    let shares: Vec<usize> =
        primaries.iter().map(|node| tags.iter().filter(|tag| node.owns(tag)).count()).collect();
    let idle: Vec<String> =
        primaries.iter().zip(&shares).filter(|(_, share)| **share == 0).map(|(node, _)| name(node)).collect();
    if idle.is_empty() {
        findings.ok(format!("slot tags of the partitions by primary: {shares:?}"));
    } else {
        findings.warning(
            format!("no partition is on {}: it carries no load", idle.join(" and ")),
            "give it the slot of a tag (redis-cli --cluster reshard), or begin with empty nodes and more cluster.slot_tags",
        );
    }
}

fn name(node: &Node) -> String {
    format!("{}:{}", node.address.0, node.address.1)
}
