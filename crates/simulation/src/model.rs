//! From a machine to a block.

use std::collections::BTreeMap;

use rand::Rng;
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock};

use crate::impacts::Impacts;
use crate::insulation::{self, Reading};
use crate::lines::{Lines, lines};
use crate::synthesis::{Noise, add_line};
use crate::{Condition, Motor, OperatingPoint, Sampling};

/// Broadband vibration of a sound machine, g (rms).
const VIBRATION_NOISE_G: f64 = 0.02;
/// Peak of the impacts of a strong bearing fault (severity 1) over the broadband vibration.
const IMPACT_PEAK: f64 = 20.0;

/// One block of a motor at an operating point in a condition: currents Ia, Ib, Ic (A) and vibration_x
/// (g), readings of temperature, insulation resistance, leakage current, speed and load, and the
/// motor's profile. `start_s` is the absolute time of the first sample; `rng` makes the noise.
pub fn generate(
    motor: &Motor,
    point: &OperatingPoint,
    condition: &Condition,
    sampling: &Sampling,
    start_s: f64,
    rng: &mut impl Rng,
) -> SignalBlock {
    SignalModel::new(motor, point, condition).block(sampling, start_s, rng)
}

/// A machine at an operating point, ready to make blocks.
#[derive(Debug, Clone)]
pub struct SignalModel {
    lines: Lines,
    impacts: Impacts,
    insulation: Reading,
    profile: MotorProfile,
    temperature_c: f64,
    speed_rpm: f64,
    load_percent: f64,
}

impl SignalModel {
    /// Works out everything that does not depend on time.
    pub fn new(motor: &Motor, point: &OperatingPoint, condition: &Condition) -> Self {
        let shaft_hz = motor.shaft_hz(point.supply_frequency_hz, point.load_fraction);
        let peak_g = IMPACT_PEAK * VIBRATION_NOISE_G * condition.severity_of(FaultType::Bearing);
        Self {
            lines: lines(motor, point, condition),
            impacts: Impacts::new(motor, shaft_hz, condition.bearing_defect, peak_g),
            insulation: insulation::reading(motor, point, condition),
            profile: motor.profile(),
            temperature_c: point.temperature_c,
            speed_rpm: shaft_hz * 60.0,
            load_percent: point.load_fraction * 100.0,
        }
    }

    /// Peak of the fundamental of the currents, without the fault's part, A.
    pub fn fundamental_a(&self) -> f64 {
        self.lines.fundamental_a
    }

    /// Rate of the impacts of a bearing fault, Hz.
    pub fn impact_rate_hz(&self) -> f64 {
        self.impacts.rate_hz()
    }

    /// The block that begins at `start_s`.
    pub fn block(&self, sampling: &Sampling, start_s: f64, rng: &mut impl Rng) -> SignalBlock {
        let silence = || vec![0.0f32; sampling.samples];
        let mut currents = [silence(), silence(), silence()];
        let mut vibration = [silence()];
        let within = |frequency_hz: f64| frequency_hz < sampling.bandwidth_hz();
        for line in self.lines.currents.iter().filter(|l| within(l.frequency_hz)) {
            add_line(&mut currents, line, sampling.rate_hz, start_s);
        }
        for line in self.lines.vibration.iter().filter(|l| within(l.frequency_hz)) {
            add_line(&mut vibration, line, sampling.rate_hz, start_s);
        }
        self.impacts.add(&mut vibration[0], sampling, start_s);

        let mut noise = Noise::new(rng.random());
        let noise_a = self.lines.fundamental_a / 2f64.sqrt() * 10f64.powf(-sampling.snr_db / 20.0);
        for current in &mut currents {
            noise.add(current, noise_a);
        }
        noise.add(&mut vibration[0], VIBRATION_NOISE_G);

        let quantities = Quantity::CURRENTS.into_iter().chain([Quantity::VibrationX]);
        let channels = quantities
            .zip(currents.into_iter().chain(vibration))
            .map(|(quantity, samples)| Channel { quantity, rate_hz: sampling.rate_hz, samples })
            .collect();
        SignalBlock {
            start_s: Some(start_s),
            channels,
            readings: self.readings(rng),
            profile: Some(self.profile.clone()),
            ..SignalBlock::default()
        }
    }

    /// Readings with the scatter of their instruments.
    fn readings(&self, rng: &mut impl Rng) -> BTreeMap<Quantity, f64> {
        let mut off = |relative: f64| 1.0 + relative * rng.random_range(-1.0..1.0);
        BTreeMap::from([
            (Quantity::Temperature, self.temperature_c * off(0.005)),
            (Quantity::InsulationResistance, self.insulation.resistance_mohm * off(0.03)),
            (Quantity::LeakageCurrent, self.insulation.leakage_a * off(0.02)),
            (Quantity::Speed, self.speed_rpm * off(2e-4)),
            (Quantity::Load, self.load_percent * off(0.01)),
        ])
    }
}
