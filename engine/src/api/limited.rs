//! What is refused because there is no more of it, or somebody has had their share: said with when
//! to come again, and counted.
//!
//! Owns the form of that answer: `RESOURCE_EXHAUSTED` with the detail `google.rpc.RetryInfo`, and
//! `grpc-retry-pushback-ms`, which gRPC libraries heed by themselves. A `RESOURCE_EXHAUSTED`
//! without them does not end by waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Vouchers a second of an identity.
    Rate,
    /// Streams at once of an identity.
    Streams,
    /// Calls a second of an identity.
    Calls,
    /// Changes an hour of an identity.
    Changes,
    /// Lists, exports and the like at once.
    Places,
    /// Calls that anybody may make, of an address.
    Open,
    /// Vouchers under way, or questions, over all.
    Full,
    /// The disk is nearly full.
    Disk,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Rate,
        Self::Streams,
        Self::Calls,
        Self::Changes,
        Self::Places,
        Self::Open,
        Self::Full,
        Self::Disk,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Streams => "streams",
            Self::Calls => "calls",
            Self::Changes => "changes",
            Self::Places => "places",
            Self::Open => "open",
            Self::Full => "full",
            Self::Disk => "disk",
        }
    }
}

static REFUSED: [AtomicU64; Limit::ALL.len()] = [const { AtomicU64::new(0) }; Limit::ALL.len()];

/// How often each limit has refused something since the start of the process.
pub(super) fn counts() -> impl Iterator<Item = (&'static str, u64)> {
    Limit::ALL.iter().map(|limit| (limit.name(), REFUSED[*limit as usize].load(Ordering::Relaxed)))
}

/// The answer to what goes beyond this limit; and that it is worth coming again after so long.
pub(super) fn refused(limit: Limit, text: impl Into<String>, after: Duration) -> Status {
    REFUSED[limit as usize].fetch_add(1, Ordering::Relaxed);
    // Never at once, and in whole milliseconds that are enough.
    let millis = after.as_nanos().div_ceil(1_000_000).clamp(1, i32::MAX.unsigned_abs().into());
    let millis = u32::try_from(millis).expect("it was bounded");
    let mut metadata = MetadataMap::new();
    metadata.insert("grpc-retry-pushback-ms", MetadataValue::from(millis));
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(millis.into())));
    Status::with_error_details_and_metadata(Code::ResourceExhausted, text, details, metadata)
}

/// When to come again, as an answer of `refused` says it.
pub(super) fn after(status: &Status) -> Duration {
    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
    told.unwrap_or(Duration::ZERO)
}

/// How long it is, in words of whole seconds.
pub(super) fn seconds(after: Duration) -> String {
    match after.as_nanos().div_ceil(1_000_000_000).max(1) {
        1 => "1 second".to_owned(),
        more => format!("{more} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reads_when_to_come_again_in_either_way() {
        let status = refused(Limit::Places, "none is free", Duration::from_micros(1_500_001));
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "none is free"));
        assert_eq!(after(&status), Duration::from_millis(1_501));
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1501");
        let at_once = refused(Limit::Places, "", Duration::ZERO);
        assert_eq!(at_once.metadata().get("grpc-retry-pushback-ms").unwrap(), "1");
        let never = refused(Limit::Places, "", Duration::MAX);
        assert_eq!(never.metadata().get("grpc-retry-pushback-ms").unwrap(), "2147483647");
        let places = counts().find(|(name, _)| *name == "places").unwrap();
        assert!(places.1 >= 3, "each is counted");
    }

    #[test]
    fn every_limit_has_a_place_of_its_own() {
        for (place, limit) in (0..).zip(Limit::ALL) {
            assert_eq!(limit as usize, place);
        }
        assert_eq!((seconds(Duration::ZERO).as_str()), "1 second");
        assert_eq!(seconds(Duration::from_millis(1_001)), "2 seconds");
    }
}
