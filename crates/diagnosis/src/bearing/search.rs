//! The strongest family of impacts in the vibration: at the rates of a known bearing, or at any.

use vtox_protocol::BearingGeometry;

use super::Thresholds;
use super::envelope::{Band, Envelope, envelopes};
use super::lines::{Family, HARMONICS, LINE_MIN, Lines, Place, ShaftRate};
use super::parts::Part;
use crate::signal::Signal;

/// A family less surprising than this (-ln of its probability under noise) is none: about 6 in a million blocks.
const SURPRISE_MIN: f64 = 12.0;
/// Lines of depths A give modulated noise a kurtosis of their sum of A^2; beating tones have less than 0. At least this share
/// of the former must be there.
const NOISE_SHARE_MIN: f64 = 0.5;
/// A family of impacts accounts for its harmonics' share of the kurtosis. What is beyond this many times that comes from
/// other knocks. Impacts shorter than a tenth of their period have some ten strong harmonics, of which three are searched.
const KURTOSIS_SHARE_MAX: f64 = 3.0;
/// The same where all its harmonics stand out, which single knocks and smooth modulation do not make: impacts as short as
/// a thirtieth of their period.
const KURTOSIS_SHARE_MAX_OF_IMPACTS: f64 = 10.0;
/// Impacts at a rate that may not be the bearing's may come from other things: at most a warning.
const UNCERTAIN_RATE_SCORE_MAX: f64 = 0.5;
/// Rates below this many resolutions are not told apart from zero and from each other.
const RESOLUTIONS_MIN: f64 = 3.0;
/// Turns of the shaft in a block, below which its multiples are nowhere far enough from the rates between them.
const TURNS_MIN: f64 = 2.0;
/// Rolling elements slip by 1 to 2 % of the cage speed (Randall and Antoni, MSSP 25 (2011) 485-520, section 2); a contact
/// angle under thrust does the same.
const SLIP: f64 = 0.012;
/// A band must hold the third harmonic of the fastest rate and side bands.
const BAND_WIDTH_MIN: f64 = 4.0;
/// Rates of impacts per turn of common bearings: BPFO is 0.4 times the number of elements, BPFI 0.6 times, of 7 to 20 elements.
const RATES_PER_REV: (f64, f64) = (2.2, 12.0);
/// The same where the speed is unknown, Hz, and the periods a block must hold.
const RATES_HZ: (f64, f64) = (10.0, 500.0);
const PERIODS_MIN: f64 = 8.0;

/// A family of lines, and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The damaged part and its rate by geometry and speed, Hz, where they are known.
    pub(super) part: Option<(Part, f64)>,
    pub(super) family: Family,
    pub(super) band: Band,
    pub(super) whitened: bool,
    pub(super) kurtosis: f64,
    /// The same of the whitened waveform (3 for noise), median over stretches of it.
    pub(super) whitened_kurtosis: Option<f64>,
    /// Number of the vibration channel, from 0.
    pub(super) axis: usize,
}

impl Found {
    /// Geometric mean of depth of modulation and the kurtosis of the band as far as the family accounts for it.
    pub(super) fn impulsiveness(&self) -> f64 {
        let Family { depth, depth_squared, .. } = self.family;
        (depth * self.kurtosis.clamp(0.0, KURTOSIS_SHARE_MAX * depth_squared)).sqrt()
    }

    /// Kurtosis of the whitened waveform as far as the family accounts for it. Noise of kurtosis 3 that lines of depths A
    /// modulate has 3 (1 + sum of A^2 / 2); single impacts raise neither the median nor the lines.
    fn kurtosis_at_rate(&self) -> f64 {
        let all_stand_out = self.family.over_noise.iter().all(|p| *p >= LINE_MIN);
        let share_max = if all_stand_out { KURTOSIS_SHARE_MAX_OF_IMPACTS } else { KURTOSIS_SHARE_MAX };
        let excess_of_lines = 1.5 * share_max * self.family.depth_squared;
        self.whitened_kurtosis.map_or(3.0, |kurtosis| kurtosis.min(3.0 + excess_of_lines))
    }

    /// Two signs that make up for each other: lines deep enough, and a whitened waveform that is impulsive at their rate. Elements
    /// that pass under the load modulate noise, but make no impacts.
    pub(super) fn score(&self, thresholds: &Thresholds) -> f64 {
        let impulsive = thresholds.kurtosis_at_rate.score(self.kurtosis_at_rate());
        let score = 1.0 - (1.0 - self.score_of_lines(thresholds)) * (1.0 - impulsive);
        if self.is_certain() { score } else { score.min(UNCERTAIN_RATE_SCORE_MAX) }
    }

