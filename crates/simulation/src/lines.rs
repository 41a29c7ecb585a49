//! The lines of currents and vibration.
//!
//! Orders and magnitudes of a healthy machine are typical ones; those of faults follow the sources
//! named at each function. Magnitudes are peaks, relative to the fundamental where not said otherwise.

use std::f64::consts::TAU;

use vtox_protocol::{FaultType, MotorType};

use crate::synthesis::{Line, scatter};
use crate::{Condition, Counterfeit, Motor, OperatingPoint};

/// Direction in which a three-phase line rotates; zero is alike in all phases.
#[derive(Clone, Copy)]
enum Sequence {
    Positive,
    Negative,
    Zero,
}

/// Negative-sequence current of a strong turn fault (severity 1) at rated voltage and frequency over the
/// peak of the rated current: a tenth of the turns of a phase shorted, with five times the rated current
/// in them, a third of which shows in the negative sequence.
const TURN_FAULT_NEGATIVE_SEQUENCE: f64 = 0.1 * 5.0 / 3.0;
/// Angle of the shorted loop's impedance at rated frequency: leakage beside the resistance of turns and contact.
const TURN_FAULT_LOOP_ANGLE: f64 = TAU / 6.0;
/// Angle of the negative-sequence impedance at rated frequency: nearly that of the locked rotor.
const NEGATIVE_SEQUENCE_ANGLE: f64 = 70.0 / 360.0 * TAU;
/// Third harmonic of a turn fault over its negative-sequence current.
const TURN_FAULT_THIRD_HARMONIC: f64 = 0.25;
/// Lines at f0 +- fr of an eccentricity of the whole gap (severity 1) and of a sound machine (-60 dB).
const ECCENTRICITY: f64 = 0.05;
const ECCENTRICITY_SOUND: f64 = 0.001;
/// Broken bars of a strong fault, and asymmetry of a sound cage in bars.
const BROKEN_BARS: f64 = 4.0;
const BROKEN_BARS_SOUND: f64 = 0.02;
/// Harmonics (order, relative magnitude) of mains and of an inverter.
const MAINS_HARMONICS: [(u32, f64); 4] = [(5, 0.012), (7, 0.008), (11, 0.003), (13, 0.002)];
const INVERTER_HARMONICS: [(u32, f64); 6] =
    [(5, 0.020), (7, 0.014), (11, 0.008), (13, 0.006), (17, 0.004), (19, 0.003)];
/// Ripple at the switching frequency +- 2 f0 of an inverter.
const SWITCHING_RIPPLE: f64 = 0.01;
/// Harmonics of the voltage: of the mains, and of an inverter behind the filter before the sampler.
const MAINS_VOLTAGE_HARMONICS: [(u32, f64); 4] = [(5, 0.02), (7, 0.012), (11, 0.006), (13, 0.005)];
const INVERTER_VOLTAGE_HARMONICS: [(u32, f64); 4] = [(5, 0.03), (7, 0.025), (11, 0.02), (13, 0.015)];
/// Third harmonic that space-vector modulation adds to all phases alike, over the fundamental.
const COMMON_MODE_THIRD: f64 = 1.0 / 6.0;
/// Balance quality grade to which sound rotors are balanced (ISO 21940-11), mm/s.
const GRADE_SOUND: f64 = 2.5;
/// Share of the gap by which a rotor of grade G 40 whirls at rated speed: its centrifugal force bends shaft and
/// bearings by micrometres, the gap being some tenths of a millimetre.
const WHIRL_AT_G40: f64 = 0.01;

/// Lines of one machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lines {
    pub currents: Vec<Line<3>>,
    pub voltages: Vec<Line<3>>,
    pub vibration: Vec<Line<1>>,
    /// Peak of the fundamental, A.
    pub fundamental_a: f64,
    /// Peak of the phase voltage's fundamental, V.
    pub fundamental_v: f64,
}

/// Builds the lines; each new line takes the next phase of the machine's own.
struct Builder<'a> {
    motor: &'a Motor,
    point: &'a OperatingPoint,
    condition: &'a Condition,
    fundamental_a: f64,
    fundamental_v: f64,
    shaft_hz: f64,
    currents: Vec<Line<3>>,
    voltages: Vec<Line<3>>,
    vibration: Vec<Line<1>>,
    drawn: u64,
}

