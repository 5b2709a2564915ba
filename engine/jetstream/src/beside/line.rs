//! One stream beside the journal's: who writes, append after append, and reading it. The fence is
//! the number of the last message, and one append in flight: a successor's cut is appended whatever
//! comes before, and from then on nothing of its predecessor follows.

use super::super::error::StreamError;
use super::super::fold::Void;
use super::super::limits::{BEHIND_WAIT, HOLE_WAIT, LOST_WAIT, START_WAIT};
use super::super::link::{Link, Sent};
use super::super::owner::void;
use super::super::trying::Trying;
use super::change::{self, Kind, Message, seal};
use super::wire::{Found, Sending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// No stream ever ends there: the servers read such a number with a sign.
const NOWHERE: u64 = i64::MAX as u64;

/// A stream, and where this node stands in it.
pub(super) struct Line {
    pub link: Arc<Link>,
    pub stream: String,
    /// How its subjects begin.
    pub begin: String,
    /// No message between others goes before its time: one that is missing is a hole.
    whole: bool,
    place: Mutex<Place>,
}

/// How far a node has read a stream, and what it knows by then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Place {
    /// The last message that is in the local tables.
    pub at: u64,
    /// The highest epoch that cut it.
    pub epoch: u64,
    /// The owner has put there what it had before there was such a stream.
    pub filled: bool,
    /// Nothing was ever read of it before.
    pub fresh: bool,
    /// The epoch in which this node writes.
    own: Option<u64>,
    /// Who has cut it since, by its epoch.
    fenced: Option<u64>,
    /// Something failed for good: nothing follows.
    pub ended: bool,
    /// Appends since the place was noted.
    pub unnoted: u32,
}

/// What has come.
pub(super) enum Came<'a> {
    /// What came before went by its age, some of it unread: what is known of it is forgotten.
    Anew,
    /// A message that counts.
    Message { subject: &'a str, message: Message<'a> },
}

/// Takes what has come.
pub(super) type Take<'a> = dyn FnMut(Came<'_>) -> Result<(), StreamError> + 'a;

impl Place {
    /// Before the first message.
    pub fn start() -> Self {
        Self { fresh: true, ..Self::default() }
    }

    /// Its bytes in the data directory.
    pub fn bytes(&self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16] = self.filled.into();
        bytes
    }

    /// Reads them; `None` where they are none.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let ([at, epoch], [filled @ (0 | 1)]) = bytes.as_chunks::<8>() else { return None };
        let (at, epoch) = (u64::from_le_bytes(*at), u64::from_le_bytes(*epoch));
        Some(Self { at, epoch, filled: *filled == 1, ..Self::default() })
    }
}

impl Line {
    pub fn new(link: Arc<Link>, stream: String, begin: String, whole: bool, place: Place) -> Self {
        Self { link, stream, begin, whole, place: Mutex::new(place) }
    }

    pub fn place(&self) -> MutexGuard<'_, Place> {
        // It speaks of what is durable: whole whenever the lock is free.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subject of cuts.
    pub fn cuts(&self) -> String {
        format!("{}cut", self.begin)
    }

    /// The subject that says that the owner has put there what it had.
    pub fn filled(&self) -> String {
        format!("{}filled", self.begin)
    }

    /// Bytes of the largest body.
    pub fn body_bytes_max(&self) -> usize {
        self.link.message_bytes_max() - change::HEAD
    }

    /// Its first and last message as the servers say; `None` where there is no such stream.
    pub fn range(&self) -> Result<Option<(u64, u64)>, StreamError> {
        let info = self.link.info_of(&self.stream)?;
        Ok(info.map(|info| (info.state.first_sequence, info.state.last_sequence)))
    }

    /// The same, asked once.
    pub fn try_range(&self) -> Result<Option<(u64, u64)>, StreamError> {
        let info = self.link.try_info_of(&self.stream)?;
        Ok(info.map(|info| (info.state.first_sequence, info.state.last_sequence)))
    }

