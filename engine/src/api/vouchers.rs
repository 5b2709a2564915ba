//! The `Vouchers` service: frames in, acks out.
//!
//! A stream's frames go into the pipeline in order
//! and its acks come out in order; how far it may run ahead is bounded per stream, per source and
//! over all.

use super::access::{Access, Allowance, Own, Screened, entrant, merged, own};
use super::door::{ConnectionId, Kept, Large, Places};
use super::evidence::receipt;
use super::frames::brought;
use super::headroom;
use super::messages::{asset_message, channel, id, position};
use crate::limits::{
    FRAME_VOUCHERS_MAX, HEADROOMS_MAX, RATE_HELD_MAX, STREAM_FRAMES_MAX, STREAM_VOUCHERS_MAX,
    SUBMIT_WAIT_MILLIS,
};
use crate::pipeline::{Answer, Brought, Busy, Feed, Source};
use crate::settle::Engine;
use crate::types::BUNDLE_ENTRIES_MAX;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tallystick_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// The service.
pub struct VouchersApi {
    engine: Engine,
    access: Access,
    /// True once the engine stops: streams are read no further.
    stopping: watch::Receiver<bool>,
    headrooms: Places,
    /// Where clients reach it, where other nodes could own its journal.
    owner: Arc<OnceLock<String>>,
}

/// What a stream's next ack will come from.
enum Pending {
    Known(Result<v1::Ack, Status>),
    Awaited(Box<Awaited>),
}

/// A frame whose vouchers are under way.
struct Awaited {
    frame_id: u64,
    answer: oneshot::Receiver<Answer>,
    /// What those are answered that were kept back.
    kept_back: Option<Vec<u8>>,
    /// The room that the frame's vouchers have until the ack is taken.
    room: Option<OwnedSemaphorePermit>,
}

/// Whose frames they are, and what of them may be brought.
struct Bringer {
    feed: Feed,
    own: Own,
    allowance: Option<Arc<Allowance>>,
    engine: Engine,
}

impl VouchersApi {
    /// The service of this engine; `stopping` turns true when it stops. A stream ends when `access`
    /// lets its caller in no more.
    #[must_use]
    pub fn new(engine: Engine, access: Access, stopping: watch::Receiver<bool>) -> Self {
        let headrooms = Places::new("questions for headroom", HEADROOMS_MAX, HEADROOMS_MAX);
        Self { engine, access, stopping, headrooms, owner: Arc::default() }
    }

    /// The same, of a node that clients reach at the address that comes there.
    #[must_use]
    pub fn at(self, owner: Arc<OnceLock<String>>) -> Self {
        Self { owner, ..self }
    }

    /// Whose frames they are that come by this request: an identity's, by whatever connection, or
    /// a connection's. What is known of either stays known between its calls.
    fn bringer<T>(&self, request: &Request<T>) -> Bringer {
        let (extensions, allowance) = (request.extensions(), entrant(request).allowance.clone());
        let connection = || {
            let id = extensions.get::<ConnectionId>();
            id.map_or(Source::Here(0), |ConnectionId(number)| Source::Connection(*number))
        };
        let source = allowance.as_ref().map_or_else(connection, |own| own.source());
        let feed = || self.engine.feed(source);
        match (&allowance, extensions.get::<Kept>()) {
            (Some(own), _) => own.keep(feed),
            (None, Some(kept)) => kept.keep(feed),
            (None, None) => {}
        }
        Bringer { feed: feed(), own: own(request), allowance, engine: self.engine.clone() }
    }
}

impl VouchersApi {
    /// Whether a channel may be seen.
    fn may_see(&self, request: &Request<v1::GetChannelRequest>) -> Result<(), Status> {
        let asked = request.get_ref();
        let (signer, payee) = (id(&asked.signer, "signer")?, id(&asked.payee, "payee")?);
        own(request).channel(&self.engine, signer, payee)
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
        let (bringer, entrant) = (self.bringer(&request), entrant(&request).clone());
        let place = bringer.allowance.as_ref().map(|own| own.stream()).transpose()?;
        let large = request.extensions().get::<Large>().cloned();
        let ended = self.access.clone().ended(entrant);
        let until = Until { ended: Box::pin(ended), stopping: self.stopping.clone() };
        tokio::spawn(read_frames(bringer, request.into_inner(), large, acks_in, until));
        let acks = ReceiverStream::new(acks).then(Pending::ack).map(move |ack| {
            let _until_its_end = &place;
            ack
        });
        Ok(Response::new(Box::pin(acks)))
    }

