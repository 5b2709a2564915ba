//! The way back: the whole journal, applied again. Gives the state that the last start had, on any
//! number of shards, or refuses.
//!
//! Verdicts are not taken again: only vouchers with valid signatures were journaled.

use crate::journal::{Chain, Entry, Journal, JournalError, Record, Tail, replay};
use crate::ledger::control::{Control, Made};
use crate::ledger::shard::Checked;
use crate::ledger::{Event, Genesis, SealedPart, Shard, seal};
use crate::types::{
    ChannelHasher, Lsn, Outcome, Packed, Timestamp, VOUCHER_BYTES, Verdict, WindowNumber,
};
use crate::verify::Keys;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a journal's records add up to.
pub struct Recovered {
    pub(super) control: Control,
    pub(super) shards: Vec<Shard>,
    pub(super) keys: Keys,
    pub(super) hasher: ChannelHasher,
    pub(super) chain: Chain,
    /// Windows that were cut and not sealed when the last start ended.
    pub(super) unsealed: Vec<SealedPart>,
    /// Vouchers that the records held.
    pub vouchers: u64,
}

impl Recovered {
    /// What holds for the whole life of the deployment.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        self.control.genesis()
    }

    /// The end of the journal.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.chain.tail()
    }
}

/// Replays `journal` on `shards` shards. An empty journal gets its genesis record first.
///
/// # Errors
/// `Damaged` names the record that is wrong; the storage's own failures pass through.
pub fn recover(
    journal: &mut dyn Journal,
    epoch: u32,
    shards: u16,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
) -> Result<Recovered, JournalError> {
    let mut chain = Chain::start();
    let mut replaying: Option<Replaying> = None;
    replay(journal, &mut chain, &mut |record| match &mut replaying {
        None => {
            let Entry::Genesis(genesis) = record.entry()? else {
                return Err(damaged(record.lsn, "the first record is not the genesis record"));
            };
            replaying = Some(Replaying::new(genesis, record.lsn, shards));
            Ok(())
        }
        Some(replaying) => replaying.apply(&record),
    })?;
    let replaying = match replaying {
        Some(replaying) => replaying,
        None => {
            let (genesis, at) = genesis();
            let framed = chain.frame_genesis(epoch, at, &genesis);
            journal.append(&[framed])?;
            Replaying::new(genesis, chain.tail().lsn, shards)
        }
    };
    journal.remember(chain.tail())?;
    let Replaying { control, shards, keys, hasher, parts, vouchers, outcomes: _ } = replaying;
    let unsealed = parts.into_values().flatten().collect();
    Ok(Recovered { control, shards, keys, hasher, chain, unsealed, vouchers })
}

fn damaged(lsn: Lsn, why: impl Into<String>) -> JournalError {
    JournalError::Damaged { lsn, why: why.into() }
}

struct Replaying {
    control: Control,
    shards: Vec<Shard>,
    keys: Keys,
    hasher: ChannelHasher,
    parts: BTreeMap<WindowNumber, Vec<SealedPart>>,
    vouchers: u64,
    /// What became of a record's vouchers: known already to whoever was acked.
    outcomes: Vec<Outcome>,
}

impl Replaying {
    fn new(genesis: Genesis, lsn: Lsn, count: u16) -> Self {
        let (network, lifetime) = (genesis.network, genesis.lifetime_seconds_max);
        Self {
            control: Control::new(genesis, lsn),
            shards: (0..count).map(|index| Shard::new(index, count, lifetime)).collect(),
            keys: Keys::default(),
            hasher: ChannelHasher::new(network),
            parts: BTreeMap::new(),
            vouchers: 0,
            outcomes: Vec::new(),
        }
    }

    fn apply(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        match record.entry()? {
            Entry::Genesis(_) => Err(damaged(record.lsn, "a genesis record can only be the first")),
            Entry::Frame(vouchers) => {
                self.vouchers += u64::from(record.count);
                self.credit(record, vouchers)
            }
            Entry::Event(event) => self.event(record, &event),
        }
    }

    fn credit(
        &mut self,
        record: &Record<'_>,
        vouchers: &[[u8; VOUCHER_BYTES]],
    ) -> Result<(), JournalError> {
        let count = u16::try_from(self.shards.len()).expect("shards fit 16 bits");
        let mut by_shard: Vec<Vec<Checked<'_>>> = self.shards.iter().map(|_| Vec::new()).collect();
        let view = self.keys.view();
        for voucher in vouchers.iter().map(Packed) {
            let Some(key) = view.get(&voucher.signer()) else {
                return Err(damaged(record.lsn, "it holds a voucher of an unregistered key"));
            };
            let (channel, verdict) = (self.hasher.channel(voucher), Verdict::Valid);
            let shard = usize::from(key.party().shard(count));
            by_shard[shard].push(Checked { voucher, channel, verdict });
        }
        for (shard, vouchers) in self.shards.iter_mut().zip(&by_shard) {
            shard.credit(record.lsn, record.at, vouchers, &mut self.outcomes);
        }
        Ok(())
    }

    fn event(&mut self, record: &Record<'_>, event: &Event) -> Result<(), JournalError> {
        let made = match event {
            Event::WindowSealed(sealed) => self.reseal(record.lsn, sealed.window)?,
            Event::BatchComputed(batch) => {
                let content = self.control.recompute(batch).map_err(|why| {
                    let why = format!("batch {} cannot be computed again: {why}", batch.batch);
                    damaged(record.lsn, why)
                })?;
                Made::Batch(Arc::new(content))
            }
            Event::SignerAdded(added) => {
                self.keys.insert([(added.signer, added.party)]);
                Made::Nothing
            }
            Event::AssetCreated(_)
            | Event::PartyUpserted(_)
            | Event::SignerRevoked(_)
            | Event::CreditLimitSet(_)
            | Event::DepositRecorded(_)
            | Event::WindowCut(_)
            | Event::BatchApproved(_)
            | Event::BatchAborted(_) => Made::Nothing,
        };
        if let (Event::WindowSealed(sealed), Made::Window(again)) = (event, &made)
            && (again.root, again.credited) != (sealed.root, sealed.credited)
        {
            let why = format!(
                "window {} was sealed under root {} and now has {}",
                sealed.window, sealed.root, again.root
            );
            return Err(damaged(record.lsn, why));
        }
        self.control.apply(record.lsn, record.at, event, made);
        for shard in &mut self.shards {
            if let Some(part) = shard.apply(record.lsn, event) {
                self.parts.entry(part.window()).or_default().push(part);
            }
        }
        Ok(())
    }

    fn reseal(&mut self, lsn: Lsn, window: WindowNumber) -> Result<Made, JournalError> {
        match (self.control.cut(window), self.parts.remove(&window)) {
            (Some(cut), Some(parts)) => Ok(Made::Window(Arc::new(seal(cut, parts)))),
            _ => Err(damaged(lsn, format!("window {window} is sealed but was not cut"))),
        }
    }
}
