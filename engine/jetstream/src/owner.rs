//! Who may write: claim, open, append one message at a time, and find out what became of one whose
//! fate is not known. `docs/CLUSTER.md` says why each step is there.

use super::error::StreamError;
use super::fold::{Broken, Stand, Took, Void};
use super::limits::{HOLE_WAIT, LOST_WAIT, NAME_BYTES_MAX, READ_WAIT};
use super::link::{Link, Sent};
use super::message::{Kind, seal};
use super::trying::Trying;
use super::wire::Wire;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tallystick_journal::{Framed, Tail};
use tallystick_ledger::canary::{Bug, planted};
use tallystick_ledger::types::{Digest, Lsn};

/// Takes the records of others, as they are found in the stream.
pub type Found<'a> = dyn FnMut(&[Framed]) -> Result<(), StreamError> + 'a;

/// Hears what each message has led to: its number, where the reader stands behind it.
pub type See<'a> = dyn FnMut(u64, &Stand, &Took<'_>) + 'a;

/// The owner of a stream, as far as it knows.
pub struct Owner {
    link: Arc<dyn Wire>,
    subject: String,
    stand: Stand,
    epoch: u64,
    /// Epochs that it raised, and gave up for a later one: their claims may come late.
    given_up: Vec<u64>,
    /// Who has claimed the stream since: then nothing is appended any more, ever.
    fenced_by: Option<String>,
}

impl Owner {
    /// Claims the stream, and reads up to the claim; `see` hears of every message. Nothing is
    /// opened yet.
    ///
    /// # Errors
    /// `StreamError`; `Fenced` when another one claimed it meanwhile.
    pub fn claim(
        link: Arc<dyn Wire>,
        subject: &str,
        stand: Stand,
        name: &str,
        see: &mut See<'_>,
    ) -> Result<Self, StreamError> {
        let name: String = name.chars().take(NAME_BYTES_MAX / 4).collect();
        let mut owner = Self {
            link,
            subject: subject.to_owned(),
            stand,
            epoch: stand.epoch,
            given_up: Vec::new(),
            fenced_by: None,
        };
        let mut trying = Trying::new(&*owner.link);
        loop {
            let (claimed, digest) = owner.try_claim(&name, &mut trying)?;
            owner.link.vitals().wait(0);
            if owner.see_to(claimed, digest, see)? {
                return Ok(owner);
            }
            // Somebody has claimed with this epoch before, as where the bucket was made anew.
            owner.given_up.push(owner.epoch);
        }
    }

    /// Raises the epoch, and appends a claim: its number and digest.
    fn try_claim(&mut self, name: &str, trying: &mut Trying) -> Result<(u64, Digest), StreamError> {
        loop {
            // One whose fate is unknown is never sent again: a later one takes its place.
            self.epoch = self.link.raise_epoch(self.stand.epoch.max(self.epoch), name)?;
            // No two claims are the same bytes.
            let body = format!("{name} {}", self.link.drawn()?);
            let none = Digest([0; 32]);
            let (claim, digest) = seal(Kind::Claim, self.epoch, none, &[body.as_bytes()]);
            match self.link.append(&self.subject, claim, None) {
                Sent::At { seq, duplicate: false } => return Ok((seq, digest)),
                Sent::At { seq, duplicate } => {
                    return Err(StreamError::Strange { got: seq, expected: seq, duplicate });
                }
                Sent::Moved { .. } => {}
                Sent::Unknown { why, silent } => trying.wait(&*self.link, &why, silent)?,
            }
            self.given_up.push(self.epoch);
        }
    }

    /// Reads on, up to and with message `to`: whether that is the claim with the digest `own`, and
    /// counts.
    fn see_to(&mut self, to: u64, own: Digest, see: &mut See<'_>) -> Result<bool, StreamError> {
        let (link, stand, given_up) = (self.link.clone(), &mut self.stand, &self.given_up);
        let (mut last, mut is_own) = (String::new(), false);
        if planted(Bug::ClaimUnread) {
            stand.seq = to - 1;
        }
        link.read(*stand, to, HOLE_WAIT, &mut |seq, bytes| {
            let took = stand.take(seq, bytes)?;
            is_own = matches!(took, Took::Claim(_)) && stand.last == own;
            match &took {
                Took::Claim(by) => last = String::from_utf8_lossy(by).into_owned(),
                Took::Void(Void::Late { epoch }) if given_up.contains(epoch) => {}
                Took::Void(why) => passed_over(&*link, seq, *why),
                Took::Group(_) | Took::Passed => {}
            }
            see(seq, stand, &took);
            Ok(())
        })?;
        self.check_owns(&last)?;
        Ok(is_own)
    }

