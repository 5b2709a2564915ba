//! The way back from rows to the control state. Takes them in their order; what does not fit is
//! refused with the row's name.

use super::Rows;
use super::body::{BatchRow, HeadRow, MoneyRow, PartyRow, TroubleRow, WindowRow, window_entry};
use crate::batch::BatchHead;
use crate::budget::BudgetEntry;
use crate::control::entry::Fate;
use crate::control::{BatchEntry, Control, Deed, SignerEntry, requests};
use crate::event::ArchiveId;
use crate::legs::Legs;
use crate::row::{RowKey, Section};
use crate::trouble::Trouble;
use crate::types::{
    AssetDef, AssetNumber, BatchId, Digest, History, Lsn, PartyId, SignerKey, WindowNumber,
};
use crate::window::Obligation;
use rkyv::api::high::{HighDeserializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {why}")]
pub struct RowUnfit {
    /// Which row.
    pub row: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a row brought back, for whoever goes by it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Nothing that others go by.
    Own,
    /// The assets.
    Assets,
    /// A party.
    Party(PartyId),
    /// A signer.
    Signer(SignerKey),
    /// A signer's budgets.
    Budgets(SignerKey),
    /// A batch; its head must be given before the next row.
    Batch(BatchId),
}

/// The state as far as its rows were taken.
pub struct Restoring {
    control: Option<Control>,
    batch: Option<(BatchId, BatchRow)>,
    last: Vec<u8>,
    last_legs: Vec<u8>,
}

impl Control {
    /// Begins the way back.
    #[must_use]
    pub fn restoring() -> Restoring {
        Restoring { control: None, batch: None, last: Vec::new(), last_legs: Vec::new() }
    }
}

impl Restoring {
    /// Takes the next row.
    ///
    /// # Errors
    /// `RowUnfit`.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<Restored, RowUnfit> {
        let unfit = |why: String| RowUnfit { row: name(key), why };
        let Some(row) = RowKey::decode(key) else { return Err(unfit("no such row".into())) };
        // Rows of legs are read when all others were, whatever the number of their section.
        let is_legs = row.section() == Section::Legs;
        let last = if is_legs { &mut self.last_legs } else { &mut self.last };
        if last.as_slice() >= key {
            return Err(unfit("it is not in its place".into()));
        }
        *last = key.to_vec();
        if self.batch.is_some() {
            return Err(unfit("the batch before it has no head".into()));
        }
        self.take(row, value).map_err(unfit)
    }

    /// The state so far.
    ///
    /// # Errors
    /// `RowUnfit` when not even the head is there.
    pub fn control(&self) -> Result<&Control, RowUnfit> {
        self.control.as_ref().ok_or_else(no_head)
    }

    /// Takes the head of the batch that the last row asked for.
    ///
    /// # Errors
    /// `RowUnfit` when it is another one.
    pub fn batch(&mut self, head: Arc<BatchHead>) -> Result<(), RowUnfit> {
        let (id, row) = self.batch.take().expect("a row asked for it");
        let unfit =
            |why: &str| RowUnfit { row: name(&RowKey::Batch(id).encode()), why: why.into() };
        if head.id != id {
            return Err(unfit("its head is another batch's"));
        }
        let control = self.control.as_mut().ok_or_else(no_head)?;
        let BatchRow {
            fate,
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
        } = row;
        let legs = Legs::restored(head.leg_count, legs).ok_or_else(|| unfit("its legs misfit"))?;
        if fate == Fate::Computed {
            control.waiting.restore_batch(computed_lsn, id);
        }
        let entry = BatchEntry {
            fate,
            head,
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
        };
        control.batches.insert(id, entry);
        Ok(())
    }

    /// The batches of which legs must be taken back: those that are not over.
    ///
    /// # Errors
    /// `RowUnfit` when not even the head is there.
    pub fn batches_at_work(&self) -> Result<Vec<BatchId>, RowUnfit> {
        let at_work = self.control()?.batches.iter().filter(|(_, entry)| !entry.is_over());
        Ok(at_work.map(|(id, _)| *id).collect())
    }

    /// The state, once every row was taken: those of legs only for batches that are at work.
    ///
    /// # Errors
    /// `RowUnfit` that names what is missing.
    pub fn finish(self) -> Result<Control, RowUnfit> {
        let mut control = self.control.ok_or_else(no_head)?;
        control.restore_unsettled();
        let numbers = control.windows.keys().map(|number| number.0);
        let all_there = numbers.eq((1..).take(control.windows.len()));
        if control.windows.is_empty() || !all_there || control.open_window().cut.is_some() {
            let (row, why) = ("windows".to_owned(), "one of them is missing".to_owned());
            return Err(RowUnfit { row, why });
        }
        for (id, entry) in control.batches.iter().filter(|(_, entry)| !entry.is_over()) {
            let row = || name(&RowKey::Batch(*id).encode());
            entry.legs.check_whole().map_err(|why| RowUnfit { row: row(), why })?;
        }
        Ok(control)
    }

    fn take(&mut self, row: RowKey, value: &[u8]) -> Result<Restored, String> {
        if row == RowKey::Head {
            self.control = Some(from_head(read(value)?));
            return Ok(Restored::Own);
        }
        let Some(control) = &mut self.control else { return Err("there is no head".into()) };
        match row {
            RowKey::Head => {}
            RowKey::Assets => {
                let assets: Vec<AssetDef> = read(value)?;
                control.assets = assets.into_iter().map(|asset| (asset.number, asset)).collect();
                return Ok(Restored::Assets);
            }
            RowKey::Acked => control.troubles.restore_acked(read::<Vec<Digest>>(value)?),
            RowKey::Party(party) => {
                let PartyRow { entry, until } = read(value)?;
                if entry.suspended != until.is_some() {
                    return Err("it does not say since when it is suspended".into());
                }
                if entry.suspended {
                    control.suspended.insert(party);
                }
                control.needed.restore(party, until);
                control.parties.insert(party, entry);
                return Ok(Restored::Party(party));
            }
            RowKey::Signer(signer) => return control.restore_signer(signer, read(value)?),
            RowKey::Budgets(signer) => return control.restore_budgets(signer, read(value)?),
            RowKey::Money(party, asset) => {
                let MoneyRow { deposited, pledged } = read(value)?;
                control.deposits.extend(deposited.map(|sum| ((party, asset), sum)));
                control.pledged.extend(pledged.map(|sum| ((party, asset), sum)));
            }
            RowKey::Window(number) => {
                let row: WindowRow = read(value)?;
                control.waiting.restore_window(number, &row.waits);
                control.windows.insert(number, window_entry(number, row));
            }
            RowKey::Carried(number, _) => control.restore_carried(number, read(value)?)?,
            RowKey::Batch(batch) => {
                self.batch = Some((batch, read(value)?));
                return Ok(Restored::Batch(batch));
            }
            RowKey::Deed(lsn) => drop(control.deeds.insert(lsn, read::<Deed>(value)?)),
            RowKey::Trouble(number) => {
                let TroubleRow { lsn, at, of } = read(value)?;
                control.troubles.restore(Trouble { number, lsn, at, of });
            }
            RowKey::Requests(span, _) => {
                control.requests.restore(span, read::<Vec<requests::Answered>>(value)?)?;
            }
            RowKey::Identity(lsn) => control.identities.restore(lsn, read(value)?),
            RowKey::OperatorKey(key) => control.operator_keys.restore(key, read(value)?),
            RowKey::Eyes | RowKey::Proposal(_) | RowKey::Endpoint(_) => {
                control.small(row, value)?
            }
            RowKey::Hold => control.hold = Some(read(value)?),
            RowKey::Legs(..) => {
                return restore_page(&mut control.batches, row, value)
                    .map(|()| Restored::Own)
                    .map_err(|unfit| unfit.why);
            }
        }
        Ok(Restored::Own)
    }
}

