//! One stream: its frames out and their acks in, on one connection; of several addresses on as many
//! as it takes.
//!
//! Whoever goes on elsewhere sends again what was not acked, in order. What had been credited
//! before is stale then, and so is what stands before it in its channel, whatever else is wrong
//! with it: an engine looks at a total first. That it is held once is what the comparison of books
//! shows.

use super::{Answers, Due, PATIENCE, Sending, frame, frames};
use crate::error::{Error, status_text};
use crate::progress::Progress;
use crate::setup::{self, Vouchers};
use crate::sign::Signed;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tallystick_client::voucher::outcome;
use tallystick_client::{CallError, Link, Way};
use tallystick_proto::v1::{Ack, Frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// How long an ack may be owed before another of several addresses is tried: an owner that is cut
/// off from the journal's servers still holds its connections.
const SILENCE: Duration = Duration::from_secs(20);
/// The pause before the next connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The answers on one stream.
type Acks = tonic::Streaming<Ack>;

pub(super) struct Stream {
    pub index: usize,
    pub signed: Signed,
    pub sending: Sending,
    pub start: Instant,
    pub client: Vouchers,
    /// What its calls go over.
    pub link: Link,
    pub way: Way,
    pub progress: Arc<Progress>,
}

/// How far it is.
struct Place {
    /// Frames that are sent in all.
    frames: usize,
    /// Those that were sent, on whatever connection; and of these, those that were acked.
    sent: usize,
    acked: usize,
    /// When those between were due.
    under_way: VecDeque<Instant>,
    /// Frames below this one were sent on an earlier connection.
    again: usize,
    answers: Answers,
}

/// Why a connection ended before its time.
enum End {
    /// It broke, or nobody is there: whether another may do.
    Lost { why: String, is_passing: bool },
    /// What came is wrong.
    Wrong(Error),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        let why = status_text(&status);
        Self::Lost { why, is_passing: CallError::from(status).is_passing() }
    }
}

impl Stream {
    fn frame(&self, number: usize) -> Frame {
        frame(&self.signed, self.sending.frame, number)
    }

    pub async fn run(mut self, mut due: Due) -> Result<Answers, Error> {
        let frames = frames(&self.signed, self.sending.frame);
        let (under_way, answers) = (VecDeque::new(), Answers::default());
        let mut place = Place { frames, sent: 0, acked: 0, under_way, again: 0, answers };
        let mut heard = (0, Instant::now());
        while place.acked < place.frames {
            let Err(end) = self.connection(&mut place, &mut due).await else { break };
            let (why, is_passing) = match end {
                End::Wrong(error) => return Err(error),
                End::Lost { why, is_passing } => (why, is_passing),
            };
            if place.acked > heard.0 {
                heard = (place.acked, Instant::now());
            }
            if !self.way.has_several() || !is_passing || heard.1.elapsed() > PATIENCE {
                return Err(self.lost(&place, why));
            }
            place.again = place.sent;
            place.answers.broken += 1;
            self.link.leave();
            self.connect_again(&place, heard.1 + PATIENCE).await?;
        }
        if place.acked > 0 {
            place.answers.elapsed = self.start.elapsed();
            let vouchers = self.signed.expected.len().min(place.acked * self.sending.frame);
            place.answers.acked.insert(self.index, vouchers);
        }
        Ok(place.answers)
    }

    /// A connection to whoever owns the journal now.
    async fn connect_again(&mut self, place: &Place, until: Instant) -> Result<(), Error> {
        loop {
            tokio::time::sleep(PAUSE).await;
            match setup::vouchers(&self.way).await {
                Ok((client, link)) => {
                    (self.client, self.link) = (client, link);
                    return Ok(());
                }
                Err(error) => {
                    let error = CallError::from(error);
                    if !error.is_passing() || Instant::now() >= until {
                        return Err(self.lost(place, error.to_string()));
                    }
                }
            }
        }
    }

