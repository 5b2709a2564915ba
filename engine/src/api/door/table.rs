//! Who is connected: so many places, and who has to go when somebody else comes.
//!
//! Owns the order in which guests lose their places: first who has not spoken yet, then who never
//! sent a whole message, then who was silent for longest. Who was heard a moment ago keeps the
//! place. Where all that one address may have are taken, one of its own goes.

use super::ConnectionId;
use super::origin::{Origin, Origins};
use crate::api::pace::Bucket;
use crate::limits::{
    NARROW, OPEN_CALLS_OWN, PLACE_KEPT, REFUSAL_HELD_MAX, REFUSALS_BORNE, STRANGERS_NOTE_EVERY,
    Share, WIDE, WIDE_CONNECTIONS,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The places, and who has them.
pub(super) struct Table {
    most: usize,
    origins: Origins,
    since: Instant,
    guests: Mutex<Guests>,
    /// Refusals that were told later.
    held: AtomicU64,
}

#[derive(Default)]
struct Guests {
    here: BTreeMap<u64, Arc<Known>>,
    next: u64,
    wide: usize,
    turned_away: u64,
    /// Of these, whose address had all that one may have.
    crowded: u64,
    /// Who was not looked at: too many came from there of late, or too much was refused.
    too_often: u64,
    noted: Option<Instant>,
}

/// What is known of one connection.
struct Known {
    id: u64,
    origin: Origin,
    /// 0: has not spoken; 1: has; 2: has sent a whole message.
    trust: AtomicU8,
    /// When it was last heard or took an answer, in milliseconds of the table's time.
    heard: AtomicU64,
    calls: AtomicUsize,
    leave: Notify,
    /// Calls that were refused; and whether it is to be told to go because of them.
    refused: AtomicUsize,
    is_told: AtomicBool,
    told: Notify,
    /// Calls that anybody may make: its own, whatever others of its address ask.
    open_calls: Mutex<Bucket>,
    wide: bool,
}

const SPOKE: u8 = 1;
const SENT: u8 = 2;

/// One connection's place, until the last clone is dropped.
#[derive(Clone)]
pub(super) struct Guest(Arc<Seat>);

struct Seat {
    known: Arc<Known>,
    table: Arc<Table>,
}

/// A call that is open, until it is dropped.
pub(super) struct OpenCall(Guest);

impl Table {
    pub fn new(most: usize, origins: Origins) -> Self {
        Self {
            most,
            origins,
            since: Instant::now(),
            guests: Mutex::default(),
            held: AtomicU64::new(0),
        }
    }

    /// A place for somebody new who comes from there, if there is one or somebody can go.
    pub fn admit(self: &Arc<Self>, from: IpAddr) -> Option<Guest> {
        let (now, origin) = (self.now(), Origin::of(from));
        let lets_come = self.origins.lets_come(origin, Instant::now());
        let mut guests = self.guests();
        if !lets_come {
            guests.too_often += 1;
            guests.note(
                self.most,
                "from one address too many connections come, or too many calls are refused",
            );
            return None;
        }
        let own = guests.here.values().filter(|known| known.origin == origin).count();
        let is_crowded = own >= self.origins.connections(origin, self.most);
        if is_crowded || guests.here.len() >= self.most {
            let Some(goes) = guests.goes(now, is_crowded.then_some(origin)) else {
                guests.turned_away += 1;
                guests.crowded += u64::from(is_crowded);
                guests.note(self.most, why_full(is_crowded));
                return None;
            };
            // The place is the new one's at once; the task of the old one ends by itself.
            guests.remove(goes);
        }
        let id = guests.next;
        guests.next += 1;
        let wide = guests.wide < WIDE_CONNECTIONS;
        guests.wide += usize::from(wide);
        let known = Arc::new(Known {
            id,
            origin,
            trust: AtomicU8::new(0),
            heard: AtomicU64::new(now),
            calls: AtomicUsize::new(0),
            leave: Notify::new(),
            refused: AtomicUsize::new(0),
            is_told: AtomicBool::new(false),
            told: Notify::new(),
            open_calls: Mutex::new(Bucket::new(OPEN_CALLS_OWN)),
            wide,
        });
        guests.here.insert(id, known.clone());
        Some(Guest(Arc::new(Seat { known, table: self.clone() })))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Who has to go next, of all or of one origin.
    fn goes(&self, now: u64, of: Option<Origin>) -> Option<u64> {
        let order = |known: &&Arc<Known>| {
            (known.trust.load(Ordering::Relaxed), known.heard.load(Ordering::Relaxed), known.id)
        };
        let all = self.here.values().filter(|known| of.is_none_or(|of| known.origin == of));
        let last = all.min_by_key(order)?;
        let (trust, heard, id) = order(&last);
        let silent = Duration::from_millis(now.saturating_sub(heard));
        (trust < SENT || silent >= PLACE_KEPT).then_some(id)
    }

    fn remove(&mut self, id: u64) {
        if let Some(known) = self.here.remove(&id) {
            self.wide -= usize::from(known.wide);
            known.leave.notify_one();
        }
    }

    fn note(&mut self, most: usize, why: &str) {
        if self.noted.is_none_or(|at| at.elapsed() >= STRANGERS_NOTE_EVERY) {
            self.noted = Some(Instant::now());
            let Self { turned_away, too_often, .. } = self;
            tracing::warn!(most, turned_away, too_often, "{why}");
        }
    }
}

fn why_full(is_crowded: bool) -> &'static str {
    match is_crowded {
        true => "busy clients of one address have all connections that one may have",
        false => "all places for connections are taken by busy clients",
    }
}

impl Guest {
    pub fn id(&self) -> ConnectionId {
        ConnectionId(self.0.known.id)
    }

    /// How much it may have under way.
    pub fn share(&self) -> Share {
        if self.0.known.wide { WIDE } else { NARROW }
    }

    /// It speaks the protocol.
    pub fn spoke(&self) {
        self.0.known.trust.fetch_max(SPOKE, Ordering::Relaxed);
    }

    /// It has sent a whole message.
    pub fn sent(&self) {
        self.0.known.trust.fetch_max(SENT, Ordering::Relaxed);
        self.stir();
    }

    /// It has done something.
    pub fn stir(&self) {
        self.0.known.heard.store(self.0.table.now(), Ordering::Relaxed);
    }

    pub fn begin_call(&self) -> OpenCall {
        self.0.known.calls.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    pub fn calls(&self) -> usize {
        self.0.known.calls.load(Ordering::Relaxed)
    }

    /// A call of its is refused, at a cost of so many: comes when that may be told. Who goes on and
    /// on is told to go.
    pub async fn refused(&self, count: usize, mut stopping: watch::Receiver<bool>) {
        let (Seat { known, table }, now) = (&*self.0, Instant::now());
        let before = known.refused.fetch_add(1, Ordering::Relaxed);
        let at = table.origins.refused(known.origin, now, count);
        if at <= now {
            return;
        }
        table.held.fetch_add(1, Ordering::Relaxed);
        if before >= REFUSALS_BORNE {
            known.is_told.store(true, Ordering::Relaxed);
            known.told.notify_one();
        }
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// Counts a call of its that anybody may make.
    ///
    /// # Errors
    /// How long it takes until one more is answered.
    pub fn open_call(&self) -> Result<(), Duration> {
        let (Seat { known, table }, now) = (&*self.0, Instant::now());
        let mut own = known.open_calls.lock().unwrap_or_else(PoisonError::into_inner);
        if own.take(now, 1, Duration::ZERO).is_ok() {
            return Ok(());
        }
        table.origins.open_calls(known.origin, now, 1, Duration::ZERO).map(drop)
    }

    /// From when on so many messages may be read of a call that anybody may make.
    ///
    /// # Errors
    /// How long it would take, where that is longer than anybody is held.
    pub fn open_messages(&self, count: usize) -> Result<Instant, Duration> {
        let (Seat { known, table }, now) = (&*self.0, Instant::now());
        table.origins.open_calls(known.origin, now, count, REFUSAL_HELD_MAX)
    }

    /// Whether it is to be told to go.
    pub fn is_told_to_go(&self) -> bool {
        self.0.known.is_told.load(Ordering::Relaxed)
    }

    /// Comes when that begins.
    pub async fn told_to_go(&self) {
        self.0.known.told.notified().await;
    }

    /// Comes when its place was given to another one.
    pub async fn must_leave(&self) {
        self.0.known.leave.notified().await;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.known.calls.fetch_sub(1, Ordering::Relaxed);
        self.0.stir();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.guests().remove(self.known.id);
    }
}

/// Who is here and who was not let in. Cheap to clone.
#[derive(Clone)]
pub struct Visits(Arc<Table>);

impl Visits {
    pub(super) fn of(table: Arc<Table>) -> Self {
        Self(table)
    }

    /// Connections now.
    #[must_use]
    pub fn here(&self) -> usize {
        self.0.guests().here.len()
    }

    /// Connections that were not let in since the start: all places were taken, by busy clients, or
    /// all that one address may have.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.0.guests().turned_away
    }

    /// Of these, those whose address had all that one may have.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.0.guests().crowded
    }

    /// Connections that were closed at once since the start, because their address opened too many,
    /// or had too much refused.
    #[must_use]
    pub fn too_often(&self) -> u64 {
        self.0.guests().too_often
    }

    /// Refusals that were told later since the start.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn table_of(most: usize) -> Table {
        Table::new(most, Origins::new(None))
    }

    #[test]
    fn one_address_takes_so_many_places_and_the_others_find_theirs() {
        let table = Arc::new(table_of(32));
        let (far, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let busy: Vec<Guest> = (0..4).map(|_| table.admit(far).unwrap()).collect();
        busy.iter().for_each(Guest::sent);
        assert!(table.admit(far).is_none(), "an eighth of all, and all four are busy");
        let visits = Visits::of(table.clone());
        assert_eq!((visits.turned_away(), visits.crowded()), (1, 1));
        let silent: Vec<Guest> = (0..4).map(|_| table.admit(other).unwrap()).collect();
        let fifth = table.admit(other).expect("one of its own, who has not spoken, goes");
        assert_eq!(ids(&table), [0, 1, 2, 3, 5, 6, 7, 8]);
        let local: Vec<Guest> = (0..24).map(|_| table.admit(HERE).unwrap()).collect();
        assert_eq!(ids(&table).len(), 32, "this machine takes all that are left");
        drop((silent, fifth, local));
    }

    /// A monitor that asks every second must not be told to come later because others of its
    /// address, as behind a proxy, ask a thousand times.
    #[test]
    fn who_asks_now_and_then_is_answered_whatever_others_of_its_address_ask() {
        let table = Arc::new(table_of(4));
        let (greedy, monitor) = (table.admit(HERE).unwrap(), table.admit(HERE).unwrap());
        let told = (0..100_000).find_map(|_| greedy.open_call().err());
        assert!(told.expect("it ends") > Duration::ZERO);
        for _ in 0..=OPEN_CALLS_OWN.burst {
            assert_eq!(monitor.open_call(), Ok(()));
        }
    }

    fn ids(table: &Arc<Table>) -> Vec<u64> {
        table.guests().here.keys().copied().collect()
    }

    /// The table as it will look when its guests have been silent for that long.
    fn later(table: Table, by: Duration) -> Arc<Table> {
        let since = table.since.checked_sub(by).unwrap();
        Arc::new(Table { since, ..table })
    }

    #[test]
    fn who_comes_gets_the_place_of_who_has_not_spoken_then_of_who_sent_nothing() {
        let table = Arc::new(table_of(3));
        let guests: Vec<Guest> = (0..3).map(|_| table.admit(HERE).unwrap()).collect();
        guests[0].sent();
        guests[1].spoke();
        let fourth = table.admit(HERE).unwrap();
        assert_eq!(ids(&table), [0, 1, 3], "2 had not spoken");
        fourth.sent();
        let fifth = table.admit(HERE).unwrap();
        assert_eq!(ids(&table), [0, 3, 4], "1 had sent nothing");
        fifth.sent();
        assert!(table.admit(HERE).is_none(), "all three were heard just now");
        assert_eq!(table.guests().turned_away, 1);
    }

    #[test]
    fn a_busy_client_keeps_its_place_and_a_silent_one_loses_it() {
        let table = later(table_of(2), PLACE_KEPT);
        let (busy, silent) = (table.admit(HERE).unwrap(), table.admit(HERE).unwrap());
        for guest in [&busy, &silent] {
            guest.sent();
        }
        silent.0.known.heard.store(0, Ordering::Relaxed);
        assert!(table.admit(HERE).is_some());
        assert_eq!(ids(&table), [0], "the new one was dropped, and the silent one had to go");
    }

    #[test]
    fn a_place_is_free_when_its_guest_is_gone_and_counted_once() {
        let table = Arc::new(table_of(WIDE_CONNECTIONS + 1));
        let guests: Vec<Guest> =
            (0..=WIDE_CONNECTIONS).map(|_| table.admit(HERE).unwrap()).collect();
        assert_eq!(guests[WIDE_CONNECTIONS].share(), NARROW);
        assert!(guests[..WIDE_CONNECTIONS].iter().all(|guest| guest.share() == WIDE));
        // One has to go, and goes later: its place and its share are free once, not twice.
        let new = table.admit(HERE).unwrap();
        assert_eq!(new.share(), WIDE);
        drop(guests);
        assert_eq!((ids(&table).len(), table.guests().wide), (1, 1));
        drop(new);
        assert_eq!((ids(&table).len(), table.guests().wide), (0, 0));
    }
}
