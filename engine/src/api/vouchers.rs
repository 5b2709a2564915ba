//! The `Vouchers` service: frames in, acks out.
//!
//! Owns what makes a frame acceptable as a whole. A stream's frames go into the pipeline in order
//! and its acks come out in order; how far it may run ahead is bounded per stream, per source and
//! over all.

use super::door::{ConnectionId, Kept, Large, Places};
use super::evidence::receipt;
use super::headroom;
use super::messages::{asset_message, channel, position};
use super::status::invalid;
use crate::limits::{
    FRAME_VOUCHERS_MAX, HEADROOMS_MAX, PACKED_COPIED_BYTES, STREAM_FRAMES_MAX, STREAM_VOUCHERS_MAX,
    SUBMIT_WAIT_MILLIS,
};
use crate::pipeline::{Answer, Busy, Feed, Source};
use crate::settle::Engine;
use crate::types::{
    Amount, AssetNumber, PartyId, SIGNATURE_BYTES, SignerKey, VOUCHER_BYTES, Voucher,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// The service.
pub struct VouchersApi {
    engine: Engine,
    /// True once the engine stops: streams are read no further.
    stopping: watch::Receiver<bool>,
    headrooms: Places,
}

/// What a stream's next ack will come from.
enum Pending {
    Known(Result<v1::Ack, Status>),
    /// With the room that the frame's vouchers have until the ack is taken.
    Awaited(u64, oneshot::Receiver<Answer>, Option<OwnedSemaphorePermit>),
}

impl VouchersApi {
    /// The service of this engine; `stopping` turns true when it stops.
    #[must_use]
    pub fn new(engine: Engine, stopping: watch::Receiver<bool>) -> Self {
        Self { engine, stopping, headrooms: Places::new("questions for headroom", HEADROOMS_MAX) }
    }

    /// Whose frames they are that come by this request. What is known of a connection stays known
    /// between its calls.
    fn feed<T>(&self, request: &Request<T>) -> Feed {
        let source = source(request);
        if let Some(kept) = request.extensions().get::<Kept>() {
            kept.keep(|| self.engine.feed(source));
        }
        self.engine.feed(source)
    }
}

#[tonic::async_trait]
impl v1::vouchers_server::Vouchers for VouchersApi {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<v1::Ack, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (acks_in, acks) = mpsc::channel(STREAM_FRAMES_MAX);
        let caller = self.feed(&request);
        let large = request.extensions().get::<Large>().cloned();
        let (frames, stopping) = (request.into_inner(), self.stopping.clone());
        tokio::spawn(read_frames(caller, frames, large, acks_in, stopping));
        let acks = ReceiverStream::new(acks).then(Pending::ack);
        Ok(Response::new(Box::pin(acks)))
    }

    async fn submit(&self, request: Request<v1::Frame>) -> Result<Response<v1::Ack>, Status> {
        let wait = Duration::from_millis(SUBMIT_WAIT_MILLIS);
        let caller = self.feed(&request);
        let large = request.extensions().get::<Large>().cloned();
        let frame = Taken::new(request.into_inner())?;
        let submitted = frame.submit(&caller, Some(Instant::now() + wait));
        let pending = tokio::time::timeout(wait, submitted).await;
        let pending = pending.map_err(|_| Busy::Full)??;
        large.iter().for_each(Large::done);
        pending.ack().await.map(Response::new)
    }

    async fn get_channel(
        &self,
        request: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        let (signer, channel) = channel(&self.engine, request.get_ref())?;
        let state = self.engine.channel(signer, channel).await?;
        Ok(Response::new(v1::Channel {
            channel_id: Bytes::copy_from_slice(&channel.0),
            cumulative: state.total.0,
            lsn: state.lsn.0,
            // A channel is held from its first credit on, until it has expired.
            known: state.lsn.0 > 0,
            position: position(state.lsn),
        }))
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Receipt>, Status> {
        receipt(&self.engine, request.get_ref()).await.map(Response::new)
    }

    async fn get_headroom(
        &self,
        request: Request<v1::GetHeadroomRequest>,
    ) -> Result<Response<v1::GetHeadroomResponse>, Status> {
        let _place = self.headrooms.take(&request)?;
        headroom::of(&self.engine, request.into_inner()).await.map(Response::new)
    }

    async fn get_network(
        &self,
        _: Request<v1::GetNetworkRequest>,
    ) -> Result<Response<v1::Network>, Status> {
        let network = self.engine.ask(|control| {
            Ok(v1::Network {
                network_id: Bytes::copy_from_slice(&control.genesis().network.0),
                frame_vouchers_max: u32::try_from(FRAME_VOUCHERS_MAX).expect("a small number"),
                voucher_lifetime_seconds_max: control.genesis().lifetime_seconds_max,
                assets: control.assets().map(asset_message).collect(),
            })
        });
        Ok(Response::new(network.await?))
    }
}

/// Reads a stream's frames until it ends, fails, is refused, or the engine stops.
async fn read_frames(
    caller: Feed,
    mut frames: Streaming<v1::Frame>,
    large: Option<Large>,
    acks: mpsc::Sender<Pending>,
    mut stopping: watch::Receiver<bool>,
) {
    let ahead = Arc::new(Semaphore::new(STREAM_VOUCHERS_MAX));
    loop {
        // Room for the ack first: a client that does not read its acks is not read either.
        let Ok(room) = acks.reserve().await else { return };
        let most = u32::try_from(FRAME_VOUCHERS_MAX).expect("a small number");
        let (frame, ahead) = tokio::select! {
            next = async {
                let ahead = ahead.clone().acquire_many_owned(most).await;
                (frames.message().await, ahead.expect("nobody closes it"))
            } => next,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let pending = match frame.map(|frame| frame.map(Taken::new)) {
            Ok(Some(Ok(frame))) => tokio::select! {
                taken = take_in_turn(&caller, frame, ahead) => taken,
                // What was not taken in is not acked, and whoever sent it sends it again.
                _ = stopping.wait_for(|stopping| *stopping) => return,
            },
            Ok(None) => return,
            Err(status) | Ok(Some(Err(status))) => Err(status),
        };
        large.iter().for_each(Large::done);
        match pending {
            Ok(pending) => room.send(pending),
            Err(status) => {
                room.send(Pending::Known(Err(status)));
                return;
            }
        }
    }
}

/// Whose frames they are that come by this request. Shares are between connections.
fn source<T>(request: &Request<T>) -> Source {
    let connection = request.extensions().get::<ConnectionId>();
    connection.map_or(Source::Here(0), |ConnectionId(number)| Source::Connection(*number))
}

/// Hands a stream's frame to the pipeline, when its source may. Of the room `ahead` for vouchers
/// whose acks were not taken it keeps what it needs.
async fn take_in_turn(
    caller: &Feed,
    frame: Taken,
    mut ahead: OwnedSemaphorePermit,
) -> Result<Pending, Status> {
    let room = ahead.split(frame.count());
    drop(ahead);
    Ok(match frame.submit(caller, None).await? {
        Pending::Awaited(frame_id, answer, _) => Pending::Awaited(frame_id, answer, room),
        known @ Pending::Known(_) => known,
    })
}

/// A frame that is acceptable as a whole.
struct Taken {
    frame_id: u64,
    vouchers: Bytes,
}

impl Taken {
    fn new(frame: v1::Frame) -> Result<Self, Status> {
        Ok(Self { frame_id: frame.frame_id, vouchers: packed(frame)? })
    }

    fn count(&self) -> usize {
        self.vouchers.len() / VOUCHER_BYTES
    }

    /// Hands it to the pipeline, when its source may bring one; gives up where that is not before
    /// `until`.
    async fn submit(self, caller: &Feed, until: Option<Instant>) -> Result<Pending, Status> {
        let Self { frame_id, vouchers } = self;
        if vouchers.is_empty() {
            return Ok(Pending::Known(Ok(v1::Ack { frame_id, ..v1::Ack::default() })));
        }
        loop {
            let entry = caller.enter(vouchers.len() / VOUCHER_BYTES).await?;
            let now = Instant::now();
            let at = entry.when(now);
            if at <= now {
                return Ok(Pending::Awaited(frame_id, entry.submit(vouchers), None));
            }
            if until.is_some_and(|until| at > until) {
                return Err(Busy::Full.into());
            }
            // What the room was for is judged by then; whoever rests holds none.
            drop(entry);
            tokio::time::sleep_until(at.into()).await;
        }
    }
}

impl Pending {
    async fn ack(self) -> Result<v1::Ack, Status> {
        match self {
            Self::Known(ack) => ack,
            Self::Awaited(frame_id, answer, _room) => {
                let answer = answer.await.map_err(|_| Busy::Stopping)?;
                Ok(v1::Ack {
                    frame_id,
                    lsn: answer.lsn.0,
                    position: position(answer.lsn),
                    outcomes: answer.outcomes.into(),
                    credited: answer.counts.credited,
                    stale: answer.counts.stale,
                    rejected: answer.counts.rejected,
                })
            }
        }
    }
}

/// A frame's vouchers in packed form: the received bytes themselves, when there are no others and
/// they are most of the message that they came in.
fn packed(frame: v1::Frame) -> Result<Bytes, Status> {
    let (v1::Frame { frame_id, packed, vouchers }, size) = (frame, VOUCHER_BYTES);
    if !packed.len().is_multiple_of(size) {
        let length = packed.len();
        return Err(invalid(format!(
            "frame {frame_id}: packed holds {length} bytes, which is not a multiple of {size}, the \
             size of a voucher; nothing of the frame was taken"
        )));
    }
    let count = packed.len() / size + vouchers.len();
    if count > FRAME_VOUCHERS_MAX {
        return Err(invalid(format!(
            "frame {frame_id} holds {count} vouchers; the limit is {FRAME_VOUCHERS_MAX} a frame: send \
             them in several; nothing of the frame was taken"
        )));
    }
    if vouchers.is_empty() && packed.len() > PACKED_COPIED_BYTES {
        return Ok(packed);
    }
    let mut all = BytesMut::with_capacity(count * size);
    all.put(packed);
    for voucher in &vouchers {
        all.put_slice(&structured(voucher).unwrap_or(MALFORMED));
    }
    Ok(all.freeze())
}

/// What stands for a structured voucher with a field of the wrong length: reserved bytes that are
/// not zero, which no well-formed voucher has.
const MALFORMED: [u8; VOUCHER_BYTES] = [0xff; VOUCHER_BYTES];

fn structured(voucher: &v1::Voucher) -> Option<[u8; VOUCHER_BYTES]> {
    let signature: [u8; SIGNATURE_BYTES] = (&*voucher.signature).try_into().ok()?;
    let voucher = Voucher {
        signer: SignerKey::from_slice(&voucher.signer)?,
        payee: PartyId::from_slice(&voucher.payee)?,
        asset: AssetNumber(voucher.asset),
        lane: voucher.lane,
        expires_at: voucher.expires_at,
        cumulative: Amount(voucher.cumulative),
        signature,
    };
    Some(voucher.pack())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(packed: usize, structured: usize) -> v1::Frame {
        let vouchers = vec![v1::Voucher::default(); structured];
        v1::Frame { frame_id: 7, packed: vec![0; packed].into(), vouchers }
    }

    #[test]
    fn frames_are_bounded_and_aligned() {
        assert_eq!(packed(frame(4_096 * 160, 0)).unwrap().len(), 4_096 * 160);
        assert_eq!(packed(frame(160, 4_095)).unwrap().len(), 4_096 * 160);
        assert_eq!(packed(frame(0, 0)).unwrap().len(), 0);
        let refused = packed(frame(160, 4_096)).unwrap_err();
        assert!(refused.message().contains("the limit is 4096"), "{refused}");
        let refused = packed(frame(161, 0)).unwrap_err();
        assert!(refused.message().contains("not a multiple of 160"), "{refused}");
    }

    #[test]
    fn packed_vouchers_are_not_copied_when_they_are_most_of_their_message() {
        let frame = frame(FRAME_VOUCHERS_MAX * VOUCHER_BYTES, 0);
        let before = frame.packed.as_ptr();
        assert_eq!(packed(frame).unwrap().as_ptr(), before);
    }

    /// One voucher with megabytes of unknown fields around it held all of them in memory until it
    /// was durable.
    #[test]
    fn a_few_vouchers_do_not_hold_the_message_that_brought_them() {
        let message = Bytes::from(vec![0; 1 << 20]);
        let frame = v1::Frame { packed: message.slice(..320), ..v1::Frame::default() };
        let taken = packed(frame).unwrap();
        assert!(message.is_unique(), "nobody holds the message any more");
        assert_eq!(taken.len(), 320);
    }

    #[test]
    fn a_structured_voucher_with_a_wrong_length_is_malformed() {
        let whole = v1::Voucher {
            signer: vec![1; 32].into(),
            payee: vec![2; 32].into(),
            signature: vec![3; 64].into(),
            ..v1::Voucher::default()
        };
        assert_eq!(structured(&whole).unwrap()[96..], [3; 64]);
        for bad in [
            v1::Voucher { signer: vec![1; 31].into(), ..whole.clone() },
            v1::Voucher { payee: vec![1; 33].into(), ..whole.clone() },
            v1::Voucher { signature: vec![1; 63].into(), ..whole.clone() },
        ] {
            assert_eq!(structured(&bad), None);
        }
        assert!(!crate::types::Packed(&MALFORMED).reserved_is_zero());
    }
}
