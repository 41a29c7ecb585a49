//! What the detectors share, computed once per block and only when a detector asks.

use std::cell::OnceCell;
use std::sync::LazyLock;

use realfft::num_complex::Complex;
use vtox_protocol::{MotorProfile, Quantity, SignalBlock};

use crate::fundamental::{self, Fundamental};
use crate::signal::{Defect, Signal};
use crate::spectrum::Spectrum;
use crate::speed::{self, Shaft};
use crate::thresholds::Thresholds;

static DEFAULT_THRESHOLDS: LazyLock<Thresholds> = LazyLock::new(Thresholds::default);

/// Everything computed once per block and shared by the detectors: checked signals, spectra, fundamental. All of it
/// lazily, so that a worker that owns one fault type pays for that one only. Not shared between threads; make one
/// per block.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(crate) block: &'a SignalBlock,
    pub(crate) profile: MotorProfile,
    pub(crate) thresholds: &'a Thresholds,
    currents: [OnceCell<Result<Signal, Defect>>; 3],
    vibrations: [OnceCell<Result<Signal, Defect>>; 3],
    current_spectra: [OnceCell<Spectrum>; 3],
    vibration_spectra: [OnceCell<Spectrum>; 3],
    residual: OnceCell<Option<Spectrum>>,
    fundamental: OnceCell<Option<Fundamental>>,
    phasors: [OnceCell<Complex<f64>>; 3],
    shaft: OnceCell<Option<Shaft>>,
}

impl<'a> Prepared<'a> {
    /// Takes a block and what is known of the motor. What `profile` leaves open is taken from the profile the block
    /// brings along, if any.
    pub fn new(block: &'a SignalBlock, profile: &MotorProfile) -> Self {
        Self::with_thresholds(block, profile, &DEFAULT_THRESHOLDS)
    }

    /// The same, judged by other thresholds than the detectors' own.
    pub fn with_thresholds(
        block: &'a SignalBlock,
        profile: &MotorProfile,
        thresholds: &'a Thresholds,
    ) -> Self {
        Self {
            block,
            profile: known(profile, block.profile.as_ref()),
            thresholds,
            currents: Default::default(),
            vibrations: Default::default(),
            current_spectra: Default::default(),
            vibration_spectra: Default::default(),
            residual: OnceCell::new(),
            fundamental: OnceCell::new(),
            phasors: Default::default(),
            shaft: OnceCell::new(),
        }
    }

    /// Phase current 0..3.
    pub(crate) fn current(&self, phase: usize) -> Result<&Signal, Defect> {
        self.currents[phase].get_or_init(|| self.signal(Quantity::CURRENTS[phase])).as_ref().map_err(|d| *d)
    }

    /// The phases whose current is usable.
    pub(crate) fn phases(&self) -> impl Iterator<Item = (usize, &Signal)> {
        (0..3).filter_map(|phase| Some((phase, self.current(phase).ok()?)))
    }

    /// Vibration axis 0..3.
    pub(crate) fn vibration(&self, axis: usize) -> Result<&Signal, Defect> {
        self.vibrations[axis].get_or_init(|| self.signal(Quantity::VIBRATIONS[axis])).as_ref().map_err(|d| *d)
    }

    /// The axes whose vibration is usable.
    pub(crate) fn axes(&self) -> impl Iterator<Item = (usize, &Signal)> {
        (0..3).filter_map(|axis| Some((axis, self.vibration(axis).ok()?)))
    }

    /// Spectrum of a usable phase current, relative to its RMS.
    pub(crate) fn current_spectrum(&self, phase: usize, signal: &Signal) -> &Spectrum {
        self.current_spectra[phase].get_or_init(|| Spectrum::new(&signal.samples, signal.rate_hz))
    }

    /// Spectrum of a usable vibration axis, relative to its RMS.
    pub(crate) fn vibration_spectrum(&self, axis: usize, signal: &Signal) -> &Spectrum {
        self.vibration_spectra[axis].get_or_init(|| Spectrum::new(&signal.samples, signal.rate_hz))
    }

    /// Spectrum of the currents relative to their fundamental and with it taken out, as the RMS over the phases (which
    /// needs no synchronous sampling). What remains near the fundamental is no leakage of it.
    pub(crate) fn residual(&self) -> Option<&Spectrum> {
        self.residual
            .get_or_init(|| {
                let f0 = self.fundamental()?.frequency_hz;
                let spectra: Vec<Spectrum> = self
                    .phases()
                    .map(|(k, s)| (s, self.phasor(k, s, f0)))
                    .filter(|(_, phasor)| fundamental::dominates(*phasor))
                    .map(|(s, phasor)| residual_of(s, f0, phasor))
                    .collect();
                Spectrum::rms_of(&spectra)
            })
            .as_ref()
    }

    /// The fundamental of the currents, found in the strongest of them.
    pub(crate) fn fundamental(&self) -> Option<Fundamental> {
        *self.fundamental.get_or_init(|| {
            let (phase, signal) = self.phases().max_by(|a, b| a.1.rms.total_cmp(&b.1.rms))?;
            fundamental::find(signal, self.current_spectrum(phase, signal))
        })
    }

    /// Phasor of a usable phase current at the fundamental `f0_hz`, relative to its RMS.
    pub(crate) fn phasor(&self, phase: usize, signal: &Signal, f0_hz: f64) -> Complex<f64> {
        *self.phasors[phase].get_or_init(|| fundamental::phasor(signal, f0_hz))
    }

    /// Shaft frequency, with how well it is known. None at standstill and where nothing tells it.
    pub(crate) fn shaft(&self) -> Option<Shaft> {
        *self.shaft.get_or_init(|| speed::find(self))
    }

    /// Shaft frequency, Hz.
    pub(crate) fn shaft_hz(&self) -> Option<f64> {
        self.shaft().map(|shaft| shaft.frequency_hz)
    }

    /// A slow quantity, when it is there and finite.
    pub(crate) fn value(&self, quantity: Quantity) -> Option<f64> {
        self.block.value(quantity).filter(|v| v.is_finite())
    }

    pub(crate) fn signal(&self, quantity: Quantity) -> Result<Signal, Defect> {
        if self.block.contradicting_rate_hz.is_some() {
            return Err(Defect::ContradictoryRate);
        }
        Signal::new(self.block.channel(quantity).ok_or(Defect::Absent)?)
    }
}

fn residual_of(signal: &Signal, f0_hz: f64, phasor: Complex<f64>) -> Spectrum {
    let height = phasor.norm();
    let mut spectrum = Spectrum::new(&fundamental::without_line(signal, f0_hz, phasor), signal.rate_hz);
    for a in &mut spectrum.amplitude {
        *a /= height;
    }
    spectrum
}

/// What is known beforehand counts before what the block says. A motor without poles is one whose poles are unknown.
fn known(profile: &MotorProfile, sent: Option<&MotorProfile>) -> MotorProfile {
    let all = sent.map_or_else(|| profile.clone(), |sent| profile.or(sent));
    MotorProfile { pole_pairs: all.pole_pairs.filter(|p| *p > 0), ..all }
}
