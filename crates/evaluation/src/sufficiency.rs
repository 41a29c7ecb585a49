//! Whether a recording holds what a diagnosis needs at all.
//!
//! A detector that gives no verdict though the data suffice is wrong; one that gives none because the data do not suffice is
//! right. Who decides which is the case must not be the detector, so the rule is written down here. It asks the measurement
//! alone, never the label.

use vtox_protocol::{FaultType, MotorType, Quantity};

use crate::recording::Measurement;

/// Fewest samples of a channel.
const SAMPLES_MIN: usize = 64;
/// Cycles of the supply that sequence components need, and the length that holds them from 30 Hz on where the frequency is
/// not stated.
const CYCLES_MIN: f64 = 3.0;
const CYCLES_LENGTH_MIN_S: f64 = 0.1;
/// Vibration of bearing damage is looked for in at least this long a signal sampled at least this fast.
const VIBRATION_LENGTH_MIN_S: f64 = 0.1;
const VIBRATION_RATE_MIN_HZ: f64 = 2_000.0;
/// Resolutions between two lines that do not touch under a Hann window.
const APART_MIN: f64 = 4.0;
/// Length from which on a slip that is not stated may be expected to be resolved: side bands 2 Hz from the fundamental.
const SLIP_LENGTH_MIN_S: f64 = 2.0;

/// Whether a detector should be able to judge by this measurement:
///
/// - `turn_fault`: three phase currents sampled together, at least 3 cycles of the supply (0.1 s where its frequency is not
///   stated);
/// - `insulation`: insulation resistance or leakage current;
/// - `bearing`: a vibration of at least 0.1 s sampled at 2 kHz or more;
/// - `eccentricity`: a phase current and the speed or the pole pairs, over at least 4 turns of the shaft; with one pole pair
///   also 4 periods of the slip frequency, which then separates the lines from 0 and 2 f0;
/// - `broken_bar`: a phase current and the speed of a motor that is not known to have no cage, over at least 4 periods
///   of twice the slip frequency (2 s where the slip is not stated).
pub fn suffices(fault: FaultType, measurement: &Measurement) -> bool {
    let Some(block) = measurement.blocks.last() else { return false };
    let Measurement { profile, supply_frequency_hz, .. } = measurement;
    let length_s = |quantity: Quantity| {
        let channel = block.channel(quantity)?;
        (channel.samples.len() >= SAMPLES_MIN).then(|| (channel.duration_s(), channel.rate_hz))
    };
    let current_s = Quantity::CURRENTS.into_iter().find_map(length_s).map(|(s, _)| s);
    let turns_per_s = block.value(Quantity::Speed).map(|rpm| rpm.abs() / 60.0).filter(|hz| *hz > 0.0);
    let pole_pairs = profile.pole_pairs.map(f64::from).or_else(|| {
        let (f0, shaft) = supply_frequency_hz.zip(turns_per_s)?;
        Some((f0 / shaft).round().max(1.0))
    });
    let synchronous_hz = turns_per_s.zip(pole_pairs).map(|(shaft, p)| shaft * p);
    let slip_hz = supply_frequency_hz.zip(synchronous_hz).map(|(f0, rotor)| (f0 - rotor).max(0.0));
    match fault {
        FaultType::TurnFault => {
            let lengths: Option<Vec<f64>> =
                Quantity::CURRENTS.into_iter().map(|q| length_s(q).map(|(s, _)| s)).collect();
            let f0 = supply_frequency_hz.or(synchronous_hz);
            let length_min_s = f0.map_or(CYCLES_LENGTH_MIN_S, |f0| CYCLES_MIN / f0);
            block.synchronous && lengths.is_some_and(|all| all.into_iter().all(|s| s >= length_min_s))
        }
        FaultType::Insulation => [Quantity::InsulationResistance, Quantity::LeakageCurrent]
            .into_iter()
            .any(|q| block.value(q).is_some()),
        FaultType::Bearing => Quantity::VIBRATIONS
            .into_iter()
            .filter_map(length_s)
            .any(|(s, rate_hz)| s >= VIBRATION_LENGTH_MIN_S && rate_hz >= VIBRATION_RATE_MIN_HZ),
        FaultType::Eccentricity => {
            let shaft_hz = turns_per_s.or_else(|| Some(supply_frequency_hz.as_ref()? / pole_pairs?));
            let apart = match (pole_pairs, slip_hz) {
                (Some(1.0), Some(slip_hz)) => slip_hz * current_s.unwrap_or(0.0) >= APART_MIN,
                (Some(1.0), None) => false,
                _ => true,
            };
            apart && current_s.zip(shaft_hz).is_some_and(|(s, hz)| s * hz >= APART_MIN)
        }
        FaultType::BrokenBar => {
            let enough = |s: f64| match slip_hz {
                Some(slip_hz) => 2.0 * slip_hz * s >= APART_MIN,
                None => s >= SLIP_LENGTH_MIN_S,
            };
            profile.motor_type != MotorType::PermanentMagnet
                && turns_per_s.is_some()
                && current_s.is_some_and(enough)
        }
    }
}
