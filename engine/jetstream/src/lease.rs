//! The lease: who owns the stream, as far as it still says so. It is refreshed every second, and
//! whoever stands by judges by his own clock how long it has stood still. It gives liveness alone:
//! who owns the stream is decided by the claims in it.

use super::bucket::Held;
use super::error::StreamError;
use super::limits::{LEASE, LEASE_OWN, LEASE_SEEN};
use super::link::Link;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

const KEY: &str = "lease";

/// A node, as the others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// What people call it.
    pub name: String,
    /// Its directory's own number: two processes with one cannot run at once.
    pub id: String,
    /// Where clients reach it, as `HOST:PORT`.
    pub advertise: Option<String>,
}

impl Who {
    /// Whether it is the same node; wherever it is reached.
    fn is(&self, other: &Self) -> bool {
        (&self.id, &self.name) == (&other.id, &other.name)
    }
}

/// What the lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub who: Who,
    /// The epoch in which it opened the stream; 0: it is about to claim it.
    pub epoch: u64,
    /// It has come to serve: its start was no vain one.
    pub serves: bool,
    /// It owns the stream no more, and lets the next one have it at once.
    pub free: bool,
    /// Who is to be the next one.
    pub to: Option<String>,
}

impl Lease {
    fn bytes(&self) -> Vec<u8> {
        let Self { who: Who { name, id, advertise }, epoch, serves, free, to } = self;
        let of = json!({
            "node": name, "id": id, "advertise": advertise, "epoch": epoch, "serves": serves,
            "free": free, "to": to,
        });
        of.to_string().into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let of: Value = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| of[name].as_str().map(str::to_owned);
        let who = Who { name: text("node")?, id: text("id")?, advertise: text("advertise") };
        let (epoch, free) = (of["epoch"].as_u64()?, of["free"].as_bool()?);
        let serves = of["serves"].as_bool().unwrap_or(false);
        Some(Self { who, epoch, serves, free, to: text("to") })
    }
}

/// The lease as somebody sees it who stands by.
#[derive(Debug, Clone)]
struct Watched {
    revision: u64,
    lease: Option<Lease>,
    /// When it was seen to move last.
    moved: Instant,
    /// Since when whoever was asked has answered, each time.
    seen: Option<Instant>,
}

impl Watched {
    fn new(now: Instant) -> Self {
        Self { revision: 0, lease: None, moved: now, seen: None }
    }

    fn saw(&mut self, held: Option<(u64, Option<Lease>)>, now: Instant) {
        self.seen.get_or_insert(now);
        let (revision, lease) = held.unwrap_or((0, None));
        // An answer of one that is behind is no move.
        if revision > self.revision {
            (self.revision, self.lease, self.moved) = (revision, lease, now);
        }
    }

    fn failed(&mut self) {
        self.seen = None;
    }

    /// Whether a node may try to claim the stream.
    fn may_claim(&self, own: &Who, now: Instant) -> bool {
        let Some(seen) = self.seen else { return false };
        if self.revision == 0 {
            return true;
        }
        let still =
            now.duration_since(self.moved) >= LEASE && now.duration_since(seen) >= LEASE_SEEN;
        match &self.lease {
            // It has served, and nobody refreshes it: one that does is a copy of its directory. A
            // start that came to nothing waits as all others do.
            Some(of) if of.who.is(own) && of.serves && !of.free => {
                now.duration_since(self.moved) >= LEASE_OWN
            }
            Some(of) if of.free => of.to.as_ref().is_none_or(|to| *to == own.name) || still,
            Some(_) | None => still,
        }
    }
}

/// Somebody who stands by, and may become the owner.
pub struct Candidate {
    link: Arc<Link>,
    who: Who,
    watched: Watched,
}

impl Candidate {
    /// Begins to look at the lease.
    #[must_use]
    pub fn new(link: Arc<Link>, who: Who) -> Self {
        Self { link, who, watched: Watched::new(Instant::now()) }
    }