impl Control {
    fn restore_signer(
        &mut self,
        signer: SignerKey,
        entry: SignerEntry,
    ) -> Result<Restored, String> {
        if !self.parties.contains_key(&entry.party) {
            return Err("its party is missing".into());
        }
        self.signers.insert(signer, entry);
        Ok(Restored::Signer(signer))
    }

    fn restore_budgets(
        &mut self,
        signer: SignerKey,
        budgets: Vec<BudgetEntry>,
    ) -> Result<Restored, String> {
        if !self.signers.contains_key(&signer) {
            return Err("its signer is missing".into());
        }
        self.budgets.insert(signer, budgets);
        Ok(Restored::Budgets(signer))
    }

    fn small(&mut self, row: RowKey, value: &[u8]) -> Result<(), String> {
        if let RowKey::Proposal(lsn) = row {
            self.eyes.restore(lsn, read(value)?);
        } else if let RowKey::Endpoint(lsn) = row {
            self.endpoints.restore(lsn, read(value)?);
        } else {
            self.eyes.restore_row(read(value)?);
        }
        Ok(())
    }

    fn restore_carried(
        &mut self,
        number: WindowNumber,
        carried: Vec<(AssetNumber, Obligation)>,
    ) -> Result<(), String> {
        let window = self.windows.get_mut(&number).ok_or("its window is missing")?;
        window.carried.extend(carried);
        Ok(())
    }
}