pub(crate) fn lines(motor: &Motor, point: &OperatingPoint, condition: &Condition) -> Lines {
    let mut builder = Builder {
        motor,
        point,
        condition,
        fundamental_a: motor.rated_current_a * 2f64.sqrt() * motor.current_ratio(point.load_fraction),
        fundamental_v: motor.phase_voltage_v(point.supply_frequency_hz) * 2f64.sqrt(),
        shaft_hz: motor.shaft_hz(point.supply_frequency_hz, point.load_fraction),
        currents: Vec::new(),
        voltages: Vec::new(),
        vibration: Vec::new(),
        drawn: 0,
    };
    builder.supply();
    builder.turn_fault();
    builder.eccentricity();
    builder.broken_bar();
    builder.load_oscillation();
    builder.vibration();
    builder.voltage_harmonics();
    let Builder { currents, voltages, vibration, fundamental_a, fundamental_v, .. } = builder;
    Lines { currents, voltages, vibration, fundamental_a, fundamental_v }
}

/// A line that is symmetrical over the phases.
fn three_phase(frequency_hz: f64, peak: f64, sequence: Sequence, phase: f64) -> Line<3> {
    let lag = match sequence {
        Sequence::Positive => -TAU / 3.0,
        Sequence::Negative => TAU / 3.0,
        Sequence::Zero => 0.0,
    };
    // A line below 0 Hz is one above that rotates the other way.
    let (frequency_hz, phase, lag) =
        if frequency_hz < 0.0 { (-frequency_hz, -phase, -lag) } else { (frequency_hz, phase, lag) };
    let phasors = [0.0, 1.0, 2.0].map(|k| {
        let (sin, cos) = (phase + k * lag).sin_cos();
        (peak * cos, peak * sin)
    });
    Line { frequency_hz, phasors }
}