    /// Whether the servers take anything from this node, where there is such a stream: what is sent
    /// fits nowhere, and is refused by who may say so.
    ///
    /// # Errors
    /// `Request`: nobody answers; a user without the right is not answered.
    pub fn check_may_append(&self) -> Result<(), StreamError> {
        if self.range()?.is_none() {
            return Ok(());
        }
        let (subject, deadline) = (self.cuts(), Instant::now() + START_WAIT);
        let nothing = seal(Kind::Cut, 0, &subject, &[]);
        loop {
            match self.link.append(&subject, nothing.clone(), Some(NOWHERE)) {
                Sent::Moved { .. } | Sent::At { .. } => return Ok(()),
                Sent::Unknown { why, .. } if Instant::now() > deadline => {
                    let what = format!(
                        "nothing can be appended to stream {} (subjects {}>); has this node's user the right to, and \
                         is there a quorum of servers?",
                        self.stream, self.begin
                    );
                    return Err(StreamError::Request { what, why });
                }
                Sent::Unknown { silent, .. } => self.link.pause(silent),
            }
        }
    }

    /// Reads on up to message `to`, and what is there behind it of the same answer.
    pub fn read_to(
        &self,
        place: &mut Place,
        to: u64,
        take: &mut Take<'_>,
    ) -> Result<(), StreamError> {
        let mut missing: Option<Instant> = None;
        while place.at < to {
            let why = match self.link.next(&self.stream, place.at + 1) {
                Ok(found) => {
                    let before = place.at;
                    let whole = found.iter().try_for_each(|of| self.came(place, of, take));
                    match whole {
                        Err(StreamError::Missing { .. }) | Ok(()) => {}
                        Err(error) => return Err(error),
                    }
                    if place.at > before {
                        missing = None;
                        continue;
                    }
                    None
                }
                Err(why) => Some(why),
            };
            // A replica may be behind, or miss one: another may answer the next time.
            let since = missing.get_or_insert_with(Instant::now);
            if since.elapsed() > HOLE_WAIT {
                let (stream, seq) = (self.stream.clone(), place.at + 1);
                return Err(match why {
                    Some(why) => {
                        StreamError::NoAnswer { seq, why: format!("stream {stream}: {why}") }
                    }
                    None => StreamError::Missing { stream, seq },
                });
            }
            if self.whole
                && let Some((first, _)) = self.try_range()?
                && first > place.at + 1
            {
                take(Came::Anew)?;
                place.at = first - 1;
                continue;
            }
            self.link.pause(why.is_some());
        }
        Ok(())
    }

    /// Takes one that was found behind the place.
    fn came(
        &self,
        place: &mut Place,
        found: &Found,
        take: &mut Take<'_>,
    ) -> Result<(), StreamError> {
        let Found { seq, subject, payload: _ } = found;
        if self.whole && *seq != place.at + 1 {
            return Err(StreamError::Missing { stream: self.stream.clone(), seq: place.at + 1 });
        }
        let message = self.read(found)?;
        if message.epoch < place.epoch {
            // A cut that comes late is no harm; of anything else the servers take none.
            if message.kind != Kind::Cut {
                void(&self.link, *seq, Void::Late { epoch: message.epoch });
            }
        } else {
            place.epoch = message.epoch;
            place.filled |= *subject == self.filled();
            take(Came::Message { subject, message })?;
        }
        place.at = *seq;
        Ok(())
    }