    /// Who it is.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Looks at the lease. Whether it may be claimed now.
    pub fn look(&mut self) -> bool {
        match self.link.entry(KEY) {
            Ok(held) => {
                let read = |held: Held| (held.revision, Lease::read(&held.value));
                self.watched.saw(held.map(read), Instant::now());
            }
            Err(_) => self.watched.failed(),
        }
        self.watched.may_claim(&self.who, Instant::now())
    }

    /// Who owns the stream, as far as the lease says; itself is nobody.
    #[must_use]
    pub fn owner(&self) -> Option<&Lease> {
        self.watched.lease.as_ref().filter(|of| !of.who.is(&self.who))
    }

    /// Takes the lease as it was seen: of those who try, one alone. Whether it is this one; then it
    /// claims the stream.
    ///
    /// # Errors
    /// `Request`: it is not known; looking tells.
    pub fn take(&mut self) -> Result<bool, StreamError> {
        let lease = self.lease();
        let taken = self.link.put_entry(KEY, &lease.bytes(), Some(self.watched.revision))?;
        if let Some(revision) = taken {
            self.watched.saw(Some((revision, Some(lease))), Instant::now());
        }
        Ok(taken.is_some())
    }

    fn lease(&self) -> Lease {
        Lease { who: self.who.clone(), epoch: 0, serves: false, free: false, to: None }
    }

    /// Whether there never was a lease, as far as it was seen.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.watched.revision == 0
    }

    /// Its lease, once it has taken it: it is held while the stream is claimed, too.
    #[must_use]
    pub fn holds(self) -> Holder {
        let lease = self.lease();
        Holder { link: self.link, lease, watched: self.watched }
    }
}

/// The owner, who says again and again that it lives.
pub struct Holder {
    link: Arc<Link>,
    lease: Lease,
    watched: Watched,
}

