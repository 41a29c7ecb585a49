//! Which quantity a column or reading of somebody else's is, and in which unit.

use crate::{Quantity, is_time_alias};

/// A column as it is understood: physical value in the quantity's own unit = raw x `factor` + `offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// What it is.
    pub quantity: Quantity,
    /// Factor to the unit of the quantity.
    pub factor: f64,
    /// Offset in the unit of the quantity.
    pub offset: f64,
}

/// The quantities of columns, in their order: by name, and where a name says only the kind (`current_1`, `vibration_de`) by the
/// first place of its kind that is free. None for what is not known, not needed, or in a unit that cannot be converted.
pub fn columns<'a>(
    names_and_units: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Vec<Option<Column>> {
    let mut taken = Vec::new();
    names_and_units
        .into_iter()
        .map(|(name, unit)| {
            let (name, bracketed) = without_brackets(name);
            let (family, wanted) = family(name)?;
            let free = |q: &&Quantity| !taken.contains(*q);
            let quantity = *wanted.as_ref().filter(free).or_else(|| family.iter().find(free))?;
            let (factor, offset) = conversion(quantity, unit.or(bracketed))?;
            taken.push(quantity);
            Some(Column { quantity, factor, offset })
        })
        .collect()
}

/// Unit of a time column, s; None for other columns.
pub fn time_unit_s(name: &str) -> Option<f64> {
    let name = name.trim_start_matches('\u{feff}').trim();
    let lower = name.to_lowercase();
    match lower.replace([' ', '(', '[', ')', ']', '_'], "").as_str() {
        "t" | "ts" | "time" | "times" | "timesec" | "seconds" => Some(1.0),
        "timems" | "tms" => Some(1e-3),
        "timeus" | "tus" => Some(1e-6),
        _ => is_time_alias(name).then_some(1.0),
    }
}

/// A single column or reading, whose name may end in its unit as in `leakage_current_ma`.
pub fn reading(name: &str) -> Option<Column> {
    let plain = columns([(name, None)]).pop()??;
    let suffix = name.rsplit_once('_').map(|(_, unit)| unit);
    // `phase_a` ends in a phase, not in amperes.
    let told = !Quantity::CURRENTS.contains(&plain.quantity) && !Quantity::VOLTAGES.contains(&plain.quantity);
    match suffix.and_then(|unit| conversion(plain.quantity, Some(unit))).filter(|_| told) {
        Some((factor, offset)) => Some(Column { factor, offset, ..plain }),
        None => Some(plain),
    }
}

/// The quantity and the value in its unit of a reading under somebody else's name, which may end in a unit.
pub fn reading_value(name: &str, value: f64) -> Option<(Quantity, f64)> {
    let Column { quantity, factor, offset } = reading(name)?;
    Some((quantity, value * factor + offset)).filter(|(_, v)| v.is_finite())
}

/// `Ia [mA]` or `Ia(mA)`: the name and the unit.
fn without_brackets(name: &str) -> (&str, Option<&str>) {
    let name = name.trim_start_matches('\u{feff}').trim();
    if Quantity::from_alias(name).is_some() {
        return (name, None);
    }
    let split = name.strip_suffix([']', ')']).and_then(|n| n.rsplit_once(['[', '(']));
    split.map_or((name, None), |(name, unit)| (name.trim(), Some(unit.trim())))
}

/// The quantities of the kind that a name says, and the one among them if it says that too.
fn family(name: &str) -> Option<(&'static [Quantity], Option<Quantity>)> {
    if let Some(quantity) = Quantity::from_alias(name) {
        // A bare `vibration` may be any of several.
        let family: &[Quantity] = if name == "vibration" { &Quantity::VIBRATIONS } else { &[] };
        return Some((family, Some(quantity)));
    }
    let lower = name.to_lowercase();
    let tokens: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|t| !t.is_empty()).collect();
    let any = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let is = |words: &[&str]| tokens.iter().any(|t| words.contains(t));
    let one = |quantity| Some((&[] as &[Quantity], Some(quantity)));
    let of = |family: &'static [Quantity; 3], place: Option<usize>| {
        Some((family.as_slice(), place.map(|p| family[p])))
    };

    if any(&["leak"]) {
        return one(Quantity::LeakageCurrent);
    }
    if any(&["insul", "riso"]) || lower.contains("iso") && is(&["r", "res", "resistance"]) {
        return one(Quantity::InsulationResistance);
    }
    let dc = is(&["dc", "bus", "dclink", "link", "battery"]) || any(&["udc", "vdc"]);
    if dc {
        return (any(&["volt", "udc", "vdc"]) || is(&["u", "v"]))
            .then_some(())
            .and(one(Quantity::DcBusVoltage));
    }
    if any(&["vib", "accel"]) || is(&["acc", "ax", "ay", "az", "accx", "accy", "accz"]) {
        return of(&Quantity::VIBRATIONS, axis(&tokens));
    }
    if any(&["temp", "温度"]) {
        return (!is(&["ambient", "room", "air", "coolant"])).then_some(()).and(one(Quantity::Temperature));
    }
    if any(&["speed", "rpm", "转速"]) {
        return one(Quantity::Speed);
    }
    if any(&["torque"]) {
        return one(Quantity::Torque);
    }
    if is(&["field", "rotor", "setpoint", "reference", "ref"]) {
        return None;
    }
    if any(&["current", "电流"]) || short(&tokens, &['i']) {
        return of(&Quantity::CURRENTS, phase(&tokens));
    }
    if any(&["voltage", "电压"]) || short(&tokens, &['u', 'v']) {
        return of(&Quantity::VOLTAGES, phase(&tokens));
    }
    None
}

