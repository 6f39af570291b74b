//! How many requests a client may send: a bucket for each, that fills evenly. Told in the headers `RateLimit-Policy` and
//! `RateLimit` (draft-ietf-httpapi-ratelimit-headers), and beyond it 429 with `Retry-After`.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::catalogue::Code;
use super::problem::Problem;
use crate::domain::ClientId;

/// Requests a second that a client may send, if nothing else is said.
pub const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20_000).expect("it is above zero");

/// Requests between two clearings of buckets that are full again.
const CLEAR_EVERY: u32 = 65_536;

/// The buckets.
pub struct Rate<C: Clock + Clone = DefaultClock> {
    limiter: RateLimiter<ClientId, HashMapStateStore<ClientId>, C, StateInformationMiddleware>,
    clock: C,
    quota: NonZeroU32,
    asked: AtomicU32,
}

/// What the buckets say to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It may pass; so many more may now.
    Admitted(u32),
    /// It may not; in so many seconds it may.
    Refused(u32),
}

impl<C: Clock + Clone> Rate<C> {
    /// A bucket of a second's requests for each client.
    #[must_use]
    pub fn new(quota: NonZeroU32, clock: C) -> Self {
        let limiter = RateLimiter::new(Quota::per_second(quota), HashMapStateStore::default(), clock.clone());
        Self { limiter, clock, quota, asked: AtomicU32::new(0) }
    }

    /// Takes one request of a client.
    pub fn admit(&self, client: &ClientId) -> Admission {
        if self.asked.fetch_add(1, Ordering::Relaxed) % CLEAR_EVERY == CLEAR_EVERY - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(client) {
            Ok(state) => Admission::Admitted(state.remaining_burst_capacity()),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now()).as_secs_f64().ceil();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a second at most
                Admission::Refused((wait as u32).max(1))
            }
        }
    }

    fn tell(&self, headers: &mut HeaderMap, remaining: u32) {
        let policy = format!("\"client\";q={};w=1", self.quota);
        for (name, text) in
            [("ratelimit-policy", policy), ("ratelimit", format!("\"client\";r={remaining};t=1"))]
        {
            let value = HeaderValue::try_from(text).expect("digits and a few marks are visible ASCII");
            headers.insert(name, value);
        }
    }
}

/// The answer to a client's request, if it may send one more now; and what it may still send.
pub(super) async fn limited(
    rate: &Rate,
    client: ClientId,
    answer: impl Future<Output = Response>,
) -> Response {
    let (mut response, remaining) = match rate.admit(&client) {
        Admission::Admitted(remaining) => (answer.await, remaining),
        Admission::Refused(seconds) => {
            (Problem::of(Code::RateLimited).retry_after(seconds).into_response(), 0)
        }
    };
    rate.tell(response.headers_mut(), remaining);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_client_has_its_quota_and_no_request_more_and_others_have_theirs() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::new(NonZeroU32::new(3).unwrap(), clock.clone());
        let [one, other] = ["one", "other"].map(|name| ClientId::parse(name).unwrap());
        let admit = |client| (0..4).map(|_| rate.admit(client)).collect::<Vec<_>>();
        let expected =
            [Admission::Admitted(2), Admission::Admitted(1), Admission::Admitted(0), Admission::Refused(1)];
        assert_eq!(admit(&one), expected);
        assert_eq!(admit(&other), expected);
        clock.advance(Duration::from_millis(332));
        assert_eq!(rate.admit(&one), Admission::Refused(1));
        clock.advance(Duration::from_millis(2));
        assert_eq!([rate.admit(&one), rate.admit(&one)], [Admission::Admitted(0), Admission::Refused(1)]);
        clock.advance(Duration::from_mins(1));
        assert_eq!(admit(&one), expected, "no more is saved up than a second's");
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten_and_no_others() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::new(NonZeroU32::new(3).unwrap(), clock.clone());
        let [gone, here] = ["gone", "here"].map(|name| ClientId::parse(name).unwrap());
        assert_eq!(rate.admit(&gone), Admission::Admitted(2));
        for _ in 0..CLEAR_EVERY - 4 {
            rate.admit(&here);
        }
        clock.advance(Duration::from_secs(2));
        assert_eq!([(); 2].map(|()| rate.admit(&here)), [Admission::Admitted(2), Admission::Admitted(1)]);
        assert_eq!(rate.limiter.len(), 2);
        assert_eq!(rate.admit(&here), Admission::Admitted(0), "the request that clears");
        assert_eq!(rate.limiter.len(), 1);
        assert_eq!(rate.admit(&here), Admission::Refused(1), "who was not idle has nothing given back");
    }
}