impl Builder<'_> {
    fn rated_peak_a(&self) -> f64 {
        self.motor.rated_current_a * 2f64.sqrt()
    }

    fn power_factor_angle(&self) -> f64 {
        self.motor.power_factor_angle(self.point.load_fraction)
    }

    /// Current that the phase voltage drives through an impedance of the given angle at rated frequency, in units of
    /// that at rated voltage and frequency, and the angle by which it lags. The reactance follows the frequency.
    fn drawn_by_voltage(&self, angle: f64) -> (f64, f64) {
        let f0_hz = self.point.supply_frequency_hz;
        let volts =
            self.motor.phase_voltage_v(f0_hz) / self.motor.phase_voltage_v(self.motor.rated_frequency_hz);
        let (resistance, reactance) = (angle.cos(), angle.sin() * f0_hz / self.motor.rated_frequency_hz);
        (volts / resistance.hypot(reactance), reactance.atan2(resistance))
    }

    fn draw(&mut self) -> f64 {
        self.drawn += 1;
        scatter(self.motor.individual, self.drawn)
    }

    fn current(&mut self, frequency_hz: f64, peak_a: f64, sequence: Sequence, phase: f64) {
        self.currents.push(three_phase(frequency_hz, peak_a, sequence, phase));
    }

    fn voltage(&mut self, frequency_hz: f64, peak_v: f64, sequence: Sequence, phase: f64) {
        self.voltages.push(three_phase(frequency_hz, peak_v, sequence, phase));
    }

    /// Adds a line of the fundamental's own sequence with a phase of its own.
    fn companion(&mut self, frequency_hz: f64, relative: f64) {
        let phase = TAU * self.draw();
        self.current(frequency_hz, relative * self.fundamental_a, Sequence::Positive, phase);
    }

    fn shake(&mut self, frequency_hz: f64, peak_g: f64) {
        let (sin, cos) = (TAU * self.draw()).sin_cos();
        self.vibration.push(Line { frequency_hz, phasors: [(peak_g * cos, peak_g * sin)] });
    }

    /// Fundamental, unbalance of the supply, harmonics of order 6k - 1 (backward) and 6k + 1. The current of the
    /// fundamental is at angle 0, the voltage ahead of it by the power-factor angle.
    fn supply(&mut self) {
        let f0_hz = self.point.supply_frequency_hz;
        self.current(f0_hz, self.fundamental_a, Sequence::Positive, 0.0);
        self.voltage(f0_hz, self.fundamental_v, Sequence::Positive, self.power_factor_angle());

        let negative_angle = TAU * self.draw();
        let unbalance = self.point.supply_unbalance;
        self.voltage(f0_hz, unbalance * self.fundamental_v, Sequence::Negative, negative_angle);
        let (drawn, lag) = self.drawn_by_voltage(NEGATIVE_SEQUENCE_ANGLE);
        let negative_a = unbalance * self.motor.sequence_impedance_ratio * drawn * self.rated_peak_a();
        self.current(f0_hz, negative_a, Sequence::Negative, negative_angle - lag);

        let harmonics: &[(u32, f64)] =
            if self.point.inverter { &INVERTER_HARMONICS } else { &MAINS_HARMONICS };
        for &(order, relative) in harmonics {
            let sequence = if order % 6 == 5 { Sequence::Negative } else { Sequence::Positive };
            let scattered = relative * (0.7 + 0.6 * self.draw());
            let phase = TAU * self.draw();
            self.current(f0_hz * f64::from(order), scattered * self.fundamental_a, sequence, phase);
        }
        if self.point.inverter {
            let switching_hz = 6_000.0 + 4_000.0 * self.draw();
            for frequency_hz in [switching_hz - 2.0 * f0_hz, switching_hz + 2.0 * f0_hz] {
                self.companion(frequency_hz, SWITCHING_RIPPLE);
            }
        }
        // Saturation: a trace of third harmonic even in a sound winding.
        self.companion(3.0 * f0_hz, 0.001);
    }

    /// Shorted turns let a current of their own flow in one phase, driven by its voltage and not by the
    /// load. As far as the star point lets it, it shows as equal additions to positive and negative
    /// sequence, at the angle of that phase (Tallam, Habetler, Harley, "Transient model for induction
    /// machines with stator winding turn faults", IEEE Trans. Ind. Appl. 38 (2002) 632-637).
    fn turn_fault(&mut self) {
        let severity = self.condition.severity_of(FaultType::TurnFault);
        if severity == 0.0 {
            return;
        }
        let f0_hz = self.point.supply_frequency_hz;
        let (drawn, lag) = self.drawn_by_voltage(TURN_FAULT_LOOP_ANGLE);
        let added_a = severity * TURN_FAULT_NEGATIVE_SEQUENCE * drawn * self.rated_peak_a();
        // Phase k's voltage is k times 120 degrees behind that of A: its current is at the same angle for all k in
        // the positive sequence, and at -2k 120 degrees in the negative one, so that both add up in phase k.
        let angle = self.power_factor_angle() - lag;
        let faulted = (self.condition.phase % 3) as f64;
        self.current(f0_hz, added_a, Sequence::Positive, angle);
        self.current(f0_hz, added_a, Sequence::Negative, angle - 2.0 * faulted * TAU / 3.0);
        let phase = TAU * self.draw();
        self.current(3.0 * f0_hz, TURN_FAULT_THIRD_HARMONIC * added_a, Sequence::Positive, phase);
    }

    /// Mixed eccentricity: lines at f0 +- k fr, and rotor-slot harmonics
    /// f0 \[(k R +- nd) (1 - s)/p +- v\] with nd = 1 beside those of nd = 0 that every cage has (Nandi,
    /// Toliyat, Li, "Condition monitoring and fault diagnosis of electrical motors - a review", IEEE
    /// Trans. Energy Convers. 20 (2005) 719-729).
    fn eccentricity(&mut self) {
        let severity = self.condition.severity_of(FaultType::Eccentricity);
        let f0_hz = self.point.supply_frequency_hz;
        let fr_hz = self.shaft_hz;
        let sound = ECCENTRICITY_SOUND * (0.5 + self.draw());
        let first = sound + ECCENTRICITY * (severity + self.whirl());
        for (k, relative) in [(-1.0, first), (1.0, 0.7 * first), (-2.0, 0.2 * first), (2.0, 0.15 * first)] {
            self.companion(f0_hz + k * fr_hz, relative);
        }
        let Some(bars) = self.motor.rotor_bars else { return };
        for v in [-1.0, 1.0] {
            let slots_hz = f64::from(bars) * fr_hz + v * f0_hz;
            self.companion(slots_hz, 0.004);
            for nd in [-1.0, 1.0] {
                self.companion(slots_hz + nd * fr_hz, 0.2 * sound + 0.01 * severity);
            }
        }
    }

    /// Side bands at (1 +- 2 k s) f0. With n of R bars broken, the two of k = 1 add up to n / R of the
    /// part of the current that the cage carries (Bellini et al., "Quantitative evaluation of
    /// induction motor broken bars by means of electrical signature analysis", IEEE Trans. Ind. Appl.
    /// 37 (2001) 1248-1255); the upper one comes from the speed ripple the lower one causes.
    fn broken_bar(&mut self) {
        let (Some(bars), MotorType::Induction) = (self.motor.rotor_bars, self.motor.motor_type) else {
            return;
        };
        let severity = self.condition.severity_of(FaultType::BrokenBar);
        let load = self.point.load_fraction;
        let broken = BROKEN_BARS_SOUND + BROKEN_BARS * severity;
        let in_cage = self.motor.load_current_ratio(load) / self.motor.current_ratio(load);
        let sum = broken / f64::from(bars) * in_cage;
        let f0_hz = self.point.supply_frequency_hz;
        let slip_hz = self.motor.slip_frequency_hz(load);
        for (k, relative) in [(-1.0, 0.6 * sum), (1.0, 0.4 * sum), (-2.0, 0.12 * sum), (2.0, 0.08 * sum)] {
            self.companion(f0_hz + 2.0 * k * slip_hz, relative);
        }
        if severity > 0.0 {
            for k in [-1.0, 1.0] {
                self.shake(self.shaft_hz + 2.0 * k * slip_hz, 0.01 * severity);
            }
        }
    }

    /// Share of the gap by which an unbalanced rotor whirls.
    fn whirl(&self) -> f64 {
        let Some(Counterfeit::MassUnbalance { grade_mm_per_s }) = self.condition.counterfeit else {
            return 0.0;
        };
        let speed = self.shaft_hz * 60.0 / self.motor.rated_speed_rpm;
        WHIRL_AT_G40 * grade_mm_per_s / 40.0 * speed
    }

    /// A swinging torque swings the current's part that makes it, which is in phase with the voltage.
    fn load_oscillation(&mut self) {
        let Some(Counterfeit::LoadOscillation { frequency_hz, depth }) = self.condition.counterfeit else {
            return;
        };
        let torque_a = self.rated_peak_a() * self.motor.load_current_ratio(self.point.load_fraction);
        let (angle, begin) = (self.power_factor_angle(), TAU * self.draw());
        for side in [-1.0, 1.0] {
            let side_hz = self.point.supply_frequency_hz + side * frequency_hz;
            self.current(side_hz, 0.5 * depth * torque_a, Sequence::Positive, angle + side * begin);
        }
    }

    fn voltage_harmonics(&mut self) {
        let f0_hz = self.point.supply_frequency_hz;
        let harmonics =
            if self.point.inverter { INVERTER_VOLTAGE_HARMONICS } else { MAINS_VOLTAGE_HARMONICS };
        for (order, relative) in harmonics {
            let sequence = if order % 6 == 5 { Sequence::Negative } else { Sequence::Positive };
            let phase = TAU * self.draw();
            self.voltage(f0_hz * f64::from(order), relative * self.fundamental_v, sequence, phase);
        }
        if self.point.inverter {
            let phase = TAU * self.draw();
            self.voltage(3.0 * f0_hz, COMMON_MODE_THIRD * self.fundamental_v, Sequence::Zero, phase);
        }
    }

    /// Once and twice a turn from residual unbalance and misalignment (acceleration grows with the
    /// square of speed), the magnetic pull at 2 f0, and what eccentricity adds to both.
    fn vibration(&mut self) {
        let eccentricity = self.condition.severity_of(FaultType::Eccentricity);
        let turn_fault = self.condition.severity_of(FaultType::TurnFault);
        let by_speed = (self.shaft_hz / 25.0).powi(2);
        let scattered = 0.6 + 0.8 * self.draw();
        let grade = match self.condition.counterfeit {
            Some(Counterfeit::MassUnbalance { grade_mm_per_s }) => grade_mm_per_s,
            _ => GRADE_SOUND,
        };
        let unbalance = grade / GRADE_SOUND + 3.0 * eccentricity;
        self.shake(self.shaft_hz, 0.02 * by_speed * scattered * unbalance);
        self.shake(2.0 * self.shaft_hz, 0.008 * by_speed * scattered);
        let twice_hz = 2.0 * self.point.supply_frequency_hz;
        self.shake(twice_hz, 0.01 * (1.0 + 3.0 * eccentricity + 2.0 * turn_fault));
        if eccentricity > 0.0 {
            for k in [-1.0, 1.0] {
                self.shake(twice_hz + k * self.shaft_hz, 0.01 * eccentricity);
            }
        }
    }
}