    async fn submit(&self, request: Request<v1::Frame>) -> Result<Response<v1::Ack>, Status> {
        let wait = Duration::from_millis(SUBMIT_WAIT_MILLIS);
        let bringer = self.bringer(&request);
        let large = request.extensions().get::<Large>().cloned();
        let frame = Taken::new(request.into_inner())?;
        bringer.in_its_rate(&frame, Duration::ZERO).await?;
        let submitted = frame.submit(&bringer, Some(Instant::now() + wait));
        let pending = tokio::time::timeout(wait, submitted).await;
        let pending = pending.map_err(|_| Busy::Full)??;
        large.iter().for_each(Large::done);
        pending.ack().await.map(Response::new)
    }

    async fn get_channel(
        &self,
        request: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        self.may_see(&request)?;
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
        self.may_see(&request)?;
        receipt(&self.engine, request.get_ref()).await.map(Response::new)
    }

    async fn get_headroom(
        &self,
        request: Request<v1::GetHeadroomRequest>,
    ) -> Result<Response<v1::GetHeadroomResponse>, Status> {
        let (_place, own) = (self.headrooms.take(&request)?, own(&request));
        headroom::of(&self.engine, &own, request.into_inner()).await.map(Response::new)
    }

    async fn get_network(
        &self,
        _: Request<v1::GetNetworkRequest>,
    ) -> Result<Response<v1::Network>, Status> {
        let owner = self.owner.get().cloned().unwrap_or_default();
        let network = self.engine.ask(move |control| {
            Ok(v1::Network {
                network_id: Bytes::copy_from_slice(&control.genesis().network.0),
                frame_vouchers_max: u32::try_from(FRAME_VOUCHERS_MAX).expect("a small number"),
                voucher_lifetime_seconds_max: control.genesis().lifetime_seconds_max,
                assets: control.assets().map(asset_message).collect(),
                bundle_entries_max: u32::try_from(BUNDLE_ENTRIES_MAX).expect("a small number"),
                owner,
                standby: false,
            })
        });
        Ok(Response::new(network.await?))
    }
}

/// When a stream is read no further, before its client ends it.
struct Until {
    /// Comes when its caller may not go on, with what they are told.
    ended: Pin<Box<dyn Future<Output = Status> + Send>>,
    stopping: watch::Receiver<bool>,
}

impl Until {
    /// Comes with what the client is told, if anything.
    async fn comes(&mut self) -> Option<Status> {
        tokio::select! {
            status = &mut self.ended => Some(status),
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
        }
    }
}

/// Reads a stream's frames until it ends, fails, is refused, its caller may not go on, or the
/// engine stops.
async fn read_frames(
    bringer: Bringer,
    mut frames: Streaming<v1::Frame>,
    large: Option<Large>,
    acks: mpsc::Sender<Pending>,
    mut until: Until,
) {
    let ahead = Arc::new(Semaphore::new(STREAM_VOUCHERS_MAX));
    loop {
        // Room for the ack first: a client that does not read its acks is not read either.
        let Ok(room) = acks.reserve().await else { return };
        let most = u32::try_from(FRAME_VOUCHERS_MAX).expect("a small number");
        let next = async {
            let ahead = ahead.clone().acquire_many_owned(most).await;
            (frames.message().await, ahead.expect("nobody closes it"))
        };
        let taken = tokio::select! {
            biased;
            told = until.comes() => Err(told),
            next = next => Ok(next),
        };
        let (frame, ahead) = match taken {
            Ok(next) => next,
            Err(told) => return tell(room, told),
        };
        let pending = match frame.map(|frame| frame.map(Taken::new)) {
            Ok(Some(Ok(frame))) => tokio::select! {
                biased;
                // What was not taken in is not acked, and whoever sent it sends it again.
                told = until.comes() => return tell(room, told),
                // Its client is gone, and with it whoever would hear of it: who is slowed would
                // have it checked seconds later.
                () = acks.closed() => return,
                taken = take_in_turn(&bringer, frame, ahead) => taken,
            },
            Ok(None) => return,
            Err(status) | Ok(Some(Err(status))) => Err(status),
        };
        large.iter().for_each(Large::done);
        match pending {
            Ok(pending) => room.send(pending),
            Err(status) => return tell(room, Some(status)),
        }
    }
}

