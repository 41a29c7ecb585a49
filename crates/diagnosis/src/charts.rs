//! Small curves for dashboards, decimated so that peaks survive.

use vtox_protocol::{Charts, FaultType, Quantity};

use crate::prepared::Prepared;
use crate::spectrum::Spectrum;

/// Points per curve at the most.
const POINTS_MAX: usize = 200;

/// Small decimated curves that go with a verdict of `fault`: waveforms in the channels' units over s, amplitude spectra over
/// Hz, at most 200 points per curve. Channels that cannot be used are left out.
pub fn charts(prepared: &Prepared<'_>, fault: FaultType) -> Charts {
    let mut charts = Charts::default();
    match fault {
        FaultType::Bearing => {
            if let Some((axis, signal)) = prepared.axes().next() {
                waveform(&mut charts, prepared, Quantity::VIBRATIONS[axis], "values_vibration");
                let spectrum = Spectrum::new(&signal.samples, signal.rate_hz);
                curve(&mut charts, "amplitude", &spectrum, signal.rms, f64::INFINITY);
            }
        }
        FaultType::Insulation => {
            let mut curves = [
                (Quantity::InsulationResistance, "values_resistance"),
                (Quantity::LeakageCurrent, "values_leakage_current"),
            ];
            // What was sampled gives the time axis.
            curves.sort_by_key(|(quantity, _)| prepared.block.channel(*quantity).is_none());
            for (quantity, key) in curves {
                waveform(&mut charts, prepared, quantity, key);
            }
        }
        FaultType::TurnFault | FaultType::Eccentricity | FaultType::BrokenBar => {
            currents(&mut charts, prepared, fault);
        }
    }
    charts
}

fn currents(charts: &mut Charts, prepared: &Prepared<'_>, fault: FaultType) {
    // Turn faults show in the low harmonics, the rotor faults close to the fundamental.
    let top = if fault == FaultType::TurnFault { 10.0 } else { 2.5 };
    let top_hz = prepared.fundamental().map_or(f64::INFINITY, |f0| top * f0.frequency_hz);
    for (phase, letter) in ["a", "b", "c"].iter().enumerate() {
        waveform(charts, prepared, Quantity::CURRENTS[phase], &format!("values_{letter}"));
        if let Ok(signal) = prepared.current(phase) {
            let spectrum = prepared.current_spectrum(phase, signal);
            curve(charts, &format!("amplitude_{letter}"), spectrum, signal.rms, top_hz);
        }
    }
}

/// Adds a waveform and, with the first one, its time axis; a reading is the same all along it. Curves of another length than the
/// first are left out: they would not fit the axis.
fn waveform(charts: &mut Charts, prepared: &Prepared<'_>, quantity: Quantity, key: &str) {
    let Some(channel) = prepared.block.channel(quantity) else {
        if let Some(value) = prepared.value(quantity) {
            let length = charts.time_series.entry("time".to_owned()).or_insert_with(|| vec![0.0]).len();
            charts.time_series.insert(key.to_owned(), vec![finite(value); length]);
        }
        return;
    };
    let values = decimated(&channel.samples);
    let step = channel.samples.len() as f64 / values.len().max(1) as f64 / channel.rate_hz;
    let axis = || (0..values.len()).map(|i| finite(i as f64 * step)).collect();
    let length = charts.time_series.entry("time".to_owned()).or_insert_with(axis).len();
    if length == values.len() && values.iter().all(|v| v.is_finite()) {
        charts.time_series.insert(key.to_owned(), values);
    }
}

fn curve(charts: &mut Charts, key: &str, spectrum: &Spectrum, unit: f64, top_hz: f64) {
    let bins = ((top_hz / spectrum.bin_hz).ceil().min(1e9) as usize).clamp(1, spectrum.amplitude.len());
    let values: Vec<f32> = spectrum.amplitude[..bins].iter().map(|a| finite(a * unit)).collect();
    let values = decimated(&values);
    let step = bins as f64 / values.len().max(1) as f64 * spectrum.bin_hz;
    let axis = || (0..values.len()).map(|i| finite(i as f64 * step)).collect();
    let length = charts.frequency_spectrum.entry("frequency".to_owned()).or_insert_with(axis).len();
    if length == values.len() {
        charts.frequency_spectrum.insert(key.to_owned(), values);
    }
}

/// The nearest finite f32.
fn finite(value: f64) -> f32 {
    (value as f32).clamp(f32::MIN, f32::MAX)
}

/// The sample of largest magnitude of each of at most [`POINTS_MAX`] equal stretches.
fn decimated(samples: &[f32]) -> Vec<f32> {
    let points = samples.len().min(POINTS_MAX);
    (0..points)
        .filter_map(|i| {
            let stretch = &samples[i * samples.len() / points..(i + 1) * samples.len() / points];
            stretch.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))
        })
        .collect()
}
