//! Five motor-fault detectors and the folding of their verdicts into per-vehicle state. Pure: no I/O, no clock.
