//! Families of lines in an envelope spectrum: is there one, how sure, and how strong.

use vtox_protocol::BearingGeometry;

use super::envelope::{Envelope, over_noise};

/// Harmonics of a defect rate that are added up.
pub(super) const HARMONICS: usize = 3;
/// Rolling elements slip by 1 to 2 % of the cage speed (Randall and Antoni, MSSP 25 (2011) 485-520, section 2), a
/// nominal speed is off by as much, a contact angle under thrust does the same.
const TOLERANCE: f64 = 0.012;
/// No single line counts for more than this many times the noise, so that one foreign line is no family.
const LINE_MAX: f64 = 16.0;
/// Power over the noise from which on a line adds to the depth; noise does so once in 400 bins.
const LINE_MIN: f64 = 6.0;
/// Resolutions below which lines are not told apart from each other or from the shaft's.
const RESOLUTIONS_MIN: f64 = 3.0;
/// A rate this close (in resolutions) to a multiple of the shaft's cannot be told from it.
const SHAFT_GUARD: f64 = 1.5;

/// The part of the bearing that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    OuterRace,
    InnerRace,
    Element,
    Cage,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::OuterRace, Self::InnerRace, Self::Element, Self::Cage];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OuterRace => "outer race",
            Self::InnerRace => "inner race",
            Self::Element => "rolling element",
            Self::Cage => "cage",
        }
    }

    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::OuterRace => "BPFO",
            Self::InnerRace => "BPFI",
            Self::Element => "2 BSF",
            Self::Cage => "FTF",
        }
    }

    /// Rate of strikes per turn of the shaft. A defect of an element strikes both races.
    fn per_rev(self, bearing: &BearingGeometry) -> f64 {
        match self {
            Self::OuterRace => bearing.bpfo_per_rev(),
            Self::InnerRace => bearing.bpfi_per_rev(),
            Self::Element => 2.0 * bearing.bsf_per_rev(),
            Self::Cage => bearing.ftf_per_rev(),
        }
    }

    /// Rate at which the defect passes through the load, per turn of the shaft: distance of the side bands.
    fn modulation_per_rev(self, bearing: &BearingGeometry) -> Option<f64> {
        match self {
            Self::OuterRace | Self::InnerRace => Some(1.0),
            Self::Element => Some(bearing.ftf_per_rev()),
            Self::Cage => None,
        }
    }
}

/// The best family of lines of one part in one envelope spectrum.
#[derive(Debug, Clone)]
pub(super) struct Family {
    pub(super) part: Part,
    /// Rate expected from geometry and speed, and found, Hz.
    pub(super) expected_hz: f64,
    pub(super) found_hz: f64,
    /// Power of each harmonic over the noise around it.
    pub(super) over_noise: [f64; HARMONICS],
    /// Sum of the amplitudes of harmonics and side bands over the mean of the squared envelope.
    pub(super) depth: f64,
    /// Sum of their squares: the kurtosis that modulated noise has because of them.
    pub(super) depth_squared: f64,
    /// -ln of the probability that noise alone shows such a family somewhere in the places looked at.
    pub(super) surprise: f64,
}

/// An envelope spectrum over its local noise.
struct Lines {
    amplitude: Vec<f64>,
    over_noise: Vec<f64>,
    bin_hz: f64,
}

impl Lines {
    /// The higher of the two bins next to a frequency.
    fn at(&self, hz: f64) -> Option<usize> {
        let low = (hz / self.bin_hz).floor();
        if low < 1.0 || low as usize + 1 >= self.over_noise.len() {
            return None;
        }
        let low = low as usize;
        Some(if self.over_noise[low] > self.over_noise[low + 1] { low } else { low + 1 })
    }

    fn harmonics(&self, hz: f64) -> Option<[usize; HARMONICS]> {
        let mut bins = [0; HARMONICS];
        for (h, bin) in (1..).zip(&mut bins) {
            *bin = self.at(f64::from(h) * hz)?;
        }
        Some(bins)
    }
}

