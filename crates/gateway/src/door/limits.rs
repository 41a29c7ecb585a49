//! Token buckets: how often a vehicle, and a key or user, may call, and how often a password may be tried.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::api::Api;
use crate::reply::{Code, Refusal};

type Limiter = RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// A bucket per name, all of one size.
pub struct Buckets {
    kind: &'static str,
    limiter: Option<Limiter>,
    clock: DefaultClock,
    burst: u32,
    window_s: u32,
}

/// What is left in a bucket; said in the answer.
#[derive(Debug, Clone)]
pub struct Left {
    kind: &'static str,
    burst: u32,
    window_s: u32,
    /// How many more at once.
    pub remaining: u32,
}

impl Buckets {
    /// Buckets that fill by `rate` per s up to `burst`; a rate of 0 is no limit.
    pub fn new(kind: &'static str, rate: u32, burst: u32) -> Self {
        let burst = burst.max(rate);
        let quota = NonZeroU32::new(rate).zip(NonZeroU32::new(burst));
        let quota = quota.map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst));
        Self::of(kind, quota, burst, burst.div_ceil(rate.max(1)).max(1))
    }

    /// Buckets of `rate` that fill again within a minute; a rate of 0 is no limit.
    pub fn per_minute(kind: &'static str, rate: u32) -> Self {
        Self::of(kind, NonZeroU32::new(rate).map(Quota::per_minute), rate, 60)
    }

    fn of(kind: &'static str, quota: Option<Quota>, burst: u32, window_s: u32) -> Self {
        Self {
            kind,
            limiter: quota
                .map(|quota| Limiter::new(quota, HashMapStateStore::default(), DefaultClock::default())),
            clock: DefaultClock::default(),
            burst,
            window_s,
        }
    }

    /// Takes one of what `name` may do.
    pub fn take(&self, name: &str) -> Result<Option<Left>, Refusal> {
        let Some(limiter) = &self.limiter else { return Ok(None) };
        match limiter.check_key(&name.to_owned()) {
            Ok(state) => Ok(Some(self.left(state.remaining_burst_capacity()))),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                let seconds = (wait + Duration::from_millis(999)).as_secs().max(1);
                let detail = format!(
                    "more than {} at once, or {} per {} s, from one {}",
                    self.burst, self.burst, self.window_s, self.kind
                );
                Err(Refusal::new(Code::RateLimited, detail).after(seconds).out_of(self.left(0)))
            }
        }
    }

    fn tidy(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    fn left(&self, remaining: u32) -> Left {
        Left { kind: self.kind, burst: self.burst, window_s: self.window_s, remaining }
    }
}

impl Left {
    /// Says it in the headers of draft-ietf-httpapi-ratelimit-headers-10.
    pub fn add_to(&self, response: &mut Response) {
        let policy = format!("\"{}\";q={};w={}", self.kind, self.burst, self.window_s);
        let left = format!("\"{}\";r={}", self.kind, self.remaining);
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", left)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
    }
}

/// How often full buckets are forgotten.
const TIDY_INTERVAL: Duration = Duration::from_secs(5);

/// Forgets full buckets until the soft token is cancelled.
pub async fn tidy(api: Arc<Api>) -> anyhow::Result<()> {
    let soft = api.service.lifecycle.soft.clone();
    loop {
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = tokio::time::sleep(TIDY_INTERVAL) => {}
        }
        for buckets in [&api.vehicle_buckets, &api.key_buckets, &api.user_buckets, &api.address_buckets] {
            buckets.tidy();
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn a_bucket_empties_for_its_name_alone() {
        let buckets = Buckets::new("vehicle", 1, 3);
        for left in [2, 1, 0] {
            assert_eq!(buckets.take("a").unwrap().unwrap().remaining, left);
        }
        let refusal = buckets.take("a").unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_s), (Code::RateLimited, Some(1)));
        assert_eq!(buckets.take("b").unwrap().unwrap().remaining, 2);
        assert!(Buckets::new("key", 0, 0).take("a").unwrap().is_none());
    }

    #[test]
    fn a_refusal_says_which_bucket_is_empty() {
        let buckets = Buckets::per_minute("user", 2);
        assert!(buckets.take("a").is_ok() && buckets.take("a").is_ok());
        let refusal = buckets.take("a").unwrap_err();
        assert_eq!(refusal.retry_after_s, Some(30));
        let response = refusal.into_response();
        assert_eq!(response.headers()["ratelimit-policy"], "\"user\";q=2;w=60");
        assert_eq!(response.headers()["ratelimit"], "\"user\";r=0");
        assert!(Buckets::per_minute("user", 0).take("a").unwrap().is_none());
        // 9 at once and 5 per s: never 9 per s.
        let left = Buckets::new("vehicle", 5, 9).take("a").unwrap().unwrap();
        assert_eq!((left.burst, left.window_s), (9, 2));
    }

    #[test]
    fn what_is_left_is_said_as_the_draft_has_it() {
        let buckets = Buckets::new("vehicle", 50, 200);
        let mut response = ().into_response();
        buckets.take("a").unwrap().unwrap().add_to(&mut response);
        assert_eq!(response.headers()["ratelimit-policy"], "\"vehicle\";q=200;w=4");
        assert_eq!(response.headers()["ratelimit"], "\"vehicle\";r=199");
    }
}
