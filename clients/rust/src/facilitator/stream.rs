//! One connection after the other, until everything is acked and nothing more will come.

use super::frames::{FRAME_VOUCHERS_MAX, Frames, UnderWay};
use super::{Answer, StreamError, VouchersCalls, calls};
use crate::Way;
use crate::ask::{asked, channels};
use crate::error::CallError;
use crate::voucher::{Fields, Outcome, VOUCHER_BYTES};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tallystick_proto::v1::{Ack, Channel, GetNetworkRequest};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Frames between this task and the connection: what is beyond waits here, where it is counted.
const WRITING_MAX: usize = 4;
/// How long an ack, or the answer to a call of the stream's own, may be owed before the connection
/// is given up: an engine acks within milliseconds, a dead machine never.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Pauses before the next connection: none at first, since most that breaks is back at once.
const PAUSES_MS: [u64; 6] = [0, 100, 200, 500, 1_000, 2_000];

/// A voucher that was given, and who waits for its outcome.
pub(crate) struct Item {
    pub packed: [u8; VOUCHER_BYTES],
    pub answer: oneshot::Sender<Result<Answer, StreamError>>,
}

/// The task of one `Facilitator`.
pub(super) struct Stream {
    ways: Arc<[Way]>,
    taken: mpsc::Receiver<Item>,
    stop: Arc<Notify>,
    is_stopping: bool,
    /// Nothing more will be given.
    is_closed: bool,
    frames: Frames,
    /// The network that answered first.
    network: Option<Bytes>,
    /// Acks since the last connection began.
    acks: u64,
}

/// Why a connection ended.
enum End {
    /// Everything is acked, and nothing more will come.
    Done,
    /// The next one may do.
    Broken,
}

impl Stream {
    pub fn new(ways: Arc<[Way]>, taken: mpsc::Receiver<Item>, stop: Arc<Notify>) -> Self {
        let (is_stopping, is_closed) = (false, false);
        let (frames, network, acks) = (Frames::default(), None, 0);
        Self { ways, taken, stop, is_stopping, is_closed, frames, network, acks }
    }

