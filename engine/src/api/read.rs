//! Reading sealed windows and batches: lists that are streamed from what never changes.

use super::access::own;
use super::door::Place;
use super::lists::optional;
use super::messages::{id, obligation_message, position_message, window_message};
use crate::ledger::{Obligation, SealedAsset, SealedWindow, WindowEntry};
use crate::settle::Engine;
use crate::types::{AssetNumber, BatchId, PartyId, WindowNumber};
use std::pin::Pin;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio_stream::Stream;
use tonic::{Request, Status};

/// A streamed answer.
pub(super) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Streams `items`, each made when it is asked for. The place is free when the client has all of
/// them, or is gone.
pub(super) fn streamed<T: 'static>(
    place: Place,
    items: impl Iterator<Item = T> + Send + 'static,
) -> Streamed<T> {
    let items = items.map(move |item| {
        let _held = &place;
        Ok(item)
    });
    Box::pin(tokio_stream::iter(items))
}

/// A window of one asset, sealed.
pub(super) struct SealedPage {
    window: Arc<SealedWindow>,
    asset: AssetNumber,
    of: Pair,
}

/// Whose obligations are wanted; none: whoever's.
#[derive(Debug, Clone, Copy)]
struct Pair {
    payer: Option<PartyId>,
    payee: Option<PartyId>,
}

impl Pair {
    fn has(self, payer: PartyId, payee: PartyId) -> bool {
        self.payer.is_none_or(|of| of == payer) && self.payee.is_none_or(|of| of == payee)
    }
}

/// Finds a sealed window; FAILED_PRECONDITION while it is open.
pub(super) async fn sealed(
    engine: &Engine,
    request: &Request<v1::WindowAssetRequest>,
) -> Result<SealedPage, Status> {
    let message = request.get_ref();
    let (number, asset) = (WindowNumber(message.window), AssetNumber(message.asset));
    let of = Pair {
        payer: optional(&message.payer, "payer")?,
        payee: optional(&message.payee, "payee")?,
    };
    let named: Vec<PartyId> = of.payer.into_iter().chain(of.payee).collect();
    own(request).one_of(&named)?;
    let sealed = engine.ask(|control| {
        control.asset(asset)?;
        control.window(number)?.sealed_head()
    });
    let window = engine.window(sealed.await?).await?;
    Ok(SealedPage { window, asset, of })
}

impl SealedPage {
    fn list<T: 'static, E: Copy + 'static>(
        self,
        place: Place,
        part: fn(&SealedAsset) -> &[E],
        wanted: impl Fn(&E) -> bool + Send + 'static,
        message: fn(AssetNumber, &E) -> T,
    ) -> Streamed<T> {
        let SealedPage { window, asset, .. } = self;
        let length = window.assets.get(&asset).map_or(0, |sealed| part(sealed).len());
        let all = (0..length).filter_map(move |i| {
            let of = &part(&window.assets[&asset])[i];
            wanted(of).then(|| message(asset, of))
        });
        streamed(place, all)
    }

    fn owed(
        self,
        place: Place,
        part: fn(&SealedAsset) -> &[Obligation],
    ) -> Streamed<v1::Obligation> {
        let pair = self.of;
        self.list(place, part, move |of| pair.has(of.payer, of.payee), obligation_message)
    }

    /// Gross per pair.
    pub fn obligations(self, place: Place) -> Streamed<v1::Obligation> {
        self.owed(place, |sealed| &sealed.obligations)
    }

    /// Set off per pair.
    pub fn net_obligations(self, place: Place) -> Streamed<v1::Obligation> {
        self.owed(place, |sealed| &sealed.net)
    }

    /// Per party.
    pub fn net_positions(self, place: Place) -> Streamed<v1::NetPosition> {
        self.list(place, |sealed| &sealed.positions, |_| true, position_message)
    }
}

/// One window as it stands.
pub(super) async fn window(engine: &Engine, number: WindowNumber) -> Result<v1::Window, Status> {
    let credited = engine.figures().await?.credited;
    let found = engine.ask(|control| {
        let window = control.window(number)?;
        Ok(window_message(window, if window.cut.is_none() { credited } else { 0 }))
    });
    Ok(found.await?)
}

/// Windows as they stand: all, or a page of them.
pub(super) async fn windows(
    engine: &Engine,
    asked: v1::ListWindowsRequest,
) -> Result<Vec<v1::Window>, Status> {
    let v1::ListWindowsRequest { limit, before, newest_first } = asked;
    let before = (before > 0).then_some(WindowNumber(before));
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let credited = engine.figures().await?.credited;
    let found = engine.ask(|control| {
        let message =
            |w: &WindowEntry| window_message(w, if w.cut.is_none() { credited } else { 0 });
        let newest = control.windows_before(before);
        let oldest = control.windows().take_while(|w| before.is_none_or(|end| w.number < end));
        Ok(if newest_first {
            newest.take(limit).map(message).collect()
        } else {
            oldest.take(limit).map(message).collect()
        })
    });
    Ok(found.await?)
}

/// The id in a batch request.
pub(super) fn batch_id(asked: &v1::GetBatchRequest) -> Result<BatchId, Status> {
    id(&asked.batch_id, "batch_id")
}
