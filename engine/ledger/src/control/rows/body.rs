//! What lies in a row. Plain data in rkyv's archived form, as the bodies of events.

use super::ENTRIES;
use crate::batch::By;
use crate::control::entry::Fate;
use crate::control::{Approval, BatchEntry, Control, Deed, PartyEntry, WindowEntry};
use crate::event::{ArchiveId, Genesis, WindowSealed};
use crate::fund::Cover;
use crate::legs::LegsHead;
use crate::row::RowKey;
use crate::trouble::{NewTrouble, Trouble};
use crate::types::{
    AssetDef, AssetNumber, BatchId, Digest, Lsn, Net, SignerKey, Timestamp, Total, WindowNumber,
};
use crate::window::Obligation;
use rkyv::api::high::HighSerializer;
use rkyv::rancor::Error;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// Sums and counters.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HeadRow {
    pub genesis: Genesis,
    pub lsn: Lsn,
    pub digest: Digest,
    pub directory_version: u64,
    pub suspensions: u64,
    pub funds: Vec<(AssetNumber, Net)>,
    pub engine_keys: Vec<(Lsn, SignerKey)>,
    /// By asset: the day, and what the schedule approved on it.
    pub scheduled: Vec<(AssetNumber, i64, Total)>,
    pub troubles_last: u64,
}

/// What one party deposited in one asset, and what batches pay of it.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct MoneyRow {
    pub deposited: Option<Total>,
    pub pledged: Option<Total>,
}

/// A window without what earlier batches left for it.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct WindowRow {
    pub first_lsn: Lsn,
    pub cut: Option<(Lsn, Timestamp)>,
    pub cut_digest: Digest,
    pub sealed: Option<WindowSealed>,
    pub dust: Vec<(AssetNumber, Net)>,
    pub live: Vec<(AssetNumber, BatchId)>,
    pub settled: Vec<AssetNumber>,
    pub dispute: Option<String>,
    pub archive: Option<ArchiveId>,
    /// Where it waits for a batch: since when a person has it in their hands, if one has.
    pub waits: Vec<(AssetNumber, Option<Timestamp>)>,
}

/// A batch without its head, which is kept apart, and without its legs.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct BatchRow {
    pub fate: Fate,
    pub computed_lsn: Lsn,
    pub computed_at: Timestamp,
    pub by: By,
    pub approved: Option<Approval>,
    pub legs: LegsHead,
    pub ended_at: Option<Timestamp>,
    pub aborted: Option<(String, String)>,
    pub cover: Option<Cover>,
    pub dust_owed: bool,
    pub released: bool,
}

/// A party, and what keeps it from being erased.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct PartyRow {
    pub entry: PartyEntry,
    /// While it is suspended: the last window in which something of it can stand.
    pub until: Option<WindowNumber>,
}

/// An open trouble, without its number.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TroubleRow {
    pub lsn: Lsn,
    pub at: Timestamp,
    pub of: NewTrouble,
}

/// The bytes of a row.
pub(in crate::control) fn bytes(
    row: &impl for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>,
) -> Vec<u8> {
    rkyv::to_bytes::<Error>(row).expect("plain data of bounded size can be archived").into_vec()
}