impl Holder {
    /// Refreshes the lease; whether that is certain. Where another one took it and owns nothing
    /// yet, it only looks; and takes it back when nothing came of that.
    ///
    /// # Errors
    /// `Fenced` when another one owns the stream since.
    pub fn refresh(&mut self) -> Result<bool, StreamError> {
        let own = &self.lease.who;
        let is_own = self.watched.lease.as_ref().is_some_and(|of| of.who.is(own));
        if is_own || self.watched.may_claim(own, Instant::now()) {
            let put = self.link.put_entry(KEY, &self.lease.bytes(), Some(self.watched.revision));
            if let Ok(Some(revision)) = put {
                self.watched.saw(Some((revision, Some(self.lease.clone()))), Instant::now());
                return Ok(true);
            }
        }
        // What was put may be there, or another one's: looking tells.
        match self.link.entry(KEY) {
            Ok(held) => {
                let read = |held: Held| (held.revision, Lease::read(&held.value));
                self.watched.saw(held.map(read), Instant::now());
            }
            Err(_) => self.watched.failed(),
        }
        match &self.watched.lease {
            // Before it has claimed the stream it is nobody's rival: the claims decide.
            Some(Lease { who, epoch, .. }) if self.lease.epoch > 0 && *epoch > self.lease.epoch => {
                let (own, by) = (self.lease.epoch, who.name.clone());
                Err(StreamError::Fenced { own, found: *epoch, by })
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Who it is.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.lease.who
    }

    /// What is told from here on: its epoch, whether it serves, and where clients reach it.
    pub fn tells(&mut self, epoch: u64, serves: bool, advertise: Option<String>) {
        (self.lease.epoch, self.lease.serves, self.lease.who.advertise) =
            (epoch, serves, advertise);
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.lease.epoch
    }

    /// Lets the next one have it at once.
    ///
    /// # Errors
    /// `Request`: then the others find out by themselves.
    pub fn let_go(mut self, to: Option<String>) -> Result<(), StreamError> {
        (self.lease.free, self.lease.to) = (true, to);
        let put = self.link.put_entry(KEY, &self.lease.bytes(), Some(self.watched.revision))?;
        if put.is_none() {
            tracing::warn!("the lease of the journal's stream is another node's already");
        }
        Ok(())
    }
}

/// The lease as it stands, for whoever only looks, and for how long it has stood.
///
/// # Errors
/// `Request` when nobody says.
pub fn lease(link: &Link) -> Result<Option<(Lease, std::time::Duration)>, StreamError> {
    let held = link.entry(KEY)?;
    Ok(held.and_then(|held| Some((Lease::read(&held.value)?, held.age))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn who(name: &str) -> Who {
        Who { name: name.into(), id: format!("id of {name}"), advertise: Some("h:1".into()) }
    }

    fn lease(name: &str, free: bool, to: Option<&str>) -> Option<Lease> {
        Some(Lease { who: who(name), epoch: 7, serves: true, free, to: to.map(str::to_owned) })
    }

    #[test]
    fn what_is_written_is_read() {
        let of = lease("a", true, Some("b")).unwrap();
        assert_eq!(Lease::read(&of.bytes()), Some(of));
        assert_eq!(Lease::read(b"{}"), None);
    }

    #[test]
    fn another_ones_lease_is_claimed_once_it_has_stood_still_and_somebody_said_so() {
        let (start, own) = (Instant::now(), who("b"));
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut seen = Watched::new(start);
        assert!(!seen.may_claim(&own, at(60_000)), "nobody has said anything");
        seen.saw(Some((3, lease("a", false, None))), start);
        assert!(!seen.may_claim(&own, at(4_900)));
        seen.saw(Some((2, lease("a", false, None))), at(4_950));
        assert!(seen.may_claim(&own, at(5_000)), "an older answer is no move");
        seen.saw(Some((4, lease("a", false, None))), at(5_000));
        assert!(!seen.may_claim(&own, at(9_900)));
        // Nobody leads the bucket: the owner could not have refreshed it either.
        seen.failed();
        assert!(!seen.may_claim(&own, at(20_000)));
        seen.saw(Some((4, lease("a", false, None))), at(20_000));
        assert!(!seen.may_claim(&own, at(22_400)));
        assert!(seen.may_claim(&own, at(22_500)));
    }

    #[test]
    fn no_lease_and_one_that_is_free_are_claimed_at_once() {
        let (now, own) = (Instant::now(), who("b"));
        let may = |of: Option<Lease>| {
            let mut seen = Watched::new(now);
            seen.saw(of.map(|of| (3, Some(of))), now);
            seen.may_claim(&own, now)
        };
        assert!(may(None));
        assert!(may(lease("a", true, None)) && may(lease("a", true, Some("b"))));
        assert!(!may(lease("a", true, Some("c"))) && !may(lease("a", false, None)));
        // What this directory has let go to another one is not its own.
        assert!(!may(lease("b", true, Some("c"))));
    }

    #[test]
    fn ones_own_lease_is_claimed_once_nobody_refreshes_it_and_only_if_it_has_served() {
        let (start, own) = (Instant::now(), who("b"));
        let at = |millis: u64| start + Duration::from_millis(millis);
        let seen = |of: Option<Lease>| {
            let mut seen = Watched::new(start);
            seen.saw(Some((3, of)), start);
            seen
        };
        let mut served = seen(lease("b", false, None));
        assert!(!served.may_claim(&own, at(1_400)) && served.may_claim(&own, at(1_500)));
        // Another process with a copy of this directory.
        served.saw(Some((4, lease("b", false, None))), at(1_400));
        assert!(!served.may_claim(&own, at(2_800)));
        let vain = seen(Some(Lease { serves: false, ..lease("b", false, None).unwrap() }));
        assert!(!vain.may_claim(&own, at(4_900)) && vain.may_claim(&own, at(5_000)));
    }
}
