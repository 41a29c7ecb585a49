//! What limits the channels a verdict was made from.

use vtox_protocol::{FaultType, Verdict};

use crate::prepared::Prepared;
use crate::signal::Signal;

/// Adds to a verdict what is wrong with the channels its detector used, though it could use them.
pub(crate) fn remark(prepared: &Prepared<'_>, fault: FaultType, verdict: &mut Verdict) {
    let mut add = |name: &str, number: usize, signal: &Signal| {
        let flaws = signal.flaws;
        let mut say = |text: String| {
            let reason = verdict.reason.get_or_insert_default();
            let separator = if reason.is_empty() { "" } else { "; " };
            reason.push_str(&format!("{separator}{name} {number} {text}"));
        };
        if flaws.clipped {
            say("is clipped: harmonics and ratios are less certain".to_owned());
        }
        if flaws.dropouts > 0 {
            say(format!("stands still {} times (lost samples)", flaws.dropouts));
        }
        if flaws.spikes > 0 {
            say(format!("had {} wild samples, which were replaced", flaws.spikes));
        }
    };
    match fault {
        FaultType::Insulation => {}
        FaultType::Bearing => prepared.axes().for_each(|(k, s)| add("vibration", k + 1, s)),
        FaultType::TurnFault | FaultType::Eccentricity | FaultType::BrokenBar => {
            prepared.phases().for_each(|(k, s)| add("current", k + 1, s));
        }
    }
}
