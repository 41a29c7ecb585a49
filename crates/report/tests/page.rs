//! The page: it holds what was found, marks where it was expected, and needs nothing beside it.

use rand::SeedableRng;
use rand::rngs::StdRng;
use vtox_diagnosis::{Prepared, diagnose, pictures};
use vtox_protocol::{FaultType, MotorProfile, Status, Verdict};
use vtox_report::{Report, Section, html};
use vtox_simulation::{Condition, Motor, OperatingPoint, Sampling, generate};

const NOTHING: &[String] = &[];

fn page(file: &str, fault: FaultType, sampling: Sampling, lacking: &[String]) -> (String, Vec<Verdict>) {
    let motor = Motor::induction_4kw();
    let point = OperatingPoint { load_fraction: 0.9, ..OperatingPoint::default() };
    let condition = Condition::faulty(fault, 0.8);
    let block = generate(&motor, &point, &condition, &sampling, 0.0, &mut StdRng::seed_from_u64(1));
    let profile = motor.profile();
    let prepared = Prepared::new(&block, &profile);
    let verdicts = FaultType::ALL.map(|fault| diagnose(&prepared, fault));
    let sections = FaultType::ALL.iter().zip(&verdicts).map(|(fault, verdict)| Section {
        fault: *fault,
        verdict,
        lacking,
        pictures: pictures(&prepared, *fault, verdict),
    });
    let report = Report { file, block: &block, blocks: 1, profile: &profile, sections: sections.collect() };
    (html(&report), verdicts.into())
}

#[test]
fn it_refers_to_nothing_outside() {
    for fault in FaultType::ALL {
        let (page, _) = page("m.csv", fault, Sampling::LONG, NOTHING);
        for reference in
            ["http:", "https:", "//", "src=", "url(", "@import", "<script", "<link", "<img", "xlink"]
        {
            assert!(!page.contains(reference), "{fault}: {reference}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf\""));
    }
}

#[test]
fn the_places_of_a_fault_are_marked() {
    for (fault, marks) in [
        (FaultType::BrokenBar, ["(1 - 2s) f0", "(1 + 2s) f0"]),
        (FaultType::Eccentricity, ["f0 - fr", "f0 + fr"]),
        (FaultType::Bearing, ["BPFO x2", "FTF"]),
    ] {
        let sampling =
            if fault == FaultType::Bearing { Sampling::new(8_000.0, 8_192) } else { Sampling::LONG };
        let (page, verdicts) = page("m.csv", fault, sampling, NOTHING);
        let verdict = &verdicts[FaultType::ALL.iter().position(|f| *f == fault).unwrap()];
        assert_eq!(verdict.status, Status::Fault, "{fault}: {verdict:?}");
        for mark in marks {
            assert!(page.contains(&format!("\n{mark}\n")), "{fault}: {mark}");
        }
        for line in &verdict.evidence {
            assert!(page.contains(&line.line), "{}", line.line);
        }
        assert!(page.contains("over the noise floor") || page.contains("Over the noise floor"));
        assert!(page.contains(verdict.advice.as_deref().unwrap()), "{:?}", verdict.advice);
    }
}

#[test]
fn a_picture_shows_the_line_where_the_mark_is() {
    let motor = Motor::induction_4kw();
    let point = OperatingPoint { load_fraction: 0.9, ..OperatingPoint::default() };
    let condition = Condition::faulty(FaultType::BrokenBar, 0.8);
    let mut rng = StdRng::seed_from_u64(2);
    let block = generate(&motor, &point, &condition, &Sampling::LONG, 0.0, &mut rng);
    let prepared = Prepared::new(&block, &MotorProfile::default());
    let verdict = diagnose(&prepared, FaultType::BrokenBar);
    let pictures = pictures(&prepared, FaultType::BrokenBar, &verdict);
    let spectrum = pictures.iter().find(|p| p.title.contains("Spectrum")).unwrap();
    let searched = &spectrum.curves[1].points;
    let slip_hz = motor.slip_frequency_hz(0.9);
    let mark = &spectrum.marks[0];
    assert_eq!(mark.name, "(1 - 2s) f0");
    assert!((mark.at - (50.0 - 2.0 * slip_hz)).abs() < 0.1, "{mark:?}");
    let near = searched.iter().filter(|p| (p.0 - mark.at).abs() < 1.0).map(|p| p.1).fold(-200.0, f64::max);
    let away = searched.iter().filter(|p| (p.0 - 48.9).abs() < 0.3).map(|p| p.1).fold(-200.0, f64::max);
    assert!(near > -45.0 && away < near - 20.0, "{near} at the mark, {away} beside it");
}

#[test]
fn what_users_write_is_shown_and_not_run() {
    let lacking = ["<b>\"x\"</b> & 'y'".to_owned()];
    let (page, _) = page("<script>alert(1)</script>&\".csv", FaultType::Bearing, Sampling::SEEDS, &lacking);
    assert!(!page.contains("<script") && !page.contains("<b>"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;.csv"));
    assert!(page.contains("&lt;b&gt;&quot;x&quot;&lt;/b&gt; &amp; &#39;y&#39;"));
}
