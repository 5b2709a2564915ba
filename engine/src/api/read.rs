//! Reading sealed windows and batches: lists that are streamed from what never changes.

use super::access::own;
use super::door::Place;
use super::lists::optional;
use super::messages::{id, obligation_message, position_message, window_message};
use crate::ledger::{Obligation, Position, SealedAsset, SealedWindow, WindowEntry};
use crate::settle::Engine;
use crate::types::{AssetNumber, BatchId, PartyId, WindowNumber};
use std::cmp::Reverse;
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
    part: Part,
}

/// Which of a list is wanted: a part of it, in which order.
#[derive(Debug, Clone, Copy)]
struct Part {
    skip: usize,
    limit: usize,
    largest_first: bool,
}

impl Part {
    fn of(asked: &v1::WindowAssetRequest) -> Self {
        let limit = if asked.limit == 0 { usize::MAX } else { asked.limit as usize };
        let skip = usize::try_from(asked.skip).unwrap_or(usize::MAX);
        Self { skip, limit, largest_first: asked.largest_first }
    }

    /// Those of a list, by their places, of `wanted` ones; `size` says how large each is.
    fn places<E>(
        self,
        list: &[E],
        wanted: impl Fn(&E) -> bool,
        size: impl Fn(&E) -> u128,
    ) -> Vec<u32> {
        let all = (0..).zip(list).filter(|(_, of)| wanted(of)).map(|(place, _)| place);
        if !self.largest_first {
            return all.skip(self.skip).take(self.limit).collect();
        }
        let mut all: Vec<u32> = all.collect();
        // Those of the same size in their own order, so that no page has one twice.
        let key = |place: &u32| (Reverse(size(&list[*place as usize])), *place);
        largest_of(&mut all, (self.skip, self.limit), key)
    }
}

/// Of places, those that stand at `skip` and behind it, so many, in the order of `key`. Not all are
/// sorted for that.
fn largest_of<K: Ord>(
    all: &mut [u32],
    (skip, limit): (usize, usize),
    key: impl Fn(&u32) -> K,
) -> Vec<u32> {
    if skip >= all.len() {
        return Vec::new();
    }
    all.select_nth_unstable_by_key(skip, &key);
    let rest = &mut all[skip..];
    if limit < rest.len() {
        rest.select_nth_unstable_by_key(limit, &key);
    }
    let length = limit.min(rest.len());
    let page = &mut rest[..length];
    page.sort_unstable_by_key(&key);
    page.to_vec()
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
    Ok(SealedPage { window, asset, of, part: Part::of(message) })
}

/// How one of a list is ordered by size, and told.
struct Row<E, T> {
    size: fn(&E) -> u128,
    message: fn(AssetNumber, &E) -> T,
}

impl SealedPage {
    /// Those that are wanted. Looking through a million takes its time: beside the network
    /// threads.
    async fn list<T: 'static, E: Sync + 'static>(
        self,
        place: Place,
        list: fn(&SealedAsset) -> &[E],
        wanted: impl Fn(&E) -> bool + Send + 'static,
        Row { size, message }: Row<E, T>,
    ) -> Streamed<T> {
        let SealedPage { window, asset, part, .. } = self;
        let of = window.clone();
        let places = tokio::task::spawn_blocking(move || {
            let all = of.assets.get(&asset).map_or(&[][..], list);
            part.places(all, wanted, size)
        });
        let places = places.await.expect("looking does not panic");
        let all = places.into_iter().map(move |at| {
            let of = &list(&window.assets[&asset])[at as usize];
            message(asset, of)
        });
        streamed(place, all)
    }

    async fn owed(
        self,
        place: Place,
        list: fn(&SealedAsset) -> &[Obligation],
    ) -> Streamed<v1::Obligation> {
        let pair = self.of;
        let wanted = move |of: &Obligation| pair.has(of.payer, of.payee);
        let size = |of: &Obligation| of.amount.0;
        let row = Row { size, message: obligation_message };
        self.list(place, list, wanted, row).await
    }

    /// Gross per pair.
    pub async fn obligations(self, place: Place) -> Streamed<v1::Obligation> {
        self.owed(place, |sealed| &sealed.obligations).await
    }

    /// Set off per pair.
    pub async fn net_obligations(self, place: Place) -> Streamed<v1::Obligation> {
        self.owed(place, |sealed| &sealed.net).await
    }

    /// Per party.
    pub async fn net_positions(self, place: Place) -> Streamed<v1::NetPosition> {
        let of = (|of: &Position| of.net.0.unsigned_abs()) as fn(&Position) -> u128;
        let row = Row { size: of, message: position_message };
        self.list(place, |sealed| &sealed.positions, |_| true, row).await
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages, put together, are the list in its order, whatever their size.
    #[test]
    fn pages_of_the_largest_are_the_list_in_order_and_none_is_there_twice() {
        let list: Vec<u128> = (0..1_000).map(|n: u128| n * 7_919 % 101).collect();
        let wanted = |of: &u128| !of.is_multiple_of(3);
        let mut sorted: Vec<u32> = (0..1_000).filter(|at| wanted(&list[*at as usize])).collect();
        let ids = sorted.clone();
        sorted.sort_by_key(|at| (Reverse(list[*at as usize]), *at));
        for (largest_first, expected) in [(true, &sorted), (false, &ids)] {
            for limit in [1, 7, 333, 5_000] {
                let mut found = Vec::new();
                loop {
                    let part = Part { skip: found.len(), limit, largest_first };
                    let page = part.places(&list, wanted, |of| *of);
                    assert!(page.len() <= limit);
                    if page.is_empty() {
                        break;
                    }
                    found.extend(page);
                }
                assert_eq!(&found, expected, "{limit} at a time");
            }
        }
        let none = Part { skip: usize::MAX, limit: usize::MAX, largest_first: true };
        assert!(none.places(&list, wanted, |of| *of).is_empty());
    }
}
