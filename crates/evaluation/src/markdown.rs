//! The page on accuracy.

use std::fmt::Write;

use crate::evaluation::Evaluation;
use crate::simulated::Sweeps;
use crate::tables::tables;

const HEAD: &str = "# Accuracy

Made by `vtox evaluate MANIFEST --simulated --markdown FILE`; not written by hand.
";

const RECORDINGS: &str = "
## Measured recordings

What it does and does not prove:

- No threshold was fitted to these recordings: they follow from physics, standards and the statistics of noise
  ([diagnosis](diagnosis.md)). But the recordings were at hand while the detectors were written, so that the figures are
  no forecast for machines never seen. The table of thresholds chosen without the machine they judge shows how far the
  verdicts hang on where the threshold stands: where the chosen ones scatter, or judge worse than the shipped one, the machines at
  hand do not agree on a threshold and cannot confirm the shipped one.
- A warning and a fault are both an alarm. Counted are recordings marked to be scored whose label has high or medium
  confidence.
- A detector that gives no verdict is wrong where the data suffice, for a fault as well as for a sound machine; where they do
  not, the recording is left out of that detector's figures. The data suffice for `turn_fault` with three phase
  currents sampled together over 3 cycles of the supply; for `insulation` with a resistance or a leakage current; for `bearing` with
  0.1 s of vibration at 2 kHz or more; for `eccentricity` with a current and the speed or the pole pairs over 4 turns (with
  one pole pair also 4 periods of the slip frequency); for `broken_bar` with a current and the speed of a motor with a cage over 4
  periods of twice the slip frequency (2 s where the slip is not known).
- Runs to failure are diagnosed block after block as a vehicle's; the last verdict counts. Alarms in the first half of a run are false
  and counted apart.
- Labels, names, notes and machines never reach a detector.
";

const SIMULATED: &str = "
## Simulated windows

What it does and does not prove: the truth is known and there can be any number of windows, but they are made by the models in
[crates/simulation](../crates/simulation), which were written from the same literature as the detectors. A detector
that fails here is wrong; one that passes is not thereby right on machines.

- Motors: cage motors of 4 kW, 2.2 kW (one pole pair) and 90 kW, a permanent-magnet motor of 70 kW. Load 10 to 100 %, speed 20 to
  100 % of the rated one, supply unbalance 0.5 %, mains or inverter with its harmonics. Every window is another individual of its
  type, diagnosed as the first block of a vehicle.
- Healthy windows have 20 dB of fundamental over noise and any length from 0.1 s at 8 kHz to 16 s at 2 kHz, half of them with phase
  voltages.
- Faults are given the shortest of these windows in which they can be told (3 cycles for `turn_fault`; 4 turns for `bearing`; 2 s and 4 turns,
  with one pole pair also 4 periods of the slip frequency, for `eccentricity`; 2 s and 4 periods of twice the slip frequency for
  `broken_bar`). No verdict counts as not found.
- Moderate is, at 20 dB: 6 % of a phase's turns shorted, eccentricity of 35 % of the gap, 2 broken bars at half load or more, impacts of
  10 times the broadband vibration, insulation of some 0.6 Mohm at 40 degC. What the scale of severity means is written in
  [condition.rs](../crates/simulation/src/condition.rs).
- Counterfeits are sound machines, drawn as the healthy windows are, with what could be mistaken for a fault.
";

/// The page as Markdown.
pub fn markdown(recordings: Option<&Evaluation>, simulated: Option<&Sweeps>) -> String {
    let mut page = HEAD.to_owned();
    let mut section = |text: &str, recordings: Option<&Evaluation>, simulated: Option<&Sweeps>| {
        page.push_str(text);
        for table in tables(recordings, simulated) {
            // Writing to a string cannot fail.
            let written = write!(page, "\n{table:#}");
            debug_assert!(written.is_ok());
        }
    };
    if recordings.is_some() {
        section(RECORDINGS, recordings, None);
    }
    if simulated.is_some() {
        section(SIMULATED, None, simulated);
    }
    page
}
