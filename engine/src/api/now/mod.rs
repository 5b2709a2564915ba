//! What goes on at this moment, for whoever looks: on pages, and by `WatchNow`. Once a second it is
//! noted what is counted anyway; figures are made of that only where somebody looks, and then once
//! for all of them.

mod figures;
mod message;

use super::door::{Place, Places};
use super::held::Edge;
use crate::limits::{NOW_EVERY, WATCH_FIGURES_MAX, WATCHES_MAX};
use crate::settle::Engine;
use crate::types::Timestamp;
use axum::body::Bytes;
use figures::{Counted, Figures};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use tallystick_proto::v1;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

/// What goes on. Cheap to clone.
#[derive(Clone)]
pub struct Now {
    moments: watch::Receiver<Arc<Moment>>,
    watches: Places,
}

/// What was counted in a second, and the figures, once somebody has looked.
pub(super) struct Moment {
    engine: Engine,
    started_at: Timestamp,
    counted: Counted,
    before: Arc<Counted>,
    figures: OnceLock<Figures>,
    json: OnceLock<Bytes>,
}

/// Figures as they are sent.
pub(super) type Watching = Pin<Box<dyn Stream<Item = Result<v1::Now, Status>> + Send>>;

impl Now {
    /// Of this engine: from now on, on this runtime, until it stops.
    #[must_use]
    pub fn start(engine: &Engine, edge: &Edge, stopping: &watch::Receiver<bool>) -> Self {
        let (engine, started_at, mut stopping) =
            (engine.clone(), edge.started_at, stopping.clone());
        let counted = Arc::new(Counted::of(&engine));
        let (says, moments) = watch::channel(Moment::of(&engine, started_at, &counted));
        tokio::spawn(async move {
            let mut before = counted;
            let mut every = tokio::time::interval(NOW_EVERY);
            every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            every.tick().await;
            loop {
                tokio::select! {
                    _ = every.tick() => {}
                    // Those who look are told no more: their answers end.
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                }
                if says.is_closed() {
                    return;
                }
                let moment = Moment::of(&engine, started_at, &before);
                before = Arc::new(moment.counted.clone());
                says.send_replace(moment);
            }
        });
        Self { moments, watches: Places::new("watches of what goes on", WATCHES_MAX, 0) }
    }

    /// The last moment, and those that come.
    pub(super) fn moments(&self) -> watch::Receiver<Arc<Moment>> {
        self.moments.clone()
    }

    /// Figures at once, and then once a second, so many.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all places are taken.
    pub(super) fn watch(
        &self,
        request: &tonic::Request<v1::WatchNowRequest>,
    ) -> Result<Watching, Status> {
        let place: Place = self.watches.take(request)?;
        let count = request.get_ref().count.clamp(1, WATCH_FIGURES_MAX);
        let moments = WatchStream::new(self.moments()).take(count as usize);
        Ok(Box::pin(moments.map(move |moment| {
            let _held = &place;
            Ok(message::of(moment.figures()))
        })))
    }
}

impl Moment {
    fn of(engine: &Engine, started_at: Timestamp, before: &Arc<Counted>) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            started_at,
            counted: Counted::of(engine),
            before: before.clone(),
            figures: OnceLock::new(),
            json: OnceLock::new(),
        })
    }

    /// Its figures.
    fn figures(&self) -> &Figures {
        let Self { engine, started_at, counted, before, .. } = self;
        self.figures.get_or_init(|| counted.since(before, engine, *started_at))
    }

    /// The same as pages read them.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| {
            serde_json::to_vec(self.figures()).expect("plain data has a JSON form").into()
        })
    }
}
