//! Insulation: readings against the standards, and the split of the leakage current.

use std::f64::consts::TAU;

use vtox_diagnosis::{FoldedState, Prepared, diagnose, follow};
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};
use vtox_simulation::{Condition, Development, Motor, OperatingPoint, Sampling, Vehicle};

fn verdict(readings: &[(Quantity, f64)]) -> Verdict {
    let block = SignalBlock { readings: readings.iter().copied().collect(), ..SignalBlock::default() };
    diagnose(&Prepared::new(&block, &MotorProfile::default()), FaultType::Insulation)
}

use Quantity::{DcBusVoltage, InsulationResistance, LeakageCurrent, Temperature};

#[test]
fn readings_are_judged_by_the_standards() {
    for (readings, expected) in [
        (vec![(InsulationResistance, 500.0), (Temperature, 40.0), (DcBusVoltage, 400.0)], Status::Normal),
        // Below 5 Mohm at 40 degC.
        (vec![(InsulationResistance, 3.0), (Temperature, 40.0), (DcBusVoltage, 400.0)], Status::Warning),
        // The same at 80 degC corresponds to 14 Mohm.
        (vec![(InsulationResistance, 3.0), (Temperature, 80.0), (DcBusVoltage, 400.0)], Status::Normal),
        // 500 ohm/V of 400 V are 0.2 Mohm.
        (vec![(InsulationResistance, 0.15), (Temperature, 90.0), (DcBusVoltage, 400.0)], Status::Fault),
        (vec![(InsulationResistance, 0.5)], Status::Fault),
        (vec![(LeakageCurrent, 1e-4)], Status::Normal),
        (vec![(LeakageCurrent, 5e-3)], Status::Warning),
        (vec![(LeakageCurrent, 20e-3)], Status::Fault),
        (vec![(Temperature, 60.0)], Status::InsufficientData),
        (vec![(Temperature, 180.0)], Status::Fault),
        (vec![], Status::InsufficientData),
    ] {
        let v = verdict(&readings);
        assert_eq!(v.status, expected, "{readings:?}: {v:?}");
    }
}

#[test]
fn resistance_is_corrected_by_the_rule_of_its_kind_of_insulation() {
    let v = verdict(&[(InsulationResistance, 10.0), (Temperature, 80.0)]);
    assert!((v.features["insulation_resistance_40c"] - 46.2).abs() < 0.2, "resin: {v:?}");
    assert!(v.reason.unwrap().contains("no bus or rated voltage"));
    let block = SignalBlock {
        readings: [(InsulationResistance, 10.0), (Temperature, 60.0)].into(),
        ..SignalBlock::default()
    };
    let class_b = MotorProfile { insulation_class_c: Some(130.0), ..MotorProfile::default() };
    let v = diagnose(&Prepared::new(&block, &class_b), FaultType::Insulation);
    assert!((v.features["insulation_resistance_40c"] - 40.0).abs() < 1e-9, "thermoplastic: {v:?}");
    let hot = verdict(&[(InsulationResistance, 10.0), (Temperature, 120.0)]);
    assert!(hot.reason.unwrap().contains("outside the 10 to 85 degC"));
    assert!(hot.features["insulation_resistance_40c"] < 60.0);
}

#[test]
fn readings_may_come_as_columns() {
    let column = |quantity, value: f32| Channel { quantity, rate_hz: 8000.0, samples: vec![value; 800] };
    let channels =
        vec![column(InsulationResistance, 0.4), column(LeakageCurrent, 1e-4), column(Temperature, 40.0)];
    let block = SignalBlock { channels, ..SignalBlock::default() };
    let v = diagnose(&Prepared::new(&block, &MotorProfile::default()), FaultType::Insulation);
    assert_eq!(v.status, Status::Fault, "{v:?}");
    assert!((v.features["leakage_current"] - 1e-4).abs() < 1e-9);
}

#[test]
fn leakage_of_a_large_winding_is_no_fault_where_its_capacitance_is_known() {
    let traction = Motor::induction_traction();
    let profile = MotorProfile { winding_capacitance_f: Some(40e-9), ..traction.profile() };
    let read = |amperes: f64| {
        let mut block = Vehicle::new(
            "v".to_owned(),
            traction.clone(),
            OperatingPoint { supply_frequency_hz: 100.0, ..OperatingPoint::default() },
            Condition::HEALTHY,
            1,
        )
        .next_block(&Sampling::SEEDS, 0.0);
        block.readings.insert(LeakageCurrent, amperes);
        block.profile = None;
        diagnose(&Prepared::new(&block, &profile), FaultType::Insulation)
    };
    // 40 nF at 202 V and 100 Hz draw 5 mA.
    assert_eq!(read(5.2e-3).status, Status::Normal, "{:?}", read(5.2e-3));
    assert_ne!(read(9e-3).status, Status::Normal, "{:?}", read(9e-3));
}

#[test]
fn simulated_insulation_is_judged_alike_at_every_temperature_and_scores_with_its_severity() {
    for temperature_c in [15.0, 40.0, 80.0] {
        let mut before = [-1.0; 2];
        for (severity, voltages) in
            [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0].into_iter().flat_map(|s| [(s, false), (s, true)])
        {
            let point = OperatingPoint { temperature_c, ..OperatingPoint::default() };
            let condition = Condition::faulty(FaultType::Insulation, severity);
            let motor = Motor::induction_4kw();
            let sampling = Sampling { voltages, ..Sampling::SHORT };
            let block = Vehicle::new("v".to_owned(), motor, point, condition, 3).next_block(&sampling, 0.0);
            let v = diagnose(&Prepared::new(&block, &MotorProfile::default()), FaultType::Insulation);
            let expected = match severity {
                s if s <= 0.1 => Status::Normal,
                s if s >= 0.5 => Status::Fault,
                _ => v.status,
            };
            assert_eq!(v.status, expected, "{severity} at {temperature_c} degC: {v:?}");
            assert!(
                v.score > before[usize::from(voltages)] - 0.02,
                "{severity} at {temperature_c} degC: {v:?}"
            );
            assert_eq!(v.features.contains_key("dielectric_loss"), voltages);
            before[usize::from(voltages)] = v.score;
        }
    }
}

