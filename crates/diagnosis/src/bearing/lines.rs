//! Families of lines in an envelope spectrum: is there one, how sure, and how strong.

use super::envelope::Modulation;

/// Harmonics of a rate of impacts that are added up.
pub(super) const HARMONICS: usize = 3;
/// No single line counts for more than this many times the noise, so that one foreign line is no family.
const LINE_MAX: f64 = 16.0;
/// Power over the noise from which on a line adds to the depth; noise does so once in 400 bins.
pub(super) const LINE_MIN: f64 = 6.0;
/// Resolutions per stretch of the spectrum that the noise is taken from.
const STRETCH: f64 = 24.0;
/// The noise is taken from this quantile: of a short block many bins hold lines.
const NOISE_QUANTILE: f64 = 0.35;
/// Side bands closer than this many resolutions are one with their harmonic.
const SIDE_BAND_MIN: f64 = 1.5;
/// A rate this close (in resolutions) to a multiple of the shaft's cannot be told from it ...
const SHAFT_GUARD: f64 = 0.75;
/// ... and this close it must be the higher of the two.
const SHAFT_SKIRT: f64 = 2.0;
/// A place so many resolutions wide holds no other lines by chance than those of the rate it is made for.
const NARROW: f64 = 10.0;
/// A line of that many times the power of the shaft's lower multiples is none of them.
const OUTGROWN: f64 = 1.7;

/// Shaft frequency, and how far the true one may be from it, Hz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ShaftRate {
    pub(super) hz: f64,
    pub(super) tolerance_hz: f64,
}

/// Where a family is looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) low_hz: f64,
    pub(super) high_hz: f64,
    /// Distance of side bands.
    pub(super) modulation_hz: Option<f64>,
    /// The damage turns with the shaft through the load, which makes lines once a turn and beside the rate.
    pub(super) turning: bool,
}

/// A family of lines in an envelope spectrum.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    /// Rate of the impacts.
    pub(super) rate_hz: f64,
    /// Power of each harmonic over the noise around it.
    pub(super) over_noise: [f64; HARMONICS],
    /// Sum of the amplitudes of harmonics and side bands over the mean of the squared envelope.
    pub(super) depth: f64,
    /// Sum of their squares: the kurtosis that modulated noise has because of them.
    pub(super) depth_squared: f64,
    /// The block is too short to tell the rate from a multiple of the shaft's; that it is the bearing's is likely because the
    /// shaft's lower multiples are weaker.
    pub(super) near_shaft: bool,
    /// -ln of the probability that noise alone shows such a family somewhere in the places looked at.
    pub(super) surprise: f64,
}

/// An envelope spectrum over its local noise.
pub(super) struct Lines {
    /// Squared depth of modulation.
    power: Vec<f64>,
    over_noise: Vec<f64>,
    per_bin_hz: f64,
    pub(super) resolution_hz: f64,
}

impl Lines {
    pub(super) fn new(modulation: Modulation) -> Self {
        let Modulation { power, bin_hz, resolution_hz } = modulation;
        let over_noise = over_noise(&power, (STRETCH * resolution_hz / bin_hz).round() as usize);
        Self { power, over_noise, per_bin_hz: 1.0 / bin_hz, resolution_hz }
    }

    /// The higher of the two bins next to a frequency.
    fn at(&self, hz: f64) -> Option<usize> {
        let low = (hz * self.per_bin_hz) as usize;
        if low < 1 || low + 1 >= self.over_noise.len() {
            return None;
        }
        Some(if self.over_noise[low] > self.over_noise[low + 1] { low } else { low + 1 })
    }

    fn harmonics(&self, hz: f64) -> Option<[usize; HARMONICS]> {
        let mut bins = [0; HARMONICS];
        for (h, bin) in (1..).zip(&mut bins) {
            *bin = self.at(f64::from(h) * hz)?;
        }
        Some(bins)
    }

    /// Multiple of the shaft's rate next to a frequency, and the distance to it beyond what its tolerance may account for, Hz.
    fn multiple(hz: f64, shaft: ShaftRate) -> (f64, f64) {
        let turns = (hz / shaft.hz).round();
        (turns, (hz - turns * shaft.hz).abs() - turns * shaft.tolerance_hz)
    }

    /// Whether a line could be one of the shaft's.
    fn of_shaft(&self, hz: f64, bin: usize, shaft: ShaftRate) -> bool {
        let (turns, distance_hz) = Self::multiple(hz, shaft);
        let line = || self.at(turns * shaft.hz);
        turns >= 1.0
            && (distance_hz < SHAFT_GUARD * self.resolution_hz
                || distance_hz < SHAFT_SKIRT * self.resolution_hz
                    && line().is_some_and(|of_shaft| self.power[of_shaft] >= self.power[bin]))
    }

    /// Whether a line stands out of the shaft's lower multiples. What happens once or twice per turn makes lines that fall.
    fn outgrows_shaft(&self, hz: f64, bin: usize, shaft: ShaftRate, turning: bool) -> bool {
        let turns = Self::multiple(hz, shaft).0 as usize;
        let lower = if turning { 2..turns.saturating_sub(1) } else { 1..turns };
        lower.filter_map(|k| self.at(k as f64 * shaft.hz)).all(|i| OUTGROWN * self.power[i] < self.power[bin])
    }

