//! Reading sealed windows and batches: lists that are streamed from what never changes.

use super::door::Place;
use super::messages::{id, obligation_message, position_message, window_message};
use super::status::{busy, refused, storage};
use crate::ledger::{Refusal, SealedAsset, SealedWindow};
use crate::pipeline::Intake;
use crate::settle::Archive;
use crate::types::{AssetNumber, BatchId, WindowNumber};
use std::pin::Pin;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio_stream::Stream;
use tonic::Status;

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
}

/// Finds a sealed window; FAILED_PRECONDITION while it is open.
pub(super) async fn sealed(
    intake: &Intake,
    archive: &Archive,
    asked: &v1::WindowAssetRequest,
) -> Result<SealedPage, Status> {
    let (number, asset) = (WindowNumber(asked.window), AssetNumber(asked.asset));
    let found = intake.read(|control| {
        control.asset(asset)?;
        control.window(number)?.sealed_head()
    });
    let sealed = found.await.map_err(|b| busy(&b))?.map_err(|r: Refusal| refused(&r))?;
    let archive = archive.clone();
    let window = tokio::task::spawn_blocking(move || archive.window(&sealed)).await;
    let window = window.expect("loading does not panic").map_err(|error| storage(&error))?;
    Ok(SealedPage { window, asset })
}

impl SealedPage {
    fn list<T: 'static, E: Copy + 'static>(
        self,
        place: Place,
        part: fn(&SealedAsset) -> &[E],
        message: fn(AssetNumber, &E) -> T,
    ) -> Streamed<T> {
        let SealedPage { window, asset } = self;
        let length = window.assets.get(&asset).map_or(0, |sealed| part(sealed).len());
        streamed(place, (0..length).map(move |i| message(asset, &part(&window.assets[&asset])[i])))
    }

    /// Gross per pair.
    pub fn obligations(self, place: Place) -> Streamed<v1::Obligation> {
        self.list(place, |sealed| &sealed.obligations, obligation_message)
    }

    /// Set off per pair.
    pub fn net_obligations(self, place: Place) -> Streamed<v1::Obligation> {
        self.list(place, |sealed| &sealed.net, obligation_message)
    }

    /// Per party.
    pub fn net_positions(self, place: Place) -> Streamed<v1::NetPosition> {
        self.list(place, |sealed| &sealed.positions, position_message)
    }
}

/// One window as it stands.
pub(super) async fn window(intake: &Intake, number: WindowNumber) -> Result<v1::Window, Status> {
    let credited = intake.figures().await.map_err(|b| busy(&b))?.credited;
    let found = intake.read(|control| {
        let window = control.window(number)?;
        Ok(window_message(window, if window.cut.is_none() { credited } else { 0 }))
    });
    found.await.map_err(|b| busy(&b))?.map_err(|r: Refusal| refused(&r))
}

/// All windows as they stand, oldest first.
pub(super) async fn windows(intake: &Intake) -> Result<Vec<v1::Window>, Status> {
    let credited = intake.figures().await.map_err(|b| busy(&b))?.credited;
    let found = intake.read(|control| {
        let windows = control.windows();
        let message = |w: &crate::ledger::WindowEntry| {
            window_message(w, if w.cut.is_none() { credited } else { 0 })
        };
        windows.map(message).collect()
    });
    found.await.map_err(|b| busy(&b))
}

/// The id in a batch request.
pub(super) fn batch_id(asked: &v1::GetBatchRequest) -> Result<BatchId, Status> {
    id(&asked.batch_id, "batch_id")
}