/// `ia`, `i_a`, `i1`, `iu`: a letter and a phase.
fn short(tokens: &[&str], letters: &[char]) -> bool {
    let letter = |t: &str| t.chars().count() == 1 && t.starts_with(letters);
    match tokens {
        [one] => one.chars().count() == 2 && one.starts_with(letters) && phase(tokens).is_some(),
        [first, rest @ ..] => letter(first) && rest.len() == 1 && phase(rest).is_some(),
        [] => false,
    }
}

/// The phase that the tokens name: A, B, C; U, V, W; R, S, T; 1, 2, 3.
fn phase(tokens: &[&str]) -> Option<usize> {
    const PHASES: [[char; 4]; 3] = [['a', 'u', 'r', '1'], ['b', 'v', 's', '2'], ['c', 'w', 't', '3']];
    tokens.iter().rev().find_map(|token| {
        let token = token.trim_start_matches("current").trim_start_matches("phase");
        let last = token.chars().last().filter(|_| token.chars().count() <= 2)?;
        PHASES.iter().position(|letters| letters.contains(&last))
    })
}

fn axis(tokens: &[&str]) -> Option<usize> {
    tokens
        .iter()
        .rev()
        .filter(|t| t.len() <= 4)
        .find_map(|token| ["x", "y", "z"].iter().position(|axis| token.ends_with(axis)))
}

/// Factor and offset from a unit to the quantity's own. None where a unit that matters is not known; currents, voltages and
/// vibrations of unknown units are taken as they are, since they are judged by ratios.
pub fn conversion(quantity: Quantity, unit: Option<&str>) -> Option<(f64, f64)> {
    let Some(unit) = unit.map(str::trim).filter(|u| !u.is_empty()) else { return Some((1.0, 0.0)) };
    let unit =
        unit.replace(['µ', 'μ'], "u").replace(['Ω', 'Ω'], "ohm").replace('²', "2").replace(['^', ' '], "");
    let lower = unit.to_lowercase();
    let of = |factor: f64| Some((factor, 0.0));
    match quantity {
        Quantity::LeakageCurrent => of(prefix(unit.strip_suffix(['A', 'a'])?)?),
        Quantity::CurrentA | Quantity::CurrentB | Quantity::CurrentC => {
            of(unit.strip_suffix('A').and_then(prefix).unwrap_or(1.0))
        }
        Quantity::VoltageA | Quantity::VoltageB | Quantity::VoltageC | Quantity::DcBusVoltage => {
            of(unit.strip_suffix('V').and_then(prefix).unwrap_or(1.0))
        }
        Quantity::InsulationResistance => {
            // Nobody measures insulation in milliohms.
            let prefix = lower.strip_suffix("ohms").or(lower.strip_suffix("ohm"))?;
            of(match prefix.trim_end_matches(['-', '_']) {
                "" => 1e-6,
                "k" | "kilo" => 1e-3,
                "m" | "meg" | "mega" => 1.0,
                "g" | "giga" => 1e3,
                "t" | "tera" => 1e6,
                _ => return None,
            })
        }
        Quantity::Temperature => match lower.trim_start_matches("deg").trim_start_matches('°') {
            "c" | "celsius" | "℃" => of(1.0),
            "k" | "kelvin" => Some((1.0, -273.15)),
            "f" | "fahrenheit" => Some((5.0 / 9.0, -32.0 * 5.0 / 9.0)),
            _ => None,
        },
        Quantity::Speed => of(match lower.as_str() {
            "rpm" | "r/min" | "1/min" | "min-1" | "rev/min" => 1.0,
            "hz" | "rps" | "r/s" | "1/s" | "rev/s" => 60.0,
            "rad/s" | "rads" => 60.0 / std::f64::consts::TAU,
            "krpm" => 1e3,
            _ => return None,
        }),
        Quantity::VibrationX | Quantity::VibrationY | Quantity::VibrationZ => of(match lower.as_str() {
            "mg" => 1e-3,
            "m/s2" | "ms-2" | "m/s/s" | "m/s**2" => 1.0 / 9.806_65,
            "mm/s2" => 1e-3 / 9.806_65,
            _ => 1.0,
        }),
        Quantity::Load => of(match lower.as_str() {
            "pu" | "p.u." | "1" | "fraction" => 100.0,
            "%" | "percent" => 1.0,
            _ => return None,
        }),
        Quantity::Torque => of(1.0),
    }
}