    /// Sends and reads until everything is acked.
    async fn connection(&mut self, place: &mut Place, due: &mut Due) -> Result<(), End> {
        let depth = self.sending.depth;
        let (tx, rx) = mpsc::channel(depth);
        if place.acked == place.sent {
            place.under_way.push_back(due.next().await);
            place.sent += 1;
        }
        for number in place.acked..place.sent {
            tx.try_send(self.frame(number)).expect("no more than so many are under way");
        }
        let mut acks = self.client.stream(ReceiverStream::new(rx)).await?.into_inner();
        while place.acked < place.frames {
            let room =
                place.sent < place.frames && place.under_way.len() < depth && !tx.is_closed();
            tokio::select! {
                biased;
                due = due.next(), if room => {
                    if self.sending.stop.load(Ordering::Relaxed) {
                        place.frames = place.sent;
                        continue;
                    }
                    place.under_way.push_back(due);
                    // A closed channel means a broken stream: the next read of an ack says why.
                    drop(tx.send(self.frame(place.sent)).await);
                    place.sent += 1;
                }
                ack = self.next_ack(&mut acks) => {
                    let ended = || End::Lost { why: "the engine ended it".into(), is_passing: true };
                    self.acked(&ack?.ok_or_else(ended)?, place).map_err(End::Wrong)?;
                }
            }
        }
        drop(tx);
        match self.next_ack(&mut acks).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(End::Wrong(self.broken("an ack without a frame".into()))),
            // Everything is acked: how the connection ends is nobody's loss.
            Err(_) if self.way.has_several() => Ok(()),
            Err(end) => Err(end),
        }
    }

    /// The next ack; `None` when the engine ended the stream.
    async fn next_ack(&self, acks: &mut Acks) -> Result<Option<Ack>, End> {
        let within = if self.way.has_several() { SILENCE } else { PATIENCE };
        let silent =
            || End::Lost { why: format!("no ack for {} s", within.as_secs()), is_passing: true };
        let ack = tokio::time::timeout(within, acks.message()).await;
        Ok(ack.map_err(|_| silent())??)
    }

    fn acked(&self, ack: &Ack, place: &mut Place) -> Result<(), Error> {
        let due = place.under_way.pop_front();
        let due = due.ok_or_else(|| self.broken("an ack without a frame".into()))?;
        let now = Instant::now();
        place.answers.record_latency(due, now);
        if self.sending.timeline {
            place.answers.timeline.push((due, now.saturating_duration_since(due)));
        }
        self.compare(place.acked, ack, place.acked < place.again, &mut place.answers)?;
        place.acked += 1;
        Ok(())
    }

    /// Compares one ack with what was expected of its frame.
    fn compare(
        &self,
        number: usize,
        ack: &Ack,
        again: bool,
        answers: &mut Answers,
    ) -> Result<(), Error> {
        let size = self.sending.frame;
        let expected = &self.signed.expected[number * size..];
        let expected = &expected[..size.min(expected.len())];
        if usize::try_from(ack.frame_id) != Ok(number) {
            return Err(self.broken(format!("the ack of frame {number} names {}", ack.frame_id)));
        }
        if ack.outcomes.len() != expected.len() {
            let (got, sent) = (ack.outcomes.len(), expected.len());
            return Err(
                self.broken(format!("{got} outcomes for the {sent} vouchers of frame {number}"))
            );
        }
        let (mut credited, mut stale, mut rejected) = (0, 0, 0);
        for (place, (&got, &expected)) in ack.outcomes.iter().zip(expected).enumerate() {
            match got {
                outcome::CREDITED => credited += 1,
                outcome::STALE => stale += 1,
                _ => rejected += 1,
            }
            let got = if again && may_be_stale(got, expected) { expected } else { got };
            *answers.outcomes.entry(got).or_default() += 1;
            if got != expected {
                answers.unexpected += 1;
                let voucher = number * size + place;
                let tell = || self.describe(voucher, ack, expected, got);
                answers.first_unexpected.get_or_insert_with(tell);
            }
        }
        if (credited, stale, rejected) != (ack.credited, ack.stale, ack.rejected) {
            return Err(self.broken(format!("the counts of ack {number} are not its outcomes'")));
        }
        if credited > 0 && ack.lsn == 0 {
            return Err(self.broken(format!("ack {number} credits vouchers but names no lsn")));
        }
        let vouchers = u64::try_from(expected.len()).expect("a frame is small");
        self.progress.add(vouchers);
        answers.frames += 1;
        answers.sent_again += if again { vouchers } else { 0 };
        Ok(())
    }

    fn describe(&self, voucher: usize, ack: &Ack, expected: u8, got: u8) -> String {
        format!(
            "stream {}, frame {}, lsn {}, voucher {} of the stream: expected {}, got {}; {}",
            self.index,
            ack.frame_id,
            ack.lsn,
            voucher,
            outcome::name(expected),
            outcome::name(got),
            self.signed.describe(voucher)
        )
    }

    fn lost(&self, place: &Place, why: String) -> Error {
        Error::Lost { stream: self.index, acked: place.acked, frames: place.frames, why }
    }

    fn broken(&self, what: String) -> Error {
        Error::Contract { stream: self.index, what }
    }
}

/// Whether a voucher that must have this outcome may be answered so when it was sent again. One
/// over the limit is far above all that is ever held.
fn may_be_stale(got: u8, expected: u8) -> bool {
    got == outcome::STALE && [outcome::CREDITED, outcome::BAD_SIGNATURE].contains(&expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_that_is_sent_again_may_be_stale_unless_it_is_over_the_limit() {
        for (got, expected, wanted) in [
            (outcome::STALE, outcome::CREDITED, true),
            // A later one of its channel had been credited.
            (outcome::STALE, outcome::BAD_SIGNATURE, true),
            (outcome::STALE, outcome::OVER_LIMIT, false),
            (outcome::CREDITED, outcome::BAD_SIGNATURE, false),
            (outcome::CREDITED, outcome::STALE, false),
            (outcome::OVER_LIMIT, outcome::CREDITED, false),
        ] {
            assert_eq!(may_be_stale(got, expected), wanted, "{got} for {expected}");
        }
    }
}