    /// The family within a place whose harmonics stand highest. None where every rate could be the shaft's, or is beyond the
    /// spectrum.
    pub(super) fn family(&self, place: Place, shaft: Option<ShaftRate>) -> Option<Family> {
        let centre_hz = 0.5 * (place.low_hz + place.high_hz);
        let near_shaft = shaft.is_some_and(|shaft| {
            let (turns, distance_hz) = Self::multiple(centre_hz, ShaftRate { tolerance_hz: 0.0, ..shaft });
            turns >= 1.0
                && distance_hz < SHAFT_SKIRT * self.resolution_hz
                && place.high_hz - place.low_hz < NARROW * self.resolution_hz
        });
        let foreign = |hz: f64, bin: usize| {
            shaft.is_some_and(|shaft| {
                self.of_shaft(hz, bin, shaft)
                    && !(near_shaft && self.outgrows_shaft(hz, bin, shaft, place.turning))
            })
        };
        let step = self.resolution_hz / (2.0 * HARMONICS as f64);
        let steps = ((place.high_hz - place.low_hz) / step).ceil().max(0.0) as usize;
        let (rate_hz, sum, bins) = (0..=steps)
            .map(|k| place.low_hz + k as f64 * step)
            .filter_map(|hz| {
                let bins = self.harmonics(hz)?;
                let sum: f64 = bins.iter().map(|i| self.over_noise[*i].min(LINE_MAX)).sum();
                (!foreign(hz, bins[0])).then_some((hz, sum, bins))
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        // Independent places: the highest harmonic moves by one resolution.
        let trials = 1.0 + (place.high_hz - place.low_hz) * HARMONICS as f64 / self.resolution_hz;
        let side_bands = self.side_bands(rate_hz, place.modulation_hz);
        let harmonics = -ln_tail(sum, HARMONICS);
        let all = side_bands.iter().fold(sum, |sum, i| sum + self.over_noise[*i].min(LINE_MAX));
        // Either alone or with their side bands: two tries.
        let surprise = harmonics.max(-ln_tail(all, HARMONICS + side_bands.len())) - (2.0 * trials).ln();
        let (depth, depth_squared) = bins
            .iter()
            .chain(&side_bands)
            .filter(|i| self.over_noise[**i] >= LINE_MIN)
            .map(|i| self.power[*i])
            .fold((0.0, 0.0), |(sum, squares), p| (sum + p.sqrt(), squares + p));
        let near_shaft = near_shaft && shaft.is_some_and(|shaft| self.of_shaft(rate_hz, bins[0], shaft));
        Some(Family {
            rate_hz,
            over_noise: bins.map(|i| self.over_noise[i]),
            depth,
            depth_squared,
            near_shaft,
            surprise,
        })
    }

    /// The side bands that can be told from their harmonic.
    fn side_bands(&self, rate_hz: f64, modulation_hz: Option<f64>) -> Vec<usize> {
        let Some(apart_hz) = modulation_hz.filter(|m| *m >= SIDE_BAND_MIN * self.resolution_hz) else {
            return Vec::new();
        };
        let centres_hz = (1..=HARMONICS).map(|h| h as f64 * rate_hz);
        centres_hz.flat_map(|hz| [hz - apart_hz, hz + apart_hz]).filter_map(|hz| self.at(hz)).collect()
    }
}

/// Power of each bin of a spectrum over the local mean of noise. Of pure noise each is exponentially distributed with mean
/// 1; the mean is taken from a quantile, which lines hardly move, of stretches of so many bins.
fn over_noise(power: &[f64], stretch: usize) -> Vec<f64> {
    let bins = power.len();
    let stretch = stretch.clamp(1, bins);
    let mut scratch = Vec::with_capacity(2 * stretch);
    let floors: Vec<f64> = (0..bins)
        .step_by(stretch)
        .map(|start| {
            let centre = start + stretch / 2;
            scratch.clear();
            scratch.extend_from_slice(&power[centre.saturating_sub(stretch)..(centre + stretch).min(bins)]);
            let at = (NOISE_QUANTILE * scratch.len() as f64) as usize;
            *scratch.select_nth_unstable_by(at, f64::total_cmp).1 / -(-NOISE_QUANTILE).ln_1p()
        })
        .collect();
    let (per_stretch, last) = (1.0 / stretch as f64, floors.len() - 1);
    let over = |(i, p): (usize, &f64)| {
        let at = (i as f64 * per_stretch - 0.5).clamp(0.0, last as f64);
        let left = at as usize;
        let share = at - left as f64;
        let floor = floors[left] * (1.0 - share) + floors[(left + 1).min(last)] * share;
        if floor > 0.0 { p / floor } else { 0.0 }
    };
    power.iter().enumerate().map(over).collect()
}

/// ln of the probability that the sum of so many exponential variables of mean 1 exceeds `sum` (Erlang).
fn ln_tail(sum: f64, variables: usize) -> f64 {
    let (mut term, mut series) = (1.0, 1.0);
    for k in 1..variables {
        term *= sum / k as f64;
        series += term;
    }
    f64::ln(series) - sum
}