/// Ends a stream, behind the acks that are owed.
fn tell(room: mpsc::Permit<'_, Pending>, status: Option<Status>) {
    if let Some(status) = status {
        room.send(Pending::Known(Err(status)));
    }
}

impl Bringer {
    /// Waits until a frame may come in by the rate of its identity.
    async fn in_its_rate(&self, frame: &Taken, patience: Duration) -> Result<(), Status> {
        match &self.allowance {
            Some(own) => own.brought(frame.count(), patience).await,
            None => Ok(()),
        }
    }
}

/// Hands a stream's frame to the pipeline, when its source may. Of the room `ahead` for vouchers
/// whose acks were not taken it keeps what it needs.
async fn take_in_turn(
    bringer: &Bringer,
    frame: Taken,
    mut ahead: OwnedSemaphorePermit,
) -> Result<Pending, Status> {
    let room = ahead.split(frame.count());
    drop(ahead);
    bringer.in_its_rate(&frame, RATE_HELD_MAX).await?;
    Ok(match frame.submit(bringer, None).await? {
        Pending::Awaited(awaited) => Pending::Awaited(Box::new(Awaited { room, ..*awaited })),
        known @ Pending::Known(_) => known,
    })
}

/// A frame that is acceptable as a whole.
struct Taken {
    frame_id: u64,
    brought: Brought,
}

impl Taken {
    fn new(frame: v1::Frame) -> Result<Self, Status> {
        Ok(Self { frame_id: frame.frame_id, brought: brought(frame)? })
    }

    fn count(&self) -> usize {
        self.brought.all().len()
    }

    /// Hands it to the pipeline, when its source may bring one; gives up where that is not before
    /// `until`.
    async fn submit(self, bringer: &Bringer, until: Option<Instant>) -> Result<Pending, Status> {
        let Self { frame_id, brought } = self;
        let Screened { brought, kept_back } = bringer.own.screen(&bringer.engine, brought);
        if brought.all().is_empty() {
            let (outcomes, rejected) = merged(kept_back.unwrap_or_default(), &[]);
            let ack =
                v1::Ack { frame_id, outcomes: outcomes.into(), rejected, ..v1::Ack::default() };
            return Ok(Pending::Known(Ok(ack)));
        }
        loop {
            let entry = bringer.feed.enter(brought.all().len()).await?;
            let now = Instant::now();
            let at = entry.when(now);
            if at <= now {
                let answer = entry.submit(brought);
                let awaited = Awaited { frame_id, answer, kept_back, room: None };
                return Ok(Pending::Awaited(Box::new(awaited)));
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
            Self::Awaited(awaited) => {
                let Awaited { frame_id, answer, kept_back, room: _room } = *awaited;
                let Answer { lsn, outcomes, counts, .. } =
                    answer.await.map_err(|_| Busy::Stopping)?;
                let (outcomes, kept) = match kept_back {
                    Some(kept_back) => merged(kept_back, &outcomes),
                    None => (outcomes, 0),
                };
                Ok(v1::Ack {
                    frame_id,
                    lsn: lsn.0,
                    position: position(lsn),
                    outcomes: outcomes.into(),
                    credited: counts.credited,
                    stale: counts.stale,
                    rejected: counts.rejected + kept,
                })
            }
        }
    }
}
