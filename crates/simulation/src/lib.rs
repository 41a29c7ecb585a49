//! Physically modelled motor signals, healthy and with each fault. Pure: seeded, no I/O, no clock.
