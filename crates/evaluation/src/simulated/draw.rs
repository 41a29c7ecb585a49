//! Drawing simulated windows over the whole operating range.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vtox_protocol::{FaultType, SignalBlock};
use vtox_simulation::{BearingDefect, Condition, Motor, OperatingPoint, Sampling, generate};

/// Windows that are drawn from, shortest first: what vehicles send, then longer ones with up to 33 k samples.
const WINDOWS: [Sampling; 7] = [
    Sampling::SEEDS,
    Sampling::SHORT,
    Sampling::new(8_000.0, 8_192),
    Sampling::LONG,
    Sampling::new(2_000.0, 8_192),
    Sampling::new(2_000.0, 16_384),
    Sampling::new(2_000.0, 32_768),
];
/// Unbalance of the supply (negative- over positive-sequence voltage).
const SUPPLY_UNBALANCE: f64 = 0.005;
/// Cycles of the supply a window needs to tell sequence components.
const CYCLES_MIN: f64 = 3.0;
/// Turns of the shaft a window needs to tell lines once per turn apart.
const TURNS_MIN: f64 = 4.0;
/// Resolutions between two lines that do not touch under a Hann window.
const APART_MIN: f64 = 4.0;
/// The impacts of a bearing ring at a few kHz.
const IMPACTS_RATE_MIN_HZ: f64 = 8_000.0;

/// One window: everything but its noise.
#[derive(Debug, Clone)]
pub struct Window {
    /// The machine.
    pub motor: Motor,
    /// What it does.
    pub point: OperatingPoint,
    /// The truth.
    pub condition: Condition,
    /// How it is sampled.
    pub sampling: Sampling,
    /// Supply frequency over the rated one.
    pub speed_fraction: f64,
    seed: u64,
}

impl Window {
    /// The window's signals.
    pub fn block(&self) -> SignalBlock {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let start_s = rng.random_range(0.0..1e4);
        generate(&self.motor, &self.point, &self.condition, &self.sampling, start_s, &mut rng)
    }
}

/// Random numbers of window `index` of the series `stream`: the same whatever thread works on it.
pub(super) fn random(seed: u64, stream: u64, index: u64) -> StdRng {
    let mut rng = StdRng::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    StdRng::seed_from_u64(rng.random::<u64>() ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03))
}

/// A healthy machine anywhere in the operating range, in a window of any length.
pub(super) fn healthy(rng: &mut StdRng) -> Window {
    let mut window = anywhere(None, 20.0, rng);
    let sampling = WINDOWS[rng.random_range(0..WINDOWS.len())];
    window.sampling = Sampling { snr_db: 20.0, voltages: rng.random_bool(0.5), ..sampling };
    window
}

/// A machine with a fault anywhere in the operating range, in the shortest window in which the fault can be told (2 s or
/// more for faults of the rotor). Places where no window is long enough are not drawn.
pub(super) fn faulty(
    fault: FaultType,
    severity: f64,
    snr_db: f64,
    voltages: bool,
    rng: &mut StdRng,
) -> Window {
    loop {
        let mut window = anywhere(Some(fault), snr_db, rng);
        let Some(sampling) = WINDOWS.into_iter().find(|s| long_enough(fault, &window, s)) else { continue };
        window.sampling = Sampling { snr_db, voltages, ..sampling };
        window.condition = Condition {
            phase: rng.random_range(0..3),
            bearing_defect: [BearingDefect::OuterRace, BearingDefect::InnerRace, BearingDefect::Ball]
                [rng.random_range(0..3)],
            ..Condition::faulty(fault, severity)
        };
        return window;
    }
}

fn long_enough(fault: FaultType, window: &Window, sampling: &Sampling) -> bool {
    let Window { motor, point, .. } = window;
    let length_s = sampling.duration_s();
    let turns = motor.shaft_hz(point.supply_frequency_hz, point.load_fraction) * length_s;
    let slip_periods = motor.slip_frequency_hz(point.load_fraction) * length_s;
    match fault {
        FaultType::TurnFault => point.supply_frequency_hz * length_s >= CYCLES_MIN,
        FaultType::Insulation => true,
        FaultType::Bearing => turns >= TURNS_MIN && sampling.rate_hz >= IMPACTS_RATE_MIN_HZ,
        // With one pole pair the lines lie a slip frequency beside 0 and 2 f0.
        FaultType::Eccentricity | FaultType::BrokenBar if length_s < Sampling::LONG.duration_s() => false,
        FaultType::Eccentricity => turns >= TURNS_MIN && (motor.pole_pairs > 1 || slip_periods >= APART_MIN),
        FaultType::BrokenBar => 2.0 * slip_periods >= APART_MIN,
    }
}

fn anywhere(fault: Option<FaultType>, snr_db: f64, rng: &mut StdRng) -> Window {
    // Only a cage can have broken bars.
    let kinds = if fault == Some(FaultType::BrokenBar) { 3 } else { 4 };
    let motor = match rng.random_range(0..kinds) {
        0 => Motor::induction_4kw(),
        1 => Motor::induction_2kw(),
        2 => Motor::induction_traction(),
        _ => Motor::permanent_magnet(),
    };
    let motor = Motor { individual: rng.random(), ..motor };
    let speed_fraction = rng.random_range(0.2..=1.0);
    let load_fraction = rng.random_range(0.1..=1.0);
    let point = OperatingPoint {
        supply_frequency_hz: speed_fraction * motor.rated_frequency_hz,
        load_fraction,
        supply_unbalance: SUPPLY_UNBALANCE,
        inverter: rng.random_bool(0.5),
        temperature_c: 35.0 + 40.0 * load_fraction + rng.random_range(-5.0..=5.0),
    };
    Window {
        motor,
        point,
        condition: Condition::HEALTHY,
        sampling: Sampling { snr_db, ..Sampling::LONG },
        speed_fraction,
        seed: rng.random(),
    }
}