    pub fn read<'a>(&self, found: &'a Found) -> Result<Message<'a>, StreamError> {
        change::read(&found.subject, &found.payload).map_err(|why| StreamError::Unusable {
            stream: self.stream.clone(),
            seq: found.seq,
            why,
        })
    }

    /// Cuts off who wrote before, reads what it has written, and writes from then on.
    ///
    /// # Errors
    /// `Fenced` where another one has cut it since, and those of reading.
    pub fn take(
        &self,
        place: &mut Place,
        epoch: u64,
        by: &str,
        take: &mut Take<'_>,
    ) -> Result<(), StreamError> {
        let (subject, mut trying) = (self.cuts(), Trying::new(&*self.link));
        let cut = seal(Kind::Cut, epoch, &subject, by.as_bytes());
        let seq = loop {
            // One that lands twice, or late, cuts nobody off but who wrote before.
            match self.link.append(&subject, cut.clone(), None) {
                Sent::At { seq, duplicate: false } => break seq,
                Sent::At { seq, duplicate } => {
                    return Err(StreamError::Strange { got: seq, expected: seq, duplicate });
                }
                Sent::Moved { .. } => {}
                Sent::Unknown { why, silent } => trying.wait(&*self.link, &why, silent)?,
            }
        };
        self.link.vitals.wait(0);
        if seq <= place.at {
            return Err(self.lost(seq, place.at));
        }
        self.read_to(place, seq, take)?;
        if place.epoch != epoch {
            return Err(self.fenced(epoch, place.epoch, "another engine"));
        }
        place.own = Some(epoch);
        Ok(())
    }

    /// The epoch in which this node writes.
    ///
    /// # Errors
    /// `StandsBy`; `Fenced` or `HasFailed`, for ever.
    pub fn own(&self, place: &Place) -> Result<u64, StreamError> {
        if let (Some(own), Some(found)) = (place.own, place.fenced) {
            return Err(self.fenced(own, found, "another engine"));
        }
        if place.ended {
            return Err(StreamError::HasFailed { stream: self.stream.clone() });
        }
        place.own.ok_or(StreamError::StandsBy)
    }

    /// Appends messages together, and returns when they are durable.
    ///
    /// # Errors
    /// `Fenced`, `Outage` and others: then none is appended any more.
    pub fn append(&self, place: &mut Place, messages: &[Sending]) -> Result<(), StreamError> {
        let own = self.own(place)?;
        let appended = self.try_append(place, own, messages);
        if let Err(StreamError::Fenced { found, .. }) = appended {
            place.fenced = Some(found);
        }
        place.unnoted += 1;
        appended
    }

    fn try_append(
        &self,
        place: &mut Place,
        own: u64,
        messages: &[Sending],
    ) -> Result<(), StreamError> {
        let (mut trying, mut short) = (Trying::new(&*self.link), None);
        let last_of = |place: &Place| place.at + messages.len() as u64;
        let largest = messages.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(0);
        loop {
            self.link.check_takes(largest)?;
            // The same again after an answer that did not come: of all that expect one place, one
            // is taken at most.
            let why = match self.link.send(messages, place.at) {
                Sent::At { seq, duplicate } => {
                    let expected = last_of(place);
                    if seq != expected || duplicate {
                        return Err(StreamError::Strange { got: seq, expected, duplicate });
                    }
                    place.at = expected;
                    break;
                }
                Sent::Moved { last } if last > place.at => {
                    let before = place.at;
                    if self.landed(place, own, &messages[0])? {
                        place.at = last_of(place);
                        break;
                    }
                    if place.at > before {
                        continue;
                    }
                    ("a message is proposed, and no quorum has it".into(), false)
                }
                Sent::Moved { last } => {
                    let since = *short.get_or_insert_with(Instant::now);
                    if last < place.at && since.elapsed() > LOST_WAIT {
                        return Err(self.lost(last, place.at));
                    }
                    ("the stream seems to end before what was acked".into(), true)
                }
                Sent::Unknown { why, silent } => (why, silent),
            };
            trying.wait(&*self.link, &why.0, why.1)?;
        }
        self.link.vitals.wait(0);
        Ok(())
    }

    /// Whether one's own message has the next place. Cuts that came late are passed.
    fn landed(&self, place: &mut Place, own: u64, first: &Sending) -> Result<bool, StreamError> {
        let Ok(found) = self.link.next(&self.stream, place.at + 1) else { return Ok(false) };
        for of in &found {
            if of.seq == place.at + 1 && of.subject == first.0 && of.payload == first.1 {
                return Ok(true);
            }
            let message = self.read(of)?;
            match message.kind {
                _ if message.epoch > own => {
                    let by =
                        if message.kind == Kind::Cut { message.body } else { b"another engine" };
                    let by = String::from_utf8_lossy(by);
                    return Err(self.fenced(own, message.epoch, &by));
                }
                Kind::Cut => place.at = of.seq,
                Kind::Page | Kind::Gone | Kind::Destroyed | Kind::Changes | Kind::Destroying => {
                    return Err(StreamError::Stranger { stream: self.stream.clone(), seq: of.seq });
                }
            }
        }
        Ok(false)
    }

    fn fenced(&self, own: u64, found: u64, by: &str) -> StreamError {
        StreamError::Fenced { own, found, by: by.to_owned() }
    }

    fn lost(&self, last: u64, acked: u64) -> StreamError {
        StreamError::Lost { stream: self.stream.clone(), last, acked }
    }

    /// Whether the stream ends before what is known of it: a leader that was just elected may be
    /// behind for a moment.
    ///
    /// # Errors
    /// `Lost`.
    pub fn check_not_lost(&self, place: &Place) -> Result<(), StreamError> {
        let deadline = Instant::now() + BEHIND_WAIT;
        loop {
            let last = self.range()?.map_or(0, |(_, last)| last);
            if last >= place.at {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.lost(last, place.at));
            }
            self.link.pause(false);
        }
    }
}
