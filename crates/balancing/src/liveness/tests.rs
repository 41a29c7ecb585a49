use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TICK_MS: u64 = 100;

/// A cluster whose members beat every 500 ms, and the judge that watches it.
struct Cluster {
    judge: Liveness<u32>,
    now_ms: u64,
    /// Redis' clock minus ours.
    offset_ms: i64,
    redis_up: bool,
    heartbeats: BTreeMap<u32, u64>,
    beating: BTreeMap<u32, bool>,
}

impl Cluster {
    fn new(members: u32) -> Self {
        Self {
            judge: Liveness::new(LivenessConfig::default()),
            now_ms: 50_000,
            offset_ms: 10_000_000,
            redis_up: true,
            heartbeats: (0..members).map(|m| (m, 10_050_000)).collect(),
            beating: (0..members).map(|m| (m, true)).collect(),
        }
    }

    fn redis_now_ms(&self) -> u64 {
        self.now_ms.checked_add_signed(self.offset_ms).unwrap()
    }

    fn tick(&mut self) -> Judgement<u32> {
        self.now_ms += TICK_MS;
        let redis_now_ms = self.redis_now_ms();
        if !self.redis_up {
            return self.judge.tick(self.now_ms, None);
        }
        for (member, _) in self.beating.iter().filter(|(_, up)| **up) {
            if (self.now_ms / TICK_MS + u64::from(*member)).is_multiple_of(5) {
                self.heartbeats.insert(*member, redis_now_ms);
            }
        }
        self.judge.tick(self.now_ms, Some(Answer { redis_now_ms, heartbeats: &self.heartbeats }))
    }

    fn run(&mut self, ms: u64) -> Judgement<u32> {
        (0..ms / TICK_MS).map(|_| self.tick()).last().expect("at least a tick")
    }

    /// Ms until the dead are exactly `expected`; panics after 10 s.
    fn until_dead(&mut self, expected: &[u32]) -> u64 {
        let start_ms = self.now_ms;
        while self.tick().dead != expected.iter().copied().collect() {
            assert!(self.now_ms < start_ms + 10_000, "never judged");
        }
        self.now_ms - start_ms
    }

    fn stop(&mut self, members: impl IntoIterator<Item = u32>) {
        for m in members {
            self.beating.insert(m, false);
        }
    }
}

#[test]
fn one_dead_member_is_judged_after_its_lease_and_lives_again_when_it_beats() {
    let mut c = Cluster::new(4);
    assert!(c.run(5_000).dead.is_empty());
    c.stop([2]);
    let took_ms = c.until_dead(&[2]);
    assert!((1_500..=2_100).contains(&took_ms), "{took_ms}");
    c.beating.insert(2, true);
    assert!(c.until_dead(&[]) <= 500);
}

#[test]
fn nobody_is_judged_in_the_first_lease() {
    let mut c = Cluster::new(4);
    c.heartbeats.insert(3, 1);
    c.stop([3]);
    let first = c.tick();
    assert!(matches!(first.hold, Some(Hold::Settling { .. })) && first.dead.is_empty());
    let took_ms = c.until_dead(&[3]);
    assert!((1_900..=2_100).contains(&took_ms), "{took_ms}");
}

#[test]
fn an_outage_of_redis_kills_nobody() {
    let mut c = Cluster::new(4);
    c.run(5_000);
    c.redis_up = false;
    assert_eq!(c.run(10_000).hold, Some(Hold::NoAnswer));
    c.redis_up = true;
    for _ in 0..50 {
        assert!(c.tick().dead.is_empty());
    }
    c.stop([0]);
    c.until_dead(&[0]);
}

#[test]
fn short_outages_do_not_add_up_to_a_death() {
    let mut c = Cluster::new(4);
    c.run(5_000);
    for _ in 0..20 {
        c.redis_up = false;
        assert!(c.run(800).dead.is_empty());
        c.redis_up = true;
        assert!(c.run(100).dead.is_empty());
    }
}

#[test]
fn a_frozen_judge_kills_nobody() {
    let mut c = Cluster::new(4);
    c.run(5_000);
    c.now_ms += 30_000;
    for _ in 0..50 {
        assert!(c.tick().dead.is_empty());
    }
}

#[test]
fn clock_steps_kill_nobody_and_hide_nobody() {
    for step_ms in [-600_000, -3_000, 3_000, 600_000] {
        let mut c = Cluster::new(4);
        c.run(5_000);
        c.offset_ms += step_ms;
        for _ in 0..50 {
            assert!(c.tick().dead.is_empty(), "step {step_ms}");
        }
        c.stop([1]);
        c.offset_ms += step_ms;
        assert!(c.until_dead(&[1]) <= 4_100, "step {step_ms}");
    }
}

#[test]
fn a_failover_that_brings_back_an_old_heartbeat_does_not_revive() {
    let mut c = Cluster::new(4);
    c.run(5_000);
    c.stop([1]);
    c.until_dead(&[1]);
    let old = c.heartbeats[&1] - 700;
    c.heartbeats.insert(1, old);
    assert_eq!(c.run(1_000).dead, BTreeSet::from([1]));
}

#[test]
fn most_expiring_together_is_waited_out_for_one_lease() {
    let mut c = Cluster::new(5);
    c.run(5_000);
    c.stop(0..5);
    let judged: Vec<_> = (0..60).map(|_| c.tick()).collect();
    // Heartbeats are not in step: the first two (not most of five) are judged as they expire.
    let held = judged.iter().position(|j| matches!(j.hold, Some(Hold::MassExpiry { .. }))).unwrap();
    assert!(judged[held].dead.len() <= 2);
    let all = judged.iter().position(|j| j.dead.len() == 5).expect("judged in the end");
    assert!((19..=21).contains(&(all - held)), "{} ticks", all - held);
}

#[test]
fn those_that_come_back_within_the_wait_are_spared_and_the_rest_judged() {
    let mut c = Cluster::new(5);
    c.run(5_000);
    c.stop(0..5);
    while !matches!(c.tick().hold, Some(Hold::MassExpiry { .. })) {}
    for m in 1..5 {
        c.beating.insert(m, true);
    }
    let took_ms = c.until_dead(&[0]);
    assert!(took_ms <= 600, "{took_ms}");
}

#[test]
fn a_member_that_deregisters_is_forgotten() {
    let mut c = Cluster::new(3);
    c.run(5_000);
    c.stop([0]);
    c.until_dead(&[0]);
    c.heartbeats.remove(&0);
    assert!(c.tick().dead.is_empty());
}

proptest! {
    /// Whatever Redis and its clock do, a member that beats is never judged once the answers
    /// have been steady for a lease, and one that does not is judged within 3 leases of steadiness.
    #[test]
    fn the_living_live_and_the_dead_are_found(
        events in prop::collection::vec((0u8..4, 1u64..30, -5_000i64..5_000), 0..12),
        victim in 0u32..5,
    ) {
        let mut c = Cluster::new(5);
        for (kind, ticks, step_ms) in events {
            match kind {
                0 => c.redis_up = !c.redis_up,
                1 => c.offset_ms += step_ms,
                2 => c.now_ms += ticks * 100,
                _ => {}
            }
            for _ in 0..ticks {
                prop_assert!(c.tick().dead.is_empty());
            }
        }
        c.redis_up = true;
        c.stop([victim]);
        let took_ms = c.until_dead(&[victim]);
        prop_assert!(took_ms <= 4_200, "{}", took_ms);
    }
}
