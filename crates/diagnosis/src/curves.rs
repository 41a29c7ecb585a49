//! Curves for a printed report: full waveforms and the spectra that the detectors searched, with the places where a fault
//! would show.

use vtox_protocol::{FaultType, Quantity, Verdict};

use crate::bearing;
use crate::fundamental::Fundamental;
use crate::prepared::Prepared;
use crate::signal::Signal;
use crate::spectrum::{Spectrum, db};

/// Points of a waveform at the most.
const WAVEFORM_POINTS_MAX: usize = 2_000;
/// Cycles of the supply shown of a current, and turns of the shaft shown of a vibration.
const CYCLES: f64 = 6.0;
const TURNS: f64 = 4.0;
/// Length shown of a vibration where the speed is not known, s.
const LENGTH_S: f64 = 0.2;
/// Below the fundamental by this much, dB, nothing is drawn.
const LOWEST_DB: f64 = -120.0;
/// Harmonics of a defect rate that are marked.
const HARMONICS: [f64; 3] = [1.0, 2.0, 3.0];

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// Quantity and unit along.
    pub x_label: String,
    /// Quantity and unit upwards.
    pub y_label: String,
    /// At least one.
    pub curves: Vec<Curve>,
    /// Where something is expected, in the unit of x.
    pub marks: Vec<Mark>,
}

/// A line through points; all finite, x rising.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What it is.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

/// A place along x.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// What is expected there, such as `f0 + fr`.
    pub name: String,
    /// In the unit of x.
    pub at: f64,
}

/// The pictures that go with a verdict on `fault`, made from the spectra its detector searched. What the detector found out on the way
/// (slip, shaft frequency, band) is taken from the verdict's features, so that the marks are where it looked. Empty where
/// the channels are missing or unusable.
pub fn pictures(prepared: &Prepared<'_>, fault: FaultType, verdict: &Verdict) -> Vec<Picture> {
    let feature = |name: &str| verdict.features.get(name).copied();
    let mut pictures = Vec::new();
    match fault {
        FaultType::Bearing => {
            pictures.extend(vibration(prepared));
            let band_hz = feature("band_low_hz").zip(feature("band_high_hz"));
            pictures.extend(envelope(prepared, band_hz, feature("bearing_characteristic_frequency")));
        }
        FaultType::Insulation => pictures.extend(leakage(prepared)),
        FaultType::TurnFault | FaultType::Eccentricity | FaultType::BrokenBar => {
            let Some(f0) = prepared.fundamental() else { return pictures };
            pictures.extend(currents(prepared, f0));
            let (marks, low_hz, high_hz) = current_marks(fault, f0.frequency_hz, &feature);
            pictures.extend(current_spectrum(prepared, fault, f0, marks, low_hz, high_hz));
        }
    }
    pictures.retain(|p| p.curves.iter().any(|c| c.points.len() > 1));
    pictures
}

/// Where the lines of a fault are expected in the current, and the range of frequency worth showing.
fn current_marks(fault: FaultType, f0: f64, feature: &impl Fn(&str) -> Option<f64>) -> (Vec<Mark>, f64, f64) {
    let mark = |name: &str, at: f64| Mark { name: name.to_owned(), at: at.abs() };
    match fault {
        FaultType::Eccentricity => {
            let Some(fr) = feature("shaft_frequency_hz") else { return (Vec::new(), 0.0, 3.0 * f0) };
            let marks = vec![
                mark("f0 - fr", f0 - fr),
                mark("f0 + fr", f0 + fr),
                mark("f0 - 2 fr", f0 - 2.0 * fr),
                mark("f0 + 2 fr", f0 + 2.0 * fr),
            ];
            (marks, 0.0, f0 + 2.6 * fr)
        }
        FaultType::BrokenBar => {
            let Some(slip) = feature("slip") else { return (Vec::new(), 0.8 * f0, 1.2 * f0) };
            let distance = 2.0 * slip * f0;
            let marks = vec![
                mark("(1 - 2s) f0", f0 - distance),
                mark("(1 + 2s) f0", f0 + distance),
                mark("(1 - 4s) f0", f0 - 2.0 * distance),
                mark("(1 + 4s) f0", f0 + 2.0 * distance),
            ];
            let span = (4.0 * distance).max(0.1 * f0);
            (marks, (f0 - span).max(0.0), f0 + span)
        }
        _ => (vec![mark("f0", f0), mark("3 f0", 3.0 * f0)], 0.0, 10.0 * f0),
    }
}

fn currents(prepared: &Prepared<'_>, f0: Fundamental) -> Option<Picture> {
    let curves: Vec<Curve> = prepared
        .phases()
        .map(|(phase, signal)| Curve {
            name: Quantity::CURRENTS[phase].name().to_owned(),
            points: waveform(signal, CYCLES / f0.frequency_hz),
        })
        .collect();
    picture("Phase currents, the first cycles", "time, s", "current, A", curves)
}

fn vibration(prepared: &Prepared<'_>) -> Option<Picture> {
    let (title, length_s) = match prepared.shaft_hz() {
        Some(hz) => ("Vibration, the first turns of the shaft", TURNS / hz),
        None => ("Vibration, its beginning", LENGTH_S),
    };
    let curves = prepared
        .axes()
        .map(|(axis, signal)| Curve {
            name: Quantity::VIBRATIONS[axis].name().to_owned(),
            points: waveform(signal, length_s),
        })
        .collect();
    picture(title, "time, s", "acceleration, g", curves)
}

fn leakage(prepared: &Prepared<'_>) -> Option<Picture> {
    let signal = prepared.signal(Quantity::LeakageCurrent).ok()?;
    let curve = Curve { name: "leakage current".to_owned(), points: waveform(&signal, 0.1) };
    picture("Leakage current", "time, s", "current, A", vec![curve])
}

