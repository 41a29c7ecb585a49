//! The nodes of a Cluster, and which of them owns which slot. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use vtox_protocol::keys::{SLOTS, slot_of};

use crate::sentinel::Address;

/// A node as the Cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Host, by name where it announces one, and port.
    pub address: (String, u16),
    /// The same by its IP address, as redirections may name it.
    ip: Address,
    /// Id of its primary; none of a primary.
    pub replica_of: Option<String>,
    /// Whether the Cluster takes it for dead.
    pub failed: bool,
    /// Slots it owns.
    pub slots: Vec<RangeInclusive<u16>>,
    /// Of its configuration: what later ones say of a slot holds.
    epoch: u64,
    /// Whether it says so itself.
    own: bool,
}

impl Node {
    /// Whether it owns the slot of a key.
    pub fn owns(&self, key: &str) -> bool {
        let slot = slot_of(key.as_bytes());
        self.slots.iter().any(|range| range.contains(&slot))
    }

    /// Reads one line of `CLUSTER NODES`; none where the node cannot be reached yet, or by nobody.
    pub(super) fn read(line: &str, asked: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [id, address, flags, replica_of, _, _, epoch, _, slots @ ..] = words.as_slice() else {
            return None;
        };
        let flags: BTreeSet<&str> = flags.split(',').collect();
        if flags.contains("handshake") || flags.contains("noaddr") {
            return None;
        }
        // ip:port@bus[,hostname]
        let (ip, port) = address.split(['@', ',']).next()?.rsplit_once(':')?;
        let host =
            address.split(',').nth(1).filter(|name| !name.is_empty() && !name.contains('=')).unwrap_or(ip);
        let slots = slots.iter().filter(|range| !range.starts_with('[')).filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Some(Self {
            id: (*id).to_owned(),
            address: (if host.is_empty() { asked } else { host }.to_owned(), port.parse().ok()?),
            ip: (ip.to_owned(), port.parse().ok()?),
            replica_of: (*replica_of != "-").then(|| (*replica_of).to_owned()),
            failed: flags.contains("fail"),
            slots: slots.collect(),
            epoch: epoch.parse().ok()?,
            own: flags.contains("myself"),
        })
    }
}

/// The Cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map {
    pub nodes: Vec<Node>,
    /// Index of the owner in `nodes`, slot by slot.
    owners: Vec<Option<u16>>,
}

impl Map {
    /// What several nodes say, together: of each node and each slot what the newest configuration says.
    pub(super) fn of(views: Vec<Vec<Node>>) -> Self {
        let mut newest: BTreeMap<String, Node> = BTreeMap::new();
        for node in views.into_iter().flatten() {
            let known = newest.entry(node.id.clone()).or_insert_with(|| node.clone());
            // The Cluster has agreed on it when one says so.
            let failed = known.failed || node.failed;
            // Of the same configuration it knows best itself.
            if (node.epoch, node.own) > (known.epoch, known.own) {
                *known = node;
            }
            known.failed = failed;
        }
        let nodes: Vec<Node> = newest.into_values().collect();
        let mut owners: Vec<Option<u16>> = vec![None; usize::from(SLOTS)];
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.replica_of.is_none()) {
            for slot in node.slots.iter().cloned().flatten().filter(|slot| *slot < SLOTS) {
                let owner = &mut owners[usize::from(slot)];
                if owner.is_none_or(|known| nodes[usize::from(known)].epoch < node.epoch) {
                    *owner = u16::try_from(index).ok();
                }
            }
        }
        Self { nodes, owners }
    }

    pub(crate) fn owner(&self, slot: u16) -> Option<&Address> {
        self.owners
            .get(usize::from(slot))
            .copied()
            .flatten()
            .map(|index| &self.nodes[usize::from(index)].address)
    }

    /// Addresses of the primaries that own slots.
    pub(crate) fn primaries(&self) -> BTreeSet<Address> {
        self.owners.iter().flatten().map(|index| self.nodes[usize::from(*index)].address.clone()).collect()
    }

    /// How a node is called here that somebody calls by its IP address: a certificate may name its host only.
    pub(super) fn known_as(&self, address: Address) -> Address {
        let known = self.nodes.iter().find(|node| node.ip == address);
        known.map_or(address, |node| node.address.clone())
    }

    /// Slots that nobody owns.
    pub(crate) fn uncovered(&self) -> usize {
        self.owners.iter().filter(|owner| owner.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "aa 10.0.0.1:7000@17000,,shard-id=1 myself,master - 0 0 1 connected 0-8191 [7-<-cc]\n\
        bb 10.0.0.2:7000@17000 master - 0 0 2 connected 8192-16382 16383\n\
        cc 10.0.0.3:7000@17000,three slave aa 0 0 1 connected\n\
        dd :0@0 handshake - 0 0 0 connected\n";
    /// After aa died and cc took its place.
    const NEW: &str = "aa 10.0.0.1:7000@17000 master,fail - 0 0 1 connected\n\
        bb 10.0.0.2:7000@17000 master - 0 0 2 connected 8192-16383\n\
        cc 10.0.0.3:7000@17000,three myself,master - 0 0 3 connected 0-8191\n";

    fn view(text: &str) -> Vec<Node> {
        text.lines().filter_map(|line| Node::read(line, "asked")).collect()
    }

    #[test]
    fn nodes_are_read_with_their_slots() {
        let nodes = view(OLD);
        assert_eq!(nodes.len(), 3);
        assert_eq!(
            (nodes[0].address.clone(), &nodes[0].slots),
            (("10.0.0.1".to_owned(), 7_000), &vec![0..=8_191])
        );
        assert_eq!(nodes[1].slots, [8_192..=16_382, 16_383..=16_383]);
        let map = Map::of(vec![nodes.clone()]);
        let by_ip = ("10.0.0.3".to_owned(), 7_000);
        assert_eq!(map.known_as(by_ip), ("three".to_owned(), 7_000));
        for other in [("10.0.0.1".to_owned(), 7_000), ("10.0.0.9".to_owned(), 7_000)] {
            assert_eq!(map.known_as(other.clone()), other);
        }
        assert_eq!((nodes[2].address.0.as_str(), nodes[2].replica_of.as_deref()), ("three", Some("aa")));
        assert_eq!(
            Node::read("ee :7000@17000 myself,master - 0 0 0 connected", "asked").unwrap().address.0,
            "asked"
        );
    }

    #[test]
    fn the_newest_configuration_says_who_owns_a_slot() {
        for views in [[OLD, NEW], [NEW, OLD]] {
            let map = Map::of(views.map(view).to_vec());
            assert_eq!(map.owner(5), Some(&("three".to_owned(), 7_000)));
            assert_eq!(map.owner(16_383), Some(&("10.0.0.2".to_owned(), 7_000)));
            assert_eq!((map.primaries().len(), map.uncovered()), (2, 0));
            assert!(map.nodes.iter().any(|node| node.id == "aa" && node.failed));
        }
        assert_eq!(Map::of(vec![view(OLD.lines().next().unwrap())]).uncovered(), 8_192);
    }
}