/// An SI prefix, whose case matters.
fn prefix(text: &str) -> Option<f64> {
    Some(match text {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantities(names: &[&str]) -> Vec<Option<Quantity>> {
        columns(names.iter().map(|n| (*n, None))).into_iter().map(|c| c.map(|c| c.quantity)).collect()
    }

    #[test]
    fn names_of_the_field_are_understood() {
        use Quantity as Q;
        let abc = Q::CURRENTS.map(Some);
        for names in [
            ["current_1", "current_2", "current_3"],
            ["current_0", "current_1", "current_2"],
            ["ia", "ib", "ic"],
            ["i_a", "i_b", "i_c"],
            ["Iu", "Iv", "Iw"],
            ["I1", "I2", "I3"],
            ["phase_a_current", "phase_b_current", "phase_c_current"],
            ["stator_current_r", "stator_current_s", "stator_current_t"],
            ["Current A", "Current B", "Current C"],
            ["CurrentA [A]", "CurrentB [A]", "CurrentC [A]"],
        ] {
            assert_eq!(quantities(&names), abc, "{names:?}");
        }
        assert_eq!(quantities(&["Ic", "Ia"]), [Some(Q::CurrentC), Some(Q::CurrentA)]);
        for names in [
            ["vibration_de", "vibration_fe"],
            ["acc_x", "acc_y"],
            ["vib_h", "vib_v"],
            ["vibration", "vibration"],
        ] {
            assert_eq!(quantities(&names), [Some(Q::VibrationX), Some(Q::VibrationY)], "{names:?}");
        }
        assert_eq!(quantities(&["accelerometer_z", "ax"]), [Some(Q::VibrationZ), Some(Q::VibrationX)]);
        for (name, quantity) in [
            ("leakage_current", Q::LeakageCurrent),
            ("dc_bus_voltage", Q::DcBusVoltage),
            ("Udc", Q::DcBusVoltage),
            ("winding_temperature", Q::Temperature),
            ("Insulation Resistance", Q::InsulationResistance),
            ("R_iso", Q::InsulationResistance),
            ("motor_speed", Q::Speed),
            ("v_a", Q::VoltageA),
            ("ub", Q::VoltageB),
            ("voltage_c", Q::VoltageC),
        ] {
            assert_eq!(quantities(&[name]), [Some(quantity)], "{name}");
        }
        for name in [
            "fault_type",
            "fault_resistance",
            "stator_resistance",
            "label",
            "dc_current",
            "ambient_temp",
            "key",
            "uab",
        ] {
            assert_eq!(quantities(&[name]), [None], "{name}");
        }
    }

    #[test]
    fn units_are_converted_and_the_case_of_a_prefix_matters() {
        let convert = |q, unit, raw: f64| conversion(q, Some(unit)).map(|(f, o)| raw * f + o);
        let near = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9 * b.abs().max(1.0);
        assert!(near(convert(Quantity::LeakageCurrent, "mA", 3.0), 3e-3));
        assert!(near(convert(Quantity::LeakageCurrent, "µA", 3.0), 3e-6));
        assert!(near(convert(Quantity::DcBusVoltage, "kV", 0.7), 700.0));
        assert!(near(convert(Quantity::InsulationResistance, "kohm", 500.0), 0.5));
        assert!(near(convert(Quantity::InsulationResistance, "MΩ", 500.0), 500.0));
        assert!(near(convert(Quantity::InsulationResistance, "Gohm", 2.0), 2000.0));
        assert!(near(convert(Quantity::Temperature, "K", 300.0), 26.85));
        assert!(near(convert(Quantity::Temperature, "degF", 212.0), 100.0));
        assert!(near(convert(Quantity::Speed, "Hz", 25.0), 1500.0));
        assert!(near(convert(Quantity::VibrationX, "m/s^2", 9.80665), 1.0));
        assert!(near(convert(Quantity::VibrationX, "uncalibrated", 2.0), 2.0));
        assert_eq!(convert(Quantity::InsulationResistance, "V", 2.0), None);
        assert_eq!(reading("leakage_current_ma").map(|c| c.factor), Some(1e-3));
        assert_eq!(reading("insulation_resistance_kohm").map(|c| c.factor), Some(1e-3));
        assert_eq!(reading("temperature_c").map(|c| c.factor), Some(1.0));
        assert_eq!(reading("temperature_k").map(|c| c.offset), Some(-273.15));
    }
}