    pub async fn run(mut self) {
        let mut failures = 0;
        for place in (0..self.ways.len()).cycle() {
            // Without anything to bring there is no connection to keep.
            if !self.wait_for_work().await {
                return;
            }
            self.acks = 0;
            let way = self.ways[place].clone();
            let ended = match way.connect().await {
                Ok(link) => {
                    let ended = self.connection(calls(&way, link.clone())).await;
                    if !matches!(ended, Ok(End::Done)) {
                        link.leave();
                    }
                    ended
                }
                Err(error) => Err(error.into()),
            };
            self.frames.broken();
            let why = match ended {
                Ok(End::Done) => return,
                Ok(End::Broken) => None,
                Err(error) if error.is_passing() => None,
                Err(error) => Some(StreamError::Ended(error.to_string())),
            };
            if let Some(why) = why {
                return self.fail(&why);
            }
            failures = if self.acks > 0 { 0 } else { failures + 1 };
            let pause = PAUSES_MS[failures.min(PAUSES_MS.len() - 1)];
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Whether there is something to bring; otherwise nothing will come any more.
    async fn wait_for_work(&mut self) -> bool {
        let mut items = Vec::new();
        while self.frames.is_empty() {
            tokio::select! {
                () = self.stop.notified(), if !self.is_stopping => self.begin_to_stop(),
                count = self.taken.recv_many(&mut items, FRAME_VOUCHERS_MAX) => match count {
                    0 => return false,
                    _ => self.frames.take(&mut items),
                },
            }
        }
        true
    }

    fn begin_to_stop(&mut self) {
        self.is_stopping = true;
        // What was given is still read.
        self.taken.close();
    }

    /// Writes and reads until the connection ends.
    async fn connection(&mut self, mut calls: VouchersCalls) -> Result<End, CallError> {
        in_time(self.check_network(&mut calls)).await?;
        let (write, written) = mpsc::channel(WRITING_MAX);
        // An engine answers with headers at once, but a proxy may wait for the first frame.
        let Some(first) = self.frames.next() else { return Ok(End::Broken) };
        drop(write.send(first).await);
        let mut acks = in_time(calls.stream(ReceiverStream::new(written))).await?.into_inner();
        let mut items = Vec::with_capacity(FRAME_VOUCHERS_MAX);
        loop {
            if self.is_closed && self.frames.is_empty() {
                return Ok(End::Done);
            }
            let (has_more, room) = (self.frames.has_more(), self.frames.room());
            let may_take = !has_more && room > 0 && !self.is_closed;
            tokio::select! {
                ack = next_ack(&mut acks, self.frames.is_owed()) => match ack? {
                    Some(ack) => self.acked(&mut calls, &ack).await?,
                    None => return Ok(End::Broken),
                },
                place = write.reserve(), if has_more => match place {
                    Ok(place) => if let Some(frame) = self.frames.next() {
                        place.send(frame);
                    },
                    Err(_) => return Ok(End::Broken),
                },
                count = self.taken.recv_many(&mut items, room), if may_take => match count {
                    0 => self.is_closed = true,
                    _ => self.frames.take(&mut items),
                },
                () = self.stop.notified(), if !self.is_stopping => self.begin_to_stop(),
            }
        }
    }

    /// Vouchers are signed for one network: an address at which another one answers is a mistake
    /// that no other try mends.
    async fn check_network(&mut self, calls: &mut VouchersCalls) -> Result<(), CallError> {
        let id = calls.get_network(GetNetworkRequest {}).await?.into_inner().network_id;
        match &self.network {
            Some(known) if *known != id => {
                Err(CallError::Foreign("one of the addresses is another network's".into()))
            }
            Some(_) => Ok(()),
            None => {
                self.network = Some(id);
                Ok(())
            }
        }
    }

    /// An ack has come: it is the oldest frame's.
    async fn acked(&mut self, calls: &mut VouchersCalls, ack: &Ack) -> Result<(), CallError> {
        let foreign = |text: &str| CallError::Foreign(text.to_owned());
        let (number, frame) = self.frames.oldest().ok_or_else(|| foreign("an ack of no frame"))?;
        if ack.frame_id != number || ack.outcomes.len() != frame.vouchers().len() {
            return Err(foreign("an ack that is not of the oldest frame"));
        }
        let mut outcomes: Vec<Outcome> = ack.outcomes.iter().copied().map(Outcome).collect();
        if frame.tries > 1 {
            // Fails as the connection does, and then the frame is sent once more.
            in_time(judge(calls, frame, &mut outcomes)).await?;
        }
        self.acks += 1;
        if let Some(frame) = self.frames.acked(ack.lsn) {
            frame.answer(ack.lsn, &outcomes);
        }
        Ok(())
    }

    /// Tells everybody, those too who gave a voucher that was not taken yet.
    fn fail(&mut self, why: &StreamError) {
        self.frames.fail(why);
        self.taken.close();
        while let Ok(item) = self.taken.try_recv() {
            drop(item.answer.send(Err(why.clone())));
        }
    }
}

/// The answer to a call that the stream makes itself: an owner that is cut off from its servers
/// answers pings, and nothing else.
async fn in_time<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, CallError>
where
    CallError: From<E>,
{
    let silent = |_| Status::unavailable("no answer for too long");
    Ok(tokio::time::timeout(ACK_WAIT, answer).await.map_err(silent)??)
}

/// The next ack. An engine that owes one and is silent counts as gone.
async fn next_ack(acks: &mut Streaming<Ack>, is_owed: bool) -> Result<Option<Ack>, Status> {
    if !is_owed {
        return acks.message().await;
    }
    let silent = |_| Status::unavailable("no ack for too long");
    tokio::time::timeout(ACK_WAIT, acks.message()).await.map_err(silent)?
}

/// Of a frame that was sent again: what is stale or refused now may have been credited before. Each
/// channel is asked for once.
async fn judge(
    calls: &VouchersCalls,
    frame: &UnderWay,
    outcomes: &mut [Outcome],
) -> Result<(), CallError> {
    let mut open: BTreeMap<[u8; 96], Vec<(usize, Fields)>> = BTreeMap::new();
    for (place, (packed, outcome)) in frame.vouchers().iter().zip(&*outcomes).enumerate() {
        if *outcome != Outcome::CREDITED {
            let (fields, _) = Fields::unpack(packed);
            let mut name = *packed.first_chunk::<96>().expect("a voucher has 160 bytes");
            // All but the total names the channel.
            name[88..].fill(0);
            open.entry(name).or_default().push((place, fields));
        }
    }
    let all: Vec<Vec<(usize, Fields)>> = open.into_values().collect();
    let found = channels(calls, all.iter().map(|some| asked(&some[0].1)).collect()).await?;
    for (vouchers, found) in all.iter().zip(&found) {
        for (place, fields) in vouchers {
            let outcome = &mut outcomes[*place];
            *outcome = judged(*outcome, found, fields.cumulative, frame.acked_before);
        }
    }
    Ok(())
}

/// What became of a voucher that was sent again and is not credited now.
fn judged(now: Outcome, found: &Channel, cumulative: u64, acked_before: u64) -> Outcome {
    if !found.known || found.cumulative < cumulative {
        return now;
    }
    match found.cumulative == cumulative && found.lsn > acked_before {
        true => Outcome::CREDITED,
        false => Outcome::STALE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_that_was_sent_again_was_credited_if_its_channel_rose_to_it_since() {
        let channel = |known, cumulative, lsn| Channel { known, cumulative, lsn, ..<_>::default() };
        let revoked = Outcome(19);
        for (now, found, wanted) in [
            (Outcome::STALE, channel(true, 10, 6), Outcome::CREDITED),
            (Outcome::STALE, channel(true, 10, 5), Outcome::STALE),
            (Outcome::STALE, channel(true, 12, 6), Outcome::STALE),
            (revoked, channel(true, 10, 6), Outcome::CREDITED),
            (revoked, channel(true, 9, 6), revoked),
            (revoked, channel(false, 0, 0), revoked),
        ] {
            assert_eq!(judged(now, &found, 10, 5), wanted, "{now:?} {found:?}");
        }
    }
}
