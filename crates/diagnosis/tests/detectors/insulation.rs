//! Insulation: readings against the standards, and the split of the leakage current.

use std::f64::consts::TAU;

use vtox_diagnosis::{Prepared, diagnose};
use vtox_protocol::{Channel, FaultType, MotorProfile, Quantity, SignalBlock, Status, Verdict};

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
        // The same at 80 degC corresponds to 48 Mohm.
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
fn resistance_is_corrected_by_half_per_ten_kelvin() {
    let v = verdict(&[(InsulationResistance, 10.0), (Temperature, 60.0)]);
    assert!((v.features["insulation_resistance_40c"] - 40.0).abs() < 1e-9);
    assert!(v.reason.unwrap().contains("no bus or rated voltage"));
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
