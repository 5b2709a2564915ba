//! What an engine shows of its history: everything that must be the same whenever the same records
//! are read. Knows nothing of how they came about.

use crate::client::{named, try_all};
use crate::wire::{
    Batch, BatchState, Exposure, GetExposureRequest, Leg, ListBatchesRequest, ListWindowsRequest,
    NetPosition, Obligation, Window, WindowAssetRequest,
};
use crate::{Client, World};
use std::collections::BTreeMap;
use tonic::{Code, Status};

/// Whether the engine said that what it keeps is damaged.
#[must_use]
pub fn is_damage(status: &Status) -> bool {
    status.code() == Code::DataLoss
}

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
        Self::try_of(client, world).await.expect("the engine answers")
    }

    /// Reads it all.
    ///
    /// # Errors
    /// What the engine refuses a call with: damage of what is read when it is asked for.
    pub async fn try_of(client: &mut Client, world: &World) -> Result<Self, Status> {
        let operator = &mut client.operator;
        let windows: Vec<Window> =
            try_all(operator.list_windows(ListWindowsRequest::default()).await).await?;
        let (mut obligations, mut positions) = (Vec::new(), Vec::new());
        for window in windows.iter().filter(|window| window.cut_lsn > 0) {
            for asset in [World::PAIRS, World::CLEARED] {
                let ask = WindowAssetRequest { window: window.number, asset, ..Default::default() };
                obligations.push(try_all(operator.list_obligations(ask.clone()).await).await?);
                positions.push(try_all(operator.list_net_positions(ask).await).await?);
            }
        }
        let batches: Vec<Batch> =
            try_all(operator.list_batches(ListBatchesRequest::default()).await).await?;
        let (mut legs, mut files) = (Vec::new(), Vec::new());
        for batch in &batches {
            legs.push(try_all(client.operator.list_legs(named(batch)).await).await?);
            // The files of an aborted batch must not reach a bank.
            if batch.state() != BatchState::Aborted {
                files.push(client.try_export(batch).await?);
            }
        }
        let mut exposures = Vec::new();
        for payer in &world.payers {
            for asset in [World::PAIRS, World::CLEARED] {
                let party_id = payer.party.0.to_vec().into();
                let ask = GetExposureRequest { party_id, asset };
                exposures.push(client.operator.get_exposure(ask).await?.into_inner());
            }
        }
        Ok(Self { windows, obligations, positions, batches, legs, files, exposures })
    }
}
