//! Entries nobody can decode.

use std::time::Duration;

use rand::Rng;
use vtox_e2e::ids;
use vtox_protocol::EntryId;
use vtox_protocol::keys::{Partition, Topology};

use crate::arena::{Arena, LOAD};

pub async fn poison(arena: &mut Arena) {
    let topology: String = arena.cluster.command(&["GET", vtox_protocol::keys::TOPOLOGY]).await;
    let topology: Topology = serde_json::from_str(&topology).expect("a topology");
    let streams: Vec<String> = topology.all().map(Partition::stream).collect();
    let vehicles = ids(LOAD.vehicles);
    for n in 0..30 {
        let stream = &streams[arena.random.random_range(0..streams.len())];
        let vehicle = &vehicles[arena.random.random_range(0..vehicles.len())];
        let fields: [&str; 4] = match n % 3 {
            0 => ["sensor_data", "{}", "data_type", "motor_sensor_data"],
            1 => ["vehicle_id", vehicle, "sensor_data", "{\"data\":[{\"Ia\":"],
            _ => ["vehicle_id", vehicle, "block", "\u{1}no MessagePack"],
        };
        let command: Vec<&str> = ["XADD", stream, "*"].into_iter().chain(fields).collect();
        let entry: String = arena.cluster.command(&command).await;
        arena.fleet.ledger.poison(stream, entry.parse::<EntryId>().expect("an entry id"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