fn picture(title: &str, x: &str, y: &str, curves: Vec<Curve>) -> Option<Picture> {
    (!curves.is_empty()).then(|| Picture {
        title: title.to_owned(),
        x_label: x.to_owned(),
        y_label: y.to_owned(),
        curves,
        marks: Vec::new(),
    })
}

/// The beginning of a signal in its unit. Where there are too many samples, the lowest and the highest of each stretch, so
/// that no peak is lost.
fn waveform(signal: &Signal, length_s: f64) -> Vec<(f64, f64)> {
    let n = ((length_s * signal.rate_hz).min(signal.samples.len() as f64) as usize).max(1);
    let point = |i: usize| (i as f64 / signal.rate_hz, signal.mean + signal.rms * signal.samples[i]);
    if n <= WAVEFORM_POINTS_MAX {
        return (0..n).map(point).collect();
    }
    let stretches = WAVEFORM_POINTS_MAX / 2;
    (0..stretches)
        .flat_map(|k| {
            let range = k * n / stretches..(k + 1) * n / stretches;
            let by = |a: &usize, b: &usize| signal.samples[*a].total_cmp(&signal.samples[*b]);
            let (low, high) = (range.clone().min_by(by), range.max_by(by));
            let mut both: Vec<usize> = low.into_iter().chain(high).collect();
            both.sort_unstable();
            both.dedup();
            both
        })
        .map(point)
        .collect()
}

/// The spectrum that was searched: for a turn fault that of the currents, for faults of the rotor what remains without
/// the fundamental, with the strongest current in front of which it lies.
fn current_spectrum(
    prepared: &Prepared<'_>,
    fault: FaultType,
    f0: Fundamental,
    marks: Vec<Mark>,
    low_hz: f64,
    high_hz: f64,
) -> Option<Picture> {
    let (phase, signal) = prepared.phases().max_by(|a, b| a.1.rms.total_cmp(&b.1.rms))?;
    let whole = prepared.current_spectrum(phase, signal);
    let height = prepared.phasor(phase, signal, f0.frequency_hz).norm();
    let mut curves = vec![Curve {
        name: format!("{}, all of it", Quantity::CURRENTS[phase].name()),
        points: in_db(whole, height, low_hz, high_hz),
    }];
    if fault != FaultType::TurnFault
        && let Some(residual) = prepared.residual()
    {
        curves.push(Curve {
            name: "without the fundamental, as searched".to_owned(),
            points: in_db(residual, 1.0, low_hz, high_hz),
        });
    }
    let marks = marks.into_iter().filter(|m| m.at >= low_hz && m.at <= high_hz).collect();
    let spectrum = picture("Spectrum of the current", "frequency, Hz", "dB below the fundamental", curves)?;
    Some(Picture { marks, ..spectrum })
}

fn in_db(spectrum: &Spectrum, reference: f64, low_hz: f64, high_hz: f64) -> Vec<(f64, f64)> {
    range(spectrum, low_hz, high_hz, |a| db(a / reference).max(LOWEST_DB))
}

fn range(spectrum: &Spectrum, low_hz: f64, high_hz: f64, y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let points = spectrum.amplitude.iter().enumerate().map(|(i, a)| (i as f64 * spectrum.bin_hz, y(*a)));
    points.filter(|(hz, y)| *hz >= low_hz.max(spectrum.low_hz) && *hz <= high_hz && y.is_finite()).collect()
}

/// The envelope spectrum of the band in which the detector found most, with the rates of the bearing's parts.
fn envelope(prepared: &Prepared<'_>, band_hz: Option<(f64, f64)>, found_hz: Option<f64>) -> Option<Picture> {
    let ((low_hz, high_hz), spectrum) = bearing::envelope_spectrum(prepared, band_hz)?;
    let rates: Vec<(&str, f64)> = match prepared.profile.bearing.as_ref().zip(prepared.shaft_hz()) {
        Some((b, fr)) => [
            ("BPFO", b.bpfo_per_rev()),
            ("BPFI", b.bpfi_per_rev()),
            ("2 BSF", 2.0 * b.bsf_per_rev()),
            ("FTF", b.ftf_per_rev()),
            ("fr", 1.0),
        ]
        .map(|(name, per_rev)| (name, per_rev * fr))
        .into(),
        None => Vec::new(),
    };
    let fastest_hz = rates.iter().map(|(_, hz)| *hz).fold(0.0, f64::max);
    let nyquist_hz = spectrum.bin_hz * (spectrum.amplitude.len() as f64 - 1.0);
    let top_hz = if fastest_hz > 0.0 { (3.3 * fastest_hz).min(nyquist_hz) } else { nyquist_hz.min(1_000.0) };
    let mut marks: Vec<Mark> = rates
        .iter()
        .flat_map(|(name, hz)| {
            let orders = if matches!(*name, "FTF" | "fr") { &HARMONICS[..1] } else { &HARMONICS[..] };
            orders.iter().map(move |k| Mark {
                name: if *k == 1.0 { (*name).to_owned() } else { format!("{name} x{k}") },
                at: k * hz,
            })
        })
        .collect();
    marks.extend(found_hz.map(|hz| Mark { name: "found".to_owned(), at: hz }));
    marks.retain(|m| m.at <= top_hz);
    let title = format!("Envelope spectrum of the vibration between {low_hz:.0} and {high_hz:.0} Hz");
    let curve =
        Curve { name: "envelope".to_owned(), points: range(&spectrum, spectrum.bin_hz, top_hz, |a| a) };
    let shown = picture(&title, "frequency, Hz", "depth of modulation", vec![curve])?;
    Some(Picture { marks, ..shown })
}
