//! What a motor does, what ails it, and how it is sampled.

use vtox_protocol::FaultType;

use crate::Counterfeit;

/// Operating point, steady over a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// Supply frequency f0, Hz; 20-120 is what the models are meant for.
    pub supply_frequency_hz: f64,
    /// Torque over rated torque, 0-1.2.
    pub load_fraction: f64,
    /// Negative- over positive-sequence voltage of the supply. The currents are unbalanced by about
    /// five times as much in an induction motor ([`crate::Motor::sequence_impedance_ratio`]).
    pub supply_unbalance: f64,
    /// Fed by an inverter: harmonics of order 6k +- 1 and ripple at the switching frequency.
    pub inverter: bool,
    /// Temperature of the winding, degC.
    pub temperature_c: f64,
}

impl Default for OperatingPoint {
    /// 50 Hz, three quarters of the load, 0.1 % unbalance, no inverter, 60 degC.
    fn default() -> Self {
        Self {
            supply_frequency_hz: 50.0,
            load_fraction: 0.75,
            supply_unbalance: 0.001,
            inverter: false,
            temperature_c: 60.0,
        }
    }
}

/// Where a bearing is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BearingDefect {
    /// On the outer race: impacts at BPFO, all alike.
    #[default]
    OuterRace,
    /// On the inner race: impacts at BPFI, stronger in the load zone, once a turn.
    InnerRace,
    /// On a ball: impacts at 2 BSF, stronger in the load zone, once a turn of the cage.
    Ball,
}

/// State of health.
///
/// What a severity means, and what it is at 0.3 (visible), 0.6 (clear) and 1 (strong):
///
/// | fault | 0.3 | 0.6 | 1 |
/// |---|---|---|---|
/// | turn fault: share of the turns of a phase that are shorted, each carrying 5 times the rated current at rated voltage and frequency | 3 % | 6 % | 10 % |
/// | insulation: resistance at 40 degC, of 2 Gohm when sound | 3.6 Mohm | 0.27 Mohm | 20 kohm |
/// | bearing: peak of the impacts over the RMS of the broadband vibration | 6 | 12 | 20 |
/// | eccentricity: share of the gap | 30 % | 60 % | all |
/// | broken bars | 1.2 | 2.4 | 4 |
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Condition {
    /// The fault; none when healthy.
    pub fault: Option<FaultType>,
    /// How far it has gone: 0 not at all, 1 strong.
    pub severity: f64,
    /// Phase of a turn fault: 0, 1, 2 for A, B, C.
    pub phase: usize,
    /// Place of a bearing fault.
    pub bearing_defect: BearingDefect,
    /// What disturbs the machine or its measurement without being a fault.
    pub counterfeit: Option<Counterfeit>,
}

impl Condition {
    /// Without a fault.
    pub const HEALTHY: Self = Self {
        fault: None,
        severity: 0.0,
        phase: 0,
        bearing_defect: BearingDefect::OuterRace,
        counterfeit: None,
    };

    /// With a fault; turn faults in phase A, bearing faults on the outer race.
    pub fn faulty(fault: FaultType, severity: f64) -> Self {
        Self { fault: Some(fault), severity: severity.clamp(0.0, 1.0), ..Self::HEALTHY }
    }

    /// The same, disturbed.
    #[must_use]
    pub const fn with(self, counterfeit: Counterfeit) -> Self {
        Self { counterfeit: Some(counterfeit), ..self }
    }

    /// The severity of a fault; 0 for the faults it does not have.
    pub fn severity_of(&self, fault: FaultType) -> f64 {
        if self.fault == Some(fault) { self.severity.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// How a block is sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Sampling rate, Hz; of all channels.
    pub rate_hz: f64,
    /// Samples per channel.
    pub samples: usize,
    /// Fundamental over measurement noise of a current or voltage, dB.
    pub snr_db: f64,
    /// Whether the phase voltages (to the star point) are sampled too, and the waveform of the leakage current.
    pub voltages: bool,
}

impl Sampling {
    /// What existing vehicles send: 800 samples at 8 kHz, 0.1 s. Too short for broken bars and, at low
    /// speed, for eccentricity.
    pub const SEEDS: Self = Self::new(8_000.0, 800);
    /// The block of the throughput figures: 1,024 samples at 8 kHz.
    pub const SHORT: Self = Self::new(8_000.0, 1_024);
    /// 8,192 samples at 4 kHz, 2 s: resolves the side bands of a broken bar from about 1 Hz on.
    pub const LONG: Self = Self::new(4_000.0, 8_192);

    /// With 40 dB of signal over noise.
    pub const fn new(rate_hz: f64, samples: usize) -> Self {
        Self { rate_hz, samples, snr_db: 40.0, voltages: false }
    }

    /// With the phase voltages and the waveform of the leakage current.
    #[must_use]
    pub const fn with_voltages(self) -> Self {
        Self { voltages: true, ..self }
    }

    /// Length of a block, s.
    pub fn duration_s(&self) -> f64 {
        self.samples as f64 / self.rate_hz
    }

    /// Highest frequency the filter before the sampler lets through, Hz. What is above is not there,
    /// instead of being folded back.
    pub fn bandwidth_hz(&self) -> f64 {
        0.45 * self.rate_hz
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::LONG
    }
}