/// Follows a vehicle whose insulation ages at a winding temperature, one block in so many hours; the first hours at which
/// the status was a warning and a fault, and the verdicts.
fn age(temperature_c: f64, every_h: f64, hours: f64) -> (Option<f64>, Option<f64>, Vec<(f64, Verdict)>) {
    let motor = Motor::induction_4kw();
    let ageing = Development::ThermalAgeing {
        begins_s: 0.0,
        temperature_c,
        class_c: motor.insulation_class_c,
        life_at_class_h: 20_000.0,
    };
    let condition = Condition::faulty(FaultType::Insulation, 0.0);
    let mut vehicle =
        Vehicle::new("v".to_owned(), motor, OperatingPoint::default(), condition, 11).developing(ageing);
    let mut state = FoldedState::default();
    let (mut warned, mut failed, mut verdicts) = (None, None, Vec::new());
    for step in 0..(hours / every_h) as u32 {
        let at_h = f64::from(step) * every_h;
        // Load, and with it the temperature at the time of the reading, changes from day to day.
        let temperature_c = 45.0 + 15.0 * f64::from(step * 7 % 3);
        vehicle.set_operating_point(OperatingPoint { temperature_c, ..OperatingPoint::default() });
        let block = vehicle.next_block(&Sampling::new(8_000.0, 128), at_h * 3600.0);
        let (v, next) =
            follow(&Prepared::new(&block, &MotorProfile::default()), FaultType::Insulation, &state);
        state = next;
        if v.status == Status::Warning && warned.is_none() {
            warned = Some(at_h);
        }
        if v.status == Status::Fault && failed.is_none() {
            failed = Some(at_h);
        }
        verdicts.push((at_h, v));
    }
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.len() < 400, "{} {text}", text.len());
    (warned, failed, verdicts)
}

#[test]
fn ageing_is_foreseen_before_the_limit_and_its_time_is_right() {
    // At the limit of the class the winding lives 20,000 h; 20 K above it 5,000 h, and from 2,000 to 1 Mohm are 3.3 of the
    // five decades: 3,300 h.
    let end_h = 3.301 / 5.0 * 5_000.0;
    let (warned, failed, verdicts) = age(175.0, 4.0, 3_600.0);
    assert!((failed.unwrap() / end_h - 1.0).abs() < 0.05, "{failed:?}");
    assert!(warned.unwrap() < 0.85 * end_h, "{warned:?}");
    let foretold: Vec<(f64, f64)> =
        verdicts.iter().filter_map(|(at_h, v)| Some((*at_h, *v.features.get("remaining_life_h")?))).collect();
    assert!(foretold.iter().any(|(at_h, _)| *at_h < 0.5 * end_h), "{:?}", foretold.first());
    for (at_h, remaining_h) in foretold.iter().filter(|(at_h, _)| (0.5..0.9).contains(&(at_h / end_h))) {
        let left_h = end_h - at_h;
        assert!((remaining_h / left_h - 1.0).abs() < 0.25, "at {at_h} h: {remaining_h} for {left_h}");
    }
}

#[test]
fn a_winding_that_is_kept_cool_raises_no_alarm() {
    // 20 K below its class: a life of 80,000 h.
    let (warned, failed, _) = age(135.0, 20.0, 20_000.0);
    assert_eq!((warned, failed), (None, None));
}

#[test]
fn leakage_is_split_by_the_angle_to_its_voltage() {
    let rate_hz = 8000.0;
    let wave = |amplitude: f64, lead: f64| -> Vec<f32> {
        (0..1600).map(|i| (amplitude * (TAU * 87.0 * f64::from(i) / rate_hz + lead).cos()) as f32).collect()
    };
    let leakage = |resistive: f64, capacitive: f64| {
        let (amplitude, lead) = (2f64.sqrt() * resistive.hypot(capacitive), capacitive.atan2(resistive));
        let channels = vec![
            Channel { quantity: Quantity::VoltageA, rate_hz, samples: wave(320.0, 0.0) },
            Channel { quantity: LeakageCurrent, rate_hz, samples: wave(amplitude, lead) },
        ];
        let block = SignalBlock { channels, ..SignalBlock::default() };
        diagnose(&Prepared::new(&block, &MotorProfile::default()), FaultType::Insulation)
    };
    let healthy = leakage(2e-5, 1.5e-3);
    assert_eq!(healthy.status, Status::Normal, "{healthy:?}");
    assert!((healthy.features["dielectric_loss"] - 2e-5 / 1.5e-3).abs() < 1e-4);
    let bad = leakage(3e-3, 1.5e-3);
    assert_eq!(bad.status, Status::Fault, "{bad:?}");
    assert!((bad.features["resistive_leakage_current"] - 3e-3).abs() < 1e-5);
}

#[test]
fn currents_alone_say_nothing() {
    let samples = (0..800).map(|i| (f64::from(i) * 0.04).sin() as f32).collect();
    let channel = Channel { quantity: Quantity::CurrentA, rate_hz: 8000.0, samples };
    let block = SignalBlock { channels: vec![channel], ..SignalBlock::default() };
    let v = diagnose(&Prepared::new(&block, &MotorProfile::default()), FaultType::Insulation);
    assert_eq!(v.status, Status::InsufficientData);
}
