//! Judgement of death from heartbeats.
//!
//! A member is expired when its heartbeat is a lease old on Redis' clock, or has not changed for a
//! lease in which Redis answered us. The second rule needs no common clock: it catches a heartbeat
//! that lies in the future because Redis' clock went back (restart, failover to another host).
//!
//! Expired is not yet dead. Silence may be ours or Redis' fault, so nobody is declared dead
//! - while Redis does not answer, and until it has answered for one full lease after we started,
//!   after a gap without answers, and after its clock stepped against ours;
//! - when most members expire together: then only after one further lease, so that truly dead
//!   ones are judged in the end. Those that expired and were judged one by one within the last
//!   lease are counted too: heartbeats are not in step, so a common cause shows as a quick series.
//!
//! Time in which Redis did not answer is no silence: it is taken off the age of every heartbeat.
//!
//! A member declared dead stays dead until it beats again or is removed from the map.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Times of the judgement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LivenessConfig {
    /// Age of a heartbeat from which its member is expired, ms.
    pub lease_ms: u64,
    /// Time without an answer after which Redis must again answer for a full lease, ms.
    pub max_gap_ms: u64,
    /// Time from one answer to the next beyond which it does not count as silence of the members,
    /// ms: several short outages within a lease must not add up to a death. Twice the tick.
    pub max_tick_ms: u64,
    /// Difference between the progress of Redis' clock and ours, from one answer to the next,
    /// that counts as a step of the clock, ms.
    pub clock_step_ms: u64,
    /// Expiry of more than this share of the members is waited out.
    pub mass_share: f64,
    /// With fewer members than this no expiry is waited out: half of two is one dead worker.
    pub mass_members: usize,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Self {
            lease_ms: 2_000,
            max_gap_ms: 1_000,
            max_tick_ms: 200,
            clock_step_ms: 500,
            mass_share: 0.5,
            mass_members: 3,
        }
    }
}

/// What Redis answered at one tick.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a, M> {
    /// Redis' clock, ms.
    pub redis_now_ms: u64,
    /// Last heartbeat of each member on Redis' clock, ms.
    pub heartbeats: &'a BTreeMap<M, u64>,
}

/// Why nobody is declared dead for now. Times are on our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "hold")]
pub enum Hold {
    /// Redis did not answer at this tick.
    NoAnswer,
    /// Redis has not yet answered for one full lease.
    Settling {
        /// When it will have.
        until_ms: u64,
    },
    /// Most members expired together.
    MassExpiry {
        /// How many are expired and not declared dead.
        expired: usize,
        /// When they will be.
        until_ms: u64,
    },
}

/// Result of a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement<M> {
    /// All members that are dead, not only the new ones.
    pub dead: BTreeSet<M>,
    /// Why the expired ones are not among them.
    pub hold: Option<Hold>,
}

/// Judges members over time. `now_ms` is a clock of ours that never steps (monotonic); only
/// differences count.
#[derive(Debug, Clone)]
pub struct Liveness<M> {
    config: LivenessConfig,
    members: BTreeMap<M, Member>,
    /// Our time and Redis' at the last answer.
    last_answer: Option<(u64, u64)>,
    /// Since when Redis has answered without a gap and without a step of its clock.
    answering_since_ms: u64,
    mass_since_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    heartbeat_ms: u64,
    /// When the heartbeat was last seen to change, or the observation started anew.
    changed_ms: u64,
    /// Time without answers since then.
    unanswered_ms: u64,
    dead_since_ms: Option<u64>,
}

impl<M: Ord + Clone> Liveness<M> {
    /// Starts without knowledge: nobody is dead before one full lease of answers.
    pub fn new(config: LivenessConfig) -> Self {
        Self {
            config,
            members: BTreeMap::new(),
            last_answer: None,
            answering_since_ms: 0,
            mass_since_ms: None,
        }
    }

