//! What the dimensions of an array stand for.

use crate::npy::Array;

/// Where in an array a sample is.
pub(crate) struct Layout {
    pub(crate) snapshots: usize,
    pub(crate) samples: usize,
    channels: usize,
    /// The channel index comes before that of the sample.
    transposed: bool,
}

impl Layout {
    /// The layout of an array that holds so many channels; None where its shape does not fit.
    pub(crate) fn of(array: &Array, channels: usize, snapshot_times: usize) -> Option<Self> {
        let layout = |snapshots, samples, transposed| Self { snapshots, samples, channels, transposed };
        let layout = match array.shape[..] {
            [samples] if channels == 1 => layout(1, samples, false),
            [snapshots, samples] if channels == 1 && snapshots > 1 && snapshots == snapshot_times => {
                layout(snapshots, samples, false)
            }
            [samples, c] if c == channels => layout(1, samples, false),
            [c, samples] if c == channels => layout(1, samples, true),
            [snapshots, samples, c] if c == channels => layout(snapshots, samples, false),
            [snapshots, c, samples] if c == channels => layout(snapshots, samples, true),
            _ => return None,
        };
        (layout.samples > 0 && layout.snapshots > 0 && channels > 0).then_some(layout)
    }

    /// The raw value of a sample.
    pub(crate) fn raw(&self, array: &Array, snapshot: usize, sample: usize, channel: usize) -> f64 {
        let within = match self.transposed {
            false => sample * self.channels + channel,
            true => channel * self.samples + sample,
        };
        array.values[snapshot * self.samples * self.channels + within]
    }
}
