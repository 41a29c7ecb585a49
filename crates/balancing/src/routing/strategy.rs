//! The strategies. Each gives the index of its choice; ties go to the worker that was not picked for the longest time.

/// A worker that may be picked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) id: &'a str,
    pub(super) score: f64,
    pub(super) weight: f64,
    pub(super) in_flight: u32,
    pub(super) latency_ms: f64,
    pub(super) failures: f64,
    pub(super) last_pick: u64,
    pub(super) balance: f64,
}

/// Latency that a worker never measured and busy is taken to have, ms: only one task goes to it before its first answer.
const UNMEASURED_MS: f64 = 1_000.0;

/// Index of the least cost.
fn cheapest(seen: &[Seen<'_>], cost: impl Fn(&Seen<'_>) -> f64) -> Option<usize> {
    (0..seen.len()).min_by(|a, b| {
        let (a, b) = (&seen[*a], &seen[*b]);
        cost(a).total_cmp(&cost(b)).then(a.last_pick.cmp(&b.last_pick))
    })
}

/// Recent failures and tasks in flight divide the score.
pub(super) fn smart(seen: &[Seen<'_>]) -> Option<usize> {
    cheapest(seen, |s| -s.score / ((1.0 + s.failures) * f64::from(s.in_flight + 1)))
}

/// The one that was not picked for the longest time: exact turns also where tasks have different candidates.
pub(super) fn round_robin(seen: &[Seen<'_>]) -> Option<usize> {
    cheapest(seen, |_| 0.0)
}

/// Every balance grows by the weight; the largest is picked and pays what all got.
pub(super) fn weighted_round_robin(seen: &[Seen<'_>]) -> Option<usize> {
    let weights = weights(seen);
    let grown: Vec<f64> = seen.iter().zip(&weights).map(|(s, w)| s.balance + w).collect();
    let eligible = (0..seen.len()).filter(|i| weights[*i] > 0.0);
    eligible.max_by(|a, b| grown[*a].total_cmp(&grown[*b]).then(seen[*b].last_pick.cmp(&seen[*a].last_pick)))
}

/// Balances of the smooth weighted round robin after a pick.
pub(super) fn balances_after(seen: &[Seen<'_>], chosen: usize) -> Vec<f64> {
    let weights = weights(seen);
    let total: f64 = weights.iter().sum();
    let paid = |i: usize| if i == chosen { total } else { 0.0 };
    seen.iter().zip(&weights).enumerate().map(|(i, (s, w))| s.balance + w - paid(i)).collect()
}

/// The weights; all equal where nobody weighs anything, so that a task is served at all.
fn weights(seen: &[Seen<'_>]) -> Vec<f64> {
    let weights: Vec<f64> = seen.iter().map(|s| s.weight.max(0.0)).collect();
    if weights.iter().all(|w| *w == 0.0) { vec![1.0; seen.len()] } else { weights }
}

/// Fewest tasks in flight.
pub(super) fn least_connections(seen: &[Seen<'_>]) -> Option<usize> {
    cheapest(seen, |s| f64::from(s.in_flight))
}

/// The cheaper of two different random workers.
pub(super) fn peak_ewma(seen: &[Seen<'_>], random: u64) -> Option<usize> {
    let count = seen.len() as u64;
    if count <= 1 {
        return (count == 1).then_some(0);
    }
    let first = random % count;
    let second = (first + 1 + (random >> 32) % (count - 1)) % count;
    let cost = |i: u64| {
        let s = &seen[i as usize];
        let latency_ms = if s.latency_ms > 0.0 || s.in_flight == 0 { s.latency_ms } else { UNMEASURED_MS };
        latency_ms * f64::from(s.in_flight + 1)
    };
    Some(if cost(second) < cost(first) { second } else { first } as usize)
}

/// Rendezvous hashing: each key ranks the workers, and takes the first below the bound. When a worker leaves, only its own keys
/// move. A task without a key has a random one.
pub(super) fn consistent_hash(
    seen: &[Seen<'_>],
    key: Option<&str>,
    random: u64,
    load_bound: f64,
) -> Option<usize> {
    let key = key.map_or(random, |key| hash(0, key.as_bytes()));
    let in_flight: u32 = seen.iter().map(|s| s.in_flight).sum();
    let bound = (load_bound * f64::from(in_flight + 1) / seen.len() as f64).ceil();
    let below = (0..seen.len()).filter(|i| f64::from(seen[*i].in_flight) < bound);
    below.max_by_key(|i| hash(key, seen[*i].id.as_bytes()))
}

/// FNV-1a with the finalizer of MurmurHash3: the same on every coordinator and in every release.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    let hash = bytes.iter().fold(start, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