/// Looks for each part's lines in the spectrum of an envelope. Parts whose lines the block is too short to resolve, or that cannot
/// be told from the shaft's, are left out.
pub(super) fn families(envelope: &Envelope, bearing: &BearingGeometry, shaft_hz: f64) -> Vec<Family> {
    let spectrum = envelope.spectrum();
    let resolution_hz = spectrum.resolution_hz;
    let fastest = Part::ALL.iter().map(|p| p.per_rev(bearing)).fold(0.0, f64::max);
    let top_hz = (HARMONICS as f64 * (1.0 + TOLERANCE) * fastest + 2.0) * shaft_hz;
    let lines = Lines {
        over_noise: over_noise(&spectrum, top_hz),
        bin_hz: spectrum.bin_hz,
        amplitude: spectrum.amplitude,
    };
    Part::ALL
        .into_iter()
        .filter_map(|part| {
            let expected_hz = part.per_rev(bearing) * shaft_hz;
            if expected_hz < RESOLUTIONS_MIN * resolution_hz
                || shaft_hz < 0.5 * RESOLUTIONS_MIN * resolution_hz
            {
                return None;
            }
            let (found_hz, sum, bins) = best(&lines, expected_hz, shaft_hz, resolution_hz)?;
            // Independent places: the highest harmonic moves by one resolution.
            let trials = 1.0 + 2.0 * TOLERANCE * expected_hz * HARMONICS as f64 / resolution_hz;
            let modulation_hz = part.modulation_per_rev(bearing).map(|m| m * shaft_hz);
            let (depth, depth_squared) = depth(&lines, &bins, found_hz, modulation_hz);
            Some(Family {
                part,
                expected_hz,
                found_hz,
                over_noise: bins.map(|i| lines.over_noise[i]),
                depth,
                depth_squared,
                surprise: -ln_tail(sum) - trials.ln(),
            })
        })
        .collect()
}

/// The rate within the tolerance whose harmonics stand highest, their sum over the noise and their bins.
fn best(
    lines: &Lines,
    expected_hz: f64,
    shaft_hz: f64,
    resolution_hz: f64,
) -> Option<(f64, f64, [usize; HARMONICS])> {
    let step = resolution_hz / (2.0 * HARMONICS as f64);
    let steps = (TOLERANCE * expected_hz / step).ceil() as i32;
    (-steps..=steps)
        .map(|k| expected_hz + f64::from(k) * step)
        .filter(|hz| {
            let turns = hz / shaft_hz;
            turns < 0.5 || (turns - turns.round()).abs() * shaft_hz >= SHAFT_GUARD * resolution_hz
        })
        .filter_map(|hz| {
            let bins = lines.harmonics(hz)?;
            let sum: f64 = bins.iter().map(|i| lines.over_noise[*i].min(LINE_MAX)).sum();
            Some((hz, sum, bins))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn depth(
    lines: &Lines,
    harmonics: &[usize; HARMONICS],
    found_hz: f64,
    modulation_hz: Option<f64>,
) -> (f64, f64) {
    let side_bands = (1..=HARMONICS).flat_map(|h| {
        modulation_hz
            .into_iter()
            .flat_map(move |m| [h as f64 * found_hz - m, h as f64 * found_hz + m])
            .filter_map(|hz| lines.at(hz))
    });
    harmonics
        .iter()
        .copied()
        .chain(side_bands)
        .filter(|i| lines.over_noise[*i] >= LINE_MIN)
        .map(|i| lines.amplitude[i])
        .fold((0.0, 0.0), |(sum, squares), a| (sum + a, squares + a * a))
}

/// ln of the probability that the sum of [`HARMONICS`] exponential variables of mean 1 exceeds `sum` (Erlang).
fn ln_tail(sum: f64) -> f64 {
    let (mut term, mut series) = (1.0, 1.0);
    for k in 1..HARMONICS {
        term *= sum / k as f64;
        series += term;
    }
    series.ln() - sum
}