    /// At BPFO, and at a rate that may be BPFO, the elements pass under the load in a sound bearing, too.
    fn score_of_lines(&self, thresholds: &Thresholds) -> f64 {
        match self.part {
            None | Some((Part::OuterRace, _)) => {
                thresholds.outer_race_impulsiveness.score(self.impulsiveness())
            }
            Some(_) => thresholds.other_depth.score(self.family.depth),
        }
    }

    /// Whether the rate can only be one of the bearing's.
    pub(super) fn is_certain(&self) -> bool {
        self.part.is_some() && !self.family.near_shaft
    }

    fn is_family_of_noise(&self, looked_at: usize) -> bool {
        self.family.surprise - (looked_at as f64).ln() >= SURPRISE_MIN
            && self.kurtosis >= NOISE_SHARE_MIN * self.family.depth_squared
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// Whether any rate can be told from the others and from the shaft's.
    pub(super) resolved: bool,
    /// The family with the highest score, the deeper one among equals.
    pub(super) best: Option<Found>,
}

impl Searched {
    fn of(candidates: Vec<Found>, thresholds: &Thresholds) -> Self {
        let looked_at = candidates.len();
        let best = candidates
            .into_iter()
            .filter(|c| c.is_family_of_noise(looked_at))
            .map(|c| (c.score(thresholds), c))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.family.depth.total_cmp(&b.1.family.depth)));
        Self { resolved: looked_at > 0, best: best.map(|(_, found)| found) }
    }
}

/// Looks for each part's lines. Parts whose lines the block is too short to resolve, or that cannot be told from the shaft's,
/// are left out. `speed_error` is the relative error of a speed that is only nominal.
pub(super) fn at_rates(
    thresholds: &Thresholds,
    axes: &[(usize, &Signal)],
    bearing: &BearingGeometry,
    shaft: ShaftRate,
    speed_error: f64,
) -> Searched {
    let tolerance = SLIP + speed_error;
    let fastest_hz = Part::fastest_per_rev(bearing) * shaft.hz;
    let top_hz = HARMONICS as f64 * (1.0 + tolerance) * fastest_hz + 2.0 * shaft.hz;
    let mut candidates = Vec::new();
    for_each_envelope(axes, BAND_WIDTH_MIN * fastest_hz, top_hz, |axis, envelope, lines| {
        if shaft.hz < TURNS_MIN * lines.resolution_hz {
            return;
        }
        for part in Part::ALL {
            let expected_hz = part.per_rev(bearing) * shaft.hz;
            if expected_hz < RESOLUTIONS_MIN * lines.resolution_hz {
                continue;
            }
            let place = Place {
                low_hz: (1.0 - tolerance) * expected_hz,
                high_hz: (1.0 + tolerance) * expected_hz,
                modulation_hz: part.modulation_per_rev(bearing).map(|m| m * shaft.hz),
                turning: part == Part::InnerRace,
            };
            if let Some(family) = lines.family(place, Some(shaft)) {
                candidates.push(found(Some((part, expected_hz)), family, envelope, axis));
            }
        }
    });
    Searched::of(candidates, thresholds)
}

/// Looks for impacts at any rate a bearing may have, except for multiples of the shaft's where that is known.
pub(super) fn at_any_rate(
    thresholds: &Thresholds,
    axes: &[(usize, &Signal)],
    shaft: Option<ShaftRate>,
) -> Searched {
    let (low_hz, high_hz) = shaft.map_or(RATES_HZ, |s| (RATES_PER_REV.0 * s.hz, RATES_PER_REV.1 * s.hz));
    let mut candidates = Vec::new();
    for_each_envelope(axes, BAND_WIDTH_MIN * high_hz, HARMONICS as f64 * high_hz, |axis, envelope, lines| {
        if shaft.is_some_and(|s| s.hz < TURNS_MIN * lines.resolution_hz) {
            return;
        }
        let low_hz = low_hz.max(PERIODS_MIN * lines.resolution_hz);
        let place = Place { low_hz, high_hz, modulation_hz: None, turning: false };
        if low_hz < high_hz
            && let Some(family) = lines.family(place, shaft)
        {
            candidates.push(found(None, family, envelope, axis));
        }
    });
    Searched::of(candidates, thresholds)
}

fn for_each_envelope(
    axes: &[(usize, &Signal)],
    width_min_hz: f64,
    top_hz: f64,
    mut look: impl FnMut(usize, &Envelope, &Lines),
) {
    for (axis, signal) in axes {
        for envelope in envelopes(signal, width_min_hz, top_hz) {
            look(*axis, &envelope, &Lines::new(envelope.modulation(top_hz)));
        }
    }
}

fn found(part: Option<(Part, f64)>, family: Family, envelope: &Envelope, axis: usize) -> Found {
    Found {
        part,
        family,
        band: envelope.band,
        whitened: envelope.whitened,
        kurtosis: envelope.kurtosis,
        whitened_kurtosis: envelope.waveform_kurtosis,
        axis,
    }
}