    /// Takes in one tick, `None` when Redis did not answer it.
    pub fn tick(&mut self, now_ms: u64, answer: Option<Answer<'_, M>>) -> Judgement<M> {
        let hold = match answer {
            None => Some(Hold::NoAnswer),
            Some(answer) => {
                self.observe(now_ms, &answer);
                self.judge(now_ms, answer.redis_now_ms)
            }
        };
        let dead = self.members.iter().filter(|(_, m)| m.dead_since_ms.is_some());
        Judgement { dead: dead.map(|(id, _)| id.clone()).collect(), hold }
    }

    fn observe(&mut self, now_ms: u64, answer: &Answer<'_, M>) {
        if self.observation_is_broken(now_ms, answer.redis_now_ms) {
            self.answering_since_ms = now_ms;
            self.mass_since_ms = None;
            for member in self.members.values_mut() {
                member.changed_ms = now_ms;
                member.unanswered_ms = 0;
            }
        } else if let Some((last_ms, _)) = self.last_answer
            && now_ms.saturating_sub(last_ms) > self.config.max_tick_ms
        {
            for member in self.members.values_mut() {
                member.unanswered_ms += now_ms.saturating_sub(last_ms);
            }
        }
        self.last_answer = Some((now_ms, answer.redis_now_ms));

        self.members.retain(|id, _| answer.heartbeats.contains_key(id));
        for (id, &heartbeat_ms) in answer.heartbeats {
            let Some(member) = self.members.get_mut(id) else {
                let member =
                    Member { heartbeat_ms, changed_ms: now_ms, unanswered_ms: 0, dead_since_ms: None };
                self.members.insert(id.clone(), member);
                continue;
            };
            if member.heartbeat_ms == heartbeat_ms {
                continue;
            }
            member.heartbeat_ms = heartbeat_ms;
            member.changed_ms = now_ms;
            member.unanswered_ms = 0;
            // A failover may bring back an older heartbeat of a dead member: that is no beat.
            if answer.redis_now_ms.saturating_sub(heartbeat_ms) < self.config.lease_ms {
                member.dead_since_ms = None;
            }
        }
    }

    fn observation_is_broken(&self, now_ms: u64, redis_now_ms: u64) -> bool {
        let Some((last_ms, last_redis_ms)) = self.last_answer else {
            return true;
        };
        let ours = now_ms.saturating_sub(last_ms);
        let theirs = i128::from(redis_now_ms) - i128::from(last_redis_ms);
        let step = (theirs - i128::from(ours)).unsigned_abs();
        ours > self.config.max_gap_ms || step > u128::from(self.config.clock_step_ms)
    }

    fn judge(&mut self, now_ms: u64, redis_now_ms: u64) -> Option<Hold> {
        let lease_ms = self.config.lease_ms;
        let settled_ms = self.answering_since_ms.saturating_add(lease_ms);
        if now_ms < settled_ms {
            return Some(Hold::Settling { until_ms: settled_ms });
        }
        let expired = |m: &Member| {
            let by_clock = redis_now_ms.saturating_sub(m.heartbeat_ms);
            let by_silence = now_ms.saturating_sub(m.changed_ms);
            let silent_ms = by_clock.max(by_silence).saturating_sub(m.unanswered_ms);
            m.dead_since_ms.is_none() && silent_ms >= lease_ms
        };
        let just_died = |m: &Member| m.dead_since_ms.is_some_and(|t| now_ms.saturating_sub(t) < lease_ms);
        let count = |what: &dyn Fn(&Member) -> bool| self.members.values().filter(|m| what(m)).count();
        let newly_expired = count(&expired);
        let failing = newly_expired + count(&just_died);
        let members = count(&|m| m.dead_since_ms.is_none() || just_died(m));

        let most = failing as f64 > self.config.mass_share * members as f64;
        if newly_expired > 0 && members >= self.config.mass_members && most {
            let since_ms = *self.mass_since_ms.get_or_insert(now_ms);
            let until_ms = since_ms.saturating_add(lease_ms);
            if now_ms < until_ms {
                return Some(Hold::MassExpiry { expired: newly_expired, until_ms });
            }
        } else {
            self.mass_since_ms = None;
        }
        for member in self.members.values_mut().filter(|m| expired(m)) {
            member.dead_since_ms = Some(now_ms);
        }
        None
    }
}

#[cfg(test)]
mod tests;
