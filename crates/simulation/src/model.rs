//! From a machine to a block.

use std::collections::BTreeMap;

use rand::Rng;
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock};

use crate::impacts::Impacts;
use crate::insulation::{self, Reading};
use crate::lines::{Lines, lines};
use crate::synthesis::{Line, Noise, add_line, add_line_at};
use crate::{Condition, Counterfeit, Motor, OperatingPoint, Sampling};

/// Broadband vibration of a sound machine, g (rms).
const VIBRATION_NOISE_G: f64 = 0.02;
/// Peak of the impacts of a strong bearing fault (severity 1) over the broadband vibration.
const IMPACT_PEAK: f64 = 20.0;

/// One block of a motor at an operating point in a condition: currents Ia, Ib, Ic (A), phase voltages
/// Ua, Ub, Uc (V) where they are sampled, and vibration_x (g); readings of temperature, insulation
/// resistance, leakage current (A; a channel where voltages are sampled), speed and load, and the motor's
/// profile. `start_s` is the absolute time of the first sample; `rng` makes the noise.
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
    knocks: Option<Impacts>,
    insulation: Reading,
    leakage: Line<1>,
    counterfeit: Option<Counterfeit>,
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
        let knocks = match condition.counterfeit {
            Some(Counterfeit::RandomImpacts { rate_hz, peak }) => {
                Some(Impacts::knocks(motor, rate_hz, peak * VIBRATION_NOISE_G))
            }
            _ => None,
        };
        let insulation = insulation::reading(motor, point, condition);
        let voltage_angle = motor.power_factor_angle(point.load_fraction);
        Self {
            lines: lines(motor, point, condition),
            impacts: Impacts::new(motor, shaft_hz, condition.bearing_defect, peak_g),
            knocks,
            insulation,
            leakage: insulation.waveform(point.supply_frequency_hz, voltage_angle),
            counterfeit: condition.counterfeit,
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
        let mut noise = Noise::new(rng.random());
        let seed = rng.random();
        let counterfeit = self.counterfeit;
        let instants = counterfeit.and_then(|c| c.instants(sampling.samples, seed));
        let skew_s = counterfeit.map_or(0.0, |c| c.skew_s());
        let sampler = Sampler { sampling, start_s, instants: instants.as_deref(), skew_s };

        let mut block = SignalBlock {
            start_s: Some(start_s),
            readings: self.readings(sampling, rng),
            profile: Some(self.profile.clone()),
            ..SignalBlock::default()
        };
        let relative = 10f64.powf(-sampling.snr_db / 20.0) / 2f64.sqrt();
        let mut add = |quantity: Quantity, mut samples: Vec<f32>, noise_rms: f64| {
            noise.add(&mut samples, noise_rms);
            block.channels.push(Channel { quantity, rate_hz: sampling.rate_hz, samples });
        };
        for (quantity, samples) in Quantity::CURRENTS.into_iter().zip(sampler.sample(&self.lines.currents, 0))
        {
            add(quantity, samples, relative * self.lines.fundamental_a);
        }
        if sampling.voltages {
            for (quantity, samples) in
                Quantity::VOLTAGES.into_iter().zip(sampler.sample(&self.lines.voltages, 3))
            {
                add(quantity, samples, relative * self.lines.fundamental_v);
            }
            let [samples] = sampler.sample(std::slice::from_ref(&self.leakage), 6);
            add(Quantity::LeakageCurrent, samples, relative * 2f64.sqrt() * self.insulation.leakage_a());
        }
        let [mut vibration] = sampler.sample(&self.lines.vibration, 7);
        self.impacts.add(&mut vibration, sampling, start_s);
        if let Some(knocks) = &self.knocks {
            knocks.add(&mut vibration, sampling, start_s);
        }
        add(Quantity::VibrationX, vibration, VIBRATION_NOISE_G);
        if let Some(counterfeit) = counterfeit {
            counterfeit.disturb(&mut block, rng.random());
        }
        block
    }

    /// Readings with the scatter of their instruments.
    fn readings(&self, sampling: &Sampling, rng: &mut impl Rng) -> BTreeMap<Quantity, f64> {
        let mut off = |relative: f64| 1.0 + relative * rng.random_range(-1.0..1.0);
        let mut readings = BTreeMap::from([
            (Quantity::Temperature, self.temperature_c * off(0.005)),
            (Quantity::InsulationResistance, self.insulation.resistance_mohm * off(0.03)),
            (Quantity::LeakageCurrent, self.insulation.leakage_a() * off(0.02)),
            (Quantity::Speed, self.speed_rpm * off(2e-4)),
            (Quantity::Load, self.load_percent * off(0.01)),
        ]);
        if sampling.voltages {
            readings.remove(&Quantity::LeakageCurrent);
        }
        readings
    }
}

/// Makes channels from lines.
struct Sampler<'a> {
    sampling: &'a Sampling,
    start_s: f64,
    /// When each sample is taken, in sampling periods; evenly where there is nothing.
    instants: Option<&'a [f64]>,
    /// Delay from one channel to the next.
    skew_s: f64,
}

impl Sampler<'_> {
    /// Channels `first..first + C` of the block.
    fn sample<const C: usize>(&self, lines: &[Line<C>], first: usize) -> [Vec<f32>; C] {
        let mut channels = std::array::from_fn(|_| vec![0.0f32; self.sampling.samples]);
        let rate_hz = self.sampling.rate_hz;
        for line in lines.iter().filter(|l| l.frequency_hz < self.sampling.bandwidth_hz()) {
            let line = line.skewed(first, self.skew_s);
            match self.instants {
                Some(at) => add_line_at(&mut channels, &line, rate_hz, self.start_s, at),
                None => add_line(&mut channels, &line, rate_hz, self.start_s),
            }
        }
        channels
    }
}