    /// Goes on from its claim.
    ///
    /// # Errors
    /// As for `append_group`.
    pub fn open(&mut self) -> Result<(), StreamError> {
        self.append(Kind::Open, &[], None)
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where it stands.
    #[must_use]
    pub fn stand(&self) -> Stand {
        self.stand
    }

    /// Bytes of records that one append may have.
    #[must_use]
    pub fn group_bytes_max(&self) -> usize {
        self.link.message_bytes_max() - super::message::HEAD
    }

    /// Appends records that follow what is there, and returns when they are durable.
    ///
    /// # Errors
    /// `Fenced`, `Outage` and others: then nobody knows, until `settle` has said so.
    pub fn append_group(&mut self, group: &[Framed]) -> Result<(), StreamError> {
        self.check_owns("")?;
        let tail = self.stand.tail;
        if let Some(first) = group.first()
            && (first.lsn != tail.lsn.next() || first.link() != tail.link)
        {
            return Err(StreamError::NotNext { lsn: first.lsn, after: tail.lsn });
        }
        let parts: Vec<&[u8]> = group.iter().map(|framed| &framed.bytes[..]).collect();
        self.append(Kind::Group, &parts, group.last().map(Framed::tail))
    }

    fn append(
        &mut self,
        kind: Kind,
        parts: &[&[u8]],
        end: Option<Tail>,
    ) -> Result<(), StreamError> {
        self.check_owns("")?;
        // Over all that is tried: one that is refused each time, and its place taken, ends as well.
        let mut trying = Trying::new(&*self.link);
        loop {
            let (message, digest) = seal(kind, self.epoch, self.stand.chain, parts);
            self.link.check_takes(message.len())?;
            if self.try_append(message, digest, end, &mut trying)? {
                self.link.vitals().wait(0);
                return Ok(());
            }
            trying.wait(&*self.link, "it is not there, and is sent again", false)?;
        }
    }

    /// Whether it is there: if not, it never will be.
    fn try_append(
        &mut self,
        message: Bytes,
        digest: Digest,
        end: Option<Tail>,
        trying: &mut Trying,
    ) -> Result<bool, StreamError> {
        match self.link.append(&self.subject, message, Some(self.stand.seq)) {
            Sent::At { seq, duplicate } => {
                self.follows(seq, duplicate)?;
                self.stand.pass_own(digest, end);
                Ok(true)
            }
            Sent::Moved { .. } => self.settle_own(digest, trying),
            Sent::Unknown { why, silent } => {
                tracing::warn!(%why, "an append's fate is not known; finding it out");
                self.link.vitals().count_unsettled();
                self.link.pause(silent);
                self.settle_own(digest, trying)
            }
        }
    }

    /// An ack counts only for the place behind the last one.
    fn follows(&self, seq: u64, duplicate: bool) -> Result<(), StreamError> {
        let expected = self.stand.seq + 1;
        match seq == expected && !duplicate {
            true => Ok(()),
            false => Err(StreamError::Strange { got: seq, expected, duplicate }),
        }
    }

    fn settle_own(&mut self, own: Digest, trying: &mut Trying) -> Result<bool, StreamError> {
        // One's own is found by its digest; nobody else's can be behind one's own claim.
        let epoch = self.epoch;
        let mut found = |records: &[Framed]| {
            let lsn = records.first().map_or(Lsn(0), |framed| framed.lsn);
            Err(StreamError::Foreign { epoch, lsn })
        };
        self.settle_with(Some(own), &mut found, trying)
    }

    /// Takes the place behind the last message, so that nothing that is still under way can, and
    /// reads what is there instead. Afterwards it is known what has landed: `found` has taken it.
    ///
    /// # Errors
    /// As for `append_group`.
    pub fn settle(&mut self, found: &mut Found<'_>) -> Result<(), StreamError> {
        self.settle_with(None, found, &mut Trying::new(&*self.link))?;
        self.link.vitals().wait(0);
        Ok(())
    }

    /// Whether the message with the digest `own` is there.
    fn settle_with(
        &mut self,
        own: Option<Digest>,
        found: &mut Found<'_>,
        trying: &mut Trying,
    ) -> Result<bool, StreamError> {
        self.check_owns("")?;
        let (mut short, mut hole) = (None, None);
        let mut fate = Fate::default();
        loop {
            let (nothing, digest) = seal(Kind::Nothing, self.epoch, self.stand.chain, &[]);
            match self.link.append(&self.subject, nothing, Some(self.stand.seq)) {
                Sent::At { seq, duplicate } => {
                    self.follows(seq, duplicate)?;
                    self.stand.pass_own(digest, None);
                    return Ok(fate.own);
                }
                Sent::Moved { last } if last > self.stand.seq => {
                    let read = self.read_to(last, own, found, &mut fate);
                    self.check_owns(&fate.by)?;
                    if let Err(error) = read {
                        let why = self.not_there_yet(error, &mut hole)?;
                        trying.wait(&*self.link, &why, false)?;
                    } else if fate.counted {
                        return Ok(fate.own);
                    }
                }
                Sent::Moved { last } if last < self.stand.seq => {
                    // A leader that was just elected may not have all of it at hand yet.
                    let since = *short.get_or_insert_with(|| self.link.now());
                    if self.link.now() - since > LOST_WAIT {
                        let stream = self.link.stream().to_owned();
                        return Err(StreamError::Lost { stream, last, acked: self.stand.seq });
                    }
                    trying.wait(
                        &*self.link,
                        "the stream seems to end before what was acked",
                        true,
                    )?;
                }
                Sent::Moved { .. } => trying.wait(&*self.link, "the servers do not agree", true)?,
                Sent::Unknown { why, silent } => trying.wait(&*self.link, &why, silent)?,
            }
        }
    }

    /// Why a message cannot be read yet. A leader without a quorum refuses by messages that it has
    /// proposed and nobody has: one is missing only where the stream calls it stored, for long.
    fn not_there_yet(
        &self,
        error: StreamError,
        hole: &mut Option<(u64, Duration)>,
    ) -> Result<String, StreamError> {
        if let StreamError::NoAnswer { .. } = error {
            return Ok(error.to_string());
        }
        let StreamError::Broken(Broken::Hole { seq, .. }) = error else { return Err(error) };
        if self.link.stored().is_none_or(|stored| stored < seq) {
            *hole = None;
            return Ok(format!("message {seq} is proposed, and no quorum has it"));
        }
        let now = self.link.now();
        let (_, since) = hole.filter(|(of, _)| *of == seq).unwrap_or((seq, now));
        *hole = Some((seq, since));
        match now - since > HOLE_WAIT {
            true => Err(error),
            false => Ok(format!("message {seq} is not found")),
        }
    }

    /// Reads on, up to and with message `to`; what it finds is added to `fate`, also where it does
    /// not come to the end.
    fn read_to(
        &mut self,
        to: u64,
        own: Option<Digest>,
        found: &mut Found<'_>,
        fate: &mut Fate,
    ) -> Result<(), StreamError> {
        let (link, stand, given_up) = (self.link.clone(), &mut self.stand, &self.given_up);
        link.read(*stand, to, READ_WAIT, &mut |seq, bytes| {
            let took = stand.take(seq, bytes)?;
            // Void bytes are nobody's, though they be one's own: no reader counts them.
            let counts = matches!(took, Took::Group(_) | Took::Passed);
            let is_own = counts && own == Some(stand.last);
            match took {
                Took::Claim(by) => {
                    fate.by = String::from_utf8_lossy(by).into_owned();
                }
                Took::Group(records) => {
                    fate.counted = true;
                    if !is_own {
                        found(&records)?;
                    }
                }
                Took::Passed => fate.counted = true,
                // One's own claim, which was given up, and came late.
                Took::Void(Void::Late { epoch }) if given_up.contains(&epoch) => {}
                Took::Void(why) => passed_over(&*link, seq, why),
            }
            fate.own |= is_own;
            Ok(())
        })
    }

    /// Whether it owns the stream as far as it has read. One that does not could append behind what
    /// it has read, and would be acked what no reader counts.
    fn check_owns(&mut self, by: &str) -> Result<(), StreamError> {
        if planted(Bug::StreamUnfenced) {
            return Ok(());
        }
        if self.stand.epoch != self.epoch {
            self.fenced_by.get_or_insert_with(|| by.to_owned());
        }
        let (own, found) = (self.epoch, self.stand.epoch);
        let fenced = |by: &String| Err(StreamError::Fenced { own, found, by: by.clone() });
        self.fenced_by.as_ref().map_or(Ok(()), fenced)
    }
}

/// What was found in the stream.
#[derive(Default)]
struct Fate {
    /// One's own message is there.
    own: bool,
    /// Something that counts, and is no claim, is there.
    counted: bool,
    /// Who claimed last.
    by: String,
}

/// Counts a message that does not count, and says so.
pub(super) fn void(link: &Link, seq: u64, why: Void) {
    passed_over(link, seq, why);
}

fn passed_over(link: &dyn Wire, seq: u64, why: Void) {
    if let Void::Outclaimed { .. } = why {
        tracing::info!(
            seq,
            stream = link.stream(),
            "a message of the journal's stream is void: {why}"
        );
        return;
    }
    link.vitals().count_void();
    tracing::error!(
        seq,
        stream = link.stream(),
        "a message of the journal's stream is void: {why}. No money depends on it; but somebody who does not own the \
         stream writes into it: find out who"
    );
}
