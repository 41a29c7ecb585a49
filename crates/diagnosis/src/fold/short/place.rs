//! Where side bands are, and how long a block must be to keep them apart from their neighbours.

use vtox_protocol::FaultType;

use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::{broken_bar, eccentricity};

/// Resolutions between the fundamental and its side bands: main lobes of a Hann window apart, and some floor between them.
const RESOLUTIONS: f64 = 4.0;
/// Resolutions from a harmonic of the supply: its main lobe, and a little.
const HARMONIC_RESOLUTIONS: f64 = 2.2;

/// Where the side bands looked for are.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// From the fundamental, Hz.
    pub(super) distance_hz: f64,
    /// From the nearest harmonic of the supply, the fundamental among them, Hz. With one pole pair f0 + fr lies close
    /// below 2 f0.
    pub(super) apart_hz: f64,
}

impl Place {
    pub(super) fn of(prepared: &Prepared<'_>, fault: FaultType, f0: Fundamental) -> Option<Self> {
        /// A synchronous motor with one pole pair: no length keeps the lines apart.
        const APART_MIN_HZ: f64 = 0.02;
        if fault == FaultType::BrokenBar {
            let distance_hz = broken_bar::distance_hz(prepared, f0)?;
            return Some(Self { distance_hz, apart_hz: distance_hz });
        }
        let distance_hz = eccentricity::distance_hz(prepared, f0)?;
        let harmonic_hz = (distance_hz / f0.frequency_hz).round() * f0.frequency_hz;
        let apart_hz = (distance_hz - harmonic_hz).abs();
        (apart_hz > APART_MIN_HZ).then_some(Self { distance_hz, apart_hz })
    }

    /// Seconds without a gap that keep the side bands apart.
    pub(super) fn needed_s(self) -> f64 {
        (RESOLUTIONS / self.distance_hz.max(1e-3)).max(HARMONIC_RESOLUTIONS / self.apart_hz.max(1e-3))
    }
}
