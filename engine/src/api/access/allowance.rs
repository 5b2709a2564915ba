//! What an identity may have: vouchers a second, streams at once, calls and changes. One of each an
//! identity, by however many connections it comes.

use crate::api::limited::{Limit, refused, seconds};
use crate::api::pace::Bucket;
use crate::ledger::{Call, Identity, Role};
use crate::limits::{
    CALL_HELD_MAX, IDENTITY_CALLS, IDENTITY_CHANGES, IDENTITY_REVOCATIONS, IDENTITY_STREAMS_MAX,
    Pace, RETRY_SOON,
};
use crate::pipeline::{Feed, Source};
use crate::types::Lsn;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// What one identity may have.
pub(in crate::api) struct Allowance {
    name: String,
    place: Lsn,
    /// Vouchers a second, where there is such a bound.
    rate: Option<(u32, Mutex<Bucket>)>,
    /// Where it is no operator.
    calls: Option<Calls>,
    streams: Arc<Semaphore>,
    /// What is known of its vouchers stays known between its calls.
    kept: OnceLock<Feed>,
}

struct Calls {
    all: Mutex<Bucket>,
    changes: Mutex<Bucket>,
    revocations: Mutex<Bucket>,
}

/// Of all identities that came, by the record that added each.
#[derive(Default)]
pub(super) struct Allowances(Mutex<BTreeMap<Lsn, Arc<Allowance>>>);

impl Allowances {
    /// That of the identity that the record `place` added.
    pub fn of(&self, place: Lsn, identity: &Identity) -> Arc<Allowance> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(place).or_insert_with(|| Arc::new(Allowance::new(place, identity))).clone()
    }
}

impl Allowance {
    fn new(place: Lsn, identity: &Identity) -> Self {
        let bucket = |pace| Mutex::new(Bucket::new(pace));
        // A second's worth after a pause.
        let rate = |count| Pace { count, per: Duration::from_secs(1), burst: count };
        let bounded = identity.role != Role::Operator;
        Self {
            name: identity.name.clone(),
            place,
            rate: (identity.rate > 0).then(|| (identity.rate, bucket(rate(identity.rate)))),
            calls: bounded.then(|| Calls {
                all: bucket(IDENTITY_CALLS),
                changes: bucket(IDENTITY_CHANGES),
                revocations: bucket(IDENTITY_REVOCATIONS),
            }),
            streams: Arc::new(Semaphore::new(IDENTITY_STREAMS_MAX)),
            kept: OnceLock::new(),
        }
    }

    /// Whose its frames are, among those that shares are between.
    pub fn source(&self) -> Source {
        Source::Identity(self.place.0)
    }

    /// The record that added the identity.
    pub fn place(&self) -> u64 {
        self.place.0
    }

    /// Keeps what this makes, unless it is kept already.
    pub fn keep(&self, make: impl FnOnce() -> Feed) {
        self.kept.get_or_init(make);
    }

    /// One more call, unless it is one of vouchers that has another bound. From when on it may be
    /// answered: a question about a channel is held, as whoever resumes has thousands of them.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, with when to come again.
    pub fn call(&self, call: Call) -> Result<Instant, Status> {
        let (now, at_once, name) = (Instant::now(), Duration::ZERO, &self.name);
        let held = match (call, call.is_of_vouchers()) {
            (Call::GetChannel | Call::GetReceipt, _) => CALL_HELD_MAX,
            (_, true) => return Ok(now),
            (_, false) => at_once,
        };
        let Some(calls) = &self.calls else { return Ok(now) };
        let at = self.one_more(calls, now, held)?;
        let bucket = match (changes(call), call == Call::RevokeSigner) {
            (true, true) => &calls.revocations,
            (true, false) => &calls.changes,
            (false, _) => return Ok(at),
        };
        take(bucket, now, 1, at_once).map_err(|after| {
            let text = format!(
                "identity {name:?} has changed more than it may in this time ({}), and each change is a \
                 record for ever; come again in {}",
                call.name(),
                seconds(after)
            );
            refused(Limit::Changes, text, after)
        })
    }

    fn one_more(&self, calls: &Calls, now: Instant, patience: Duration) -> Result<Instant, Status> {
        take(&calls.all, now, 1, patience).map_err(|after| {
            let (Pace { count, .. }, name) = (IDENTITY_CALLS, &self.name);
            let text = format!(
                "identity {name:?} makes more than {count} calls a second (questions about channels and frames \
                 without vouchers are some, too); come again in {}",
                seconds(after)
            );
            refused(Limit::Calls, text, after)
        })
    }

    /// A place for one more stream of vouchers, as long as it is kept.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            let name = &self.name;
            let text = format!(
                "identity {name:?} has {IDENTITY_STREAMS_MAX} streams open, and no more are given; end \
                 some, or send more on each"
            );
            refused(Limit::Streams, text, RETRY_SOON)
        })
    }

    /// Waits until a frame of so many vouchers may come in. It counts as brought; one without any
    /// for one voucher, and where there is no rate as a call.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when that is not before `patience` is over: nothing was counted.
    pub async fn brought(&self, vouchers: usize, patience: Duration) -> Result<(), Status> {
        let at = self.bring(vouchers, patience)?;
        if at > Instant::now() {
            tokio::time::sleep_until(at.into()).await;
        }
        Ok(())
    }

    /// From when on it may.
    fn bring(&self, vouchers: usize, patience: Duration) -> Result<Instant, Status> {
        let now = Instant::now();
        let Some((rate, bucket)) = &self.rate else {
            return match &self.calls {
                Some(calls) if vouchers == 0 => self.one_more(calls, now, patience),
                Some(_) | None => Ok(now),
            };
        };
        take(bucket, now, vouchers.max(1), patience).map_err(|after| {
            let name = &self.name;
            let text = format!(
                "identity {name:?} may bring {rate} vouchers a second (--rate), and has brought more; \
                 nothing of this frame was taken: send it again in {}",
                seconds(after)
            );
            refused(Limit::Rate, text, after)
        })
    }
}