fn from_head(row: HeadRow) -> Control {
    let HeadRow {
        genesis,
        lsn,
        digest,
        directory_version,
        suspensions,
        funds,
        engine_keys,
        scheduled,
        troubles_last,
    } = row;
    let mut control = Control::new(genesis, History { lsn, digest });
    control.windows.clear();
    control.rows = Rows::kept();
    control.changes = super::super::used::Changes::after(directory_version);
    control.suspensions = suspensions;
    control.funds = funds.into_iter().collect();
    engine_keys.into_iter().for_each(|(lsn, key): (Lsn, SignerKey)| {
        control.engine_keys.set(lsn, key);
    });
    control.waiting.restore_scheduled(&scheduled);
    control.troubles.restore_last(troubles_last);
    control
}

/// Brings a page of legs back from its row.
pub(in crate::control) fn restore_page(
    batches: &mut BTreeMap<BatchId, BatchEntry>,
    row: RowKey,
    value: &[u8],
) -> Result<(), RowUnfit> {
    let RowKey::Legs(batch, page) = row else { panic!("a row of legs") };
    let entry = batches.get_mut(&batch).ok_or_else(|| "its batch is missing".to_owned());
    let brought = entry.and_then(|entry| entry.legs.restore_row(page, value));
    brought.map_err(|why| RowUnfit { row: name(&row.encode()), why })
}

/// The window that a row of a window is of, and its archive, if it has one.
///
/// # Errors
/// `RowUnfit` when it is no row of a window.
pub fn archived_in(
    key: &[u8],
    value: &[u8],
) -> Result<Option<(WindowNumber, ArchiveId)>, RowUnfit> {
    let unfit = |why: String| RowUnfit { row: name(key), why };
    let Some(RowKey::Window(window)) = RowKey::decode(key) else {
        return Err(unfit("it is no window's".into()));
    };
    let row: WindowRow = read(value).map_err(unfit)?;
    Ok(row.archive.map(|archive| (window, archive)))
}

/// What lies in a row.
fn read<T>(bytes: &[u8]) -> Result<T, String>
where
    T: Archive,
    T::Archived:
        for<'a> CheckBytes<HighValidator<'a, Error>> + Deserialize<T, HighDeserializer<Error>>,
{
    rkyv::from_bytes::<T, Error>(bytes).map_err(|error| error.to_string())
}

fn no_head() -> RowUnfit {
    RowUnfit { row: name(&RowKey::Head.encode()), why: "it is missing".into() }
}

/// A row's name for a person: its section, and its key.
fn name(key: &[u8]) -> String {
    let section = Section::ALL.into_iter().find(|of| key.first() == Some(&(*of as u8)));
    let fields = data_encoding::HEXLOWER.encode(key.get(1..).unwrap_or_default());
    match section {
        Some(section) => format!("{section:?} {fields}"),
        None => format!("{key:?}"),
    }
}
