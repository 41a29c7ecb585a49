//! Geometry of common deep-groove ball bearings by their designation.
//!
//! The designation fixes the boundary dimensions (ISO 15), and the pitch diameter is the mean of bore and outside diameter. The
//! balls are no standard's but the usual ones: number Z and diameter Dw agree with the static load rating that makers
//! publish together with its factor f0, C0 = f0 Z Dw^2 (ISO 76). Another make's balls may differ in diameter by some
//! percent, which moves the fault rates by less than 1 %. Left out are bearings whose number of balls differs between makes
//! (6209, 6305), and cylindrical roller bearings, whose rollers do.

use crate::BearingGeometry;

/// Two-digit bore code, bore and outside diameter in mm, balls, their diameter in mm.
type Row = (u8, f64, f64, u8, f64);

/// Diameter series 0: 60xx.
const SERIES_60: [Row; 9] = [
    (0, 10.0, 26.0, 7, 4.762),
    (1, 12.0, 28.0, 8, 4.762),
    (2, 15.0, 32.0, 9, 4.762),
    (3, 17.0, 35.0, 10, 4.762),
    (4, 20.0, 42.0, 9, 6.35),
    (5, 25.0, 47.0, 10, 6.35),
    (6, 30.0, 55.0, 11, 7.144),
    (7, 35.0, 62.0, 11, 7.938),
    (8, 40.0, 68.0, 12, 7.938),
];

/// Diameter series 2: 62xx.
const SERIES_62: [Row; 13] = [
    (0, 10.0, 30.0, 8, 4.762),
    (1, 12.0, 32.0, 7, 5.953),
    (2, 15.0, 35.0, 8, 5.953),
    (3, 17.0, 40.0, 8, 6.747),
    (4, 20.0, 47.0, 8, 7.938),
    (5, 25.0, 52.0, 9, 7.938),
    (6, 30.0, 62.0, 9, 9.525),
    (7, 35.0, 72.0, 9, 11.112),
    (8, 40.0, 80.0, 9, 11.906),
    (10, 50.0, 90.0, 10, 12.7),
    (11, 55.0, 100.0, 10, 14.288),
    (12, 60.0, 110.0, 10, 15.875),
    (13, 65.0, 120.0, 10, 16.669),
];

/// Diameter series 3: 63xx.
const SERIES_63: [Row; 16] = [
    (0, 10.0, 35.0, 6, 7.144),
    (1, 12.0, 37.0, 6, 7.938),
    (2, 15.0, 42.0, 7, 7.938),
    (3, 17.0, 47.0, 7, 8.731),
    (4, 20.0, 52.0, 7, 9.525),
    (6, 30.0, 72.0, 8, 12.0),
    (7, 35.0, 80.0, 8, 13.494),
    (8, 40.0, 90.0, 8, 15.081),
    (9, 45.0, 100.0, 8, 17.462),
    (10, 50.0, 110.0, 8, 19.05),
    (11, 55.0, 120.0, 8, 20.638),
    (12, 60.0, 130.0, 8, 22.225),
    (13, 65.0, 140.0, 8, 23.812),
    (14, 70.0, 150.0, 8, 25.4),
    (15, 75.0, 160.0, 8, 26.988),
    (16, 80.0, 170.0, 8, 28.575),
];

/// Geometry of a bearing by its designation, such as `6205`, `6205-2RS C3` or `SKF 6205-2RSJEM`. What follows the four digits
/// (seals, clearance, cage, grease) is ignored. None where the bearing is not in the table.
pub fn geometry(designation: &str) -> Option<BearingGeometry> {
    let digits = four_digits(designation)?;
    let series: &[Row] = match digits / 100 {
        60 => &SERIES_60,
        62 => &SERIES_62,
        63 => &SERIES_63,
        _ => return None,
    };
    let (_, bore_mm, outside_mm, elements, element_diameter_mm) =
        *series.iter().find(|row| u16::from(row.0) == digits % 100)?;
    Some(BearingGeometry {
        elements,
        element_diameter_mm,
        pitch_diameter_mm: f64::midpoint(bore_mm, outside_mm),
        contact_angle_deg: 0.0,
    })
}

/// All bearings of the table by their designation.
pub fn all() -> impl Iterator<Item = (String, BearingGeometry)> {
    [(60, &SERIES_60[..]), (62, &SERIES_62), (63, &SERIES_63)].into_iter().flat_map(|(series, rows)| {
        rows.iter().filter_map(move |row| {
            let designation = format!("{series}{:02}", row.0);
            let geometry = geometry(&designation)?;
            Some((designation, geometry))
        })
    })
}

/// The basic designation, alone or after a maker's name.
fn four_digits(designation: &str) -> Option<u16> {
    let text = designation.trim();
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let (maker, rest) = text.split_at(start);
    // A prefix that is no word of its own (NU, W, E2.) is part of the designation: another bearing.
    let own_word = maker.is_empty() || maker.ends_with([' ', '-', '_']);
    if !own_word || maker.contains(|c: char| !(c.is_alphabetic() || [' ', '-', '_'].contains(&c))) {
        return None;
    }
    let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(length);
    // E: the maker's reinforced design, with larger balls or more of them.
    let reinforced = suffix.trim_start_matches([' ', '-', '/', '.']).to_ascii_uppercase().starts_with("ETN");
    (length == 4 && !reinforced).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_and_makers_change_nothing() {
        let plain = geometry("6205").unwrap();
        assert_eq!((plain.elements, plain.pitch_diameter_mm), (9, 38.5));
        for text in
            ["6205-2RS", "6205 2Z/C3", "6205ZZ", "6205.2ZR", " skf 6205-2RSJEM ", "SKF-6205", "6205/C3VL0241"]
        {
            assert_eq!(geometry(text), Some(plain), "{text}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_not_guessed() {
        for text in [
            "",
            "bearing",
            "62052",
            "620",
            "6299",
            "6305",
            "NU205",
            "NU6205",
            "E2.6205",
            "7205",
            "6205 ETN9",
            "22205",
        ] {
            assert_eq!(geometry(text), None, "{text}");
        }
    }

    #[test]
    fn rates_agree_with_those_of_data_sheets() {
        // Bearing Data Center of Case Western Reserve University: drive end 6205-2RS, fan end 6203-2RS.
        for (text, bpfo, bpfi) in [("6205-2RS", 3.5848, 5.4152), ("6203-2RS", 3.053, 4.947)] {
            let b = geometry(text).unwrap();
            assert!((b.bpfo_per_rev() / bpfo - 1.0).abs() < 5e-3, "{text} {}", b.bpfo_per_rev());
            assert!((b.bpfi_per_rev() / bpfi - 1.0).abs() < 5e-3, "{text} {}", b.bpfi_per_rev());
        }
    }

    /// What can be built: the balls fit between the rings and beside each other, and no cage holds them without a gap.
    #[test]
    fn all_balls_fit() {
        for row in SERIES_60.iter().chain(&SERIES_62).chain(&SERIES_63) {
            let (_, bore_mm, outside_mm, balls, ball_mm) = *row;
            let pitch_mm = f64::midpoint(bore_mm, outside_mm);
            let section = ball_mm / (0.5 * (outside_mm - bore_mm));
            assert!((0.45..0.7).contains(&section), "{row:?} {section}");
            // A deep-groove bearing is filled by moving the inner ring aside: its balls span little more than half of the circle.
            let half_turns = 2.0 * f64::from(balls - 1) * (ball_mm / pitch_mm).asin() / std::f64::consts::PI;
            assert!((0.95..1.25).contains(&half_turns), "{row:?} {half_turns}");
        }
    }
}