fn take(
    bucket: &Mutex<Bucket>,
    now: Instant,
    count: usize,
    patience: Duration,
) -> Result<Instant, Duration> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now, count, patience)
}

/// Whether a call changes something: all but those that read.
fn changes(call: Call) -> bool {
    let reads = ["Get", "List", "Find", "Export", "Reveal", "Watch", "CreateConsoleLogin"];
    !reads.iter().any(|read| call.name().starts_with(read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Credential, Right, Scope};
    use crate::types::Digest;
    use tonic::Code;

    fn identity(role: Role, rate: u32) -> Allowance {
        let identity = Identity {
            name: "some".into(),
            role,
            credential: Credential::Key(Digest([1; 32])),
            scope: Scope::default(),
            expires_at: None,
            rate,
            changed: Lsn(7),
            revoked: None,
            maker: None,
            past: Vec::new(),
        };
        Allowance::new(Lsn(7), &identity)
    }

    /// Two machines made 717 keys a second for one identity, each a record for ever.
    #[test]
    fn who_is_no_operator_makes_so_many_changes_and_no_more() {
        let own = identity(Role::Auditor, 0);
        let changed = |_: &u32| own.call(Call::RotateIdentity).is_ok();
        let first = (0..IDENTITY_CALLS.burst).filter(changed).count();
        assert_eq!(first, usize::try_from(IDENTITY_CALLS.burst).unwrap());
        let refused = (0..2_000).find_map(|_| own.call(Call::RotateIdentity).err());
        let refused = refused.expect("it ends");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
        let desk = identity(Role::Operator, 0);
        assert!((0..5_000).all(|_| desk.call(Call::RotateIdentity).is_ok()), "an operator may");
        assert!((0..5_000).all(|_| own.call(Call::GetHeadroom).is_ok()), "it has its places");
    }

    /// Both were answered as fast as they were asked for, of who had no rate.
    #[test]
    fn questions_about_channels_and_empty_frames_are_held_and_then_refused() {
        let now = Instant::now();
        for call in [Call::GetChannel, Call::GetReceipt] {
            let own = identity(Role::Facilitator, 0);
            let asked: Vec<_> = (0..10_000).map_while(|_| own.call(call).ok()).collect();
            assert!(asked.len() < 10_000 && asked.is_sorted(), "{}", asked.len());
            let last = *asked.last().unwrap();
            assert!(last > now && last <= Instant::now() + CALL_HELD_MAX);
            let refused = own.call(call).unwrap_err();
            assert!(refused.message().contains("100 calls a second"), "{}", refused.message());
            assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
            assert!(own.call(Call::ListParties).is_err(), "the calls are counted together");
            assert!(own.bring(4_096, Duration::ZERO).is_ok(), "and vouchers apart from them");
            let desk = identity(Role::Operator, 0);
            assert!((0..10_000).all(|_| desk.call(call).is_ok_and(|at| at <= Instant::now())));
        }
        let own = identity(Role::Facilitator, 0);
        let burst = usize::try_from(IDENTITY_CALLS.burst).unwrap();
        let empty = (0..10_000).map_while(|_| own.bring(0, Duration::ZERO).ok()).count();
        assert!((burst..10_000).contains(&empty), "{empty}");
        assert!(own.bring(0, CALL_HELD_MAX).unwrap() > now, "on a stream it is held");
        // By the rate of who has one.
        let bounded = identity(Role::Facilitator, 1);
        let empty = (0..10_000).map_while(|_| bounded.bring(0, Duration::ZERO).ok()).count();
        assert!(empty < burst, "{empty}");
    }

    #[test]
    fn every_call_that_an_auditor_may_make_reads_but_for_its_own_key() {
        for call in Call::ALL {
            let reads = call.right(Role::Auditor) != Right::Refused;
            let is_known = matches!(call, Call::RotateIdentity | Call::Stream | Call::Submit);
            assert!(is_known || reads != changes(*call), "{}", call.name());
        }
        assert!(changes(Call::RotateIdentity));
    }

    #[test]
    fn a_rate_is_for_all_streams_together_and_who_has_none_is_not_held() {
        let bounded = identity(Role::Facilitator, 100);
        let now = Instant::now();
        assert!(bounded.bring(1_000, Duration::ZERO).unwrap() <= now + Duration::from_secs(1));
        let refused = bounded.bring(1, Duration::from_secs(5)).unwrap_err();
        assert!(refused.message().contains("100 vouchers a second"), "{}", refused.message());
        assert!(bounded.bring(1, Duration::from_secs(10)).unwrap() > now + Duration::from_secs(5));
        let free = identity(Role::Facilitator, 0);
        assert!((0..100).all(|_| free.bring(4_096, Duration::ZERO).is_ok()));
    }

    #[test]
    fn streams_are_counted_as_long_as_they_are_open() {
        let own = identity(Role::Facilitator, 0);
        let open: Vec<_> = (0..IDENTITY_STREAMS_MAX).map(|_| own.stream().unwrap()).collect();
        assert_eq!(own.stream().unwrap_err().code(), Code::ResourceExhausted);
        drop(open);
        assert!(own.stream().is_ok());
    }
}
