//! A fleet of unlike vehicles with known faults.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vtox_protocol::{FaultType, SignalBlock};

use crate::{BearingDefect, Condition, Development, Motor, OperatingPoint, Sampling, SignalModel};

/// Number of the first vehicle: year 2024, then five digits.
pub const FIRST_NUMBER: u64 = 202_412_345;

const REGIONS: [&str; 8] = ["粤B", "粤A", "沪A", "京A", "浙A", "苏A", "川A", "湘A"];
const MODELS: [&str; 6] = ["SEAL", "HAN", "TANG", "QIN", "SONG", "DOLPHIN"];

/// Id of vehicle `index` of all there can be, as `粤B·SEAL·202412345`. The number alone tells vehicles
/// apart: offset 50,000 begins at 202462345.
pub fn vehicle_id(index: u64) -> String {
    let model = MODELS[(index % MODELS.len() as u64) as usize];
    let region = REGIONS[(index / MODELS.len() as u64 % REGIONS.len() as u64) as usize];
    format!("{region}·{model}·{}", FIRST_NUMBER + index)
}

/// What a fleet is made of. The vehicle at an index is the same whatever the rest: instances with
/// ranges `offset..offset + count` that do not overlap share no vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetOptions {
    /// Vehicles.
    pub count: u64,
    /// Index of the first.
    pub offset: u64,
    /// Of everything random.
    pub seed: u64,
    /// Share of faulty vehicles, 0-1, evenly spread over the indices and over the five faults.
    pub faulty_share: f64,
}

impl FleetOptions {
    /// `count` vehicles from index `offset` on, a fifth of them faulty.
    pub const fn new(count: u64, offset: u64, seed: u64) -> Self {
        Self { count, offset, seed, faulty_share: 0.2 }
    }

    /// The vehicles.
    pub fn vehicles(&self) -> impl Iterator<Item = Vehicle> {
        let options = *self;
        (options.offset..options.offset.saturating_add(options.count))
            .map(move |index| options.vehicle(index))
    }

    fn vehicle(&self, index: u64) -> Vehicle {
        let mut rng = StdRng::seed_from_u64(self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let condition = self.condition(index, &mut rng);
        let motor = Motor { individual: rng.random(), ..draw_motor(condition.fault, &mut rng) };
        let point = draw_point(&motor, condition.fault, &mut rng);
        Vehicle::new(vehicle_id(index), motor, point, condition, rng.random())
    }

    /// Faulty are those at which the sum of shares passes a whole number.
    fn condition(&self, index: u64, rng: &mut StdRng) -> Condition {
        let share = self.faulty_share.clamp(0.0, 1.0);
        let faulty_up_to = |n: u64| (n as f64 * share + 1e-9).floor() as u64;
        let before = faulty_up_to(index);
        if faulty_up_to(index + 1) == before {
            return Condition::HEALTHY;
        }
        let fault = FaultType::ALL[(before % FaultType::ALL.len() as u64) as usize];
        Condition {
            phase: rng.random_range(0..3),
            bearing_defect: [BearingDefect::OuterRace, BearingDefect::InnerRace, BearingDefect::Ball]
                [rng.random_range(0..3)],
            ..Condition::faulty(fault, rng.random_range(0.3..1.0))
        }
    }
}

/// `count` vehicles from index `offset` on, a fifth of them faulty.
pub fn fleet(count: u64, offset: u64, seed: u64) -> Vec<Vehicle> {
    FleetOptions::new(count, offset, seed).vehicles().collect()
}

/// Mostly cage motors, one in five with permanent magnets; only a cage can have broken bars.
fn draw_motor(fault: Option<FaultType>, rng: &mut StdRng) -> Motor {
    match rng.random_range(0..10) {
        0..=1 if fault != Some(FaultType::BrokenBar) => Motor::permanent_magnet(),
        0..=3 => Motor::induction_traction(),
        4..=5 => Motor::induction_2kw(),
        _ => Motor::induction_4kw(),
    }
}

/// 20 Hz up to a fifth above rated frequency. A broken bar shows only under load.
fn draw_point(motor: &Motor, fault: Option<FaultType>, rng: &mut StdRng) -> OperatingPoint {
    let least_load = if fault == Some(FaultType::BrokenBar) { 0.7 } else { 0.3 };
    let load_fraction = rng.random_range(least_load..1.0);
    OperatingPoint {
        supply_frequency_hz: rng.random_range(20.0..(1.2 * motor.rated_frequency_hz).min(120.0)),
        load_fraction,
        supply_unbalance: rng.random_range(0.0003..0.0015),
        inverter: rng.random_bool(0.8),
        temperature_c: 35.0 + 40.0 * load_fraction + rng.random_range(-5.0..5.0),
    }
}

/// A vehicle that makes blocks; it knows the truth about itself.
#[derive(Debug, Clone)]
pub struct Vehicle {
    id: String,
    motor: Motor,
    point: OperatingPoint,
    condition: Condition,
    development: Option<Development>,
    model: SignalModel,
    rng: StdRng,
}

impl Vehicle {
    /// A vehicle of your own; `seed` makes its noise.
    pub fn new(id: String, motor: Motor, point: OperatingPoint, condition: Condition, seed: u64) -> Self {
        let model = SignalModel::new(&motor, &point, &condition);
        Self { id, motor, point, condition, development: None, model, rng: StdRng::seed_from_u64(seed) }
    }

