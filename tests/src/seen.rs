//! What an engine shows of its history: everything that must be the same whenever the same records are
//! read. Knows nothing of how they came about.

use crate::wire::{
    Batch, BatchState, Exposure, GetExposureRequest, Leg, NetPosition, Obligation, Window,
};
use crate::{Client, World};
use std::collections::BTreeMap;

/// Everything that must be the same whenever the same journal is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// All windows.
    pub windows: Vec<Window>,
    /// Of each closed window, in both assets.
    pub obligations: Vec<Vec<Obligation>>,
    /// Of each closed window, in both assets.
    pub positions: Vec<Vec<NetPosition>>,
    /// All batches.
    pub batches: Vec<Batch>,
    /// Of each batch.
    pub legs: Vec<Vec<Leg>>,
    /// Of each batch that was not aborted, by name.
    pub files: Vec<BTreeMap<String, Vec<u8>>>,
    /// Of each payer, in both assets.
    pub exposures: Vec<Exposure>,
}

impl Seen {
    /// Reads it all.
    ///
    /// # Panics
    /// When the engine does not answer.
    pub async fn of(client: &mut Client, world: &World) -> Self {
        let windows = client.windows().await;
        let (mut obligations, mut positions) = (Vec::new(), Vec::new());
        for window in windows.iter().filter(|window| window.cut_lsn > 0) {
            for asset in [World::PAIRS, World::CLEARED] {
                obligations.push(client.obligations(window.number, asset).await);
                positions.push(client.net_positions(window.number, asset).await);
            }
        }
        let batches = client.batches().await;
        let (mut legs, mut files) = (Vec::new(), Vec::new());
        for batch in &batches {
            legs.push(client.legs(batch).await);
            // The files of an aborted batch must not reach a bank.
            if batch.state() != BatchState::Aborted {
                files.push(client.export(batch).await);
            }
        }
        let mut exposures = Vec::new();
        for payer in &world.payers {
            for asset in [World::PAIRS, World::CLEARED] {
                let party_id = payer.party.0.to_vec().into();
                let ask = GetExposureRequest { party_id, asset };
                let exposure = client.operator.get_exposure(ask).await;
                exposures.push(exposure.expect("the engine answers").into_inner());
            }
        }
        Self { windows, obligations, positions, batches, legs, files, exposures }
    }
}