impl Control {
    /// What lies in a row now; `None` when there is no such row.
    pub(super) fn row(&self, row: RowKey) -> Option<Vec<u8>> {
        match row {
            RowKey::Head => Some(bytes(&self.head_row())),
            RowKey::Assets => {
                let assets: Vec<AssetDef> = self.assets.values().cloned().collect();
                Some(bytes(&assets))
            }
            RowKey::Acked => Some(bytes(&self.troubles.acked())),
            RowKey::Party(party) => {
                let entry = self.parties.get(&party)?.clone();
                Some(bytes(&PartyRow { entry, until: self.needed.until(party) }))
            }
            RowKey::Signer(signer) => self.signers.get(&signer).map(bytes),
            RowKey::Budgets(signer) => self.budgets.get(&signer).map(bytes),
            RowKey::Identity(lsn) => self.identities.added_by(lsn).map(bytes),
            RowKey::Endpoint(lsn) => self.endpoints.get(lsn).ok().map(bytes),
            RowKey::Eyes => self.eyes.row().map(|row| bytes(&row)),
            RowKey::Proposal(lsn) => self.eyes.made_by(lsn).map(bytes),
            RowKey::Hold => self.hold.as_ref().map(bytes),
            RowKey::OperatorKey(key) => self.operator_keys.get(key).map(bytes),
            RowKey::Money(party, asset) => {
                let deposited = self.deposits.get(&(party, asset)).copied();
                let pledged = self.pledged.get(&(party, asset)).copied();
                let is_there = deposited.is_some() || pledged.is_some();
                is_there.then(|| bytes(&MoneyRow { deposited, pledged }))
            }
            RowKey::Window(number) => {
                let window = self.windows.get(&number)?;
                Some(bytes(&self.window_row(window)))
            }
            RowKey::Carried(number, piece) => {
                let carried = &self.windows.get(&number)?.carried;
                let first = usize::try_from(piece).ok()?.checked_mul(ENTRIES)?;
                let rest = carried.get(first..).filter(|rest| !rest.is_empty())?;
                let some: Vec<(AssetNumber, Obligation)> = rest[..rest.len().min(ENTRIES)].to_vec();
                Some(bytes(&some))
            }
            RowKey::Batch(batch) => self.batches.get(&batch).map(|entry| bytes(&batch_row(entry))),
            RowKey::Deed(lsn) => self.deeds.get(&lsn).map(|deed: &Deed| bytes(deed)),
            RowKey::Trouble(number) => {
                let Trouble { number: _, lsn, at, of } = self.troubles.get(number)?.clone();
                Some(bytes(&TroubleRow { lsn, at, of }))
            }
            RowKey::Requests(..) => None,
            RowKey::Legs(batch, page) => {
                let page = self.batches.get(&batch)?.legs.page(page)?;
                Some(bytes(&page))
            }
        }
    }

    fn head_row(&self) -> HeadRow {
        HeadRow {
            genesis: self.genesis.clone(),
            lsn: self.history.lsn,
            digest: self.history.digest,
            directory_version: self.changes.version(),
            suspensions: self.suspensions,
            funds: self.funds.iter().map(|(asset, fund)| (*asset, *fund)).collect(),
            engine_keys: self.engine_keys.all().collect(),
            scheduled: self.waiting.scheduled().collect(),
            troubles_last: self.troubles.last(),
        }
    }

    fn window_row(&self, window: &WindowEntry) -> WindowRow {
        let WindowEntry {
            number,
            first_lsn,
            cut,
            cut_digest,
            sealed,
            carried: _,
            dust,
            live,
            settled,
            dispute,
            archive,
        } = window;
        WindowRow {
            first_lsn: *first_lsn,
            cut: *cut,
            cut_digest: *cut_digest,
            sealed: sealed.as_deref().cloned(),
            dust: dust.iter().map(|(asset, dust)| (*asset, *dust)).collect(),
            live: live.iter().map(|(asset, batch)| (*asset, *batch)).collect(),
            settled: settled.iter().copied().collect(),
            dispute: dispute.clone(),
            archive: *archive,
            waits: self.waiting.of_window(*number).collect(),
        }
    }
}

fn batch_row(entry: &BatchEntry) -> BatchRow {
    let BatchEntry {
        fate,
        head: _,
        computed_lsn,
        computed_at,
        by,
        approved,
        legs,
        ended_at,
        aborted,
        cover,
        dust_owed,
        released,
    } = entry;
    BatchRow {
        fate: *fate,
        computed_lsn: *computed_lsn,
        computed_at: *computed_at,
        by: by.clone(),
        approved: approved.clone(),
        legs: legs.head(),
        ended_at: *ended_at,
        aborted: aborted.clone(),
        cover: *cover,
        dust_owed: *dust_owed,
        released: *released,
    }
}

/// The number of the window that was open when the row's window was.
pub(super) fn window_entry(number: WindowNumber, row: WindowRow) -> WindowEntry {
    let WindowRow {
        first_lsn,
        cut,
        cut_digest,
        sealed,
        dust,
        live,
        settled,
        dispute,
        archive,
        waits: _,
    } = row;
    WindowEntry {
        number,
        first_lsn,
        cut,
        cut_digest,
        sealed: sealed.map(std::sync::Arc::new),
        carried: Vec::new(),
        dust: dust.into_iter().collect(),
        live: live.into_iter().collect(),
        settled: settled.into_iter().collect(),
        dispute,
        archive,
    }
}