    /// The same with a fault whose severity follows time instead of staying as it is.
    #[must_use]
    pub fn developing(self, development: Development) -> Self {
        Self { development: Some(development), ..self }
    }

    /// From the next block on it does something else.
    pub fn set_operating_point(&mut self, point: OperatingPoint) {
        self.point = point;
        self.model = SignalModel::new(&self.motor, &self.point, &self.condition);
    }

    /// Its id, as `粤B·SEAL·202412345`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its motor.
    pub fn motor(&self) -> &Motor {
        &self.motor
    }

    /// Its operating point.
    pub fn operating_point(&self) -> &OperatingPoint {
        &self.point
    }

    /// The truth a diagnosis is measured against; of a developing fault, that of the last block.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The block that begins at `now_s`. Blocks whose times meet join without a step.
    pub fn next_block(&mut self, sampling: &Sampling, now_s: f64) -> SignalBlock {
        let severity = self.development.map_or(self.condition.severity, |d| d.severity_at(now_s));
        if severity != self.condition.severity {
            self.condition.severity = severity;
            self.model = SignalModel::new(&self.motor, &self.point, &self.condition);
        }
        self.model.block(sampling, now_s, &mut self.rng)
    }

    /// Blocks back to back, for a generator that sends them over and over.
    pub fn pool(&mut self, sampling: &Sampling, start_s: f64, blocks: usize) -> Vec<SignalBlock> {
        (0..blocks).map(|k| self.next_block(sampling, start_s + k as f64 * sampling.duration_s())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_the_seeds_own() {
        assert_eq!(vehicle_id(0), "粤B·SEAL·202412345");
        assert!(vehicle_id(50_000).ends_with("·202462345"));
        assert!(vehicle_id(100_000).ends_with("·202512345"));
    }

    #[test]
    fn ids_of_instances_never_collide() {
        let mut seen = BTreeSet::new();
        for instance in 0..100 {
            for index in instance * 500..(instance + 1) * 500 {
                assert!(seen.insert(vehicle_id(index)));
            }
        }
    }

    #[test]
    fn a_fifth_is_faulty_with_each_fault_alike() {
        let vehicles = fleet(500, 1_000, 1);
        for fault in FaultType::ALL {
            let with = vehicles.iter().filter(|v| v.condition.fault == Some(fault));
            assert_eq!(with.count(), 20, "{fault}");
        }
        assert!(vehicles.iter().all(|v| v.condition.fault.is_none() || v.condition.severity >= 0.3));
        let bars = |v: &&Vehicle| v.condition.fault == Some(FaultType::BrokenBar);
        assert!(vehicles.iter().filter(bars).all(|v| v.motor.rotor_bars.is_some()));
        assert!(vehicles.iter().any(|v| v.motor.rotor_bars.is_none()));
    }

    #[test]
    fn a_vehicle_is_the_same_in_every_fleet() {
        let mut a = fleet(10, 0, 5).remove(7);
        let mut b = fleet(3, 7, 5).remove(0);
        assert_eq!((a.id(), a.condition()), (b.id(), b.condition()));
        assert_eq!(a.next_block(&Sampling::SEEDS, 3.0), b.next_block(&Sampling::SEEDS, 3.0));
        let mut other = fleet(1, 7, 6).remove(0);
        assert_ne!(a.next_block(&Sampling::SEEDS, 3.0), other.next_block(&Sampling::SEEDS, 3.0));
    }
}
